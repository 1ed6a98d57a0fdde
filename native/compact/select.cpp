// Which cells to keep: by attention, by matching pursuit on the mass, or by plain eviction.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "blas.h"
#include "head.h"

namespace halo::compact {

namespace {

constexpr int SINKS = 4;
constexpr int OMP_SWEEPS = 8;

Indices by_score(const Floats & score) {
    Indices order(score.size());
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(), [&](int a, int b) {
        return score[a] != score[b] ? score[a] > score[b] : a < b;
    });
    return order;
}

// The k largest entries, best first.
void top_k(const float * values, int n, int k, Indices & out) {
    out.clear();
    for (int j = 0; j < n; ++j) {
        const float v = values[j];
        if (int(out.size()) == k && !(v > values[out.back()])) {
            continue;
        }
        auto at = out.end();
        while (at != out.begin() && values[*(at - 1)] < v) {
            --at;
        }
        out.insert(at, j);
        if (int(out.size()) > k) {
            out.pop_back();
        }
    }
}

} // namespace

Indices rank_mean(const Head & head) {
    return by_score(head.mean);
}

Indices rank_attention(const Head & head) {
    const int reach = head.params.pool / 2;
    if (reach <= 0) {
        return by_score(head.score);
    }
    Floats pooled(head.score);
    for (int j = 0; j < head.n; ++j) {
        if (head.score[j] >= 0) {
            double sum = 0;
            int count = 0;
            for (int i = std::max(0, j - reach); i <= std::min(head.n - 1, j + reach); ++i) {
                sum += std::max(head.score[i], 0.0f);
                ++count;
            }
            pooled[j] = float(sum / count);
        }
    }
    return by_score(pooled);
}

Indices rank_recent(const Head & head, int m, const int32_t * key_pos) {
    Indices order;
    for (int j = 0; j < head.n; ++j) {
        if (head.bias.empty() || head.bias[j] > NEG_INF) {
            order.push_back(j);
        }
    }
    if (key_pos) {
        std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return key_pos[a] < key_pos[b]; });
    }
    const int sinks = std::min({SINKS, m, int(order.size())});
    std::reverse(order.begin() + sinks, order.end());
    for (int j = 0; j < head.n; ++j) {
        if (!head.bias.empty() && !(head.bias[j] > NEG_INF)) {
            order.push_back(j);
        }
    }
    return order;
}

// Keys that best explain the mass not yet explained. Rows are scaled by the span's mass, so that
// every query counts the same: the residual is the relative mass error.
Indices rank_omp(const Head & head, int m) {
    const int n = head.n, q = head.q, k = std::max(1, head.params.omp_k);
    const int interval = std::max(1, head.params.omp_interval);
    const int wanted = std::min(m, head.live);
    const float lo = std::exp(head.params.beta_min), hi = std::exp(head.params.beta_max);
    Indices order, batch;
    order.reserve(n);
    std::vector<char> taken(n, 0);
    Floats rows(size_t(wanted) * q), w, residual(q, 1.0f), gain(n);
    constexpr int COLS = 2048;
    const int chunks = (n + COLS - 1) / COLS;
    for (int round = 0; int(order.size()) < wanted; ++round) {
        head.stop.check();
        if (round % interval == 0) {
            if (round > 0) {
                w.resize(order.size(), std::clamp(1.0f, lo, hi));
                std::fill(residual.begin(), residual.end(), 1.0f);
                solve_weights(rows.data(), q, int(order.size()), q, lo, hi, OMP_SWEEPS, w.data(), residual.data());
            }
            head.team.run(chunks, [&](int chunk, int) {
                const int first = chunk * COLS, cols = std::min(COLS, n - first);
                scipy_cblas_sgemv(CblasRowMajor, CblasTrans, q, cols, 1, &head.mass[first], n, residual.data(), 1, 0,
                                  gain.data() + first, 1);
            });
            for (int j = 0; j < n; ++j) {
                if (taken[j] || head.mean[j] < 0) {
                    gain[j] = NEG_INF;
                }
            }
        }
        top_k(gain.data(), n, std::min(k, wanted - int(order.size())), batch);
        for (const int cell : batch) {
            taken[cell] = 1;
            gain[cell] = NEG_INF;
        }
        head.features(batch, 0, q, rows.data() + order.size() * q);
        order.insert(order.end(), batch.begin(), batch.end());
    }
    for (const int cell : rank_mean(head)) {
        if (!taken[cell]) {
            order.push_back(cell);
        }
    }
    return order;
}

} // namespace halo::compact
