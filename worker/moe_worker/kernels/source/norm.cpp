// RMS norm of rows.
#include "norm.h"

namespace moe {
namespace {

template <typename T>
void norm(const T* x, long x_step, const float* weight, float floor, T* out, long rows, long width) {
    for (long row = 0; row < rows; row++) norm_row(x + row * x_step, weight, floor, out + row * width, width);
}

}  // namespace
}  // namespace moe

using moe::BFloat16;

extern "C" {

// out [rows, width] = x * weight / sqrt(sum(x^2) + floor), where weight [width] holds the norm's times sqrt(width).
void moe_norm_f32(const float* x, long x_step, const float* weight, float floor, float* out, long rows, long width) {
    moe::norm(x, x_step, weight, floor, out, rows, width);
}
void moe_norm_bf16(const BFloat16* x, long x_step, const float* weight, float floor, BFloat16* out, long rows, long width) {
    moe::norm(x, x_step, weight, floor, out, rows, width);
}
}
