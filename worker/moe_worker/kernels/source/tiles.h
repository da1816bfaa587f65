// The products of product.h by the widest vectors that the CPU has. Their bits are the same: wider vectors hold more
// chains, and a chain is what it was.
#pragma once

#include "product.h"

namespace moe {

constexpr long DEPTH = 256;        // of panels, that they stay in or near the first-level cache while many rows pass by
constexpr long WHOLE_ROWS = 48;    // up to which panels are read in one go: their memory is what is waited for
constexpr long LINE = 64;          // bytes that memory gives at once
constexpr long AHEAD = 16 * LINE;  // by which weights that one tile reads are asked for before they are needed

// Where the numbers lie that are needed next, and how far to ask on at each step.
struct Next {
    const char* at;
    long step;
};

// Further on in the same panel.
template <typename Weight>
Next ahead(const Weight* panel) {
    return {reinterpret_cast<const char*>(panel) + AHEAD, PANEL * long(sizeof(Weight))};
}

template <typename Weight>
void multiply_avx2(const float* x, long x_step, const Weight* packed, float* out, long out_step, long rows, long width, long panels);
template <typename Weight>
void multiply_avx512(const float* x, long x_step, const Weight* packed, float* out, long out_step, long rows, long width, long panels);

// Whether this CPU has AVX-512 and MOE_MAX_CPU_ISA does not say AVX2.
bool has_avx512();

}  // namespace moe
