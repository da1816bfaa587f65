// Eight floats at a time, and the two types in which tensors lie. All arithmetic is in float; sums have one fixed order,
// so a row has the same bits in any company and on every CPU with AVX2 and FMA.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>
#include <initializer_list>

namespace moe {

using Lanes = __m256;
constexpr long LANES = 8;

struct BFloat16 {
    uint16_t bits;
};

inline float widen(float number) { return number; }

inline float widen(BFloat16 number) {
    uint32_t bits = uint32_t(number.bits) << 16;
    float wide;
    std::memcpy(&wide, &bits, sizeof wide);
    return wide;
}

inline void narrow(float wide, float* out) { *out = wide; }

// To the nearest, ties to even; a NaN stays one.
inline void narrow(float wide, BFloat16* out) {
    uint32_t bits;
    std::memcpy(&bits, &wide, sizeof bits);
    const bool is_nan = wide != wide;
    out->bits = is_nan ? 0x7fc0 : uint16_t((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

inline Lanes load(const float* at) { return _mm256_loadu_ps(at); }

inline Lanes load(const BFloat16* at) {
    const __m128i narrow_bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(narrow_bits), 16));
}

inline void store(float* at, Lanes numbers) { _mm256_storeu_ps(at, numbers); }

inline void store(BFloat16* at, Lanes numbers) {
    const __m256i bits = _mm256_castps_si256(numbers);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i rounded = _mm256_srli_epi32(_mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd), 16);
    const __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(numbers, numbers, _CMP_UNORD_Q));
    const __m256i chosen = _mm256_blendv_epi8(rounded, _mm256_set1_epi32(0x7fc0), is_nan);
    const __m128i narrow_bits = _mm_packus_epi32(_mm256_castsi256_si128(chosen), _mm256_extracti128_si256(chosen, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(at), narrow_bits);
}

// The first `count` of eight; the others are zero, or stay as they are.
template <typename T>
inline Lanes load_some(const T* at, long count) {
    if (count == LANES) return load(at);
    T numbers[LANES] = {};
    std::memcpy(numbers, at, size_t(count) * sizeof(T));
    return load(numbers);
}

template <typename T>
inline void store_some(T* at, Lanes numbers, long count) {
    if (count == LANES) return store(at, numbers);
    T narrowed[LANES];
    store(narrowed, numbers);
    std::memcpy(at, narrowed, size_t(count) * sizeof(T));
}

// ((0 + 4) + (2 + 6)) + ((1 + 5) + (3 + 7)).
inline float sum(Lanes numbers) {
    __m128 folded = _mm_add_ps(_mm256_castps256_ps128(numbers), _mm256_extractf128_ps(numbers, 1));
    folded = _mm_add_ps(folded, _mm_movehl_ps(folded, folded));
    return _mm_cvtss_f32(_mm_add_ss(folded, _mm_movehdup_ps(folded)));
}

// e to the power of each, within 2 units in the last place; 0 below -87.3, so for minus infinity too.
// Reduced by n = round(x / ln 2) in two steps (Cody and Waite), then a polynomial of degree 6 (Cephes' expf).
inline Lanes exponential(Lanes x) {
    const Lanes least = _mm256_set1_ps(-87.33654f), most = _mm256_set1_ps(88.37626f);
    const Lanes kept = _mm256_min_ps(most, _mm256_max_ps(least, x));
    const Lanes n = _mm256_round_ps(_mm256_mul_ps(kept, _mm256_set1_ps(1.44269504f)), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    Lanes r = _mm256_fnmadd_ps(n, _mm256_set1_ps(0.693359375f), kept);
    r = _mm256_fnmadd_ps(n, _mm256_set1_ps(-2.12194440e-4f), r);
    Lanes p = _mm256_set1_ps(1.9875691500e-4f);
    for (float coefficient : {1.3981999507e-3f, 8.3334519073e-3f, 4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f})
        p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(coefficient));
    p = _mm256_add_ps(_mm256_fmadd_ps(p, _mm256_mul_ps(r, r), r), _mm256_set1_ps(1.0f));
    const __m256i exponent = _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23);
    const Lanes result = _mm256_mul_ps(p, _mm256_castsi256_ps(exponent));
    // Unordered, so that a NaN comes through instead of what the clamping made of it.
    const Lanes passed = _mm256_blendv_ps(result, x, _mm256_cmp_ps(x, x, _CMP_UNORD_Q));
    return _mm256_andnot_ps(_mm256_cmp_ps(x, least, _CMP_LT_OQ), passed);
}

}  // namespace moe
