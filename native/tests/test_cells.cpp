// Cells, hooks and the bare loop on a tiny model given by path. Exit code 0 = all checks held.
#include <cstdio>
#include <cstring>
#include <vector>

#include "halo.h"
#include "llama.h"

static int g_failed = 0;

#define CHECK(condition)                                                       \
    do {                                                                       \
        if (!(condition)) {                                                    \
            std::printf("%s:%d: %s\n", __FILE__, __LINE__, #condition);        \
            ++g_failed;                                                        \
        }                                                                      \
    } while (0)

static int decode(llama_context * ctx, int n, llama_pos start, llama_seq_id seq) {
    llama_batch batch = llama_batch_init(n, 0, 1);
    batch.n_tokens = n;
    for (int i = 0; i < n; ++i) {
        batch.token[i] = 5 + (i * 7) % 200;
        batch.pos[i] = start + i;
        batch.n_seq_id[i] = 1;
        batch.seq_id[i][0] = seq;
        batch.logits[i] = i == n - 1;
    }
    const int rc = llama_decode(ctx, batch);
    llama_batch_free(batch);
    return rc;
}

static void check_cells(llama_context * ctx, bool hybrid) {
    halo_cells_summary sum{};
    CHECK(halo_cells(ctx, 0, 0, nullptr, nullptr, nullptr, nullptr, 0, &sum) == HALO_ERR_NOT_ATTACHED);
    CHECK(std::strlen(halo_last_error()) > 0);
    CHECK(halo_attach(ctx) == HALO_OK);
    CHECK(halo_attach(ctx) == HALO_OK);
    const int caches = halo_cache_count(ctx);
    CHECK(caches >= 1);

    CHECK(decode(ctx, 20, 0, 0) == 0);
    CHECK(halo_cells(ctx, 0, 0, nullptr, nullptr, nullptr, nullptr, 0, &sum) == HALO_OK);
    CHECK(sum.used == 20 && sum.highest == 20 && sum.shared == 0);

    llama_memory_t memory = llama_get_memory(ctx);
    llama_memory_seq_cp(memory, 0, 1, hybrid ? -1 : 0, hybrid ? -1 : 12);
    const int shared = hybrid ? 20 : 12;
    std::vector<int32_t> pos(sum.total), owner(sum.total), first(sum.total), count(sum.total);
    CHECK(halo_cells(ctx, 0, 0, pos.data(), owner.data(), first.data(), count.data(), sum.total, &sum) == HALO_OK);
    CHECK(sum.shared == shared);
    for (int i = 0; i < sum.total; ++i) {
        CHECK(pos[i] == (i < 20 ? i : -1));
        CHECK(owner[i] == (i < shared ? HALO_CELL_SHARED : i < 20 ? 0 : HALO_CELL_FREE));
        CHECK(first[i] == (i < 20 ? 0 : -1));
        CHECK(count[i] == (i < shared ? 2 : i < 20 ? 1 : 0));
    }
    CHECK(halo_cells(ctx, 0, 0, pos.data(), nullptr, nullptr, nullptr, sum.total - 1, &sum) == HALO_ERR_ARGUMENT);
    CHECK(halo_cells(ctx, caches, 0, nullptr, nullptr, nullptr, nullptr, 0, &sum) == HALO_ERR_ARGUMENT);
    CHECK(halo_cells(ctx, 0, 1, nullptr, nullptr, nullptr, nullptr, 0, &sum) == HALO_ERR_ARGUMENT);

    for (int c = 0; c < caches; ++c) {
        halo_cache_info info{};
        CHECK(halo_cache_describe(ctx, c, &info) == HALO_OK);
        CHECK(info.n_streams == 1 && info.n_cells > 0 && info.n_layers > 0);
    }
    llama_memory_seq_rm(memory, 0, -1, -1);
    CHECK(halo_cells(ctx, 0, 0, nullptr, nullptr, nullptr, nullptr, 0, &sum) == HALO_OK);
    CHECK(sum.used == shared && sum.shared == 0);
    llama_memory_clear(memory, true);
}

static void check_bench(llama_context * ctx) {
    const int32_t     tokens[] = { 5, 6, 7, 8, 9, 10, 11 };
    const int32_t     offsets[] = { 0, 3, 7 };
    halo_bench_params params{ 2, 5, 0.0f, 0, 1.0f, 0.0f, 1 };
    halo_bench_result result{};
    CHECK(halo_bench_batched(ctx, tokens, offsets, &params, &result) == HALO_OK);
    CHECK(result.decoded_tokens == 8 && result.prompt_tokens == 7);
    params.temperature = 0.8f;
    params.top_k = 20;
    CHECK(halo_bench_batched(ctx, tokens, offsets, &params, &result) == HALO_OK);
    params.n_seq = 1000;
    CHECK(halo_bench_batched(ctx, tokens, offsets, &params, &result) == HALO_ERR_ARGUMENT);
    CHECK(halo_bench_batched(ctx, nullptr, offsets, &params, &result) == HALO_ERR_ARGUMENT);
    const int32_t empty[] = { 0, 0 };
    params.n_seq = 1;
    CHECK(halo_bench_batched(ctx, tokens, empty, &params, &result) == HALO_ERR_ARGUMENT);
}

int main(int argc, char ** argv) {
    if (argc != 2) {
        std::printf("usage: halo_test MODEL.gguf\n");
        return 2;
    }
    llama_log_set([](ggml_log_level, const char *, void *) {}, nullptr);
    llama_backend_init();
    CHECK(halo_abi() == HALO_ABI);
    CHECK(halo_build_info()[0] == '{');
    llama_model * model = llama_model_load_from_file(argv[1], llama_model_default_params());
    CHECK(model != nullptr);
    if (!model) {
        return 1;
    }
    for (const bool flash : { false, true }) {
        llama_context_params params = llama_context_default_params();
        params.n_ctx = 256;
        params.n_batch = params.n_ubatch = 64;
        params.n_seq_max = 4;
        params.kv_unified = true;
        params.n_threads = params.n_threads_batch = 2;
        params.flash_attn_type = flash ? LLAMA_FLASH_ATTN_TYPE_ENABLED : LLAMA_FLASH_ATTN_TYPE_DISABLED;
        llama_context * ctx = llama_init_from_model(model, params);
        CHECK(ctx != nullptr);
        if (!ctx) {
            return 1;
        }
        halo_hook hooks[8];
        const int n = halo_hooks(hooks, 8);
        CHECK(n >= 1);
        for (int i = 0; i < n; ++i) {
            CHECK(hooks[i].reached > 0 || std::strcmp(hooks[i].name, "experts") == 0); // not every model has them
        }
        check_cells(ctx, llama_model_is_hybrid(model));
        check_bench(ctx);
        halo_detach(ctx);
        halo_detach(ctx);
        llama_free(ctx);
    }
    llama_model_free(model);
    CHECK(halo_attach(nullptr) == HALO_ERR_ARGUMENT);
    std::printf(g_failed ? "%d checks failed\n" : "all checks held\n", g_failed);
    return g_failed != 0;
}
