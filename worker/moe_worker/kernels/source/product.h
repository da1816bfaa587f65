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

// Memory of this thread that grows to the most that was asked for and is kept.
float* scratch(int which, long numbers);

// x [rows, width] (a row every x_step numbers) times a packed weight -> out [rows, out_step], where out_step is at least
// the outputs of all panels: what fills up the last one is written too.
template <typename Weight>
void multiply(const float* x, long x_step, const Weight* packed, float* out, long out_step, long rows, long width, long panels);

}  // namespace moe
