// Products with packed weights: out[row][n] = sum over k of x[row][k] * weight[n][k], one FMA chain over k in order, so
// a row's bits depend on nothing beside it. Knows rows and panels, and nothing of layers.
//
// A packed weight [outs, width] lies in panels of PANEL outputs, [panel][k][PANEL], the last one filled up with zeros:
// a product reads it once, from its first byte to its last.
#pragma once

#include "numbers.h"

namespace moe {

constexpr long PANEL = 16;
constexpr long ROWS_AT_ONCE = 128;  // whose numbers stay in the second-level cache while all panels pass by

inline long panels_of(long outs) { return (outs + PANEL - 1) / PANEL; }

// Memory of this thread that grows to the most that was asked for and is kept, one piece for each use.
enum Scratch { WIDENED, PRODUCT, GATED, SCRATCHES };
float* scratch(Scratch which, long numbers);

// x [rows, width] (a row every x_step numbers) times a packed weight -> out [rows, out_step], where out_step is at least
// the outputs of all panels: what fills up the last one is written too.
template <typename Weight>
void multiply(const float* x, long x_step, const Weight* packed, float* out, long out_step, long rows, long width, long panels);

// Rows in float: where they lie already, or as a copy.
struct Wide {
    const float* rows;
    long step;
};

inline Wide widened(const float* x, long x_step, long, long) { return {x, x_step}; }

inline Wide widened(const BFloat16* x, long x_step, long rows, long width) {
    float* out = scratch(WIDENED, rows * width);
    for (long row = 0; row < rows; row++) {
        long k = 0;
        for (; k + LANES <= width; k += LANES) store(out + row * width + k, load(x + row * x_step + k));
        for (; k < width; k++) out[row * width + k] = widen(x[row * x_step + k]);
    }
    return {out, width};
}

// A product's rows into a tensor [rows, outs], plus the bias [outs] or null, plus the residual or null: each sum is
// rounded by itself.
template <typename T>
void narrow_rows(
    const float* product, long step, const float* bias, const T* residual, long residual_step, T* out, long rows, long outs
) {
    for (long row = 0; row < rows; row++) {
        for (long n = 0; n < outs; n += LANES) {
            const long count = outs - n < LANES ? outs - n : LANES;
            Lanes numbers = load(product + row * step + n);
            if (bias) numbers = _mm256_add_ps(numbers, load_some(bias + n, count));
            if (residual) numbers = _mm256_add_ps(numbers, load_some(residual + row * residual_step + n, count));
            store_some(out + row * outs + n, numbers, count);
        }
    }
}

}  // namespace moe
