// One head's problem: cleaned input, and what a single pass over queries x keys leaves behind.
#pragma once

#include <atomic>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "halo_compact.h"
#include "simd.h"
#include "team.h"

namespace halo::compact {

using Floats = std::vector<float>;
using Indices = std::vector<int32_t>;

struct Cancelled : std::exception {
    const char * what() const noexcept override { return "the compaction was cancelled"; }
};

// Pseudo-random order that is the same on every platform.
struct Random {
    uint64_t state;
    uint32_t below(uint32_t bound) {
        state = state * 6364136223846793005ULL + 1442695040888963407ULL;
        return uint32_t(((state >> 33) * bound) >> 31);
    }
};

// The caller's flag, read between heads and between rounds.
struct Stop {
    const int32_t * flag = nullptr;
    void check() const {
        if (flag && __atomic_load_n(flag, __ATOMIC_RELAXED)) {
            throw Cancelled();
        }
    }
};

struct Head {
    Head(const halo_compact_job & job, const halo_compact_params & params, Team & team, Stop stop);

    // Softmax of every query over the span: targets, log mass and scores. With keep_mass the
    // normalised weights [q, n] stay in `mass`.
    void attend(bool keep_mass);

    // Weights of the given cells at full-span normalisation, transposed: out[m, last - first].
    void features(const Indices & cells, int first, int last, float * out) const;

    Floats gather_values(const Indices & cells) const;

    const halo_compact_params & params;
    Team & team;
    Stop stop;
    int n = 0, d = 0, dv = 0;
    int q = 0;       // usable queries; the last q - q_fit judge the fits
    int q_fit = 0;
    int live = 0;    // cells that are present
    float scale = 1, softcap = 0;
    float value_max = 0;

    Floats queries;  // [q, d], fitting queries first
    Floats bias;     // [n]: beta, -inf for absent cells; empty when all are 0
    Floats log_mass; // [q]
    Floats share;    // [q] of the attention that goes to the span; empty: 1
    Floats targets;  // [q, dv], times the share
    Floats mean;     // [n] mean attention; -1 for absent cells
    Floats score;    // [n] the score asked for, not pooled
    std::vector<uint16_t> mass; // [q, n] bfloat16, or empty; rows times the share

    // Rows [m, last - first] of cells times the share of each query.
    void scale_by_share(float * rows, int m, int first, int last) const;
    const float * key(int cell) const { return keys_ + cell * key_stride_; }
    const float * value(int cell) const { return values_ + cell * value_stride_; }
    int64_t key_stride() const { return key_stride_; }
    int64_t value_stride() const { return value_stride_; }
    // Log mass of a query's attention outside the span; NaN where that is not known.
    float log_rest(int query) const { return log_rest_.empty() ? std::numeric_limits<float>::quiet_NaN() : log_rest_[query]; }
    // Whether some query does not see all keys.
    bool masked() const { return !query_pos_.empty(); }

    // The share of queries [0, cols), or ones: what the rows of mass sum to.
    Floats shares(int cols) const;

  private:
    void clean(const halo_compact_job & job);
    void split(const halo_compact_job & job);
    float weigh(float * row, int query) const;

    const float * keys_ = nullptr;
    const float * values_ = nullptr;
    int64_t key_stride_ = 0, value_stride_ = 0;
    const int32_t * key_pos_ = nullptr;
    std::vector<int32_t> query_pos_; // of `queries`, empty when nothing is masked
    Floats log_rest_; // of `queries`, empty when not given
    Floats clean_keys_, clean_values_;
};

// Cells in the order of their worth, best first; absent cells come last. At least `m` long.
Indices rank_attention(const Head & head);
Indices rank_mean(const Head & head);
Indices rank_recent(const Head & head, int m, const int32_t * key_pos);
Indices rank_omp(const Head & head, int m, float beta_max);

struct Result {
    Floats keys; // [m, d] where they were refined, else empty
    Floats beta, values;
    halo_compact_diagnostics diagnostics{};
};

// Weights and values for the given (ascending) cells; with `refine` steps, keys too.
Result fit(const Head & head, const Indices & cells, float beta_max, int refine);

// Relative output error of the cells as they are, over the held-out queries.
float unfitted_error(const Head & head, const Indices & cells);

// min |1 - sum_j w_j row_j|^2 with lo <= w <= hi, by coordinate descent from the given w. The rows
// are the first `cols` entries of at[j * stride]; `residual` [cols] ends as 1 - sum_j w_j row_j.
void solve_weights(const float * at, int64_t stride, int m, int cols, float lo, float hi, int sweeps, float * w,
                   float * residual);

} // namespace halo::compact
