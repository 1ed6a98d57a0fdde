// The compaction kernels alone: shapes, bounds, degenerate input, cancelling. Exit code 0 = all held.
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <random>
#include <set>
#include <vector>

#include "halo_compact.h"

static int g_failed = 0;

#define CHECK(condition)                                                       \
    do {                                                                       \
        if (!(condition)) {                                                    \
            std::printf("%s:%d: %s\n", __FILE__, __LINE__, #condition);        \
            ++g_failed;                                                        \
        }                                                                      \
    } while (0)

namespace {

constexpr float NAN_F = std::numeric_limits<float>::quiet_NaN();
constexpr float INF_F = std::numeric_limits<float>::infinity();

struct Case {
    int n, q, d, m;
    std::vector<float> keys, values, queries, beta, out_beta, out_values, out_keys;
    std::vector<int32_t> key_pos, query_pos, indices;
    halo_compact_job job{};

    Case(int n, int q, int d, int m, unsigned seed = 1)
        : n(n), q(q), d(d), m(m), keys(size_t(n) * d), values(size_t(n) * d), queries(size_t(q) * d), out_beta(m),
          out_values(size_t(m) * d), out_keys(size_t(m) * d), indices(m) {
        std::mt19937 random(seed);
        std::normal_distribution<float> normal;
        for (auto * array : {&keys, &values, &queries}) {
            for (auto & x : *array) {
                x = normal(random);
            }
        }
    }

    halo_compact_job & prepare() {
        job = {};
        job.keys = keys.data();
        job.values = values.data();
        job.queries = queries.data();
        job.beta = beta.empty() ? nullptr : beta.data();
        job.key_pos = key_pos.empty() ? nullptr : key_pos.data();
        job.query_pos = query_pos.empty() ? nullptr : query_pos.data();
        job.n = n;
        job.q = q;
        job.d = job.dv = d;
        job.m = m;
        job.indices = indices.data();
        job.out_beta = out_beta.data();
        job.out_values = out_values.data();
        job.out_keys = out_keys.data();
        return job;
    }
};

halo_compact_params defaults(int method = HALO_COMPACT_ATTENTION, int threads = 2) {
    halo_compact_params p;
    halo_compact_defaults(&p);
    p.method = method;
    p.threads = threads;
    return p;
}

// What holds for every result, whatever went in.
void check_result(const Case & c) {
    const auto & info = c.job.diagnostics;
    const int count = std::min(c.m, c.n);
    CHECK(c.job.status == HALO_COMPACT_OK && c.job.count == count);
    for (int j = 0; j < c.m; ++j) {
        if (j >= count) {
            CHECK(c.indices[j] == -1 && c.out_beta[j] == -INF_F);
            continue;
        }
        CHECK(c.indices[j] >= 0 && c.indices[j] < c.n);
        CHECK(j == 0 || c.indices[j] > c.indices[j - 1]);
        CHECK(!std::isnan(c.out_beta[j]) && c.out_beta[j] < INF_F);
        if (c.out_beta[j] > -INF_F) {
            for (int i = 0; i < c.d; ++i) {
                CHECK(std::isfinite(c.out_values[size_t(j) * c.d + i]));
                CHECK(std::isfinite(c.out_keys[size_t(j) * c.d + i]));
                const float key = c.keys[size_t(c.indices[j]) * c.d + i];
                CHECK(info.refined || c.out_keys[size_t(j) * c.d + i] == key);
            }
        }
    }
    if (info.held_out > 0) {
        CHECK(info.output_error <= info.output_error_unfitted);
    }
}

void run(Case & c, halo_compact_params p) {
    for (const int steps : {0, 6}) {
        p.refine = steps;
        c.prepare();
        CHECK(halo_compact_run(&c.job, 1, &p, nullptr, nullptr) == HALO_COMPACT_OK);
        check_result(c);
        CHECK(steps || !c.job.diagnostics.refined);
    }
}

void shapes() {
    for (int method = 0; method < 4; ++method) {
        for (const int threads : {1, 3}) {
            for (const int n : {1, 2, 5, 33, 300}) {
                for (const int q : {0, 1, 7, 40}) {
                    for (const int m : {1, 3, n, n + 5}) {
                        Case c(n, q, 7, m);
                        run(c, defaults(method, threads));
                    }
                }
            }
        }
    }
}

void degenerate() {
    for (int method = 0; method < 4; ++method) {
        Case same(64, 32, 8, 9);
        for (size_t i = 8; i < same.keys.size(); ++i) {
            same.keys[i] = same.keys[i % 8];
        }
        run(same, defaults(method));
        Case zero(64, 32, 8, 9);
        std::fill(zero.values.begin(), zero.values.end(), 0.0f);
        run(zero, defaults(method));
        Case huge(64, 32, 8, 9);
        for (auto & x : huge.keys) {
            x *= 1e30f;
        }
        for (auto & x : huge.queries) {
            x *= 1e30f;
        }
        run(huge, defaults(method));
        Case broken(64, 32, 8, 9);
        broken.keys[3] = NAN_F;
        broken.values[100] = INF_F;
        broken.queries[9] = -INF_F;
        broken.beta.assign(64, 0.0f);
        broken.beta[20] = NAN_F;
        broken.beta[21] = INF_F;
        run(broken, defaults(method));
        const std::set<int> absent = {0, 12, 20, 21};
        for (const int cell : broken.indices) {
            CHECK(!absent.count(cell));
        }
        CHECK(broken.job.diagnostics.queries == 31);
        Case empty(64, 32, 8, 9);
        empty.beta.assign(64, -INF_F);
        run(empty, defaults(method));
        for (const float b : empty.out_beta) {
            CHECK(b == -INF_F);
        }
        Case future(64, 32, 8, 9);
        future.key_pos.resize(64);
        for (int j = 0; j < 64; ++j) {
            future.key_pos[j] = j;
        }
        future.query_pos.assign(32, 30);
        run(future, defaults(method));
        for (const int cell : future.indices) {
            CHECK(cell <= 30 || method == HALO_COMPACT_EVICT_RECENT);
        }
        future.query_pos.assign(32, -1); // sees nothing at all
        run(future, defaults(method));
        CHECK(future.job.diagnostics.queries == 0);
    }
}

void refusals() {
    Case c(16, 8, 4, 3);
    const auto refused = [&](halo_compact_params p) {
        CHECK(halo_compact_run(&c.job, 1, &p, nullptr, nullptr) == HALO_COMPACT_ERR_ARGUMENT);
        CHECK(std::strlen(halo_compact_last_error()) > 0);
    };
    c.prepare().m = 0;
    refused(defaults());
    c.prepare().keys = nullptr;
    refused(defaults());
    c.prepare().n = 0;
    refused(defaults());
    c.prepare().scale = NAN_F;
    refused(defaults());
    c.prepare();
    refused(defaults(9));
    auto p = defaults();
    p.beta_min = p.beta_max;
    refused(p);
    p = defaults();
    p.holdout = NAN_F;
    refused(p);
    p = defaults();
    CHECK(halo_compact_run(&c.job, 1, nullptr, nullptr, nullptr) == HALO_COMPACT_ERR_ARGUMENT);
    CHECK(halo_compact_run(nullptr, 1, &p, nullptr, nullptr) == HALO_COMPACT_ERR_ARGUMENT);
    CHECK(halo_compact_run(nullptr, 0, &p, nullptr, nullptr) == HALO_COMPACT_OK);
}

void many_and_cancelled() {
    std::vector<Case> cases;
    std::vector<halo_compact_job> jobs;
    for (int i = 0; i < 9; ++i) {
        cases.emplace_back(100 + i, 64, 16, 10 + i, i);
    }
    for (auto & c : cases) {
        jobs.push_back(c.prepare());
    }
    auto p = defaults(HALO_COMPACT_OMP, 3);
    int32_t done = 0, cancel = 0;
    CHECK(halo_compact_run(jobs.data(), 9, &p, &cancel, &done) == HALO_COMPACT_OK);
    CHECK(done == 9);
    for (int i = 0; i < 9; ++i) {
        cases[i].job = jobs[i];
        check_result(cases[i]);
    }
    cancel = 1;
    done = 0;
    CHECK(halo_compact_run(jobs.data(), 9, &p, &cancel, &done) == HALO_COMPACT_ERR_CANCELLED);
    CHECK(done == 0 && jobs[4].status == HALO_COMPACT_ERR_CANCELLED);
}

void profile() {
    Case c(200, 96, 16, 1);
    c.prepare();
    const std::vector<int32_t> ms = {5, 20, 60, 200, 500};
    std::vector<halo_compact_diagnostics> out(ms.size());
    for (int method = 0; method < 4; ++method) {
        auto p = defaults(method);
        CHECK(halo_compact_profile(&c.job, ms.data(), int(ms.size()), &p, nullptr, out.data()) == HALO_COMPACT_OK);
        CHECK(out[4].output_error < 1e-4f && out[3].output_error < 1e-4f);
        CHECK(out[0].output_error >= out[2].output_error * 0.8f);
    }
}

} // namespace

int main() {
    CHECK(halo_compact_abi() == HALO_COMPACT_ABI);
    shapes();
    degenerate();
    refusals();
    many_and_cancelled();
    profile();
    CHECK(halo_compact_gemm_rate(16, 64, 8, 2, 0.01) > 0);
    return g_failed != 0;
}
