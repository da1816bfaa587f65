// RMS norm of one row, which may be written over. The sum of squares runs in eight lanes along the row.
#pragma once

#include <cmath>

#include "numbers.h"

namespace moe {

template <typename T>
void norm_row(const T* x, const float* weight, float floor, T* out, long width) {
    Lanes squares = _mm256_setzero_ps();
    for (long n = 0; n < width; n += LANES) {
        const Lanes numbers = load_some(x + n, width - n < LANES ? width - n : LANES);
        squares = _mm256_fmadd_ps(numbers, numbers, squares);
    }
    const Lanes root = _mm256_set1_ps(std::sqrt(sum(squares) + floor));
    for (long n = 0; n < width; n += LANES) {
        const long count = width - n < LANES ? width - n : LANES;
        const Lanes numbers = _mm256_div_ps(load_some(x + n, count), root);
        store_some(out + n, _mm256_mul_ps(numbers, load_some(weight + n, count)), count);
    }
}

}  // namespace moe
