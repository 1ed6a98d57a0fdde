// Tests of halo.h on a tiny model: test_seam MODEL.gguf. Links to nothing but libllama, uses
// nothing but public headers, so that it also builds against an installed halo-native.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
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

struct free_context {
    void operator()(llama_context * ctx) const {
        halo_detach(ctx);
        llama_free(ctx);
    }
};

using context = std::unique_ptr<llama_context, free_context>;

struct cell_list {
    halo_cells_summary   sum{};
    std::vector<int32_t> pos, owner, first, count;
};

context make_context(llama_model * model, bool unified, uint32_t n_ctx = 512, uint32_t n_batch = 64) {
    auto params       = llama_context_default_params();
    params.n_ctx      = n_ctx;
    params.n_batch    = n_batch;
    params.n_ubatch   = n_batch;
    params.n_seq_max  = 4;
    params.n_outputs_max = 4; // llama_init aborts when this is below n_seq_max
    params.n_threads  = params.n_threads_batch = 2;
    params.kv_unified = unified;
    context ctx(llama_init_from_model(model, params));
    CHECK(ctx != nullptr);
    return ctx;
}

int decode(llama_context * ctx, llama_seq_id seq, llama_pos from, int32_t n) {
    auto batch = llama_batch_init(n, 0, 1);
    for (int32_t i = 0; i < n; ++i) {
        batch.token[i]     = 10 + i % 200;
        batch.pos[i]       = from + i;
        batch.n_seq_id[i]  = 1;
        batch.seq_id[i][0] = seq;
        batch.logits[i]    = i == n - 1;
    }
    batch.n_tokens   = n;
    const int status = llama_decode(ctx, batch);
    llama_batch_free(batch);
    return status;
}

cell_list list(const llama_context * ctx, int32_t cache, int32_t stream) {
    cell_list out;
    CHECK(halo_cells(ctx, cache, stream, nullptr, nullptr, nullptr, nullptr, 0, &out.sum) == HALO_OK);
    const auto n = (size_t) out.sum.total;
    for (auto * v : { &out.pos, &out.owner, &out.first, &out.count }) {
        v->assign(n, 12345); // every entry must be overwritten
    }
    CHECK(halo_cells(ctx, cache, stream, out.pos.data(), out.owner.data(), out.first.data(), out.count.data(),
                     out.sum.total, &out.sum) == HALO_OK);
    return out;
}

int32_t owned(const cell_list & cells, int32_t owner) {
    int32_t n = 0;
    for (const auto o : cells.owner) {
        n += o == owner;
    }
    return n;
}

// What must hold of any listing.
void check_sane(const cell_list & cells) {
    int32_t used = 0, shared = 0, highest = 0;
    for (size_t i = 0; i < cells.pos.size(); ++i) {
        const bool free = cells.owner[i] == HALO_CELL_FREE;
        CHECK(free == (cells.pos[i] == -1));
        CHECK(free == (cells.count[i] == 0));
        CHECK(free == (cells.first[i] == -1));
        CHECK((cells.owner[i] == HALO_CELL_SHARED) == (cells.count[i] > 1));
        CHECK(cells.count[i] != 1 || cells.owner[i] == cells.first[i]);
        used += !free;
        shared += cells.count[i] > 1;
        highest = free ? highest : (int32_t) i + 1;
    }
    CHECK(cells.sum.used == used);
    CHECK(cells.sum.shared == shared);
    CHECK(cells.sum.highest == highest);
    CHECK(cells.sum.total == (int32_t) cells.pos.size());
}

void test_info() {
    CHECK(halo_abi() == HALO_ABI);
    CHECK(std::strlen(halo_version()) > 0);
    const std::string info = halo_build_info();
    CHECK(info.front() == '{' && info.back() == '}');
    CHECK(info.find("\"backends\":[\"") != std::string::npos);
    CHECK(info.find(std::string("\"version\":\"") + halo_version() + "\"") != std::string::npos);
}

void test_hooks(llama_model * model) {
    const auto n = halo_hooks(nullptr, 0);
    CHECK(n > 0);
    std::vector<halo_hook> before((size_t) n), after((size_t) n);
    CHECK(halo_hooks(before.data(), n) == n);
    const auto ctx = make_context(model, true); // builds graphs to reserve their memory
    CHECK(halo_hooks(after.data(), n) == n);
    for (int32_t i = 0; i < n; ++i) {
        CHECK(std::strlen(after[i].name) > 0 && std::strlen(after[i].symbol) > 0);
        halo_experts_info info;
        CHECK(halo_attach(ctx.get()) == HALO_OK && halo_experts_describe(ctx.get(), &info) == HALO_OK);
        const bool needed = info.n_expert > 0 || std::strcmp(after[i].name, "experts") != 0;
        CHECK((after[i].reached > before[i].reached) == needed);
    }
}

void test_errors(llama_model * model) {
    const auto ctx = make_context(model, true);
    int32_t    one[1];
    halo_cache_info info;
    CHECK(halo_attach(nullptr) == HALO_ERR_ARGUMENT);
    CHECK(halo_cache_count(nullptr) == HALO_ERR_ARGUMENT);
    CHECK(halo_cache_count(ctx.get()) == HALO_ERR_NOT_ATTACHED);
    CHECK(std::strstr(halo_last_error(), "halo_attach") != nullptr);
    CHECK(halo_attach(ctx.get()) == HALO_OK);
    CHECK(halo_attach(ctx.get()) == HALO_OK);
    const auto caches = halo_cache_count(ctx.get());
    CHECK(caches >= 1);
    CHECK(halo_cache_describe(ctx.get(), caches, &info) == HALO_ERR_ARGUMENT);
    CHECK(halo_cache_describe(ctx.get(), -1, &info) == HALO_ERR_ARGUMENT);
    CHECK(halo_cache_describe(ctx.get(), 0, nullptr) == HALO_ERR_ARGUMENT);
    CHECK(halo_cells(ctx.get(), 0, 99, nullptr, nullptr, nullptr, nullptr, 0, nullptr) == HALO_ERR_ARGUMENT);
    CHECK(halo_cells(ctx.get(), 0, 0, one, nullptr, nullptr, nullptr, 1, nullptr) == HALO_ERR_ARGUMENT);
    CHECK(std::strstr(halo_last_error(), "512") != nullptr);
    halo_detach(ctx.get());
    halo_detach(ctx.get());
    CHECK(halo_cache_count(ctx.get()) == HALO_ERR_NOT_ATTACHED);
}

// Sequences, a shared prefix and holes, in every cache of a unified context.
void test_cells(llama_model * model) {
    const auto ctx = make_context(model, true);
    const auto mem = llama_get_memory(ctx.get());
    CHECK(halo_attach(ctx.get()) == HALO_OK);
    for (int32_t cache = 0; cache < halo_cache_count(ctx.get()); ++cache) {
        const auto empty = list(ctx.get(), cache, 0);
        check_sane(empty);
        CHECK(empty.sum.used == 0 && empty.sum.highest == 0 && empty.sum.total >= 1);
    }

    CHECK(decode(ctx.get(), 0, 0, 20) == 0);
    CHECK(decode(ctx.get(), 1, 0, 30) == 0);
    const auto two = list(ctx.get(), 0, 0);
    check_sane(two);
    CHECK(two.sum.used == 50 && two.sum.shared == 0);
    CHECK(owned(two, 0) == 20 && owned(two, 1) == 30);
    std::vector<bool> seen(30);
    for (size_t i = 0; i < two.pos.size(); ++i) {
        if (two.owner[i] == 1) {
            seen[(size_t) two.pos[i]] = true;
        }
    }
    CHECK(seen == std::vector<bool>(30, true)); // each position of sequence 1 once

    // Recurrent states are copied whole, so the prefix that is shared here is all of sequence 0.
    llama_memory_seq_cp(mem, 0, 2, -1, -1);
    const auto shared = list(ctx.get(), 0, 0);
    check_sane(shared);
    CHECK(shared.sum.used == 50 && shared.sum.shared == 20);
    CHECK(owned(shared, HALO_CELL_SHARED) == 20 && owned(shared, 2) == 0);
    for (size_t i = 0; i < shared.owner.size(); ++i) {
        CHECK(shared.owner[i] != HALO_CELL_SHARED || (shared.count[i] == 2 && shared.first[i] == 0));
    }

    CHECK(decode(ctx.get(), 2, 20, 5) == 0);
    CHECK(owned(list(ctx.get(), 0, 0), 2) == 5);
    CHECK(llama_memory_seq_rm(mem, 0, -1, -1)); // the cells stay, for sequence 2 alone
    const auto left = list(ctx.get(), 0, 0);
    check_sane(left);
    CHECK(left.sum.shared == 0 && owned(left, 2) == 25 && owned(left, 0) == 0);

    CHECK(llama_memory_seq_rm(mem, 1, 5, 15)); // holes keep the highest cell where it was
    const auto holes = list(ctx.get(), 0, 0);
    check_sane(holes);
    CHECK(holes.sum.used == left.sum.used - 10 && holes.sum.highest == left.sum.highest);
    CHECK(owned(holes, 1) == 20);

    llama_memory_clear(mem, true);
    CHECK(list(ctx.get(), 0, 0).sum.used == 0);
}

void test_streams(llama_model * model) {
    const auto ctx = make_context(model, false);
    CHECK(halo_attach(ctx.get()) == HALO_OK);
    halo_cache_info info;
    CHECK(halo_cache_describe(ctx.get(), 0, &info) == HALO_OK);
    CHECK(info.n_streams == 4 && info.n_cells >= 1 && info.n_layers >= 1);
    CHECK(decode(ctx.get(), 2, 0, 7) == 0);
    for (int32_t stream = 0; stream < info.n_streams; ++stream) {
        const auto cells = list(ctx.get(), 0, stream);
        check_sane(cells);
        CHECK(cells.sum.total == info.n_cells);
        CHECK(cells.sum.used == (stream == 2 ? 7 : 0));
    }
}

void test_reattach(llama_model * model) {
    for (int i = 0; i < 3; ++i) { // addresses are likely to come back
        const auto ctx = make_context(model, true);
        CHECK(halo_attach(ctx.get()) == HALO_OK);
        CHECK(decode(ctx.get(), 0, 0, 3 + i) == 0);
        CHECK(list(ctx.get(), 0, 0).sum.used == 3 + i);
    }
}

void test_bench(llama_model * model) {
    const auto ctx = make_context(model, true);
    CHECK(halo_attach(ctx.get()) == HALO_OK);
    const std::vector<int32_t> tokens(150, 42);
    const std::vector<int32_t> offsets = { 0, 20, 120, 150 }; // the second spans batches of 64
    halo_bench_result          out{};
    halo_bench_params          params{ 3, 9, 0.0f, 0, 1.0f, 0.0f, 7 };

    CHECK(decode(ctx.get(), 3, 0, 4) == 0);
    CHECK(halo_bench_batched(ctx.get(), tokens.data(), offsets.data(), &params, &out) == HALO_OK);
    CHECK(out.prompt_tokens == 150 && out.decoded_tokens == 24);
    CHECK(out.prefill_seconds > 0 && out.decode_seconds > 0);
    CHECK(out.ttft_seconds > 0 && out.ttft_seconds <= out.prefill_seconds);
    CHECK(list(ctx.get(), 0, 0).sum.used == 0); // cleared, sequence 3 too

    params.temperature = 0.8f;
    params.top_k       = 40;
    params.top_p       = 0.95f;
    params.min_p       = 0.05f;
    CHECK(halo_bench_batched(ctx.get(), tokens.data(), offsets.data(), &params, &out) == HALO_OK);

    params.n_seq = 5;
    CHECK(halo_bench_batched(ctx.get(), tokens.data(), offsets.data(), &params, &out) == HALO_ERR_ARGUMENT);
    params.n_seq = 0;
    CHECK(halo_bench_batched(ctx.get(), tokens.data(), offsets.data(), &params, &out) == HALO_ERR_ARGUMENT);
    params = { 3, 0, 0.0f, 0, 1.0f, 0.0f, 0 };
    CHECK(halo_bench_batched(ctx.get(), tokens.data(), offsets.data(), &params, &out) == HALO_ERR_ARGUMENT);
    params.n_decode = 5;
    const std::vector<int32_t> gap = { 0, 20, 20, 150 };
    CHECK(halo_bench_batched(ctx.get(), tokens.data(), gap.data(), &params, &out) == HALO_ERR_ARGUMENT);
    CHECK(halo_bench_batched(nullptr, tokens.data(), offsets.data(), &params, &out) == HALO_ERR_ARGUMENT);

    std::vector<int32_t> wrong = tokens; // not in the vocabulary
    wrong[60]                  = 1 << 30;
    CHECK(halo_bench_batched(ctx.get(), wrong.data(), offsets.data(), &params, &out) == HALO_ERR_LLAMA);
    const std::vector<int32_t> long_prompts(3 * 300, 42);
    const std::vector<int32_t> long_offsets = { 0, 300, 600, 900 }; // 900 tokens, 512 cells
    CHECK(halo_bench_batched(ctx.get(), long_prompts.data(), long_offsets.data(), &params, &out) == HALO_ERR_LLAMA);
    CHECK(std::strstr(halo_last_error(), "cells") != nullptr);
    CHECK(list(ctx.get(), 0, 0).sum.used == 0);

    const auto small = make_context(model, true, 512, 2); // a step of 3 would exceed n_batch: ggml aborts
    params = { 3, 4, 0.0f, 0, 1.0f, 0.0f, 0 };
    CHECK(halo_bench_batched(small.get(), tokens.data(), offsets.data(), &params, &out) == HALO_ERR_ARGUMENT);
}

} // namespace

int main(int argc, char ** argv) {
    if (argc != 2) {
        std::fprintf(stderr, "usage: test_seam MODEL.gguf\n");
        return 2;
    }
    llama_log_set([](ggml_log_level, const char *, void *) {}, nullptr);
    auto params  = llama_model_default_params();
    auto * model = llama_model_load_from_file(argv[1], params);
    CHECK(model != nullptr);
    CHECK(halo_last_error()[0] == '\0');
    test_info();
    test_hooks(model);
    test_errors(model);
    test_cells(model);
    test_streams(model);
    test_reattach(model);
    test_bench(model);
    llama_model_free(model);
    llama_backend_free();
    std::puts("ok");
}
