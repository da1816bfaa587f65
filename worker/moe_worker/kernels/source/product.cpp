// Packing, products of rows with what was packed, and what Python calls. The arithmetic is in tiles_*.cpp.
#include "product.h"

#include <algorithm>
#include <memory>

#include "tiles.h"

namespace moe {
namespace {

template <typename T>
void project(
    const T* x, long x_step, const T* packed, const float* bias, const T* residual, long residual_step, T* out, long rows,
    long width, long outs
) {
    const long panels = panels_of(outs), step = panels * PANEL;
    for (long first = 0; first < rows; first += ROWS_AT_ONCE) {
        const long count = std::min(ROWS_AT_ONCE, rows - first);
        const Wide wide = widened(x + first * x_step, x_step, count, width);
        float* product = scratch(PRODUCT, count * step);
        multiply(wide.rows, wide.step, packed, product, step, count, width, panels);
        const T* added = residual ? residual + first * residual_step : nullptr;
        narrow_rows(product, step, bias, added, residual_step, out + first * outs, count, outs);
    }
}

template <typename T>
void pack(const T* weight, T* packed, long outs, long width) {
    for (long panel = 0; panel < panels_of(outs); panel++, packed += width * PANEL) {
        const long count = std::min(PANEL, outs - panel * PANEL);
        const T* from = weight + panel * PANEL * width;
        for (long k = 0; k < width; k++)
            for (long n = 0; n < PANEL; n++) packed[k * PANEL + n] = n < count ? from[n * width + k] : T{};
    }
}

}  // namespace

float* scratch(Scratch which, long numbers) {
    struct Buffer {
        std::unique_ptr<float[]> memory;
        long size = 0;
    };
    static thread_local Buffer buffers[SCRATCHES];
    Buffer& buffer = buffers[which];
    if (buffer.size < numbers) {
        buffer.memory.reset(new float[size_t(numbers)]);
        buffer.size = numbers;
    }
    return buffer.memory.get();
}

template <typename Weight>
void multiply(const float* x, long x_step, const Weight* packed, float* out, long out_step, long rows, long width, long panels) {
    static const bool is_wide = has_avx512();
    if (is_wide) return multiply_avx512(x, x_step, packed, out, out_step, rows, width, panels);
    multiply_avx2(x, x_step, packed, out, out_step, rows, width, panels);
}

template void multiply(const float*, long, const float*, float*, long, long, long, long);
template void multiply(const float*, long, const BFloat16*, float*, long, long, long, long);

}  // namespace moe

using moe::BFloat16;

extern "C" {

// weight [outs, width] -> packed [ceil(outs / 16), width, 16].
void moe_pack_f32(const float* weight, float* packed, long outs, long width) { moe::pack(weight, packed, outs, width); }
void moe_pack_bf16(const BFloat16* weight, BFloat16* packed, long outs, long width) { moe::pack(weight, packed, outs, width); }

// x [rows, width] -> out [rows, outs] = x times the packed weight, plus the bias [outs] or null, plus the residual
// [rows, outs] or null.
void moe_project_f32(
    const float* x, long x_step, const float* packed, const float* bias, const float* residual, long residual_step, float* out,
    long rows, long width, long outs
) {
    moe::project(x, x_step, packed, bias, residual, residual_step, out, rows, width, outs);
}
void moe_project_bf16(
    const BFloat16* x, long x_step, const BFloat16* packed, const float* bias, const BFloat16* residual, long residual_step,
    BFloat16* out, long rows, long width, long outs
) {
    moe::project(x, x_step, packed, bias, residual, residual_step, out, rows, width, outs);
}
}
