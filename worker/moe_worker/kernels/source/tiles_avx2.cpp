// Eight outputs at a time: tiles of 3 to 6 rows by one panel (two vectors), the most whose sums stay in registers, and
// wider ones of fewer rows.
#include <algorithm>

#include "tiles.h"

namespace moe {
namespace {

constexpr long MOST_ROWS = 6;

// `depth` steps of the chains of `Rows` rows and `Panels` panels, which lie panel_step numbers apart. Sums go on from
// `out` unless these are the first.
template <long Rows, long Panels, typename Weight>
void tile(
    const float* x, long x_step, const Weight* panel, long panel_step, float* out, long out_step, long depth, bool is_first, Next next
) {
    constexpr long Vectors = 2 * Panels;
    Lanes sums[Rows][Vectors];
#pragma GCC unroll 6
    for (long row = 0; row < Rows; row++)
#pragma GCC unroll 8
        for (long n = 0; n < Vectors; n++) sums[row][n] = is_first ? _mm256_setzero_ps() : load(out + row * out_step + n * LANES);
    for (long k = 0; k < depth; k++, panel += PANEL) {
        if constexpr (Panels == 1) _mm_prefetch(next.at + k * next.step, _MM_HINT_T0);
        Lanes weights[Vectors];
#pragma GCC unroll 8
        for (long n = 0; n < Vectors; n++) weights[n] = load(panel + n / 2 * panel_step + n % 2 * LANES);
#pragma GCC unroll 6
        for (long row = 0; row < Rows; row++) {
            const Lanes number = _mm256_broadcast_ss(x + row * x_step + k);
#pragma GCC unroll 8
            for (long n = 0; n < Vectors; n++) sums[row][n] = _mm256_fmadd_ps(number, weights[n], sums[row][n]);
        }
    }
#pragma GCC unroll 6
    for (long row = 0; row < Rows; row++)
#pragma GCC unroll 8
        for (long n = 0; n < Vectors; n++) store(out + row * out_step + n * LANES, sums[row][n]);
}

// Very few rows only wait for memory, which gives most when several panels are read beside each other.
template <long Rows, long Panels, typename Weight>
void stream(const float* x, long x_step, const Weight* packed, float* out, long out_step, long width, long panels) {
    const long step = width * PANEL;
    long panel = 0;
    for (; panel + Panels <= panels; panel += Panels)
        tile<Rows, Panels>(x, x_step, packed + panel * step, step, out + panel * PANEL, out_step, width, true, {});
    for (; panel < panels; panel++) {
        const Weight* at = packed + panel * step;
        const Next itself{reinterpret_cast<const char*>(at), 0};
        tile<Rows, 1>(x, x_step, at, step, out + panel * PANEL, out_step, width, true, itself);
    }
}

template <typename Weight>
void tile_of(
    long rows, const float* x, long x_step, const Weight* panel, float* out, long out_step, long depth, bool is_first, Next next
) {
    switch (rows) {
        case 3: return tile<3, 1>(x, x_step, panel, 0, out, out_step, depth, is_first, next);
        case 4: return tile<4, 1>(x, x_step, panel, 0, out, out_step, depth, is_first, next);
        case 5: return tile<5, 1>(x, x_step, panel, 0, out, out_step, depth, is_first, next);
        default: return tile<6, 1>(x, x_step, panel, 0, out, out_step, depth, is_first, next);
    }
}

}  // namespace

template <typename Weight>
void multiply_avx2(const float* x, long x_step, const Weight* packed, float* out, long out_step, long rows, long width, long panels) {
    if (rows == 1) return stream<1, 4>(x, x_step, packed, out, out_step, width, panels);
    if (rows == 2) return stream<2, 3>(x, x_step, packed, out, out_step, width, panels);
    if (rows == 3) return stream<3, 2>(x, x_step, packed, out, out_step, width, panels);
    const long depth = rows <= WHOLE_ROWS ? width : DEPTH;
    const long tiles = (rows + MOST_ROWS - 1) / MOST_ROWS;
    for (long k = 0; k < width; k += depth) {
        const long steps = std::min(depth, width - k);
        for (long panel = 0; panel < panels; panel++) {
            const Weight* at = packed + (panel * width + k) * PANEL;
            const long bytes = PANEL * long(sizeof(Weight));
            // Tiles as even as can be: one of two rows takes as long as one of four. Each asks for its part of the next panel.
            for (long number = 0; number < tiles; number++) {
                const long row = rows * number / tiles, count = rows * (number + 1) / tiles - row;
                const char* here = reinterpret_cast<const char*>(at);
                const Next next = tiles == 1 ? ahead(at)
                                             : Next{here + width * bytes + steps * bytes * number / tiles, bytes / tiles};
                tile_of(count, x + row * x_step + k, x_step, at, out + row * out_step + panel * PANEL, out_step, steps, k == 0, next);
            }
        }
    }
}

template void multiply_avx2(const float*, long, const float*, float*, long, long, long, long);
template void multiply_avx2(const float*, long, const BFloat16*, float*, long, long, long, long);

}  // namespace moe
