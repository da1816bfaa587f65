// Which experts a token goes to, and how their answers come together: always in the router's order.
#include <algorithm>
#include <limits>

#include "product.h"

namespace moe {
namespace {

constexpr float NEVER = -std::numeric_limits<float>::infinity();

// numbers [count], their greatest at least once -> e^(number - greatest) / sum, added up from the first to the last.
void softmax(float* numbers, long count) {
    const float greatest = *std::max_element(numbers, numbers + count);
    float total = 0;
    for (long n = 0; n < count; n += LANES) {
        const long some = std::min(LANES, count - n);
        const Lanes away = _mm256_sub_ps(load_some(numbers + n, some), _mm256_set1_ps(greatest));
        store_some(numbers + n, exponential(away), some);
    }
    for (long n = 0; n < count; n++) total += numbers[n];
    for (long n = 0; n < count; n++) numbers[n] /= total;
}

// The place of the greatest; of equal ones the first.
inline long greatest_of(const float* numbers, long count) { return std::max_element(numbers, numbers + count) - numbers; }

// Leaves the experts of the `chosen` of `groups` equal runs whose best expert is the likeliest; the others get 0.
void keep_groups(float* numbers, long experts, long groups, long chosen) {
    const long size = experts / groups;
    float* best = scratch(GATED, groups);
    for (long group = 0; group < groups; group++) best[group] = *std::max_element(numbers + group * size, numbers + (group + 1) * size);
    for (long n = 0; n < chosen; n++) best[greatest_of(best, groups)] = NEVER;
    for (long group = 0; group < groups; group++)
        if (best[group] != NEVER) std::fill_n(numbers + group * size, size, 0.0f);
}

template <typename T>
void choose(
    const T* logits, long experts, long choices, bool is_normalised, float scale, long groups, long chosen_groups, long* chosen,
    T* weights, long rows
) {
    float* numbers = scratch(PRODUCT, experts);
    float* taken = scratch(WIDENED, choices);
    for (long row = 0; row < rows; row++) {
        for (long n = 0; n < experts; n++) numbers[n] = widen(logits[row * experts + n]);
        if (!is_normalised) softmax(numbers, experts);
        if (groups) keep_groups(numbers, experts, groups, chosen_groups);
        for (long choice = 0; choice < choices; choice++) {
            const long expert = greatest_of(numbers, experts);
            chosen[row * choices + choice] = expert;
            taken[choice] = numbers[expert];
            numbers[expert] = NEVER;
        }
        if (is_normalised) softmax(taken, choices);
        for (long choice = 0; choice < choices; choice++) narrow(taken[choice] * scale, weights + row * choices + choice);
    }
}

template <typename T>
void combine(T* stream, const T* answers, const long* places, const T* weights, long rows, long choices, long hidden) {
    for (long row = 0; row < rows; row++) {
        for (long n = 0; n < hidden; n += LANES) {
            const long count = std::min(LANES, hidden - n);
            Lanes total = load_some(stream + row * hidden + n, count);
            for (long choice = 0; choice < choices; choice++) {
                const long pair = row * choices + choice, place = places ? places[pair] : pair;
                const Lanes answer = load_some(answers + place * hidden + n, count);
                total = _mm256_fmadd_ps(_mm256_set1_ps(widen(weights[pair])), answer, total);
            }
            store_some(stream + row * hidden + n, total, count);
        }
    }
}

}  // namespace
}  // namespace moe

using moe::BFloat16;

extern "C" {

// logits [rows, experts] -> chosen and weights [rows, choices], the likeliest first. Normalised: the softmax is over the
// chosen ones alone. groups above 0: only experts of the likeliest chosen_groups of so many equal runs.
void moe_choose_f32(
    const float* logits, long experts, long choices, long is_normalised, float scale, long groups, long chosen_groups,
    long* chosen, float* weights, long rows
) {
    moe::choose(logits, experts, choices, is_normalised, scale, groups, chosen_groups, chosen, weights, rows);
}
void moe_choose_bf16(
    const BFloat16* logits, long experts, long choices, long is_normalised, float scale, long groups, long chosen_groups,
    long* chosen, BFloat16* weights, long rows
) {
    moe::choose(logits, experts, choices, is_normalised, scale, groups, chosen_groups, chosen, weights, rows);
}

// stream [rows, hidden] += the sum over choices of weight [row, choice] * answers[places[row * choices + choice]]
// (places null: in that order), one FMA chain in the router's order.
void moe_combine_f32(
    float* stream, const float* answers, const long* places, const float* weights, long rows, long choices, long hidden
) {
    moe::combine(stream, answers, places, weights, rows, choices, hidden);
}
void moe_combine_bf16(
    BFloat16* stream, const BFloat16* answers, const long* places, const BFloat16* weights, long rows, long choices, long hidden
) {
    moe::combine(stream, answers, places, weights, rows, choices, hidden);
}
}
