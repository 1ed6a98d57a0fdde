// Biases, cell contents, eviction, moves and kept queries on a tiny model: test_bias MODEL.gguf.
// What they mean for attention is tested from Python; here it is memory and refusals.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

#include "halo.h"
#include "llama.h"

#define CHECK(condition)                                                                     \
    do {                                                                                     \
        if (!(condition)) {                                                                  \
            std::fprintf(stderr, "%s:%d: %s is false; last error: \"%s\"\n", __FILE__, __LINE__, \
                         #condition, halo_last_error());                                     \
            std::exit(1);                                                                    \
        }                                                                                    \
    } while (0)

namespace {

constexpr int32_t N = 60;

struct free_context {
    void operator()(llama_context * ctx) const {
        halo_detach(ctx);
        llama_free(ctx);
    }
};

using context = std::unique_ptr<llama_context, free_context>;

context make_context(llama_model * model, bool flash) {
    auto params            = llama_context_default_params();
    params.n_ctx           = 256;
    params.n_batch         = params.n_ubatch = 64;
    params.n_seq_max       = 2;
    params.n_outputs_max   = 2;
    params.n_threads       = params.n_threads_batch = 2;
    params.kv_unified      = true;
    params.swa_full        = true;
    params.flash_attn_type = flash ? LLAMA_FLASH_ATTN_TYPE_ENABLED : LLAMA_FLASH_ATTN_TYPE_DISABLED;
    context ctx(llama_init_from_model(model, params));
    CHECK(ctx != nullptr);
    CHECK(halo_attach(ctx.get()) == HALO_OK);
    return ctx;
}

void decode(llama_context * ctx, llama_seq_id seq, llama_pos from, int32_t n) {
    auto batch = llama_batch_init(n, 0, 1);
    for (int32_t i = 0; i < n; ++i) {
        batch.token[i]     = 10 + i % 200;
        batch.pos[i]       = from + i;
        batch.n_seq_id[i]  = 1;
        batch.seq_id[i][0] = seq;
        batch.logits[i]    = i == n - 1;
    }
    batch.n_tokens = n;
    CHECK(llama_decode(ctx, batch) == 0);
    llama_batch_free(batch);
}

int32_t layers_of(llama_context * ctx, int32_t cache) {
    halo_cache_info info{};
    CHECK(halo_cache_describe(ctx, cache, &info) == HALO_OK);
    return info.n_layers;
}

void test_data(llama_context * ctx) {
    const std::vector<int32_t> cells = { 3, 4, 5, 20, 7 };
    const auto n = (int32_t) cells.size();
    for (int32_t cache = 0; cache < halo_cache_count(ctx); ++cache) {
        for (int32_t i = 0; i < layers_of(ctx, cache); ++i) {
            halo_layer_info info{};
            CHECK(halo_layer_describe(ctx, cache, i, &info) == HALO_OK);
            CHECK(info.n_head % info.n_head_kv == 0);
            std::vector<float> k((size_t) n * info.n_head_kv * info.d_k), v((size_t) n * info.n_head_kv * info.d_v), k2(k), v2(v);
            CHECK(halo_cells_read(ctx, cache, i, 0, cells.data(), n, k.data(), v.data()) == HALO_OK);
            CHECK(halo_cells_write(ctx, cache, i, 0, cells.data(), n, k.data(), v.data()) == HALO_OK);
            CHECK(halo_cells_read(ctx, cache, i, 0, cells.data(), n, k2.data(), v2.data()) == HALO_OK);
            CHECK(k == k2 && v == v2);
            v[0] = NAN;
            CHECK(halo_cells_write(ctx, cache, i, 0, cells.data(), n, k.data(), v.data()) == HALO_ERR_ARGUMENT);
            const int32_t outside = 100000;
            CHECK(halo_cells_read(ctx, cache, i, 0, &outside, 1, k.data(), nullptr) == HALO_ERR_ARGUMENT);
            CHECK(halo_cells_read(ctx, cache, i, 9, cells.data(), n, k.data(), nullptr) == HALO_ERR_ARGUMENT);
            CHECK(halo_cells_read(ctx, cache, i, 0, nullptr, 0, nullptr, nullptr) == HALO_OK);
        }
        CHECK(halo_layer_describe(ctx, cache, 99, nullptr) == HALO_ERR_ARGUMENT);
    }
}

void test_bias(llama_context * ctx) {
    const std::vector<int32_t> cells = { 8, 30, 31, 9 };
    const auto n = (int32_t) cells.size();
    for (int32_t cache = 0; cache < halo_cache_count(ctx); ++cache) {
        for (int32_t i = 0; i < layers_of(ctx, cache); ++i) {
            halo_layer_info info{};
            CHECK(halo_layer_describe(ctx, cache, i, &info) == HALO_OK);
            std::vector<float> beta((size_t) n * info.n_head_kv), got(beta);
            for (size_t b = 0; b < beta.size(); ++b) {
                beta[b] = b % 3 ? 0.5f * (float) b : -INFINITY;
            }
            CHECK(halo_bias_set(ctx, cache, i, 0, cells.data(), n, beta.data()) == HALO_OK);
            CHECK(halo_bias_get(ctx, cache, i, 0, cells.data(), n, got.data()) == HALO_OK);
            CHECK(beta == got);
            beta[0] = NAN;
            CHECK(halo_bias_set(ctx, cache, i, 0, cells.data(), n, beta.data()) == HALO_ERR_ARGUMENT);
        }
        CHECK(halo_bias_count(ctx, cache) == n);
    }
    int32_t end = N;
    for (const int32_t mode : { 1, 2, 0 }) {
        CHECK(halo_bias_mode(ctx, mode) == HALO_OK);
        decode(ctx, 0, end, 3);
        end += 3;
    }
    CHECK(halo_bias_mode(ctx, 3) == HALO_ERR_ARGUMENT);
}

void test_evict_and_move(llama_context * ctx) {
    int32_t last = 0;
    for (int32_t cache = 0; cache < halo_cache_count(ctx); ++cache) {
        std::vector<int32_t> cells(256), pos(256), owners(256);
        const int32_t n = halo_cells_of(ctx, cache, 0, 0, cells.data(), pos.data(), owners.data(), 256);
        CHECK(n == N + 9);
        CHECK(halo_cells_of(ctx, cache, 0, 0, nullptr, nullptr, nullptr, 0) == n);
        const int32_t end = cells[n - 1];
        CHECK(halo_cells_evict(ctx, cache, 0, 0, &end, 1) == HALO_ERR_ARGUMENT);
        CHECK(halo_cells_evict(ctx, cache, 0, 1, cells.data(), 1) == HALO_ERR_ARGUMENT);
        const std::vector<int32_t> gone = { cells[10], cells[11], cells[12], cells[30], cells[31], cells[30] };
        CHECK(halo_cells_evict(ctx, cache, 0, 0, gone.data(), (int32_t) gone.size()) == HALO_OK);
        CHECK(halo_cells_evict(ctx, cache, 0, 0, gone.data(), 1) == HALO_ERR_ARGUMENT);
        int32_t moved = 0;
        while (const int32_t step = halo_cells_defragment(ctx, cache, 0, 2)) {
            CHECK(step > 0);
            moved += step;
        }
        CHECK(moved == 5);
        halo_cells_summary sum{};
        CHECK(halo_cells(ctx, cache, 0, nullptr, nullptr, nullptr, nullptr, 0, &sum) == HALO_OK);
        CHECK(sum.used == sum.highest);
        CHECK(halo_cells_of(ctx, cache, 0, 0, nullptr, nullptr, nullptr, 0) == n - 5);
        last = pos[n - 1];
    }
    decode(ctx, 0, last + 1, 2);
}

void test_queries(llama_context * ctx) {
    CHECK(halo_queries_count(ctx, 1, 0) == HALO_ERR_ARGUMENT);
    CHECK(halo_queries_track(ctx, 1, 7) == HALO_OK);
    decode(ctx, 1, 0, 20);
    decode(ctx, 1, 20, 1);
    CHECK(halo_queries_count(ctx, 1, 0) == 7);
    CHECK(halo_queries_count(ctx, 1, 19) == 2);
    for (int32_t i = 0; i < layers_of(ctx, 0); ++i) {
        halo_layer_info info{};
        CHECK(halo_layer_describe(ctx, 0, i, &info) == HALO_OK);
        std::vector<int32_t> pos(7);
        std::vector<float>   q((size_t) 7 * info.n_head * info.d_k);
        CHECK(halo_queries_read(ctx, i, 1, 0, pos.data(), q.data(), 7) == 7);
        CHECK(pos.front() == 14 && pos.back() == 20);
        CHECK(halo_queries_read(ctx, i, 1, 0, pos.data(), q.data(), 3) == 3);
    }
    CHECK(halo_queries_forget(ctx, 1, 20) == HALO_OK);
    CHECK(halo_queries_count(ctx, 1, 0) == 6);
    CHECK(halo_queries_track(ctx, 1, 0) == HALO_OK);
    CHECK(halo_queries_track(ctx, -1, 4) == HALO_ERR_ARGUMENT);
    decode(ctx, 1, 21, 1);
}

} // namespace

int main(int argc, char ** argv) {
    if (argc != 2) {
        std::fprintf(stderr, "usage: test_bias MODEL.gguf\n");
        return 2;
    }
    llama_log_set([](ggml_log_level, const char *, void *) {}, nullptr);
    llama_backend_init();
    auto * model = llama_model_load_from_file(argv[1], llama_model_default_params());
    CHECK(model != nullptr);
    for (const bool flash : { true, false }) {
        const auto ctx = make_context(model, flash);
        decode(ctx.get(), 0, 0, N);
        test_data(ctx.get());
        test_bias(ctx.get());
        test_queries(ctx.get());
        test_evict_and_move(ctx.get());
    }
    llama_model_free(model);
    llama_backend_free();
    std::puts("ok");
    return 0;
}
