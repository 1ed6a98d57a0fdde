// Keys, biases and values of the kept cells together, by gradient descent from the fit in closed form.
#include "refine.h"

#include <algorithm>
#include <cmath>

#include "blas.h"

namespace halo::compact {

namespace {

constexpr int BATCH = 512; // queries a step
constexpr float RATE = 0.1f, POLISH = 0.3f; // of a standard deviation a step; the share of it at the end
// Fewer queries say less of what will be asked later: steps are shorter in proportion.
constexpr float ENOUGH = 2048;
constexpr float DECAY_MEAN = 0.9f, DECAY_SQUARE = 0.999f; // Adam
constexpr int LOOKS = 4; // at the held-out queries on the way

float deviation(const float * a, int64_t stride, int rows, int cols) {
    double sum = 0, squares = 0;
    for (int i = 0; i < rows; ++i) {
        for (int j = 0; j < cols; ++j) {
            const double x = a[i * stride + j];
            sum += x;
            squares += x * x;
        }
    }
    const double count = double(rows) * cols, mean = sum / count;
    return float(std::sqrt(std::max(squares / count - mean * mean, 0.0)));
}

float sigmoid(float x) {
    return 1.0f / (1.0f + std::exp(std::clamp(-x, -80.0f, 80.0f)));
}

} // namespace

void Refiner::Moving::step(float * x, const float * slope, float rate_now, float mean_part, float square_part) {
    const size_t size = mean.size();
    float * a = mean.data();
    float * b = square.data();
    const float pace = rate * rate_now / mean_part, under = 1.0f / square_part;
#pragma omp simd
    for (size_t i = 0; i < size; ++i) {
        a[i] = DECAY_MEAN * a[i] + (1 - DECAY_MEAN) * slope[i];
        b[i] = DECAY_SQUARE * b[i] + (1 - DECAY_SQUARE) * slope[i] * slope[i];
        x[i] -= pace * a[i] / (std::sqrt(b[i] * under) + 1e-12f);
    }
}

Refiner::Refiner(const Head & head, const Indices & cells, Bounds beta, float value_limit)
    : head_(head), m_(int(cells.size())), beta_(beta), value_limit_(value_limit), before_(m_, 0.0f),
      share_(head.q), rest_(head.q), output_(head.q) {
    const int d = head.d;
    original_.resize(size_t(m_) * d);
    for (int j = 0; j < m_; ++j) {
        std::copy_n(head.key(cells[j]), d, original_.data() + size_t(j) * d);
        before_[j] = head.bias.empty() ? 0.0f : head.bias[cells[j]];
    }
    key_scale_ = deviation(head.key(0), head.key_stride(), head.n, d);
    value_scale_ = deviation(head.value(0), head.value_stride(), head.n, head.dv);
    double total = 0;
    targets_ = head.targets;
    for (int i = 0; i < head.q; ++i) {
        // Where nothing is known of the rest, as much as the span itself: then mass and output both count.
        const float rest = head.log_rest(i);
        rest_[i] = head.share.empty() ? head.log_mass[i] : rest == rest ? rest : NEG_INF;
        share_[i] = head.share.empty() ? 0.5f : head.share[i];
        float * target = targets_.data() + size_t(i) * head.dv;
        const float known = head.share.empty() ? 1.0f : head.share[i];
        const float squares = dot(target, target, head.dv);
        output_[i] = known > 1e-12f ? squares / (known * known) : 0.0f;
        if (head.share.empty()) {
            for (int c = 0; c < head.dv; ++c) {
                target[c] *= share_[i];
            }
        }
        total += double(share_[i]) * share_[i] * output_[i];
    }
    unit_ = total > 0 ? float(total / std::max(head.q, 1)) : 0.0f;
}

void Refiner::start(const Floats & weights, const Floats & values) {
    now_.keys = original_;
    now_.values = values;
    now_.beta.resize(m_);
    for (int j = 0; j < m_; ++j) {
        now_.beta[j] = before_[j] + std::clamp(std::log(weights[j]), beta_.lo, beta_.hi);
    }
}

// Softmax of the queries [count, d] over the cells: weights [count, m] and log mass.
void Refiner::look(const float * queries, int count) {
    const int d = head_.d;
    weights_.resize(size_t(BATCH) * m_);
    slopes_.resize(size_t(BATCH) * m_);
    caps_.resize(head_.softcap > 0 ? size_t(BATCH) * m_ : 0);
    mass_.resize(BATCH);
    outputs_.resize(size_t(BATCH) * head_.dv);
    gemm(false, true, count, m_, d, head_.scale, queries, d, now_.keys.data(), d, 0, weights_.data(), m_);
    const float * beta = now_.beta.data();
    for (int i = 0; i < count; ++i) {
        float * row = weights_.data() + size_t(i) * m_;
        float top = NEG_INF;
        if (head_.softcap > 0) {
            float * cap = caps_.data() + size_t(i) * m_;
            for (int j = 0; j < m_; ++j) {
                const float s = soft_cap(clean_score(row[j]), head_.softcap), part = s / head_.softcap;
                row[j] = s;
                cap[j] = 1.0f - part * part;
            }
        }
#pragma omp simd reduction(max : top)
        for (int j = 0; j < m_; ++j) {
            const float s = clean_score(row[j]) + beta[j];
            row[j] = s;
            top = s > top ? s : top;
        }
        float sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int j = 0; j < m_; ++j) {
            const float e = fast_exp(row[j] > NEG_INF ? row[j] - top : NEG_INF);
            row[j] = e;
            sum += e;
        }
        const float inverse = sum > 0 ? 1.0f / sum : 0.0f;
#pragma omp simd
        for (int j = 0; j < m_; ++j) {
            row[j] *= inverse;
        }
        mass_[i] = sum > 0 ? top + std::log(sum) : NEG_INF;
    }
    gemm(false, false, count, head_.dv, m_, 1, weights_.data(), m_, now_.values.data(), head_.dv, 0, outputs_.data(), head_.dv);
}

float Refiner::share_now(int query, int row) const {
    return rest_[query] > NEG_INF ? sigmoid(mass_[row] - rest_[query]) : 1.0f;
}

Refiner::Judgement Refiner::judge() {
    const int dv = head_.dv, d = head_.d;
    double squares = 0, wanted = 0, loss = 0, off = 0;
    for (int first = head_.q_fit; first < head_.q; first += BATCH) {
        const int count = std::min(BATCH, head_.q - first);
        look(head_.queries.data() + size_t(first) * d, count);
        for (int i = 0; i < count; ++i) {
            const int query = first + i;
            const float * out = outputs_.data() + size_t(i) * dv;
            const float * target = targets_.data() + size_t(query) * dv;
            const float was = share_[query], is = share_now(query, i);
            float apart = 0, gap = 0, whole = 0;
            for (int c = 0; c < dv; ++c) {
                const float same = was * out[c] - target[c], seen = is * out[c] - target[c];
                apart += same * same;
                gap += seen * seen;
                whole += target[c] * target[c];
            }
            squares += apart;
            wanted += whole;
            loss += gap + (is - was) * (is - was) * output_[query];
            off += std::fabs(std::clamp(mass_[i] - head_.log_mass[query], -30.0f, 30.0f));
        }
    }
    const double count = std::max(head_.q - head_.q_fit, 1);
    return {float(wanted > 0 ? std::sqrt(squares / wanted) : squares > 0 ? 1.0 : 0.0), float(off / count),
            wanted > 0 ? loss / wanted : loss};
}

// Adam on queries [0, upto) for some steps of a course of `whole`, from step `done` on.
void Refiner::descend(int upto, int done, int steps, int whole, float rate) {
    const int d = head_.d, dv = head_.dv, batch = std::min(BATCH, upto);
    batch_.resize(size_t(BATCH) * d);
    for (int step = done; step < done + steps; ++step) {
        head_.stop.check();
        chosen_.resize(batch);
        for (int i = 0; i < batch; ++i) {
            chosen_[i] = batch == upto ? i : int(random_.below(uint32_t(upto)));
            std::copy_n(head_.queries.data() + size_t(chosen_[i]) * d, d, batch_.data() + size_t(i) * d);
        }
        look(batch_.data(), batch);
        const float unit = 2.0f / (unit_ * float(batch));
        mass_slope_.resize(batch);
        for (int i = 0; i < batch; ++i) { // outputs become the slopes of the outputs
            const int query = chosen_[i];
            float * out = outputs_.data() + size_t(i) * dv;
            const float * target = targets_.data() + size_t(query) * dv;
            const float is = share_now(query, i);
            float along = 0;
#pragma omp simd reduction(+ : along)
            for (int c = 0; c < dv; ++c) {
                const float gap = is * out[c] - target[c];
                along += gap * out[c];
                out[c] = unit * is * gap;
            }
            const float slope = unit * (along + (is - share_[query]) * output_[query]);
            mass_slope_[i] = slope * is * (1.0f - is);
        }
        slope_values_.resize(size_t(m_) * dv);
        gemm(true, false, m_, dv, batch, 1, weights_.data(), m_, outputs_.data(), dv, 0, slope_values_.data(), dv);
        gemm(false, true, batch, m_, dv, 1, outputs_.data(), dv, now_.values.data(), dv, 0, slopes_.data(), m_);
        slope_beta_.assign(m_, 0.0f);
        for (int i = 0; i < batch; ++i) {
            const float * p = weights_.data() + size_t(i) * m_;
            float * s = slopes_.data() + size_t(i) * m_;
            const float level = mass_slope_[i] - dot(p, s, m_);
            float * sum = slope_beta_.data();
#pragma omp simd
            for (int j = 0; j < m_; ++j) {
                s[j] = p[j] * (s[j] + level);
                sum[j] += s[j];
            }
            if (head_.softcap > 0) {
                const float * cap = caps_.data() + size_t(i) * m_;
#pragma omp simd
                for (int j = 0; j < m_; ++j) {
                    s[j] *= cap[j];
                }
            }
        }
        slope_keys_.resize(size_t(m_) * d);
        gemm(true, false, m_, d, batch, head_.scale, slopes_.data(), m_, batch_.data(), d, 0, slope_keys_.data(), d);

        const float now = rate * (1.0f - float(step) / float(whole)), t = float(step + 1);
        const float a = 1 - std::pow(DECAY_MEAN, t), b = 1 - std::pow(DECAY_SQUARE, t);
        moving_[0].step(now_.keys.data(), slope_keys_.data(), now, a, b);
        moving_[1].step(now_.beta.data(), slope_beta_.data(), now, a, b);
        moving_[2].step(now_.values.data(), slope_values_.data(), now, a, b);
        bound();
    }
}

// Within what the cache can hold and the bounds of beta.
void Refiner::bound() {
    const float key_limit = head_.params.value_limit > 0 ? head_.params.value_limit : INF;
    for (float & x : now_.keys) {
        x = std::clamp(x, -key_limit, key_limit);
    }
    for (float & x : now_.values) {
        x = std::clamp(x, -value_limit_, value_limit_);
    }
    for (int j = 0; j < m_; ++j) {
        if (before_[j] > NEG_INF) {
            now_.beta[j] = std::clamp(now_.beta[j], before_[j] + beta_.lo, before_[j] + beta_.hi);
        }
    }
}

void Refiner::reset() {
    moving_.clear();
    moving_.push_back({Floats(now_.keys.size()), Floats(now_.keys.size()), key_scale_});
    moving_.push_back({Floats(now_.beta.size()), Floats(now_.beta.size()), 1.0f});
    moving_.push_back({Floats(now_.values.size()), Floats(now_.values.size()), value_scale_});
}

bool Refiner::run(int steps, float bar, Judgement & best) {
    if (head_.q == head_.q_fit || head_.q_fit == 0 || head_.masked() || !(unit_ > 0) || steps < 1) {
        return false;
    }
    const float rate = RATE * std::min(1.0f, float(head_.q_fit) / ENOUGH);
    best = judge();
    bool better = false;
    Cells kept;
    reset();
    for (int look = 0, done = 0; look < LOOKS; ++look) {
        const int upto = steps * (look + 1) / LOOKS;
        descend(head_.q_fit, done, upto - done, steps, rate);
        done = upto;
        const Judgement found = judge();
        if (found.loss < best.loss && found.error <= bar && all_finite(now_.keys.data(), int(now_.keys.size()))) {
            best = found;
            kept = now_;
            better = true;
        }
    }
    if (!better) {
        return false;
    }
    // The same course's end, with the queries that judged it.
    now_ = kept;
    reset();
    const int last = std::max(1, steps / LOOKS);
    descend(head_.q, 0, last, last, rate * POLISH);
    const Judgement after = judge();
    if (!(after.loss <= best.loss) || !all_finite(now_.keys.data(), int(now_.keys.size()))) {
        now_ = kept;
    }
    return true;
}

} // namespace halo::compact
