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
// Relative mass error below which the pursuit would only fit noise, when queries are few.
constexpr double EXPLAINED = 1e-3;
constexpr int CANDIDATES = 8; // looked at for each key picked between two refits

Indices by_score(const Floats & score) {
    Indices order(score.size());
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(), [&](int a, int b) {
        return score[a] != score[b] ? score[a] > score[b] : a < b;
    });
    return order;
}

// Bounded least squares of the picked rows by their inner products, so that a sweep costs m * m and
// not m * q: the pursuit solves once for every few cells it adds.
class PickedWeights {
  public:
    PickedWeights(int most, int q, float lo, float hi) : most_(most), q_(q), lo_(lo), hi_(hi), gram_(size_t(most) * most) {}

    // Takes in rows [had(), count) of `rows` [., q]; `target` [q] is what all rows are to sum to.
    void add(const Floats & rows, int count, const Floats & target) {
        const int from = int(right_.size());
        gemm(false, true, count - from, count, q_, 1, rows.data() + size_t(from) * q_, q_, rows.data(), q_, 0,
             gram_.data() + size_t(from) * most_, most_);
        for (int i = from; i < count; ++i) {
            for (int j = 0; j < from; ++j) {
                gram_[size_t(j) * most_ + i] = gram_[size_t(i) * most_ + j];
            }
            right_.push_back(dot(rows.data() + size_t(i) * q_, target.data(), q_));
        }
    }

    // Coordinate descent from the given w, until a sweep gains next to nothing.
    void solve(double squares, int sweeps, Floats & w) const {
        const int m = int(right_.size());
        Floats slope(right_);
        for (int j = 0; j < m; ++j) {
            add_scaled(slope.data(), -w[j], gram_.data() + size_t(j) * most_, m);
        }
        for (int j = 0; j < m; ++j) {
            squares -= double(w[j]) * (double(right_[j]) + slope[j]);
        }
        for (int sweep = 0; sweep < sweeps; ++sweep) {
            double gained = 0;
            for (int j = 0; j < m; ++j) {
                const float * row = gram_.data() + size_t(j) * most_;
                if (!(row[j] > 1e-30f)) {
                    continue;
                }
                const float next = std::clamp(w[j] + slope[j] / row[j], lo_, hi_), step = next - w[j];
                if (step != 0) {
                    gained += double(step) * (2.0 * slope[j] - double(step) * row[j]);
                    add_scaled(slope.data(), -step, row, m);
                    w[j] = next;
                }
            }
            if (!(gained > 3e-4 * squares)) {
                break;
            }
            squares -= gained;
        }
    }

  private:
    int most_, q_;
    float lo_, hi_;
    Floats gram_, right_; // [most, most], [count]
};

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
//
// Between two refits the picks come from the best candidates of the last look at all keys, one by
// one and each with its effect on the residual: the runners-up of one look alone are near copies of
// each other, and picking those costs half of the quality.
Indices rank_omp(const Head & head, int m, float beta_max) {
    const int n = head.n, q = head.q;
    const int batch = std::max(1, head.params.omp_k) * std::max(1, head.params.omp_interval);
    const int wanted = std::min(m, head.live);
    const float lo = std::exp(head.params.beta_min), hi = std::exp(beta_max);
    Indices order, pool;
    order.reserve(n);
    std::vector<char> taken(n, 0);
    const Floats target(head.shares(q));
    const double squares = sum_squares(target.data(), q);
    PickedWeights picked(wanted, q, lo, hi);
    Floats rows(size_t(wanted) * q), near, w, residual(target), left, gain(n);
    constexpr int COLS = 2048;
    const int chunks = (n + COLS - 1) / COLS;
    while (int(order.size()) < wanted && sum_squares(residual.data(), q) > EXPLAINED * EXPLAINED * q) {
        head.stop.check();
        head.team.run(chunks, [&](int chunk, int) {
            const int first = chunk * COLS, cols = std::min(COLS, n - first);
            weighted_sum(head.mass.data() + first, n, residual.data(), q, gain.data() + first, cols);
            for (int j = first; j < first + cols; ++j) {
                gain[j] = taken[j] || head.mean[j] < 0 ? NEG_INF : gain[j];
            }
        });
        const int picks = std::min(batch, wanted - int(order.size()));
        const int size = std::min(CANDIDATES * picks, head.live - int(order.size()));
        top_k(gain.data(), n, size, pool);
        near.resize(pool.size() * q);
        head.features(pool, 0, q, near.data());
        head.scale_by_share(near.data(), int(pool.size()), 0, q);
        left = residual;
        const size_t before = order.size();
        for (int pick = 0; pick < picks; ++pick) {
            int best = -1;
            float most = NEG_INF;
            for (int c = 0; c < int(pool.size()); ++c) {
                if (!taken[pool[c]]) {
                    const float found = dot(near.data() + size_t(c) * q, left.data(), q);
                    if (best < 0 || found > most) {
                        most = found;
                        best = c;
                    }
                }
            }
            if (!(most > 0)) {
                break; // nothing here adds mass that is missing
            }
            const float * row = near.data() + size_t(best) * q;
            const float norm = dot(row, row, q);
            w.push_back(std::clamp(norm > 1e-30f ? dot(row, left.data(), q) / norm : 1.0f, lo, hi));
            add_scaled(left.data(), -w.back(), row, q);
            std::copy_n(row, q, rows.data() + order.size() * q);
            taken[pool[best]] = 1;
            order.push_back(pool[best]);
        }
        if (order.size() == before) {
            break; // the mass is explained; the rest are the keys with the largest attention
        }
        if (int(order.size()) < wanted) {
            picked.add(rows, int(order.size()), target);
            picked.solve(squares, OMP_SWEEPS, w);
            residual = target;
            for (size_t j = 0; j < order.size(); ++j) {
                add_scaled(residual.data(), -w[j], rows.data() + j * q, q);
            }
        }
    }
    for (const int cell : rank_mean(head)) {
        if (!taken[cell]) {
            order.push_back(cell);
        }
    }
    return order;
}

} // namespace halo::compact
