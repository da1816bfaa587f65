// The products of product.h by the widest vectors that the CPU has. Their bits are the same: wider vectors hold more
// chains, and a chain is what it was.
#pragma once

#include "product.h"

namespace moe {

template <typename Weight>
void multiply_avx2(const float* x, long x_step, const Weight* packed, float* out, long out_step, long rows, long width, long panels);
template <typename Weight>
void multiply_avx512(const float* x, long x_step, const Weight* packed, float* out, long out_step, long rows, long width, long panels);

// Whether this CPU has AVX-512 and MOE_MAX_CPU_ISA does not say AVX2.
bool has_avx512();

}  // namespace moe
