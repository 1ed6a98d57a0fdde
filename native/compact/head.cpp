// Prepares a head and attends to its span, block by block of queries.
#include "head.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "blas.h"

namespace halo::compact {

namespace {

// Rows of a block: many, since the product packs all keys anew for each block; but the scores of all
// threads' blocks should stay in the cache between the passes over them.
constexpr int BLOCK_SCORES = 1024 * 1024;
constexpr int STRIPES = 32;
constexpr int MIN_JUDGED = 8; // fewer queries than this cannot be split

} // namespace

Head::Head(const halo_compact_job & job, const halo_compact_params & params, Team & team, Stop stop)
    : params(params), team(team), stop(stop), n(job.n), d(job.d), dv(job.dv),
      scale(job.scale > 0 ? job.scale : 1.0f / std::sqrt(float(job.d))), softcap(job.softcap),
      keys_(job.keys), values_(job.values), key_stride_(job.key_stride ? job.key_stride : job.d),
      value_stride_(job.value_stride ? job.value_stride : job.dv), key_pos_(job.key_pos) {
    clean(job);
    split(job);
}

void Head::clean(const halo_compact_job & job) {
    bool biased = false, bad = false;
    bias.assign(n, 0.0f);
    for (int j = 0; j < n; ++j) {
        if (job.beta) {
            const float b = job.beta[j];
            bias[j] = b - b == 0.0f ? b : NEG_INF; // NaN and +inf too
            biased |= bias[j] != 0.0f;
        }
        const bool finite = all_finite(keys_ + j * key_stride_, d) && all_finite(values_ + j * value_stride_, dv);
        if (!finite) {
            bias[j] = NEG_INF;
            bad = biased = true;
        }
        live += bias[j] > NEG_INF;
    }
    if (bad) { // 0 * NaN would spread through the products
        clean_keys_.assign(size_t(n) * d, 0.0f);
        clean_values_.assign(size_t(n) * dv, 0.0f);
        for (int j = 0; j < n; ++j) {
            if (all_finite(keys_ + j * key_stride_, d) && all_finite(values_ + j * value_stride_, dv)) {
                std::copy_n(keys_ + j * key_stride_, d, clean_keys_.data() + size_t(j) * d);
                std::copy_n(values_ + j * value_stride_, dv, clean_values_.data() + size_t(j) * dv);
            }
        }
        keys_ = clean_keys_.data();
        values_ = clean_values_.data();
        key_stride_ = d;
        value_stride_ = dv;
    }
    for (int j = 0; j < n; ++j) {
        if (bias[j] > NEG_INF) {
            value_max = std::max(value_max, max_abs(values_ + j * value_stride_, dv));
        }
    }
    if (!biased) {
        bias.clear();
    }
}

// Neighbouring queries resemble each other, so the judging share is made of whole stripes.
void Head::split(const halo_compact_job & job) {
    const int64_t stride = job.query_stride ? job.query_stride : d;
    int32_t first_pos = INT32_MAX, last_pos = INT32_MIN;
    for (int j = 0; key_pos_ && j < n; ++j) {
        if (bias.empty() || bias[j] > NEG_INF) {
            first_pos = std::min(first_pos, key_pos_[j]);
            last_pos = std::max(last_pos, key_pos_[j]);
        }
    }
    const bool placed = key_pos_ && job.query_pos;
    Indices usable;
    bool masks = false;
    for (int i = 0; i < job.q && live > 0; ++i) {
        if (all_finite(job.queries + i * stride, d) && (!placed || job.query_pos[i] >= first_pos)) {
            usable.push_back(i);
            masks |= placed && job.query_pos[i] < last_pos;
        }
    }
    q = int(usable.size());
    const int stripes = std::min(q, STRIPES);
    std::vector<char> judged(std::max(stripes, 1), 0);
    if (q >= MIN_JUDGED && params.holdout > 0) {
        const int wanted = std::max(1, int(std::lround(params.holdout * float(stripes))));
        Random random{params.seed * 2654435761ULL + 1};
        for (int chosen = 0; chosen < wanted;) {
            char & stripe = judged[random.below(uint32_t(stripes))];
            chosen += !stripe;
            stripe = 1;
        }
    }
    queries.resize(size_t(q) * d);
    int row = 0;
    for (const bool want : {false, true}) {
        for (int i = 0; i < q; ++i) {
            if (bool(judged[int64_t(i) * stripes / q]) == want) {
                std::copy_n(job.queries + usable[i] * stride, d, queries.data() + size_t(row++) * d);
                if (masks) {
                    query_pos_.push_back(job.query_pos[usable[i]]);
                }
                if (job.log_rest) {
                    log_rest_.push_back(job.log_rest[usable[i]]);
                }
            }
        }
        q_fit = want ? q_fit : row;
    }
}

// Scores of one query become unnormalised weights, in place; returns the log of their mass.
float Head::weigh(float * row, int query) const {
    float top = NEG_INF;
    if (softcap > 0) {
#pragma omp simd
        for (int j = 0; j < n; ++j) {
            row[j] = soft_cap(clean_score(row[j]), softcap);
        }
    }
    if (!bias.empty()) {
        const float * b = bias.data();
#pragma omp simd
        for (int j = 0; j < n; ++j) {
            row[j] = clean_score(row[j]) + b[j];
        }
    }
    if (!query_pos_.empty()) {
        const int32_t here = query_pos_[query];
#pragma omp simd
        for (int j = 0; j < n; ++j) {
            row[j] = key_pos_[j] <= here ? row[j] : NEG_INF;
        }
    }
#pragma omp simd reduction(max : top)
    for (int j = 0; j < n; ++j) {
        const float s = row[j] < SCORE_MAX ? row[j] : SCORE_MAX;
        top = s > top ? s : top;
    }
    // NaN fails both comparisons above and leaves as 0 here, like a masked cell.
    if (!(top > NEG_INF)) {
        top = 0;
    }
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int j = 0; j < n; ++j) {
        const float s = row[j] < SCORE_MAX ? row[j] : SCORE_MAX;
        const float e = fast_exp(s > NEG_INF ? s - top : NEG_INF);
        row[j] = e;
        sum += e;
    }
    return sum > 0 ? top + std::log(sum) : NEG_INF;
}

void Head::attend(bool keep_mass) {
    log_mass.assign(q, NEG_INF);
    share.assign(log_rest_.size(), 1.0f);
    targets.assign(size_t(q) * dv, 0.0f);
    mean.assign(n, 0.0f);
    score.assign(n, 0.0f);
    if (keep_mass) {
        mass.resize(size_t(q) * n);
    }
    const int rows = std::clamp(BLOCK_SCORES / n, 32, 128);
    const int blocks = (q + rows - 1) / rows;
    const int kind = params.score;
    std::vector<Floats> block_of(team.size()), sums(team.size()), tops(team.size());
    team.run(blocks, [&](int block, int worker) {
        stop.check();
        const int first = block * rows, count = std::min(rows, q - first);
        Floats & own = block_of[worker];
        if (sums[worker].empty()) {
            sums[worker].assign(n, 0.0f);
            tops[worker].assign(n, 0.0f);
            own.resize(size_t(rows) * n);
        }
        float * weights = own.data();
        float * sum = sums[worker].data();
        float * top = tops[worker].data();
        gemm(false, true, count, n, d, scale, queries.data() + size_t(first) * d, d, keys_, int(key_stride_), 0, weights, n);
        for (int i = 0; i < count; ++i) {
            float * row = weights + size_t(i) * n;
            log_mass[first + i] = weigh(row, first + i);
            float total = 0;
#pragma omp simd reduction(+ : total)
            for (int j = 0; j < n; ++j) {
                total += row[j];
            }
            float inverse = total > 0 ? 1.0f / total : 0.0f;
            if (!log_rest_.empty()) {
                // NaN (no idea) and -inf (nothing else) both leave the whole share.
                const float apart = log_rest_[first + i] - log_mass[first + i];
                const float part = apart < 80.0f ? 1.0f / (1.0f + std::exp(apart)) : 0.0f;
                share[first + i] = apart == apart ? part : 1.0f;
                inverse *= share[first + i];
            }
            if (kind == HALO_COMPACT_MAX) {
#pragma omp simd
                for (int j = 0; j < n; ++j) {
                    const float p = row[j] * inverse;
                    row[j] = p;
                    sum[j] += p;
                    top[j] = p > top[j] ? p : top[j];
                }
            } else {
#pragma omp simd
                for (int j = 0; j < n; ++j) {
                    const float p = row[j] * inverse;
                    row[j] = p;
                    sum[j] += p;
                    top[j] += p * p;
                }
            }
        }
        for (int i = 0; keep_mass && i < count; ++i) {
            shorten(weights + size_t(i) * n, mass.data() + size_t(first + i) * n, n);
        }
        gemm(false, false, count, dv, n, 1, weights, n, values_, int(value_stride_), 0, targets.data() + size_t(first) * dv, dv);
    });
    for (int w = 0; w < team.size(); ++w) {
        for (int j = 0; j < n && !sums[w].empty(); ++j) {
            mean[j] += sums[w][j];
            score[j] = kind == HALO_COMPACT_MAX ? std::max(score[j], tops[w][j]) : score[j] + tops[w][j];
        }
    }
    for (int j = 0; j < n; ++j) {
        mean[j] /= float(std::max(q, 1));
        if (kind == HALO_COMPACT_MEAN) {
            score[j] = mean[j];
        } else if (kind == HALO_COMPACT_RMS) {
            score[j] = std::sqrt(score[j] / float(std::max(q, 1)));
        }
        if (!bias.empty() && bias[j] == NEG_INF) {
            mean[j] = score[j] = -1;
        }
    }
}

void Head::features(const Indices & cells, int first, int last, float * out) const {
    const int cols = last - first, m = int(cells.size());
    const int most = team.size() > 1 ? 16 : 64;
    team.run((m + most - 1) / most, [&](int block, int) {
        const int begin = block * most, count = std::min(most, m - begin);
        Floats chosen(size_t(count) * d);
        for (int j = 0; j < count; ++j) {
            std::copy_n(keys_ + cells[begin + j] * key_stride_, d, chosen.data() + size_t(j) * d);
        }
        float * rows = out + size_t(begin) * cols;
        gemm(false, true, count, cols, d, scale, chosen.data(), d, queries.data() + size_t(first) * d, d, 0, rows, cols);
        for (int j = 0; j < count; ++j) {
            const int cell = cells[begin + j];
            const float b = bias.empty() ? 0.0f : bias[cell];
            const float * z = log_mass.data() + first;
            float * row = rows + size_t(j) * cols;
            if (!(b > NEG_INF)) {
                std::fill_n(row, cols, 0.0f);
                continue;
            }
            if (softcap > 0) {
#pragma omp simd
                for (int i = 0; i < cols; ++i) {
                    row[i] = soft_cap(clean_score(row[i]), softcap);
                }
            }
#pragma omp simd
            for (int i = 0; i < cols; ++i) {
                const float s = clean_score(row[i]) + b - z[i];
                row[i] = fast_exp(s < 0.0f ? s : 0.0f);
            }
            if (!query_pos_.empty()) {
                const int32_t * here = query_pos_.data() + first;
                const int32_t pos = key_pos_[cell];
#pragma omp simd
                for (int i = 0; i < cols; ++i) {
                    row[i] = pos <= here[i] ? row[i] : 0.0f;
                }
            }
        }
    });
}

void Head::scale_by_share(float * rows, int m, int first, int last) const {
    const int cols = last - first;
    for (int j = 0; j < m && !share.empty(); ++j) {
        float * row = rows + size_t(j) * cols;
        const float * part = share.data() + first;
#pragma omp simd
        for (int i = 0; i < cols; ++i) {
            row[i] *= part[i];
        }
    }
}

Floats Head::shares(int cols) const {
    return share.empty() ? Floats(cols, 1.0f) : Floats(share.begin(), share.begin() + cols);
}

Floats Head::gather_values(const Indices & cells) const {
    Floats out(cells.size() * dv);
    for (size_t j = 0; j < cells.size(); ++j) {
        std::copy_n(values_ + cells[j] * value_stride_, dv, out.data() + j * dv);
    }
    return out;
}

} // namespace halo::compact
