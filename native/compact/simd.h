// Loops that the compiler turns into SIMD code on every machine; no intrinsics.
#pragma once

#include <cstdint>
#include <cstring>
#include <limits>

namespace halo::compact {

constexpr float NEG_INF = -std::numeric_limits<float>::infinity();
constexpr float INF = std::numeric_limits<float>::infinity();
// Scores beyond this are overflows of huge but finite inputs.
constexpr float SCORE_MAX = 1e30f;

// exp for x <= 88 with 2 ulp; exactly 0 below -87, so that a masked score has no mass.
inline float fast_exp(float x) {
    constexpr float ROUND = 12582912.0f; // 1.5 * 2^23: adding it rounds to an integer
    const float c = x < -87.0f ? -87.0f : x > 88.0f ? 88.0f : x;
    const float n = (c * 1.44269504f + ROUND) - ROUND;
    const float r = (c - n * 0.693359375f) + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    const int32_t bits = (int32_t(n) + 127) << 23;
    float scale;
    std::memcpy(&scale, &bits, sizeof(scale));
    return x < -87.0f ? 0.0f : p * scale;
}

// NaN (inf - inf in an overflowed product) counts as the lowest score.
inline float clean_score(float s) {
    s = s > -SCORE_MAX ? s : -SCORE_MAX;
    return s < SCORE_MAX ? s : SCORE_MAX;
}

inline float soft_cap(float s, float cap) {
    float x = s / cap;
    x = x < -15.0f ? -15.0f : x > 15.0f ? 15.0f : x;
    return cap * (1.0f - 2.0f / (fast_exp(2.0f * x) + 1.0f));
}

inline float dot(const float * a, const float * b, int n) {
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int i = 0; i < n; ++i) {
        sum += a[i] * b[i];
    }
    return sum;
}

inline void add_scaled(float * y, float a, const float * x, int n) {
#pragma omp simd
    for (int i = 0; i < n; ++i) {
        y[i] += a * x[i];
    }
}

inline float max_abs(const float * a, int64_t n) {
    float top = 0;
#pragma omp simd reduction(max : top)
    for (int64_t i = 0; i < n; ++i) {
        const float x = a[i] < 0 ? -a[i] : a[i];
        top = x > top ? x : top;
    }
    return top;
}

// Squares summed in double over short float runs: exact enough for error ratios.
inline double sum_squares(const float * a, int64_t n) {
    double total = 0;
    for (int64_t i = 0; i < n; i += 4096) {
        const int run = int(n - i < 4096 ? n - i : 4096);
        total += double(dot(a + i, a + i, run));
    }
    return total;
}

// float32 to bfloat16 and back: half the memory to stream through, three digits.
inline void shorten(const float * from, uint16_t * to, int n) {
    for (int i = 0; i < n; ++i) {
        uint32_t bits;
        std::memcpy(&bits, from + i, sizeof(bits));
        to[i] = uint16_t((bits + 0x8000u) >> 16);
    }
}

inline float widen(uint16_t x) {
    const uint32_t bits = uint32_t(x) << 16;
    float out;
    std::memcpy(&out, &bits, sizeof(out));
    return out;
}

// out[j] = sum_i r[i] * rows[i * stride + j]
inline void weighted_sum(const uint16_t * rows, int64_t stride, const float * r, int count, float * out, int n) {
    std::memset(out, 0, sizeof(float) * n);
    int i = 0;
    for (; i + 4 <= count; i += 4) {
        const uint16_t * a = rows + i * stride;
        const uint16_t *b = a + stride, *c = b + stride, *d = c + stride;
        const float ra = r[i], rb = r[i + 1], rc = r[i + 2], rd = r[i + 3];
#pragma omp simd
        for (int j = 0; j < n; ++j) {
            out[j] += (ra * widen(a[j]) + rb * widen(b[j])) + (rc * widen(c[j]) + rd * widen(d[j]));
        }
    }
    for (; i < count; ++i) {
        const uint16_t * a = rows + i * stride;
        for (int j = 0; j < n; ++j) {
            out[j] += r[i] * widen(a[j]);
        }
    }
}

inline bool all_finite(const float * a, int n) {
    float bad = 0;
#pragma omp simd reduction(+ : bad)
    for (int i = 0; i < n; ++i) {
        bad += a[i] - a[i] == 0.0f ? 0.0f : 1.0f;
    }
    return bad == 0.0f;
}

} // namespace halo::compact
