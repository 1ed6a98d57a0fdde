// The C border: checks, threads, status codes.
#include "halo_compact.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>
#include <new>
#include <string>

#include "blas.h"
#include "head.h"

namespace halo::compact {

namespace {

thread_local std::string g_error;

int32_t fail(int32_t code, const char * message) noexcept {
    try {
        g_error = message;
    } catch (...) {
        g_error.clear();
    }
    return code;
}

double now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

const char * fault(const halo_compact_params * p) {
    if (!p) {
        return "the parameters are missing";
    }
    if (p->method < HALO_COMPACT_ATTENTION || p->method > HALO_COMPACT_EVICT_RECENT) {
        return "the method is unknown";
    }
    if (p->score < HALO_COMPACT_RMS || p->score > HALO_COMPACT_MAX) {
        return "the score is unknown";
    }
    const bool widened = std::isnan(p->beta_max);
    if (!(p->beta_min > -60 && p->beta_min < 60) || (!widened && !(p->beta_min < p->beta_max && p->beta_max < 60))) {
        return "the bounds of beta must be in order and within -60..60";
    }
    if (!(p->holdout >= 0 && p->holdout <= 0.5f)) {
        return "the held-out share must be within 0..0.5";
    }
    if (p->refine < 0) {
        return "the steps of refinement cannot be negative";
    }
    if (std::isnan(p->ridge)) {
        return "the ridge is not a number";
    }
    return nullptr;
}

const char * fault(const halo_compact_job & job) {
    if (!job.keys || !job.values || (job.q > 0 && !job.queries)) {
        return "keys, values or queries are missing";
    }
    if (job.n < 1 || job.d < 1 || job.dv < 1 || job.q < 0) {
        return "a head needs at least one cell and one dimension";
    }
    if (job.key_stride < 0 || job.value_stride < 0 || job.query_stride < 0) {
        return "strides cannot be negative";
    }
    if (!(job.scale >= 0 && job.scale < INF) || !(job.softcap >= 0 && job.softcap < INF)) {
        return "the scale and the soft cap must be finite and not negative";
    }
    return nullptr;
}

// A cell that stands for many others needs that weight, some of them more. The pursuit makes use of
// wider bounds; the keys of largest attention are too much alike, and trade output for mass.
float upper_bound(const halo_compact_params & params, int live, int m) {
    if (!std::isnan(params.beta_max)) {
        return params.beta_max;
    }
    const float wide = params.method == HALO_COMPACT_OMP ? std::log(float(std::max(live, 1)) / float(m)) + 1.0f : 0.0f;
    return std::max({3.0f, wide, params.beta_min + 1.0f});
}

Indices first_sorted(const Indices & order, int m) {
    Indices cells(order.begin(), order.begin() + m);
    std::sort(cells.begin(), cells.end());
    return cells;
}

// A head that has been attended to, ready to be fitted at any m.
class Solver {
  public:
    Solver(const halo_compact_job & job, const halo_compact_params & params, Team & team, Stop stop, int most)
        : job_(job), head_(job, params, team, stop) {
        const bool omp = params.method == HALO_COMPACT_OMP && head_.q > 0;
        head_.attend(omp);
        if (head_.q == 0 || params.method == HALO_COMPACT_EVICT_RECENT) {
            recent_only_ = true; // nothing was asked, so nothing is known but age
        } else if (omp) {
            order_ = rank_omp(head_, most, upper_bound(params, head_.live, most));
            head_.mass = {};
        } else {
            order_ = params.method == HALO_COMPACT_ATTENTION ? rank_attention(head_) : rank_mean(head_);
        }
    }

    Indices cells(int m) const {
        return first_sorted(recent_only_ ? rank_recent(head_, m, job_.key_pos) : order_, m);
    }

    const float * key(int cell) const { return head_.key(cell); }

    Result solve(int m, int refine) const {
        const Indices chosen = cells(m);
        Result out = fit(head_, chosen, upper_bound(head_.params, head_.live, m), refine);
        out.diagnostics.output_error_evict_attention = unfitted_error(head_, first_sorted(rank_mean(head_), m));
        out.diagnostics.output_error_evict_recent =
            unfitted_error(head_, first_sorted(rank_recent(head_, m, job_.key_pos), m));
        return out;
    }

  private:
    const halo_compact_job & job_;
    Head head_;
    Indices order_;
    bool recent_only_ = false;
};

void solve(halo_compact_job & job, const halo_compact_params & params, Team & team, Stop stop) {
    const double start = now();
    stop.check();
    const int m = std::min(job.m, job.n);
    std::fill_n(job.indices, job.m, -1);
    std::fill_n(job.out_beta, job.m, NEG_INF);
    std::fill_n(job.out_values, size_t(job.m) * job.dv, 0.0f);
    if (job.out_keys) {
        std::fill_n(job.out_keys, size_t(job.m) * job.d, 0.0f);
    }
    halo_compact_params own = params;
    if (m == job.n) {
        own.fit_beta = own.fit_values = 0; // every cell stays, so there is nothing to mend
        own.method = HALO_COMPACT_ATTENTION;
    }
    const Solver solver(job, own, team, stop, m);
    const Indices cells = solver.cells(m);
    const Result result = solver.solve(m, job.out_keys ? own.refine : 0);
    std::copy(cells.begin(), cells.end(), job.indices);
    std::copy(result.beta.begin(), result.beta.end(), job.out_beta);
    std::copy(result.values.begin(), result.values.end(), job.out_values);
    for (int j = 0; job.out_keys && j < m; ++j) {
        const float * key = result.keys.empty() ? solver.key(cells[j]) : result.keys.data() + size_t(j) * job.d;
        std::copy_n(key, job.d, job.out_keys + size_t(j) * job.d);
    }
    job.count = m;
    job.diagnostics = result.diagnostics;
    job.diagnostics.seconds = now() - start;
}

// Runs the body and turns what it throws into a status.
template <typename F> int32_t guarded(F && body) noexcept {
    try {
        body();
        return HALO_COMPACT_OK;
    } catch (const Cancelled & e) {
        return fail(HALO_COMPACT_ERR_CANCELLED, e.what());
    } catch (const std::bad_alloc &) {
        return fail(HALO_COMPACT_ERR_MEMORY, "memory ran out during compaction");
    } catch (const std::exception & e) {
        return fail(HALO_COMPACT_ERR_INTERNAL, e.what());
    } catch (...) {
        return fail(HALO_COMPACT_ERR_INTERNAL, "an unknown C++ exception");
    }
}

int thread_count(int wanted) {
    const int cores = int(std::thread::hardware_concurrency());
    return std::clamp(wanted > 0 ? wanted : cores, 1, 256);
}

const char * message_of(int32_t status) {
    switch (status) {
        case HALO_COMPACT_ERR_CANCELLED: return "the compaction was cancelled";
        case HALO_COMPACT_ERR_MEMORY: return "memory ran out during compaction";
        default: return "a head could not be compacted";
    }
}

} // namespace

} // namespace halo::compact

using namespace halo::compact;

extern "C" {

const char * halo_compact_last_error(void) {
    return g_error.c_str();
}

int32_t halo_compact_abi(void) {
    return HALO_COMPACT_ABI;
}

void halo_compact_defaults(halo_compact_params * params) {
    if (params) {
        *params = {HALO_COMPACT_ATTENTION, HALO_COMPACT_RMS, 0, 4, 2, 1, 1, -3.0f, std::nanf(""), -1.0f, 5.0f, 32752.0f, 0.2f, 0, 0, 0};
    }
}

int32_t halo_compact_run(halo_compact_job * jobs, int32_t n_jobs, const halo_compact_params * params,
                         const int32_t * cancel, int32_t * done) {
    if (const char * what = fault(params)) {
        return fail(HALO_COMPACT_ERR_ARGUMENT, what);
    }
    if (n_jobs < 0 || (n_jobs > 0 && !jobs)) {
        return fail(HALO_COMPACT_ERR_ARGUMENT, "the jobs are missing");
    }
    for (int i = 0; i < n_jobs; ++i) {
        const char * what = fault(jobs[i]);
        if (!what && (jobs[i].m < 1 || !jobs[i].indices || !jobs[i].out_beta || !jobs[i].out_values)) {
            what = "a head needs m of at least 1 and room for its results";
        }
        if (what) {
            return fail(HALO_COMPACT_ERR_ARGUMENT, what);
        }
        jobs[i].count = 0;
        jobs[i].status = HALO_COMPACT_ERR_CANCELLED;
        jobs[i].diagnostics = {};
    }
    const int32_t status = guarded([&] {
        scipy_openblas_set_num_threads(1);
        Team team(thread_count(params->threads));
        const auto one = [&](int i, Team & own) {
            jobs[i].status = guarded([&] { solve(jobs[i], *params, own, Stop{cancel}); });
            if (done && jobs[i].status == HALO_COMPACT_OK) {
                __atomic_fetch_add(done, 1, __ATOMIC_RELAXED);
            }
        };
        if (n_jobs >= team.size()) { // a head each; else each head is split over the threads
            team.run(n_jobs, [&](int i, int) {
                Team alone(1);
                one(i, alone);
            });
        } else {
            for (int i = 0; i < n_jobs; ++i) {
                one(i, team);
            }
        }
    });
    if (status != HALO_COMPACT_OK) {
        return status;
    }
    for (int i = 0; i < n_jobs; ++i) {
        if (jobs[i].status != HALO_COMPACT_OK) {
            return fail(jobs[i].status, message_of(jobs[i].status));
        }
    }
    return HALO_COMPACT_OK;
}

int32_t halo_compact_profile(const halo_compact_job * job, const int32_t * ms, int32_t n_ms,
                             const halo_compact_params * params, const int32_t * cancel,
                             halo_compact_diagnostics * out) {
    if (const char * what = fault(params)) {
        return fail(HALO_COMPACT_ERR_ARGUMENT, what);
    }
    if (!job || n_ms < 0 || (n_ms > 0 && (!ms || !out))) {
        return fail(HALO_COMPACT_ERR_ARGUMENT, "the job or the sizes are missing");
    }
    if (const char * what = fault(*job)) {
        return fail(HALO_COMPACT_ERR_ARGUMENT, what);
    }
    int32_t most = 1;
    for (int i = 0; i < n_ms; ++i) {
        if (ms[i] < 1) {
            return fail(HALO_COMPACT_ERR_ARGUMENT, "m must be at least 1");
        }
        most = std::max(most, std::min(ms[i], job->n));
    }
    return guarded([&] {
        scipy_openblas_set_num_threads(1);
        Team team(thread_count(params->threads));
        const Solver solver(*job, *params, team, Stop{cancel}, most);
        for (int i = 0; i < n_ms; ++i) {
            const double start = now();
            out[i] = solver.solve(std::min(ms[i], job->n), 0).diagnostics;
            out[i].seconds = now() - start;
        }
    });
}

double halo_compact_gemm_rate(int32_t rows, int32_t cols, int32_t inner, int32_t threads, double seconds) {
    double rate = 0;
    guarded([&] {
        scipy_openblas_set_num_threads(1);
        Team team(thread_count(threads));
        if (rows < 1 || cols < 1 || inner < 1) {
            return;
        }
        const Floats a(size_t(rows) * inner, 0.5f), b(size_t(cols) * inner, 0.5f);
        std::vector<Floats> c(team.size(), Floats(size_t(rows) * cols));
        // The fastest of many rounds: other work on the machine only makes it slower.
        for (const double end = now() + seconds; now() < end;) {
            const double start = now();
            team.run(team.size(), [&](int, int worker) {
                gemm(false, true, rows, cols, inner, 1, a.data(), inner, b.data(), inner, 0, c[worker].data(), cols);
            });
            rate = std::max(rate, 2e-9 * rows * cols * inner * team.size() / (now() - start));
        }
    });
    return rate;
}

} // extern "C"
