// The bare batched decode loop: the ceiling the throughput bench compares with.
#include <algorithm>
#include <chrono>
#include <memory>
#include <utility>

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

// The context's memory is empty when the bench starts and when it ends, however it ends.
struct clean_memory {
    llama_memory_t memory;

    explicit clean_memory(llama_memory_t m) : memory(m) { llama_memory_clear(memory, true); }
    ~clean_memory() { llama_memory_clear(memory, true); }
    clean_memory(const clean_memory &) = delete;
    clean_memory & operator=(const clean_memory &) = delete;
};

halo_status decode(llama_context * ctx, const llama_batch & batch, const char * phase) {
    switch (const int status = llama_decode(ctx, batch)) {
        case 0:
            return HALO_OK;
        case 1:
            return halo::fail(HALO_ERR_LLAMA, std::string("the context has too few cells for this ") + phase);
        default:
            return halo::fail(HALO_ERR_LLAMA,
                              std::string("llama_decode failed in the ") + phase + " with code " + std::to_string(status));
    }
}

halo_status run(llama_context * ctx, const int32_t * tokens, const int32_t * offsets, const halo_bench_params & p,
                halo_bench_result & out) {
    const auto n_batch = (int32_t) llama_n_batch(ctx);

    std::vector<sampler>     samplers;
    std::vector<llama_token> last(p.n_seq);
    std::vector<llama_pos>   position(p.n_seq);
    for (int32_t s = 0; s < p.n_seq; ++s) {
        samplers.push_back(make_sampler(p, p.seed + (uint32_t) s));
    }
    batch b(n_batch);

    // Prefill: the prompts one after the other, in full batches across their borders.
    auto start = timer::now();
    std::vector<std::pair<int32_t, int32_t>> ends; // sequence whose prompt ends in this batch, its index there
    for (int32_t s = 0; s < p.n_seq; ++s) {
        const int32_t n = position[s] = offsets[s + 1] - offsets[s];
        for (int32_t i = 0; i < n; ++i) {
            const int32_t index = b.add(tokens[offsets[s] + i], i, s, i == n - 1);
            if (i == n - 1) {
                ends.emplace_back(s, index);
            }
            if (b.raw.n_tokens < n_batch && !(s == p.n_seq - 1 && i == n - 1)) {
                continue;
            }
            if (const auto status = decode(ctx, b.raw, "prefill"); status != HALO_OK) {
                return status;
            }
            for (const auto & [seq, at] : ends) {
                last[seq] = llama_sampler_sample(samplers[seq].get(), ctx, at);
            }
            if (!ends.empty() && out.ttft_seconds == 0.0) {
                out.ttft_seconds = seconds_since(start);
            }
            ends.clear();
            b.clear();
        }
    }
    out.prefill_seconds = seconds_since(start);
    out.prompt_tokens   = offsets[p.n_seq] - offsets[0];

    start = timer::now();
    for (int32_t step = 1; step < p.n_decode; ++step) {
        b.clear();
        for (int32_t s = 0; s < p.n_seq; ++s) {
            b.add(last[s], position[s]++, s, true);
        }
        if (const auto status = decode(ctx, b.raw, "decoding"); status != HALO_OK) {
            return status;
        }
        for (int32_t s = 0; s < p.n_seq; ++s) {
            last[s] = llama_sampler_sample(samplers[s].get(), ctx, s);
        }
    }
    out.decode_seconds = seconds_since(start);
    out.decoded_tokens = (int64_t) p.n_seq * (p.n_decode - 1);
    return HALO_OK;
}

} // namespace

extern "C" halo_status halo_bench_batched(llama_context * ctx, const int32_t * tokens, const int32_t * offsets,
                                          const halo_bench_params * params, halo_bench_result * out) {
    return halo::guarded([&] {
        if (!ctx || !tokens || !offsets || !params || !out) {
            return halo::fail(HALO_ERR_ARGUMENT, "an argument is NULL");
        }
        // llama_decode() aborts on a batch of more than n_batch tokens.
        const auto most = (int32_t) std::min(llama_n_seq_max(ctx), llama_n_batch(ctx));
        if (params->n_seq < 1 || params->n_seq > most) {
            return halo::fail(HALO_ERR_ARGUMENT, "n_seq is " + std::to_string(params->n_seq) + ", this context takes 1 to " +
                                                     std::to_string(most));
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
        const clean_memory guard(llama_get_memory(ctx));
        return run(ctx, tokens, offsets, *params, *out);
    });
}
