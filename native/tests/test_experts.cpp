// Expert routing on a real context: what was chosen, biased choices, exactness, errors.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <set>
#include <vector>

#include "halo.h"
#include "llama.h"

#define CHECK(x)                                                                                  \
    do {                                                                                          \
        if (!(x)) {                                                                               \
            std::fprintf(stderr, "%s:%d: %s (%s)\n", __FILE__, __LINE__, #x, halo_last_error());  \
            std::exit(1);                                                                         \
        }                                                                                         \
    } while (0)

namespace {

struct free_context {
    void operator()(llama_context * ctx) const {
        halo_detach(ctx);
        llama_free(ctx);
    }
};
using context = std::unique_ptr<llama_context, free_context>;

context make_context(llama_model * model) {
    auto p            = llama_context_default_params();
    p.n_ctx           = 512;
    p.n_batch         = 64;
    p.n_ubatch        = 16;
    p.n_seq_max       = 4;
    p.n_threads       = 2;
    p.n_threads_batch = 2;
    p.kv_unified      = true;
    context ctx(llama_init_from_model(model, p));
    CHECK(ctx != nullptr);
    return ctx;
}

// Decodes n tokens of sequence 0 from position `at`, all with outputs, and returns the last one's logits.
std::vector<float> decode(llama_context * ctx, int32_t at, int32_t n) {
    auto b     = llama_batch_init(n, 0, 1);
    b.n_tokens = n;
    for (int32_t i = 0; i < n; ++i) {
        b.token[i]     = 100 + (at + i) * 7 % 300;
        b.pos[i]       = at + i;
        b.n_seq_id[i]  = 1;
        b.seq_id[i][0] = 0;
        b.logits[i]    = true;
    }
    const int status = llama_decode(ctx, b);
    llama_batch_free(b);
    CHECK(status == 0);
    const auto   n_vocab = (size_t) llama_vocab_n_tokens(llama_model_get_vocab(llama_get_model(ctx)));
    const auto * row     = llama_get_logits_ith(ctx, n - 1);
    return { row, row + n_vocab };
}

struct chosen {
    std::vector<int32_t> rows, ids;
    int32_t              capacity = 0;
};

struct shape {
    halo_experts_info    info{};
    std::vector<int32_t> used;
    std::vector<int64_t> bytes;
    size_t               n = 0; // layers * experts

    explicit shape(const llama_context * ctx) {
        CHECK(halo_experts_describe(ctx, &info) == HALO_OK);
        used.resize((size_t) info.n_layers);
        bytes.resize((size_t) info.n_layers);
        CHECK(halo_experts_layers(ctx, used.data(), bytes.data(), info.n_layers) == HALO_OK);
        n = (size_t) info.n_layers * (size_t) info.n_expert;
    }

    chosen read(llama_context * ctx) const {
        chosen out;
        out.capacity = halo_experts_read(ctx, nullptr, nullptr, 0);
        CHECK(out.capacity >= 0);
        out.rows.resize((size_t) info.n_layers);
        out.ids.resize((size_t) info.n_layers * (size_t) out.capacity * (size_t) info.n_used);
        if (out.capacity) {
            CHECK(halo_experts_read(ctx, out.rows.data(), out.ids.data(), out.capacity) == out.capacity);
        }
        return out;
    }

    std::set<int32_t> of(const chosen & c, int32_t layer, int32_t row) const {
        const auto * from = &c.ids[((size_t) layer * (size_t) c.capacity + (size_t) row) * (size_t) info.n_used];
        return { from, from + used[(size_t) layer] };
    }
};

void test_dense(llama_context * ctx) {
    float   bias[1] = { 0 };
    int32_t one[1];
    CHECK(halo_experts_mode(ctx, true, 1, 1) == HALO_ERR_UNSUPPORTED);
    CHECK(std::strstr(halo_last_error(), "no experts") != nullptr);
    CHECK(halo_experts_set_bias(ctx, bias, bias) == HALO_ERR_UNSUPPORTED);
    CHECK(halo_experts_read(ctx, one, one, 1) == HALO_ERR_UNSUPPORTED);
}

void test_errors(llama_context * ctx, const shape & s) {
    std::vector<float> bias(s.n, 0.0f);
    const std::vector<float> none(s.n, 0.0f), less(s.n, -1.0f);
    CHECK(halo_experts_set_bias(ctx, none.data(), less.data()) == HALO_ERR_ARGUMENT);
    CHECK(halo_experts_describe(nullptr, nullptr) == HALO_ERR_ARGUMENT);
    CHECK(halo_experts_describe(ctx, nullptr) == HALO_ERR_ARGUMENT);
    CHECK(halo_experts_mode(ctx, true, -1, 0) == HALO_ERR_ARGUMENT);
    CHECK(halo_experts_mode(ctx, true, 1, 3) == HALO_ERR_ARGUMENT);
    CHECK(halo_experts_set_bias(ctx, nullptr, nullptr) == HALO_ERR_ARGUMENT);
    bias[0] = std::nanf("");
    CHECK(halo_experts_set_bias(ctx, bias.data(), none.data()) == HALO_ERR_ARGUMENT);
    bias[0] = std::numeric_limits<float>::infinity();
    CHECK(halo_experts_set_bias(ctx, bias.data(), none.data()) == HALO_ERR_ARGUMENT);
    CHECK(halo_experts_scores(ctx, 1, bias.data(), bias.data()) == HALO_ERR_ARGUMENT); // not captured
}

// GPU backends fuse the router's operations into one where nobody looks at what is between them, and
// then round otherwise; the CPU's do not.
bool same(const std::vector<float> & a, const std::vector<float> & b) {
    if (!llama_supports_gpu_offload()) {
        return a == b;
    }
    float most = 0.0f, apart = 0.0f;
    for (size_t i = 0; i < a.size(); ++i) {
        most  = std::max(most, std::abs(a[i]));
        apart = std::max(apart, std::abs(a[i] - b[i]));
    }
    return a.size() == b.size() && apart < 1e-2f * most;
}

// Off, capturing, zero bias with and without kept experts: the same logits, on the CPU bit for bit.
void test_exact(llama_model * model) {
    const auto plain = make_context(model);
    const auto want  = decode(plain.get(), 0, 40);
    const auto step  = decode(plain.get(), 40, 1);
    for (int mode = 0; mode < 4; ++mode) {
        const auto ctx = make_context(model);
        CHECK(halo_attach(ctx.get()) == HALO_OK);
        const shape s(ctx.get());
        if (mode) {
            CHECK(halo_experts_mode(ctx.get(), mode > 1, mode == 3 ? 2 : 0, mode == 1 ? 1 : 2) == HALO_OK);
        }
        if (mode == 3) {
            CHECK(halo_experts_set_bias(ctx.get(), std::vector<float>(s.n, 0.0f).data(), std::vector<float>(s.n, 0.0f).data()) == HALO_OK);
        }
        CHECK(same(decode(ctx.get(), 0, 40), want));
        CHECK(same(decode(ctx.get(), 40, 1), step));
    }
}

// The chosen are the best of the scores, each token once, over several ubatches.
void test_ids(llama_context * ctx, const shape & s) {
    CHECK(halo_experts_mode(ctx, false, 0, 2) == HALO_OK);
    decode(ctx, 0, 40); // 16 + 16 + 8
    const auto got = s.read(ctx);
    std::vector<float> scores(8 * s.n), probs(8 * s.n);
    CHECK(halo_experts_scores(ctx, 8, scores.data(), probs.data()) == 8);
    for (int32_t il = 0; il < s.info.n_layers; ++il) {
        CHECK((s.used[(size_t) il] > 0) == (s.bytes[(size_t) il] > 0));
        CHECK(got.rows[(size_t) il] == (s.used[(size_t) il] ? 40 : 0));
        for (int32_t row = 0; s.used[(size_t) il] && row < 8; ++row) {
            const auto   ids = s.of(got, il, 32 + row);
            const auto * x   = &scores[((size_t) il * 8 + (size_t) row) * (size_t) s.info.n_expert];
            const auto * p   = &probs[((size_t) il * 8 + (size_t) row) * (size_t) s.info.n_expert];
            CHECK((int32_t) ids.size() == s.used[(size_t) il]);
            float worst = std::numeric_limits<float>::infinity();
            for (const auto id : ids) {
                CHECK(id >= 0 && id < s.info.n_expert && std::isfinite(p[id]));
                worst = std::min(worst, x[id]);
            }
            int better = 0;
            for (int32_t e = 0; e < s.info.n_expert; ++e) {
                better += !ids.count(e) && x[e] > worst;
            }
            CHECK(better == 0);
        }
    }
    CHECK(s.read(ctx).capacity == 0); // taken
    llama_memory_clear(llama_get_memory(ctx), true);
}

// A large bias forces, -inf prunes, kept experts stay; a new bias needs no new graph.
void test_bias(llama_context * ctx, const shape & s) {
    CHECK(halo_experts_mode(ctx, false, 0, 1) == HALO_OK);
    decode(ctx, 0, 12);
    const auto before = s.read(ctx);

    std::vector<float> bias(s.n, 0.0f);
    const std::vector<float> none(s.n, 0.0f);
    const int32_t      last = s.info.n_expert - 1; // groups: only within the chosen ones
    for (int32_t il = 0; il < s.info.n_layers; ++il) {
        if (s.used[(size_t) il]) {
            bias[(size_t) (il * s.info.n_expert + *s.of(before, il, 11).begin())] = -std::numeric_limits<float>::infinity();
        }
    }
    CHECK(halo_experts_mode(ctx, true, 0, 2) == HALO_OK);
    CHECK(halo_experts_set_bias(ctx, bias.data(), none.data()) == HALO_OK);
    llama_memory_clear(llama_get_memory(ctx), true);
    decode(ctx, 0, 12);
    const auto pruned = s.read(ctx);
    int32_t    first  = -1; // with experts: later layers see other inputs
    for (int32_t il = 0; il < s.info.n_layers; ++il) {
        if (!s.used[(size_t) il]) {
            continue;
        }
        first = first < 0 ? il : first;
        const auto gone = *s.of(before, il, 11).begin();
        for (int32_t row = 0; row < 12; ++row) {
            CHECK(!s.of(pruned, il, row).count(gone));
        }
    }

    std::fill(bias.begin(), bias.end(), 0.0f);
    for (int32_t il = 0; il < s.info.n_layers; ++il) {
        bias[(size_t) (il * s.info.n_expert + last)] = 1000.0f;
    }
    CHECK(halo_experts_set_bias(ctx, bias.data(), none.data()) == HALO_OK);
    for (const int32_t keep : { 0, 1, 2 }) {
        CHECK(halo_experts_mode(ctx, true, keep, 2) == HALO_OK);
        llama_memory_clear(llama_get_memory(ctx), true);
        decode(ctx, 0, 12);
        const auto forced = s.read(ctx);
        std::vector<float> scores(12 * s.n), probs(12 * s.n);
        CHECK(halo_experts_scores(ctx, 12, scores.data(), probs.data()) == 12);
        for (int32_t row = 0; row < 12; ++row) {
            const auto   ids = s.of(forced, first, row);
            const auto * x   = &scores[((size_t) first * 12 + (size_t) row) * (size_t) s.info.n_expert];
            if (keep < s.used[(size_t) first] && std::isfinite(x[last])) {
                CHECK(ids.count(last));
            }
            std::vector<int32_t> order((size_t) s.info.n_expert);
            for (int32_t e = 0; e < s.info.n_expert; ++e) {
                order[(size_t) e] = e;
            }
            std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return x[a] > x[b]; });
            for (int32_t i = 0; i < keep; ++i) {
                CHECK(ids.count(order[(size_t) i]));
            }
        }
    }
    CHECK(halo_experts_mode(ctx, false, 0, 0) == HALO_OK);
    llama_memory_clear(llama_get_memory(ctx), true);
}

// A large shared bonus: every token takes its own best and else what is among the best of the others.
void test_shared(llama_context * ctx, const shape & s) {
    const std::vector<float> none(s.n, 0.0f), bonus((size_t) s.info.n_layers, 1000.0f);
    CHECK(halo_experts_set_bias(ctx, none.data(), bonus.data()) == HALO_OK);
    CHECK(halo_experts_mode(ctx, true, 1, 2) == HALO_OK);
    decode(ctx, 0, 12);
    const auto got = s.read(ctx);
    std::vector<float> scores(12 * s.n), probs(12 * s.n);
    CHECK(halo_experts_scores(ctx, 12, scores.data(), probs.data()) == 12);
    for (int32_t il = 0; il < s.info.n_layers; ++il) {
        if (!s.used[(size_t) il]) {
            continue;
        }
        const auto row_of = [&](int32_t row) { return &scores[((size_t) il * 12 + (size_t) row) * (size_t) s.info.n_expert]; };
        std::set<int32_t> wanted;
        for (int32_t row = 0; row < 12; ++row) {
            wanted.insert((int32_t) (std::max_element(row_of(row), row_of(row) + s.info.n_expert) - row_of(row)));
        }
        for (int32_t row = 0; row < 12; ++row) {
            int32_t open = 0, taken = 0; // of the wanted ones: in groups this token may choose from
            for (const auto e : wanted) {
                open += std::isfinite(row_of(row)[e]);
            }
            for (const auto e : s.of(got, il, row)) {
                taken += (int32_t) wanted.count(e);
            }
            CHECK(taken == std::min(open, s.used[(size_t) il]));
        }
    }
    CHECK(halo_experts_mode(ctx, false, 0, 0) == HALO_OK);
    llama_memory_clear(llama_get_memory(ctx), true);
}

} // namespace

int main(int argc, char ** argv) {
    if (argc != 2) {
        std::fprintf(stderr, "usage: test_experts MODEL.gguf\n");
        return 2;
    }
    llama_log_set([](ggml_log_level, const char *, void *) {}, nullptr);
    auto * model = llama_model_load_from_file(argv[1], llama_model_default_params());
    CHECK(model != nullptr);
    {
        const auto ctx = make_context(model);
        halo_experts_info info;
        CHECK(halo_experts_describe(ctx.get(), &info) == HALO_ERR_NOT_ATTACHED);
        CHECK(halo_attach(ctx.get()) == HALO_OK);
        const shape s(ctx.get());
        if (!s.info.n_expert) {
            test_dense(ctx.get());
        } else {
            test_errors(ctx.get(), s);
            test_ids(ctx.get(), s);
            test_bias(ctx.get(), s);
            test_shared(ctx.get(), s);
            test_ids(ctx.get(), s);
        }
    }
    halo_experts_info info;
    {
        const auto ctx = make_context(model);
        CHECK(halo_attach(ctx.get()) == HALO_OK && halo_experts_describe(ctx.get(), &info) == HALO_OK);
    }
    if (info.n_expert) {
        test_exact(model);
    }
    llama_model_free(model);
    llama_backend_free();
    std::puts("ok");
}
