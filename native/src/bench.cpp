// The bare batched decode loop: the ceiling the throughput bench compares with.
#include <algorithm>
#include <chrono>
#include <memory>

#include "internal.h"

#include "llama.h"

namespace {

using timer = std::chrono::steady_clock;

double seconds_since(timer::time_point start) {
    return std::chrono::duration<double>(timer::now() - start).count();
}

struct sampler_free {
    void operator()(llama_sampler * s) const { llama_sampler_free(s); }
};

using sampler = std::unique_ptr<llama_sampler, sampler_free>;

sampler make_sampler(const halo_bench_params & p, uint32_t seed) {
    sampler chain(llama_sampler_chain_init(llama_sampler_chain_default_params()));
    auto add = [&](llama_sampler * s) { llama_sampler_chain_add(chain.get(), s); };
    if (p.temperature <= 0.0f) {
        add(llama_sampler_init_greedy());
        return chain;
    }
    if (p.top_k > 0)    { add(llama_sampler_init_top_k(p.top_k)); }
    if (p.top_p < 1.0f) { add(llama_sampler_init_top_p(p.top_p, 1)); }
    if (p.min_p > 0.0f) { add(llama_sampler_init_min_p(p.min_p, 1)); }
    add(llama_sampler_init_temp(p.temperature));
    add(llama_sampler_init_dist(seed));
    return chain;
}

// Owns the arrays of a llama_batch of fixed capacity.
struct batch {
    llama_batch raw;

    explicit batch(int32_t capacity) : raw(llama_batch_init(capacity, 0, 1)) {}
    ~batch() { llama_batch_free(raw); }
    batch(const batch &) = delete;
    batch & operator=(const batch &) = delete;

    void clear() { raw.n_tokens = 0; }

    int32_t add(llama_token token, llama_pos pos, llama_seq_id seq, bool logits) {
        const int32_t i = raw.n_tokens++;
        raw.token[i] = token;
        raw.pos[i] = pos;
        raw.n_seq_id[i] = 1;
        raw.seq_id[i][0] = seq;
        raw.logits[i] = logits;
        return i;
    }
};

halo_status run(llama_context * ctx, const int32_t * tokens, const int32_t * offsets, const halo_bench_params & p,
                halo_bench_result & out) {
    std::vector<sampler>     samplers;
    std::vector<llama_token> last(p.n_seq);
    std::vector<llama_pos>   position(p.n_seq);
    for (int32_t s = 0; s < p.n_seq; ++s) {
        samplers.push_back(make_sampler(p, p.seed + (uint32_t) s));
    }
    const auto n_batch = (int32_t) llama_n_batch(ctx);
    batch      b(std::max(n_batch, p.n_seq));

    auto start = timer::now();
    for (int32_t s = 0; s < p.n_seq; ++s) {
        const int32_t n = offsets[s + 1] - offsets[s];
        for (int32_t i = 0; i < n; i += n_batch) {
            const int32_t m = std::min(n_batch, n - i);
            b.clear();
            for (int32_t j = 0; j < m; ++j) {
                b.add(tokens[offsets[s] + i + j], i + j, s, i + j == n - 1);
            }
            if (llama_decode(ctx, b.raw) != 0) {
                return halo::fail(HALO_ERR_LLAMA, "llama_decode failed in prefill");
            }
        }
        last[s] = llama_sampler_sample(samplers[s].get(), ctx, -1);
        position[s] = n;
        if (s == 0) {
            out.ttft_seconds = seconds_since(start);
        }
    }
    out.prefill_seconds = seconds_since(start);
    out.prompt_tokens = offsets[p.n_seq] - offsets[0];

    start = timer::now();
    for (int32_t step = 1; step < p.n_decode; ++step) {
        b.clear();
        for (int32_t s = 0; s < p.n_seq; ++s) {
            b.add(last[s], position[s]++, s, true);
        }
        if (llama_decode(ctx, b.raw) != 0) {
            return halo::fail(HALO_ERR_LLAMA, "llama_decode failed while decoding");
        }
        for (int32_t s = 0; s < p.n_seq; ++s) {
            last[s] = llama_sampler_sample(samplers[s].get(), ctx, s);
        }
    }
    out.decode_seconds = seconds_since(start);
    out.decoded_tokens = (int64_t) p.n_seq * std::max(0, p.n_decode - 1);
    return HALO_OK;
}

} // namespace

extern "C" halo_status halo_bench_batched(llama_context * ctx, const int32_t * tokens, const int32_t * offsets,
                                          const halo_bench_params * params, halo_bench_result * out) {
    return halo::guarded([&] {
        if (!ctx || !tokens || !offsets || !params || !out) {
            return halo::fail(HALO_ERR_ARGUMENT, "an argument is NULL");
        }
        if (params->n_seq < 1 || params->n_seq > (int32_t) llama_n_seq_max(ctx)) {
            return halo::fail(HALO_ERR_ARGUMENT, "n_seq must lie between 1 and the context's n_seq_max");
        }
        if (params->n_decode < 1) {
            return halo::fail(HALO_ERR_ARGUMENT, "n_decode must be at least 1");
        }
        for (int32_t s = 0; s < params->n_seq; ++s) {
            if (offsets[s + 1] <= offsets[s]) {
                return halo::fail(HALO_ERR_ARGUMENT, "every prompt needs at least one token");
            }
        }
        *out = {};
        llama_memory_clear(llama_get_memory(ctx), true);
        const auto status = run(ctx, tokens, offsets, *params, *out);
        llama_memory_clear(llama_get_memory(ctx), true);
        return status;
    });
}
