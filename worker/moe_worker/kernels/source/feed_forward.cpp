// A gated feed-forward network in one call: what lies between its two products never leaves the cache.
#include "product.h"

#include <algorithm>

namespace moe {
namespace {

// gpt-oss's gating where `limit` is above 0, else down(silu(gate) * up).
struct Gating {
    float limit;
    float alpha;
};

inline Lanes gated(Lanes gate, Lanes up, Gating gating) {
    const Lanes one = _mm256_set1_ps(1.0f);
    Lanes slope = gate;
    if (gating.limit > 0) {
        const Lanes limit = _mm256_set1_ps(gating.limit);
        gate = _mm256_min_ps(gate, limit);
        up = _mm256_add_ps(_mm256_max_ps(_mm256_min_ps(up, limit), _mm256_sub_ps(_mm256_setzero_ps(), limit)), one);
        slope = _mm256_mul_ps(gate, _mm256_set1_ps(gating.alpha));
    }
    const Lanes below = _mm256_add_ps(one, exponential(_mm256_sub_ps(_mm256_setzero_ps(), slope)));
    return _mm256_mul_ps(_mm256_div_ps(gate, below), up);
}

// both [rows, step]: gates, then as many ups -> out [rows, ffn].
void gate_rows(const float* both, long step, const float* bias, Gating gating, float* out, long rows, long ffn) {
    for (long row = 0; row < rows; row++) {
        const float* gates = both + row * step;
        for (long n = 0; n < ffn; n += LANES) {
            const long count = std::min(LANES, ffn - n);
            Lanes gate = load_some(gates + n, count), up = load_some(gates + ffn + n, count);
            if (bias) {
                gate = _mm256_add_ps(gate, load_some(bias + n, count));
                up = _mm256_add_ps(up, load_some(bias + ffn + n, count));
            }
            store_some(out + row * ffn + n, gated(gate, up, gating), count);
        }
    }
}

template <typename T>
void feed_forward(
    const T* x, long x_step, const T* gate_up, const float* gate_up_bias, const T* down, const float* down_bias, Gating gating,
    T* out, long rows, long hidden, long ffn
) {
    const long inner = panels_of(2 * ffn) * PANEL, outer = panels_of(hidden) * PANEL;
    for (long first = 0; first < rows; first += ROWS_AT_ONCE) {
        const long count = std::min(ROWS_AT_ONCE, rows - first);
        const Wide wide = widened(x + first * x_step, x_step, count, hidden);
        float* product = scratch(PRODUCT, count * std::max(inner, outer));
        float* activations = scratch(GATED, count * ffn);
        multiply(wide.rows, wide.step, gate_up, product, inner, count, hidden, panels_of(2 * ffn));
        gate_rows(product, inner, gate_up_bias, gating, activations, count, ffn);
        multiply(activations, ffn, down, product, outer, count, ffn, panels_of(hidden));
        narrow_rows<T>(product, outer, down_bias, nullptr, 0, out + first * hidden, count, hidden);
    }
}

}  // namespace
}  // namespace moe

using moe::BFloat16;

extern "C" {

// x [rows, hidden] -> out [rows, hidden]; gate_up [2 * ffn, hidden] and down [hidden, ffn] are packed, biases may be null.
void moe_feed_forward_f32(
    const float* x, long x_step, const float* gate_up, const float* gate_up_bias, const float* down, const float* down_bias,
    float limit, float alpha, float* out, long rows, long hidden, long ffn
) {
    moe::feed_forward(x, x_step, gate_up, gate_up_bias, down, down_bias, {limit, alpha}, out, rows, hidden, ffn);
}
void moe_feed_forward_bf16(
    const BFloat16* x, long x_step, const BFloat16* gate_up, const float* gate_up_bias, const BFloat16* down,
    const float* down_bias, float limit, float alpha, BFloat16* out, long rows, long hidden, long ffn
) {
    moe::feed_forward(x, x_step, gate_up, gate_up_bias, down, down_bias, {limit, alpha}, out, rows, hidden, ffn);
}
}
