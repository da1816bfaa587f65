// A panel at a time in one vector: tiles of 4 to 8 rows by up to three panels, the most whose sums stay in the 32
// registers, and wider ones of fewer rows. Only this file's own functions may be compiled to AVX-512, each by its word: one
// that another file has too (inline, or of a template) would be taken from here on any CPU.
#include <algorithm>

#include "tiles.h"

#define AVX512 __attribute__((target("avx512f")))

namespace moe {
namespace {

constexpr long MOST_ROWS = 8;
constexpr long MOST_PANELS = 3;

AVX512 inline __m512 wide(const float* at) { return _mm512_loadu_ps(at); }

AVX512 inline __m512 wide(const BFloat16* at) {
    const __m256i narrow_bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at));
    // Masked by nothing: GCC 12 warns of what its own header leaves undefined in the others.
    constexpr __mmask16 all = 0xffff;
    return _mm512_castsi512_ps(_mm512_maskz_slli_epi32(all, _mm512_maskz_cvtepu16_epi32(all, narrow_bits), 16));
}

// `depth` steps of the chains of `Rows` rows and `Panels` panels, which lie panel_step numbers apart. Sums go on from
// `out` unless these are the first.
template <long Rows, long Panels, typename Weight>
AVX512 void tile(
    const float* x, long x_step, const Weight* panel, long panel_step, float* out, long out_step, long depth, bool is_first, Next next
) {
    __m512 sums[Rows][Panels];
#pragma GCC unroll 8
    for (long row = 0; row < Rows; row++)
#pragma GCC unroll 8
        for (long n = 0; n < Panels; n++) sums[row][n] = is_first ? _mm512_setzero_ps() : wide(out + row * out_step + n * PANEL);
    for (long k = 0; k < depth; k++, panel += PANEL) {
        __m512 weights[Panels];
#pragma GCC unroll 8
        for (long n = 0; n < Panels; n++) {
            _mm_prefetch(next.at + n * panel_step * long(sizeof(Weight)) + k * next.step, _MM_HINT_T0);
            weights[n] = wide(panel + n * panel_step);
        }
#pragma GCC unroll 8
        for (long row = 0; row < Rows; row++) {
            const __m512 number = _mm512_set1_ps(x[row * x_step + k]);
#pragma GCC unroll 8
            for (long n = 0; n < Panels; n++) sums[row][n] = _mm512_fmadd_ps(number, weights[n], sums[row][n]);
        }
    }
#pragma GCC unroll 8
    for (long row = 0; row < Rows; row++)
#pragma GCC unroll 8
        for (long n = 0; n < Panels; n++) _mm512_storeu_ps(out + row * out_step + n * PANEL, sums[row][n]);
}

// Very few rows only wait for memory, which gives most when several panels are read beside each other.
template <long Rows, long Panels, typename Weight>
AVX512 void stream(const float* x, long x_step, const Weight* packed, float* out, long out_step, long width, long panels) {
    const long step = width * PANEL;
    long panel = 0;
    for (; panel + Panels <= panels; panel += Panels) {
        const Weight* at = packed + panel * step;
        tile<Rows, Panels>(x, x_step, at, step, out + panel * PANEL, out_step, width, true, ahead(at));
    }
    for (; panel < panels; panel++) {
        const Weight* at = packed + panel * step;
        tile<Rows, 1>(x, x_step, at, step, out + panel * PANEL, out_step, width, true, ahead(at));
    }
}

template <long Panels, typename Weight>
AVX512 void tile_of(
    long rows, const float* x, long x_step, const Weight* panel, long panel_step, float* out, long out_step, long depth,
    bool is_first, Next next
) {
    switch (rows) {
        case 4: return tile<4, Panels>(x, x_step, panel, panel_step, out, out_step, depth, is_first, next);
        case 5: return tile<5, Panels>(x, x_step, panel, panel_step, out, out_step, depth, is_first, next);
        case 6: return tile<6, Panels>(x, x_step, panel, panel_step, out, out_step, depth, is_first, next);
        case 7: return tile<7, Panels>(x, x_step, panel, panel_step, out, out_step, depth, is_first, next);
        default: return tile<8, Panels>(x, x_step, panel, panel_step, out, out_step, depth, is_first, next);
    }
}

}  // namespace

template <typename Weight>
AVX512 void multiply_avx512(const float* x, long x_step, const Weight* packed, float* out, long out_step, long rows, long width, long panels) {
    if (rows == 1) return stream<1, 8>(x, x_step, packed, out, out_step, width, panels);
    if (rows == 2) return stream<2, 6>(x, x_step, packed, out, out_step, width, panels);
    if (rows == 3) return stream<3, 4>(x, x_step, packed, out, out_step, width, panels);
    const long depth = rows <= WHOLE_ROWS ? width : DEPTH;
    const long tiles = (rows + MOST_ROWS - 1) / MOST_ROWS;
    const long bytes = PANEL * long(sizeof(Weight)), step = width * PANEL;
    for (long k = 0; k < width; k += depth) {
        const long steps = std::min(depth, width - k);
        long together = 0;
        for (long panel = 0; panel < panels; panel += together) {
            // Four as two and two: one alone asks the memory for as much as three for each of its sums.
            together = panels - panel == 4 ? 2 : std::min(MOST_PANELS, panels - panel);
            const Weight* at = packed + panel * step + k * PANEL;
            // Tiles as even as can be: one of few rows takes as long as one of six. Each asks for its part of the next panels.
            for (long number = 0; number < tiles; number++) {
                const long row = rows * number / tiles, count = rows * (number + 1) / tiles - row;
                const char* here = reinterpret_cast<const char*>(at);
                const Next next = tiles == 1 ? ahead(at)
                                             : Next{here + together * width * bytes + steps * bytes * number / tiles, bytes / tiles};
                const float* from = x + row * x_step + k;
                float* to = out + row * out_step + panel * PANEL;
                if (together == 3) tile_of<3>(count, from, x_step, at, step, to, out_step, steps, k == 0, next);
                if (together == 2) tile_of<2>(count, from, x_step, at, step, to, out_step, steps, k == 0, next);
                if (together == 1) tile_of<1>(count, from, x_step, at, step, to, out_step, steps, k == 0, next);
            }
        }
    }
}

template void multiply_avx512(const float*, long, const float*, float*, long, long, long, long);
template void multiply_avx512(const float*, long, const BFloat16*, float*, long, long, long, long);

}  // namespace moe
