// What lies between the product that makes queries, keys and values and the reading of the cache: norms, rotation, scale,
// and the places of keys and values in the cache.
#include <algorithm>

#include "norm.h"
#include "product.h"

namespace moe {
namespace {

// Norms of queries and keys, each head by itself or all heads of a kind at once. `weight` null: none.
struct Norms {
    const float* weight;
    float query_floor, key_floor;
    bool is_whole;
};

// x [dim] times the cosines plus x with its halves exchanged times the sines, times scale.
template <typename T>
void turn(T* x, const T* cosines, const T* sines, float scale, long dim) {
    float* turned = scratch(WIDENED, dim);
    const long half = dim / 2;
    for (long n = 0; n < half; n++) {
        turned[n] = widen(x[n]) * widen(cosines[n]) + widen(x[half + n]) * widen(sines[n]);
        turned[half + n] = widen(x[half + n]) * widen(cosines[half + n]) + widen(x[n]) * widen(sines[half + n]);
    }
    for (long n = 0; n < dim; n++) narrow(turned[n] * scale, x + n);
}

template <typename T>
void norm_heads(T* row, Norms norms, long heads, long kv_heads, long dim) {
    T* keys = row + heads * dim;
    if (norms.is_whole) {
        norm_row(row, norms.weight, norms.query_floor, row, heads * dim);
        norm_row(keys, norms.weight + heads * dim, norms.key_floor, keys, kv_heads * dim);
        return;
    }
    for (long head = 0; head < heads + kv_heads; head++) {
        const float floor = head < heads ? norms.query_floor : norms.key_floor;
        norm_row(row + head * dim, norms.weight + head * dim, floor, row + head * dim, dim);
    }
}

template <typename T>
void place_heads(
    T* qkv, long rows, long heads, long kv_heads, long dim, Norms norms, const T* cosines, const T* sines, const long* positions,
    float scale, T* cache, long head_step, const long* slots
) {
    for (long row = 0; row < rows; row++, qkv += (heads + 2 * kv_heads) * dim) {
        if (norms.weight) norm_heads(qkv, norms, heads, kv_heads, dim);
        const long at = positions[row] * dim;
        for (long head = 0; head < heads + kv_heads; head++)
            turn(qkv + head * dim, cosines + at, sines + at, head < heads ? scale : 1.0f, dim);
        for (long head = 0; head < 2 * kv_heads; head++)
            std::copy_n(qkv + (heads + head) * dim, dim, cache + head * head_step + slots[row] * dim);
    }
}

}  // namespace
}  // namespace moe

using moe::BFloat16;

extern "C" {

// qkv [rows, heads + 2 * kv_heads, dim], changed in place: queries and keys normed (weight [heads + kv_heads, dim] or
// null) and turned by cosines and sines [positions, dim] at their row's position, queries times scale; then keys and
// values go to the cache [2 * kv_heads, head_step numbers each], each row to its slot.
void moe_place_heads_f32(
    float* qkv, long rows, long heads, long kv_heads, long dim, const float* norms, float query_floor, float key_floor,
    long is_whole, const float* cosines, const float* sines, const long* positions, float scale, float* cache, long head_step,
    const long* slots
) {
    const moe::Norms all{norms, query_floor, key_floor, is_whole != 0};
    moe::place_heads(qkv, rows, heads, kv_heads, dim, all, cosines, sines, positions, scale, cache, head_step, slots);
}
void moe_place_heads_bf16(
    BFloat16* qkv, long rows, long heads, long kv_heads, long dim, const float* norms, float query_floor, float key_floor,
    long is_whole, const BFloat16* cosines, const BFloat16* sines, const long* positions, float scale, BFloat16* cache,
    long head_step, const long* slots
) {
    const moe::Norms all{norms, query_floor, key_floor, is_whole != 0};
    moe::place_heads(qkv, rows, heads, kv_heads, dim, all, cosines, sines, positions, scale, cache, head_step, slots);
}
}
