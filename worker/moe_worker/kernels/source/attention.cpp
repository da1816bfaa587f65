// Causal attention over a paged cache, read where it lies. Sums have one order, whatever is computed beside them: a score
// is a sum over the width in eight lanes; the weights' sum runs in eight lanes from the first key that is seen; the mix of
// the values is one chain in the order of the keys. So a token has the same bits alone, in a batch and in any chunk.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "product.h"

namespace moe {
namespace {

constexpr long QUERIES = 24;  // (token, head) pairs that go over the same keys together
constexpr long KEYS = 64;     // whose numbers stay in the first-level cache while those pairs pass by
constexpr float NEVER = -std::numeric_limits<float>::infinity();

// The keys and values of one head in the cache: those of a token lie at its slot.
template <typename T>
struct Pages {
    const T *keys, *values;
    long width, value_width, step;
    const long* slots;

    const T* key(long at) const { return keys + slots[at] * step; }
    const T* value(long at) const { return values + slots[at] * step; }
};

// What a query sees: keys from `begin` to before `end`.
struct Seen {
    long begin, end;
};

// The sums of four: ((0 + 1) + (2 + 3)) + ((4 + 5) + (6 + 7)) of each.
inline __m128 sums(Lanes a, Lanes b, Lanes c, Lanes d) {
    const Lanes pairs = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
    return _mm_add_ps(_mm256_castps256_ps128(pairs), _mm256_extractf128_ps(pairs, 1));
}

// Scores of `Count` queries [Count, query_step] with 4 * `Fours` keys from `first` on; past `last` it is repeated.
template <long Count, long Fours, typename T>
void score(const float* queries, long query_step, const Pages<T>& pages, long first, long last, float* scores, long score_step) {
    constexpr long Keys = 4 * Fours;
    const T* keys[Keys];
    Lanes totals[Count][Keys];
#pragma GCC unroll 8
    for (long key = 0; key < Keys; key++) keys[key] = pages.key(std::min(first + key, last));
#pragma GCC unroll 4
    for (long query = 0; query < Count; query++)
#pragma GCC unroll 8
        for (long key = 0; key < Keys; key++) totals[query][key] = _mm256_setzero_ps();
    long n = 0;
    for (; n + LANES <= pages.width; n += LANES) {
        Lanes asked[Count];
#pragma GCC unroll 4
        for (long query = 0; query < Count; query++) asked[query] = load(queries + query * query_step + n);
#pragma GCC unroll 8
        for (long key = 0; key < Keys; key++) {
            const Lanes numbers = load(keys[key] + n);
#pragma GCC unroll 4
            for (long query = 0; query < Count; query++)
                totals[query][key] = _mm256_fmadd_ps(asked[query], numbers, totals[query][key]);
        }
    }
    if (n < pages.width) {
#pragma GCC unroll 8
        for (long key = 0; key < Keys; key++) {
            const Lanes numbers = load_some(keys[key] + n, pages.width - n);
#pragma GCC unroll 4
            for (long query = 0; query < Count; query++)
                totals[query][key] = _mm256_fmadd_ps(load(queries + query * query_step + n), numbers, totals[query][key]);
        }
    }
#pragma GCC unroll 4
    for (long query = 0; query < Count; query++)
#pragma GCC unroll 2
        for (long four = 0; four < Fours; four++) {
            const Lanes* of = totals[query] + 4 * four;
            _mm_storeu_ps(scores + query * score_step + first + 4 * four, sums(of[0], of[1], of[2], of[3]));
        }
}

// Adds weights [Count, weight_step] times the values of keys `begin` to `end` to `Vectors` vectors of each mix.
template <long Count, long Vectors, typename T>
void mix(
    const float* weights, long weight_step, const Pages<T>& pages, long begin, long end, long at, long count, float* mixed,
    long mixed_step
) {
    Lanes totals[Count][Vectors];
#pragma GCC unroll 4
    for (long query = 0; query < Count; query++)
#pragma GCC unroll 8
        for (long vector = 0; vector < Vectors; vector++)
            totals[query][vector] = load(mixed + query * mixed_step + at + vector * LANES);
    for (long key = begin; key < end; key++) {
        const T* value = pages.value(key) + at;
        Lanes weight[Count];
#pragma GCC unroll 4
        for (long query = 0; query < Count; query++) weight[query] = _mm256_broadcast_ss(weights + query * weight_step + key);
#pragma GCC unroll 8
        for (long vector = 0; vector < Vectors; vector++) {
            const Lanes numbers = Vectors == 1 ? load_some(value, count) : load(value + vector * LANES);
#pragma GCC unroll 4
            for (long query = 0; query < Count; query++)
                totals[query][vector] = _mm256_fmadd_ps(weight[query], numbers, totals[query][vector]);
        }
    }
#pragma GCC unroll 4
    for (long query = 0; query < Count; query++)
#pragma GCC unroll 8
        for (long vector = 0; vector < Vectors; vector++)
            store(mixed + query * mixed_step + at + vector * LANES, totals[query][vector]);
}

// All numbers of the values, as many vectors at a time as have registers.
template <long Count, typename T>
void mix_all(const float* weights, long weight_step, const Pages<T>& pages, long begin, long end, float* mixed, long mixed_step) {
    constexpr long Vectors = Count == 1 ? 8 : 4;
    const long width = pages.value_width;
    long at = 0;
    for (; at + Vectors * LANES <= width; at += Vectors * LANES)
        mix<Count, Vectors>(weights, weight_step, pages, begin, end, at, 0, mixed, mixed_step);
    for (; at < width; at += LANES)
        mix<Count, 1>(weights, weight_step, pages, begin, end, at, std::min(LANES, width - at), mixed, mixed_step);
}

// Scores -> e^(score - greatest), what is not seen of `all` -> 0; returns their sum, the sink's part included.
float weigh(float* scores, Seen seen, Seen all, const float* sink) {
    float greatest = sink ? *sink : NEVER;
    Lanes most = _mm256_set1_ps(greatest);
    const Lanes nothing = _mm256_set1_ps(NEVER);
    long key = seen.begin;
    for (; key + LANES <= seen.end; key += LANES) most = _mm256_max_ps(most, load(scores + key));
    float lanes[LANES];
    store(lanes, most);
    for (float lane : lanes) greatest = std::max(greatest, lane);
    for (; key < seen.end; key++) greatest = std::max(greatest, scores[key]);
    Lanes total = _mm256_setzero_ps();
    for (key = seen.begin; key < seen.end; key += LANES) {
        const long count = std::min(LANES, seen.end - key);
        Lanes away = load_some(scores + key, count);
        if (count < LANES) {
            float padded[LANES];
            store(padded, nothing);
            store_some(padded, away, count);
            away = load(padded);
        }
        const Lanes weights = exponential(_mm256_sub_ps(away, _mm256_set1_ps(greatest)));
        total = _mm256_add_ps(total, weights);
        store_some(scores + key, weights, count);
    }
    std::fill(scores + all.begin, scores + seen.begin, 0.0f);
    std::fill(scores + seen.end, scores + all.end, 0.0f);
    float sunk = 0;
    if (sink) {
        store(lanes, exponential(_mm256_set1_ps(*sink - greatest)));
        sunk = lanes[0];
    }
    return sum(total) + sunk;
}

// The heads that share one key-value head, for the tokens of one sequence.
template <typename T>
struct Group {
    const T* query;  // of the first token and head
    long query_step, per_kv;
    T* out;
    long out_step;
    const float* sinks;  // of the first head, or null
    long start, count, window;

    Seen seen(long pair) const {
        const long end = start + pair / per_kv + 1;
        return {window ? std::max(end - window, 0L) : 0, end};
    }
};

template <typename T>
void score_all(const float* queries, long step, long pairs, const Pages<T>& pages, Seen all, float* scores, long score_step) {
    for (long from = all.begin; from < all.end; from += KEYS) {
        const long to = std::min(from + KEYS, all.end);
        long pair = 0;
        for (; pair + 3 <= pairs; pair += 3)
            for (long key = from; key < to; key += 4)
                score<3, 1>(queries + pair * step, step, pages, key, all.end - 1, scores + pair * score_step, score_step);
        for (; pair < pairs; pair++)
            for (long key = from; key < to; key += 8)
                score<1, 2>(queries + pair * step, step, pages, key, all.end - 1, scores + pair * score_step, score_step);
    }
}

template <typename T>
void mix_pairs(const float* weights, long weight_step, long pairs, const Pages<T>& pages, Seen all, float* mixed, long mixed_step) {
    for (long from = all.begin; from < all.end; from += KEYS) {
        const long to = std::min(from + KEYS, all.end);
        long pair = 0;
        for (; pair + 3 <= pairs; pair += 3)
            mix_all<3>(weights + pair * weight_step, weight_step, pages, from, to, mixed + pair * mixed_step, mixed_step);
        for (; pair < pairs; pair++)
            mix_all<1>(weights + pair * weight_step, weight_step, pages, from, to, mixed + pair * mixed_step, mixed_step);
    }
}

template <typename T>
void attend_pairs(const Group<T>& group, const Pages<T>& pages, long first, long pairs) {
    // Room past the end: scores are written by eights, mixes by vectors.
    const long step = (pages.width + LANES - 1) / LANES * LANES, mixed_step = (pages.value_width + LANES - 1) / LANES * LANES;
    Seen all{group.seen(first).begin, group.seen(first + pairs - 1).end};
    const long score_step = all.end + 2 * LANES;
    float* queries = scratch(WIDENED, QUERIES * step);
    float* scores = scratch(PRODUCT, QUERIES * score_step);
    float* mixed = scratch(GATED, QUERIES * mixed_step);
    for (long pair = 0; pair < pairs; pair++) {
        const long token = (first + pair) / group.per_kv, head = (first + pair) % group.per_kv;
        const T* query = group.query + token * group.query_step + head * pages.width;
        for (long n = 0; n < step; n++) queries[pair * step + n] = n < pages.width ? widen(query[n]) : 0.0f;
    }
    score_all(queries, step, pairs, pages, all, scores, score_step);
    float totals[QUERIES];
    for (long pair = 0; pair < pairs; pair++) {
        const float* sink = group.sinks ? group.sinks + (first + pair) % group.per_kv : nullptr;
        totals[pair] = weigh(scores + pair * score_step, group.seen(first + pair), all, sink);
    }
    std::fill_n(mixed, pairs * mixed_step, 0.0f);
    mix_pairs(scores, score_step, pairs, pages, all, mixed, mixed_step);
    for (long pair = 0; pair < pairs; pair++) {
        const long token = (first + pair) / group.per_kv, head = (first + pair) % group.per_kv;
        T* out = group.out + token * group.out_step + head * pages.value_width;
        for (long n = 0; n < pages.value_width; n++) narrow(mixed[pair * mixed_step + n] / totals[pair], out + n);
    }
}

// The slots of a sequence's first `length` tokens.
const long* slots_of(const long* blocks, long block_size, long length) {
    static thread_local std::vector<long> slots;
    slots.resize(size_t(length));
    for (long first = 0; first < length; first += block_size, blocks++)
        for (long at = first; at < std::min(first + block_size, length); at++)
            slots[size_t(at)] = *blocks * block_size + at - first;
    return slots.data();
}

template <typename T>
void attend(
    const T* query, long query_step, const T* cache, long head_step, long heads, long kv_heads, long width, long latent, long window,
    const float* sinks, const long* segments, long num_segments, const long* blocks, long block_size, T* out
) {
    const long value_width = latent ? latent : width, per_kv = heads / kv_heads;
    for (long segment = 0; segment < num_segments; segment++, segments += 4) {
        const long row = segments[0], start = segments[1], count = segments[2];
        const long* slots = slots_of(blocks + segments[3], block_size, start + count);
        for (long kv = 0; kv < kv_heads; kv++) {
            const T* keys = cache + kv * head_step;
            const T* values = latent ? keys : keys + kv_heads * head_step;
            const Pages<T> pages{keys, values, width, value_width, width, slots};
            const T* queries = query + row * query_step + kv * per_kv * width;
            T* mixed = out + row * heads * value_width + kv * per_kv * value_width;
            const float* sunk = sinks ? sinks + kv * per_kv : nullptr;
            const Group<T> group{queries, query_step, per_kv, mixed, heads * value_width, sunk, start, count, window};
            for (long first = 0; first < count * per_kv; first += QUERIES)
                attend_pairs(group, pages, first, std::min(QUERIES, count * per_kv - first));
        }
    }
}

}  // namespace
}  // namespace moe

using moe::BFloat16;

extern "C" {

// query [rows, heads, width] (a row every query_step numbers; already scaled) over the cache [heads of a row, head_step
// numbers each] -> out [rows, heads * value's width]. `segments` [num_segments, 4]: first row, position of its token,
// number of tokens, where the sequence's block numbers begin in `blocks`; the cache has the tokens' own keys already.
// `latent` above 0: the first so many numbers of the one key are the value. `window` above 0: so many keys are seen.
// `sinks` [heads] or null.
void moe_attend_f32(
    const float* query, long query_step, const float* cache, long head_step, long heads, long kv_heads, long width, long latent,
    long window, const float* sinks, const long* segments, long num_segments, const long* blocks, long block_size, float* out
) {
    moe::attend(
        query, query_step, cache, head_step, heads, kv_heads, width, latent, window, sinks, segments, num_segments, blocks,
        block_size, out
    );
}
void moe_attend_bf16(
    const BFloat16* query, long query_step, const BFloat16* cache, long head_step, long heads, long kv_heads, long width,
    long latent, long window, const float* sinks, const long* segments, long num_segments, const long* blocks, long block_size,
    BFloat16* out
) {
    moe::attend(
        query, query_step, cache, head_step, heads, kv_heads, width, latent, window, sinks, segments, num_segments, blocks,
        block_size, out
    );
}
}
