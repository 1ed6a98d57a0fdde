// Weights and values for selected cells, judged on queries that the fit did not see.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "blas.h"
#include "head.h"
#include "refine.h"

namespace halo::compact {

namespace {

constexpr float NAN_F = std::numeric_limits<float>::quiet_NaN();
// From strong to weak: the search stops when weaker shrinkage has stopped paying.
constexpr std::array<float, 7> GRID = {1.0f, 1e-1f, 3e-2f, 1e-2f, 1e-3f, 1e-4f, 1e-5f};
// With many queries a cell shrinkage has nothing to protect: the weakest that can be solved, unless a
// stronger one is clearly better on the queries held out.
constexpr std::array<float, 4> GRID_PLENTY = {1e-6f, 1e-5f, 1e-3f, 1e-1f};
constexpr int PLENTY = 20; // queries a cell
constexpr float CLEARLY = 0.995f;
constexpr int BETA_SWEEPS = 60, BETA_ROUNDS = 3;
constexpr float MASS_FLOOR = 1e-3f; // a query without any kept key must not outweigh all others
constexpr float SHARE_FLOOR = 1e-4f; // what a query without interest in the span counts all the same
constexpr float REFINED_LOWER = 8, REFINED_ABOVE = 3; // log weight; above an even share of the mass
constexpr float SERVED_BADLY = 0.2f; // held-out error above which another weighting is tried

// Softmax weights of the kept cells [m, cols] from their features and weights w.
void normalise(const Floats & features, const Floats & w, int m, int cols, Floats & out, Floats & total) {
    total.assign(cols, 0.0f);
    for (int j = 0; j < m; ++j) {
        add_scaled(total.data(), w[j], features.data() + size_t(j) * cols, cols);
    }
    Floats inverse(cols);
    for (int i = 0; i < cols; ++i) {
        inverse[i] = total[i] > 1e-30f ? 1.0f / total[i] : 0.0f;
    }
    out.resize(size_t(m) * cols);
    for (int j = 0; j < m; ++j) {
        const float * from = features.data() + size_t(j) * cols;
        float * to = out.data() + size_t(j) * cols;
        const float weight = w[j];
#pragma omp simd
        for (int i = 0; i < cols; ++i) {
            to[i] = from[i] * weight * inverse[i];
        }
    }
}

float mass_error(const Floats & total, int first, int last) {
    double sum = 0;
    for (int i = first; i < last; ++i) {
        sum += std::fabs(std::log(std::max(total[i], 1e-12f)));
    }
    return last > first ? float(sum / (last - first)) : NAN_F;
}

// What is left of the targets when the cells keep their values: Y - X V_S, [q, dv].
Floats residual_of(const Head & head, const Floats & x, int m, const Floats & values) {
    Floats rest(head.targets);
    const int blocks = (head.q + 127) / 128;
    head.team.run(blocks, [&](int block, int) {
        const int first = block * 128, count = std::min(128, head.q - first);
        gemm(true, false, count, head.dv, m, -1, x.data() + first, head.q, values.data(), head.dv, 1,
             rest.data() + size_t(first) * head.dv, head.dv);
    });
    return rest;
}

// Ridge from the residual, over the first `cols` queries: primal for few cells, dual for many.
class Ridge {
  public:
    Ridge(const Head & head, const Floats & x, int m, int cols, const Floats & rest)
        : head_(head), x_(x), m_(m), cols_(cols), rest_(rest), size_(std::min(m, cols)), gram_(size_t(size_) * size_) {
        const int q = head.q;
        constexpr int ROWS = 128;
        head.team.run((size_ + ROWS - 1) / ROWS, [&](int block, int) {
            const int first = block * ROWS, count = std::min(ROWS, size_ - first), upto = first + count;
            float * out = gram_.data() + size_t(first) * size_;
            if (m_ <= cols_) {
                gemm(false, true, count, upto, cols_, 1, x.data() + size_t(first) * q, q, x.data(), q, 0, out, size_);
            } else {
                gemm(true, false, count, upto, m_, 1, x.data() + first, q, x.data(), q, 0, out, size_);
            }
        });
        double trace = 0;
        for (int j = 0; j < size_; ++j) {
            trace += gram_[size_t(j) * size_ + j];
        }
        unit_ = float(trace / m);
        if (m_ <= cols_) {
            right_.resize(size_t(m) * head.dv);
            gemm(false, false, m, head.dv, cols, 1, x.data(), q, rest.data(), head.dv, 0, right_.data(), head.dv);
        }
    }

    // The change of the values, [m, dv]; false when the system cannot be solved in float.
    bool solve(float ridge, Floats & change) const {
        Floats factor(gram_);
        for (int j = 0; j < size_; ++j) {
            factor[size_t(j) * size_ + j] += ridge * unit_;
        }
        if (!(unit_ > 0) || !cholesky(size_, factor.data())) {
            return false;
        }
        const int dv = head_.dv;
        if (m_ <= cols_) {
            change = right_;
            cholesky_solve(size_, dv, factor.data(), change.data());
        } else {
            Floats dual(rest_.begin(), rest_.begin() + size_t(cols_) * dv);
            cholesky_solve(size_, dv, factor.data(), dual.data());
            change.resize(size_t(m_) * dv);
            gemm(false, false, m_, dv, cols_, 1, x_.data(), head_.q, dual.data(), dv, 0, change.data(), dv);
        }
        return all_finite(change.data(), int(change.size()));
    }

  private:
    const Head & head_;
    const Floats & x_;
    int m_, cols_;
    const Floats & rest_;
    int size_;
    float unit_ = 0;
    Floats gram_, right_;
};

class Fitter {
  public:
    Fitter(const Head & head, const Indices & cells, float beta_max)
        : head_(head), beta_max_(beta_max), m_(int(cells.size())), features_(size_t(m_) * head.q),
          values_(head.gather_values(cells)) {
        head.features(cells, 0, head.q, features_.data());
        const auto & p = head.params;
        float limit = INF;
        if (p.value_ratio > 0) {
            limit = std::min(limit, p.value_ratio * head.value_max);
        }
        limit_ = p.value_limit > 0 ? std::min(limit, p.value_limit) : limit;
    }

    Result run(const Indices & cells, int refine) {
        const auto & p = head_.params;
        const int judged = head_.q - head_.q_fit;
        const bool blind = judged == 0 || head_.q_fit == 0;
        Result out;
        auto & info = out.diagnostics;
        info.queries = head_.q;
        info.held_out = judged;

        // The selection as it is.
        const Floats ones(m_, 1.0f);
        Choice plain = choose(ones, false);
        info.output_error_unfitted = plain.error;
        info.mass_error_unfitted = plain.mass;
        Choice best = plain;
        if (p.fit_beta && head_.q > 0) {
            // One weight for all cells mends the mass and leaves the output alone: nothing to lose.
            best = choose(level(head_.q_fit), false);
            best.error = plain.error; // but for rounding
            best.shifted = true;
        }
        const bool values_wanted = p.fit_values && (p.ridge >= 0 || !blind);
        Floats fitted_weights;
        if (p.fit_beta && head_.q_fit > 0 && (!blind || p.ridge >= 0)) {
            for (const float power : {1.0f, 2.0f}) {
                if (power > 1.0f && !(best.error > SERVED_BADLY)) {
                    break;
                }
                const bool warm = !fitted_weights.empty();
                const Floats w = weights(head_.q_fit, power, warm ? fitted_weights : level(head_.q_fit), warm);
                Choice fitted = choose(w, values_wanted, best.power > 0 ? best.ridge : INF);
                fitted.power = power;
                // The mass counts as well: output must not be bought with it.
                const float bar = best.power > 0 ? 0.97f * best.error : plain.error;
                if (blind || (fitted.error <= bar && fitted.mass <= 1.35f * std::max(best.mass, 0.05f))) {
                    best = fitted;
                    fitted_weights = w;
                }
            }
        }
        if (values_wanted && best.power == 0 && head_.q_fit > 0) {
            Choice fitted = choose(p.fit_beta ? level(head_.q_fit) : ones, true);
            fitted.shifted = best.shifted;
            if (blind || fitted.error <= plain.error) {
                best = fitted;
            }
        }

        info.output_error = best.error;
        info.mass_error = best.mass;
        info.ridge = best.ridge;
        info.fitted_beta = best.power > 0;
        info.fitted_values = best.ridge < INF;

        if (refine > 0 && p.fit_beta && p.fit_values && !blind) {
            Refiner refiner(head_, cells, refined_bounds(), limit_);
            const Floats w = best.power > 0 ? fitted_weights : best.shifted ? level(head_.q_fit) : ones;
            refiner.start(w, values_for(w, best.ridge, head_.q_fit));
            Refiner::Judgement found;
            if (refiner.run(refine, best.error, found)) {
                info.refined = info.fitted_beta = info.fitted_values = 1;
                info.output_error = found.error;
                info.mass_error = found.mass;
                out.keys = refiner.cells().keys;
                out.beta = refiner.cells().beta;
                out.values = refiner.cells().values;
                describe(out);
                return out;
            }
        }

        // The same choice, from all queries.
        Floats w = ones;
        if (best.power > 0) {
            w = weights(head_.q, best.power, fitted_weights, true);
        } else if (best.shifted) {
            w = level(head_.q);
        }
        out.values = values_for(w, best.ridge, head_.q);
        finish(cells, w, out);
        return out;
    }

  private:
    // What refining may change a bias by. Fitted alone, biases far out trade output for mass; together with
    // keys and values they need not.
    Bounds refined_bounds() const {
        const auto & p = head_.params;
        if (!std::isnan(p.beta_max)) {
            return {p.beta_min, p.beta_max};
        }
        const float even = std::log(float(std::max(head_.live, 1)) / float(m_));
        return {std::min(p.beta_min, -REFINED_LOWER), even + REFINED_ABOVE};
    }

    struct Choice {
        float error = NAN_F, mass = NAN_F, ridge = INF;
        float power = 0; // of the mass weighting; 0 = the weights are not fitted
        bool shifted = false;
    };

    // The single weight that reproduces the mass best, in the middle of the queries' logs.
    Floats level(int cols) const {
        Floats total(cols, 0.0f);
        for (int j = 0; j < m_; ++j) {
            add_scaled(total.data(), 1.0f, features_.data() + size_t(j) * head_.q, cols);
        }
        const Floats part = head_.shares(cols);
        double sum = 0, weight = 0;
        for (int i = 0; i < cols; ++i) {
            sum += double(part[i]) * std::log(std::max(total[i], MASS_FLOOR));
            weight += part[i];
        }
        const float beta = weight > 0 ? float(-sum / weight) : 0.0f;
        return Floats(m_, std::exp(std::clamp(beta, head_.params.beta_min, beta_max_)));
    }

    // Bounded least squares on the mass. Rows are weighed by the mass reproduced so far to the power
    // -`power`: 1 makes it the error of the log mass, 2 favours queries that are served badly.
    Floats weights(int cols, float power, const Floats & start, bool warm) const {
        const float lo = std::exp(head_.params.beta_min), hi = std::exp(beta_max_);
        Floats w(start), residual(cols, 1.0f), reached(cols), scaled(size_t(m_) * cols);
        solve_weights(features_.data(), head_.q, m_, cols, lo, hi, warm ? 0 : BETA_SWEEPS, w.data(), residual.data());
        const Floats part = head_.shares(cols);
        for (int round = 0; round < BETA_ROUNDS; ++round) {
            head_.stop.check();
            for (int i = 0; i < cols; ++i) {
                const float mass = std::max(1.0f - residual[i] / (round ? reached[i] : 1.0f), MASS_FLOOR);
                reached[i] = std::max(part[i], SHARE_FLOOR) * (power == 1.0f ? 1.0f / mass : std::pow(mass, -power));
            }
            for (int j = 0; j < m_; ++j) {
                const float * from = features_.data() + size_t(j) * head_.q;
                float * to = scaled.data() + size_t(j) * cols;
#pragma omp simd
                for (int i = 0; i < cols; ++i) {
                    to[i] = from[i] * reached[i];
                }
            }
            residual = reached;
            solve_weights(scaled.data(), cols, m_, cols, lo, hi, BETA_SWEEPS, w.data(), residual.data());
        }
        return w;
    }

    // The values for these weights, fitted to queries [0, cols); as they are where the ridge is infinite.
    Floats values_for(const Floats & w, float best, int cols) {
        if (!(best < INF)) {
            return values_;
        }
        normalise(features_, w, m_, head_.q, x_, total_);
        head_.scale_by_share(x_.data(), m_, 0, head_.q);
        const Floats rest = residual_of(head_, x_, m_, values_);
        const Ridge system(head_, x_, m_, cols, rest);
        Floats change;
        for (float ridge = best; ridge < 1e3f; ridge = std::max(ridge * 10, 1e-6f)) {
            if (system.solve(ridge, change)) {
                return bounded(change);
            }
        }
        return values_;
    }

    // The values plus a change, within what the cache can hold.
    Floats bounded(const Floats & change) const {
        Floats out(values_);
        const float limit = limit_;
#pragma omp simd
        for (size_t i = 0; i < out.size(); ++i) {
            const float v = out[i] + change[i];
            out[i] = v > limit ? limit : v < -limit ? -limit : v;
        }
        return out;
    }

    // Held-out error of the weights with the best values for them. `near`: a ridge that was good for
    // other weights of the same cells, so that only its neighbours are tried.
    Choice choose(const Floats & w, bool with_values, float near = INF) {
        Choice best;
        normalise(features_, w, m_, head_.q, x_, total_);
        head_.scale_by_share(x_.data(), m_, 0, head_.q);
        const int judged = head_.q - head_.q_fit, dv = head_.dv;
        best.mass = mass_error(total_, head_.q_fit, head_.q);
        if (judged == 0 && !with_values) {
            return best;
        }
        const Floats rest = residual_of(head_, x_, m_, values_);
        const int64_t from = int64_t(head_.q_fit) * dv, size = int64_t(judged) * dv;
        const double target = sum_squares(&head_.targets[from], size);
        const auto relative = [&](double squares) {
            return float(target > 0 ? std::sqrt(squares / target) : squares > 0 ? 1.0 : 0.0);
        };
        if (judged > 0) {
            best.error = relative(sum_squares(rest.data() + from, size));
        }
        if (!with_values) {
            return best;
        }
        const Ridge system(head_, x_, m_, head_.q_fit, rest);
        Floats change, left;
        const auto attempt = [&](float ridge) {
            if (!system.solve(ridge, change)) {
                return NAN_F;
            }
            if (judged == 0) {
                return 0.0f;
            }
            const Floats kept = bounded(change);
            for (size_t i = 0; i < kept.size(); ++i) {
                change[i] = kept[i] - values_[i];
            }
            left.assign(rest.begin() + from, rest.end());
            gemm(true, false, judged, dv, m_, -1, x_.data() + head_.q_fit, head_.q, change.data(), dv, 1, left.data(), dv);
            return relative(sum_squares(left.data(), size));
        };
        if (head_.params.ridge >= 0) {
            const float error = attempt(head_.params.ridge);
            if (judged == 0 || error < best.error) {
                best.ridge = head_.params.ridge;
                best.error = judged ? error : NAN_F;
            }
            return best;
        }
        const bool plenty = head_.q_fit >= PLENTY * m_;
        int worse = 0;
        const auto consider = [&](float ridge) {
            head_.stop.check();
            const float error = attempt(ridge);
            if (error < best.error * (plenty && best.ridge < INF ? CLEARLY : 1.0f)) {
                best.error = error;
                best.ridge = ridge;
                worse = 0;
                return true;
            }
            return best.ridge == INF || ++worse < 2;
        };
        if (plenty) {
            for (const float ridge : GRID_PLENTY) {
                if (!consider(ridge)) {
                    break;
                }
            }
            return best;
        }
        for (const float ridge : GRID) {
            if (near < INF && (ridge > 11 * near || near > 11 * ridge)) {
                continue;
            }
            if (!consider(ridge)) {
                break;
            }
        }
        return best;
    }

    void finish(const Indices & cells, const Floats & w, Result & out) const {
        out.beta.resize(m_);
        for (int j = 0; j < m_; ++j) {
            const float before = head_.bias.empty() ? 0.0f : head_.bias[cells[j]];
            out.beta[j] = before + std::clamp(std::log(w[j]), head_.params.beta_min, beta_max_);
            if (!out.diagnostics.fitted_beta && w[j] == 1.0f) {
                out.beta[j] = before;
            }
        }
        describe(out);
    }

    // Bounds and norms of a result.
    void describe(Result & out) const {
        auto & info = out.diagnostics;
        info.beta_min = INF;
        info.beta_max = NEG_INF;
        for (int j = 0; j < m_; ++j) {
            if (out.beta[j] > NEG_INF) {
                info.beta_min = std::min(info.beta_min, out.beta[j]);
                info.beta_max = std::max(info.beta_max, out.beta[j]);
            }
        }
        if (info.beta_min > info.beta_max) {
            info.beta_min = info.beta_max = 0;
        }
        info.norm_ratio = head_.value_max > 0 ? max_abs(out.values.data(), int64_t(out.values.size())) / head_.value_max : 1;
    }

    const Head & head_;
    float beta_max_;
    int m_;
    Floats features_, values_;
    Floats x_, total_;
    float limit_ = INF;
};

} // namespace

void solve_weights(const float * at, int64_t stride, int m, int cols, float lo, float hi, int sweeps, float * w,
                   float * residual) {
    Floats norm(m);
    for (int j = 0; j < m; ++j) {
        norm[j] = dot(at + j * stride, at + j * stride, cols);
        add_scaled(residual, -w[j], at + j * stride, cols);
    }
    double before = sum_squares(residual, cols);
    for (int sweep = 0; sweep < sweeps; ++sweep) {
        for (int j = 0; j < m; ++j) {
            if (!(norm[j] > 1e-30f)) {
                continue;
            }
            const float * row = at + j * stride;
            const float next = std::clamp(w[j] + dot(row, residual, cols) / norm[j], lo, hi);
            if (next != w[j]) {
                add_scaled(residual, w[j] - next, row, cols);
                w[j] = next;
            }
        }
        const double after = sum_squares(residual, cols);
        if (!(before - after > 3e-4 * before)) {
            break;
        }
        before = after;
    }
}

Result fit(const Head & head, const Indices & cells, float beta_max, int refine) {
    return Fitter(head, cells, beta_max).run(cells, refine);
}

float unfitted_error(const Head & head, const Indices & cells) {
    const int cols = head.q - head.q_fit, m = int(cells.size());
    if (cols == 0) {
        return NAN_F;
    }
    Floats features(size_t(m) * cols), x, total;
    head.features(cells, head.q_fit, head.q, features.data());
    normalise(features, Floats(m, 1.0f), m, cols, x, total);
    head.scale_by_share(x.data(), m, head.q_fit, head.q);
    const Floats values = head.gather_values(cells);
    const size_t from = size_t(head.q_fit) * head.dv;
    Floats left(head.targets.begin() + from, head.targets.end());
    gemm(true, false, cols, head.dv, m, -1, x.data(), cols, values.data(), head.dv, 1, left.data(), head.dv);
    const double target = sum_squares(&head.targets[from], int64_t(left.size()));
    const double squares = sum_squares(left.data(), int64_t(left.size()));
    return float(target > 0 ? std::sqrt(squares / target) : squares > 0 ? 1.0 : 0.0);
}

} // namespace halo::compact
