// The wrapped expert selection: adds a bias to the routers' scores, copies the choice out.
#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <stdexcept>

#include "internal.h"

#include "llama-context.h"
#include "llama-graph.h"
#include "llama-model.h"

namespace {

// The layer of a tensor that experts are selected by: "ffn_moe_probs-7", "ffn_moe_probs_biased-7"
// (sigmoid routers), "ffn_moe_probs_masked-7" (expert groups), "ffn_moe_logits-7" (llama4); -1 for the
// reshaped ones that choose groups.
int32_t layer_of(const char * name) {
    if (std::strncmp(name, "ffn_moe_", 8) != 0) {
        return -1;
    }
    const char * dash = std::strrchr(name, '-');
    if (!dash || !dash[1]) {
        return -1;
    }
    for (const char * c = dash + 1; *c; ++c) {
        if (!std::isdigit((unsigned char) *c)) {
            return -1;
        }
    }
    return std::atoi(dash + 1);
}

int64_t expert_bytes(const ggml_tensor * experts) {
    return experts ? (int64_t) (ggml_nbytes(experts) / (size_t) experts->ne[2]) : 0;
}

const llama_layer * moe_layer(const llama_model & model, int32_t il) {
    if (il < 0 || (size_t) il >= model.layers.size()) {
        return nullptr;
    }
    const auto & layer = model.layers[il];
    return layer.ffn_down_exps ? &layer : nullptr;
}

halo_status moe_state(const llama_context * ctx, halo::context_state ** out) {
    auto * state = halo::find(ctx);
    if (!state) {
        return ctx ? HALO_ERR_NOT_ATTACHED : HALO_ERR_ARGUMENT;
    }
    if (!ctx->model.hparams.n_expert) {
        return halo::fail(HALO_ERR_UNSUPPORTED, "this model has no experts");
    }
    *out = state;
    return HALO_OK;
}

// The leaves of the layers that live where layer `il` does; made at first use.
halo::expert_store & store_for(halo::context_state & state, int32_t il) {
    const ggml_tensor * like = nullptr;
    for (const auto & cache : state.caches) {
        for (const auto & layer : cache->layers) {
            if (!like || layer.il == il) {
                like = layer.k;
            }
        }
    }
    const auto type = ggml_backend_buffer_get_type(like->buffer);
    auto &     all  = state.experts.stores;
    auto       it   = std::find_if(all.begin(), all.end(), [&](const auto & s) { return s.type == type; });
    if (it != all.end()) {
        return *it;
    }
    const auto & h        = state.ctx->model.hparams;
    const auto   n_layers = (int64_t) h.n_layer_all;
    const auto   n_ubatch = (int64_t) state.ctx->cparams.n_ubatch;
    const auto   rows     = std::min<int64_t>(n_ubatch, HALO_EXPERT_ROWS);
    halo::expert_store store;
    store.type   = type;
    store.bias   = halo::make_leaf(state, like, GGML_TYPE_F32, (int64_t) h.n_expert + 2, n_layers, 1, "halo_expert_bias");
    store.ids    = halo::make_leaf(state, like, GGML_TYPE_I32, h.n_expert_used_max(), n_ubatch, n_layers, "halo_expert_ids");
    store.scores = halo::make_leaf(state, like, GGML_TYPE_F32, h.n_expert, rows, n_layers, "halo_expert_scores");
    store.probs  = halo::make_leaf(state, like, GGML_TYPE_F32, h.n_expert, rows, n_layers, "halo_expert_probs");
    all.push_back(store);
    if (!state.experts.bias.empty()) {
        ggml_backend_tensor_set(store.bias, state.experts.bias.data(), 0, ggml_nbytes(store.bias));
    }
    return all.back();
}

// Copies [n, rows] of `from` into layer il of a leaf.
void copy_out(ggml_context * ctx, ggml_tensor * from, ggml_tensor * leaf, int32_t il, int64_t rows) {
    ggml_tensor * to = ggml_view_2d(ctx, leaf, from->ne[0], rows, leaf->nb[1], il * leaf->nb[2]);
    if (rows != from->ne[1]) {
        from = ggml_view_2d(ctx, from, from->ne[0], rows, from->nb[1], 0);
    }
    ggml_build_forward_expand(halo::building_params()->res->get_gf(), ggml_cpy(ctx, from, to));
}

// What weighs the chosen, given what selects them: sigmoid routers select by probability + a trained
// bias, expert groups by scores that are masked.
ggml_tensor * weighing(ggml_tensor * scores) {
    ggml_tensor * t = scores;
    if (std::strstr(t->name, "masked")) { // reshape <- set_rows <- get_rows <- reshape <- scores
        const ggml_op way[] = { GGML_OP_RESHAPE, GGML_OP_SET_ROWS, GGML_OP_GET_ROWS, GGML_OP_RESHAPE };
        for (const auto op : way) {
            if (t->op != op || !t->src[0]) {
                return scores;
            }
            t = t->src[0];
        }
    }
    return t->op == GGML_OP_ADD && std::strstr(t->name, "probs_biased") ? t->src[0] : t;
}

// scores [n_expert, n_tokens] + the layer's bias. `best` [keep, n_tokens] are the best of each token: they
// get the layer's highest bias, so that nothing can displace them, and the other tokens of the ubatch
// get the layer's bonus for them: who is read for one may serve all. With biases of 0 every number stays
// what it was.
ggml_tensor * biased(ggml_context * ctx, ggml_tensor * scores, ggml_tensor * best, const ggml_tensor * leaf, int32_t il) {
    const int64_t n = scores->ne[0], n_tokens = scores->ne[1];
    auto *        all = const_cast<ggml_tensor *>(leaf);
    const auto    at  = [&](int64_t i, int64_t size) { return ggml_view_1d(ctx, all, size, il * leaf->nb[1] + i * leaf->nb[0]); };
    if (!best) {
        ggml_tensor * sum = ggml_add(ctx, scores, at(0, n));
        ggml_format_name(sum, "halo_moe_scores-%d", il);
        return sum;
    }
    ggml_tensor * single = ggml_reshape_3d(ctx, scores, 1, n, n_tokens);
    ggml_tensor * own    = ggml_get_rows(ctx, single, best); // [1, keep, n_tokens]
    ggml_tensor * bias   = at(0, n);
    if (n_tokens > 1) {
        ggml_tensor * wanted = ggml_set_rows(ctx, ggml_fill(ctx, single, 0.0f), ggml_fill(ctx, own, 1.0f), best);
        wanted = ggml_cont(ctx, ggml_transpose(ctx, ggml_reshape_2d(ctx, wanted, n, n_tokens)));
        wanted = ggml_clamp(ctx, ggml_sum_rows(ctx, wanted), 0.0f, 1.0f); // [1, n_expert] by anyone
        bias   = ggml_add(ctx, ggml_mul(ctx, ggml_reshape_1d(ctx, wanted, n), at(n, 1)), bias);
    }
    ggml_tensor * sum = ggml_add(ctx, scores, bias);
    sum = ggml_set_rows(ctx, ggml_reshape_3d(ctx, sum, 1, n, n_tokens), ggml_add(ctx, own, at(n + 1, 1)), best);
    sum = ggml_reshape_2d(ctx, sum, n, n_tokens);
    ggml_format_name(sum, "halo_moe_scores-%d", il);
    return sum;
}

} // namespace

namespace halo {

void begin_experts(context_state & state) {
    fetch_experts(state); // of the graph before, by its rows
    std::fill(state.experts.rows.begin(), state.experts.rows.end(), 0);
}

void plan_experts(context_state & state) {
    state.experts.pending = state.experts.capture > 0;
}

void fetch_experts(context_state & state) {
    auto & x = state.experts;
    if (!x.pending) {
        return;
    }
    x.pending = false;
    const int32_t most = *std::max_element(x.rows.begin(), x.rows.end());
    if (!most) {
        return;
    }
    ggml_backend_sched_synchronize(state.ctx->get_sched());
    const auto   n_layers = (size_t) state.ctx->model.hparams.n_layer_all;
    const size_t  limit   = 4 * (size_t) state.ctx->cparams.n_batch;
    std::vector<int32_t> block;
    for (const auto & store : x.stores) {
        const size_t width = (size_t) store.ids->ne[0];
        block.resize(n_layers * (size_t) most * width);
        // One call for all layers: on a GPU every call costs a wait.
        ggml_backend_tensor_get_2d(store.ids, block.data(), 0, (size_t) most * store.ids->nb[1], n_layers, store.ids->nb[2],
                                   (size_t) most * store.ids->nb[1]);
        for (size_t il = 0; il < n_layers; ++il) {
            if (!x.rows[il] || x.where[il] != store.type) {
                continue;
            }
            auto & kept = x.read[il];
            if (kept.size() > limit * width) {
                kept.clear(); // nobody reads
            }
            const auto * from = &block[il * (size_t) most * width];
            kept.insert(kept.end(), from, from + (size_t) x.rows[il] * width);
        }
    }
}

} // namespace halo

extern "C" {

ggml_tensor * __real_ggml_argsort_top_k(ggml_context *, ggml_tensor *, int);
ggml_tensor * __wrap_ggml_argsort_top_k(ggml_context *, ggml_tensor *, int);

ggml_tensor * __wrap_ggml_argsort_top_k(ggml_context * ctx, ggml_tensor * scores, int k) {
    const int32_t il = layer_of(scores->name);
    if (il >= 0) {
        halo::count_hook(halo::HOOK_EXPERTS);
    }
    auto * state = halo::building_state();
    if (il < 0 || !state || !(state->experts.bias_on || state->experts.capture)) {
        return __real_ggml_argsort_top_k(ctx, scores, k);
    }
    auto &       x     = state->experts;
    const auto & model = state->ctx->model;
    // A second, smaller selection of the same layer (grovemoe's adjugate experts) is left alone.
    if (scores->ne[0] != (int64_t) model.hparams.n_expert || k > (int) model.hparams.n_expert_used_max() || scores->ne[2] != 1 ||
        !moe_layer(model, il)) {
        return __real_ggml_argsort_top_k(ctx, scores, k);
    }
    const auto &  store    = store_for(*state, il);
    const int64_t n_tokens = scores->ne[1], rows = std::min<int64_t>(n_tokens, store.scores->ne[1]);
    if (x.capture > 1) {
        copy_out(ctx, scores, store.scores, il, rows);
        copy_out(ctx, weighing(scores), store.probs, il, rows);
    }
    ggml_tensor * selected = scores;
    if (x.bias_on && n_tokens <= HALO_EXPERT_ROWS) {
        ggml_tensor * best = x.keep > 0 ? __real_ggml_argsort_top_k(ctx, scores, std::min(x.keep, k)) : nullptr;
        selected = biased(ctx, scores, best, store.bias, il);
    }
    ggml_tensor * ids = __real_ggml_argsort_top_k(ctx, selected, k);
    if (x.capture > 0) {
        copy_out(ctx, ids, store.ids, il, n_tokens);
        x.rows[il]  = (int32_t) n_tokens;
        x.where[il] = store.type;
    }
    return ids;
}

halo_status halo_experts_describe(const llama_context * ctx, halo_experts_info * out) {
    return halo::guarded([&] {
        if (!halo::find(ctx)) {
            return ctx ? HALO_ERR_NOT_ATTACHED : HALO_ERR_ARGUMENT;
        }
        if (!out) {
            return halo::fail(HALO_ERR_ARGUMENT, "the output is NULL");
        }
        const auto & h = ctx->model.hparams;
        *out = { (int32_t) h.n_layer_all, (int32_t) h.n_expert, (int32_t) h.n_expert_used_max(),
                 (int32_t) h.n_expert_groups, (int32_t) h.n_group_used, (int32_t) h.expert_gating_func };
        return HALO_OK;
    });
}

halo_status halo_experts_layers(const llama_context * ctx, int32_t * used, int64_t * bytes, int32_t capacity) {
    return halo::guarded([&] {
        if (!halo::find(ctx)) {
            return ctx ? HALO_ERR_NOT_ATTACHED : HALO_ERR_ARGUMENT;
        }
        const auto & h = ctx->model.hparams;
        if (!used || !bytes || capacity < (int32_t) h.n_layer_all) {
            return halo::fail(HALO_ERR_ARGUMENT, "an output is NULL or has less than " + std::to_string(h.n_layer_all) + " entries");
        }
        for (int32_t il = 0; il < (int32_t) h.n_layer_all; ++il) {
            const auto * layer = moe_layer(ctx->model, il);
            used[il]  = layer ? (int32_t) h.n_expert_used((uint32_t) il) : 0;
            bytes[il] = layer ? expert_bytes(layer->ffn_gate_exps) + expert_bytes(layer->ffn_up_exps) +
                                    expert_bytes(layer->ffn_gate_up_exps) + expert_bytes(layer->ffn_down_exps)
                              : 0;
        }
        return HALO_OK;
    });
}

halo_status halo_experts_mode(llama_context * ctx, bool bias, int32_t keep, int32_t capture) {
    return halo::guarded([&] {
        halo::context_state * state = nullptr;
        if (const auto status = moe_state(ctx, &state); status != HALO_OK) {
            return status;
        }
        if (keep < 0 || capture < 0 || capture > 2) {
            return halo::fail(HALO_ERR_ARGUMENT, "keep is negative, or capture is not 0, 1 or 2");
        }
        auto & x = state->experts;
        halo::fetch_experts(*state);
        const auto n_layers = (size_t) ctx->model.hparams.n_layer_all;
        x.rows.resize(n_layers);
        x.read.resize(n_layers);
        x.where.resize(n_layers);
        if (bias != x.bias_on || capture != x.capture || (bias && keep != x.keep)) {
            ++state->epoch; // graphs differ
        }
        x.bias_on = bias;
        x.keep    = keep;
        x.capture = capture;
        return HALO_OK;
    });
}

halo_status halo_experts_set_bias(llama_context * ctx, const float * bias, const float * shared) {
    return halo::guarded([&] {
        halo::context_state * state = nullptr;
        if (const auto status = moe_state(ctx, &state); status != HALO_OK) {
            return status;
        }
        if (!bias || !shared) {
            return halo::fail(HALO_ERR_ARGUMENT, "a bias is NULL");
        }
        const auto & h = ctx->model.hparams;
        const size_t n = h.n_expert, n_layers = h.n_layer_all;
        for (size_t i = 0; i < n * n_layers; ++i) {
            if (std::isnan(bias[i]) || bias[i] == std::numeric_limits<float>::infinity()) {
                return halo::fail(HALO_ERR_ARGUMENT, "a bias is not a number or infinite");
            }
        }
        for (size_t il = 0; il < n_layers; ++il) {
            if (!std::isfinite(shared[il]) || shared[il] < 0.0f) {
                return halo::fail(HALO_ERR_ARGUMENT, "a bonus is negative or not finite");
            }
        }
        auto & all = state->experts.bias;
        all.resize((n + 2) * n_layers);
        for (size_t il = 0; il < n_layers; ++il) {
            const float * row = bias + il * n;
            std::copy_n(row, n, &all[il * (n + 2)]);
            all[il * (n + 2) + n]     = shared[il];
            all[il * (n + 2) + n + 1] = shared[il] + *std::max_element(row, row + n);
        }
        if (!state->experts.stores.empty()) {
            ggml_backend_sched_synchronize(ctx->get_sched());
        }
        for (const auto & store : state->experts.stores) {
            ggml_backend_tensor_set(store.bias, all.data(), 0, ggml_nbytes(store.bias));
        }
        return HALO_OK;
    });
}

int32_t halo_experts_read(llama_context * ctx, int32_t * rows, int32_t * ids, int32_t capacity) {
    return halo::guarded([&]() -> int32_t {
        halo::context_state * state = nullptr;
        if (const auto status = moe_state(ctx, &state); status != HALO_OK) {
            return status;
        }
        halo::fetch_experts(*state);
        auto &       x     = state->experts;
        const size_t width = ctx->model.hparams.n_expert_used_max();
        size_t       most  = 0;
        for (const auto & kept : x.read) {
            most = std::max(most, kept.size() / width);
        }
        if (!rows || !ids) {
            return (int32_t) most;
        }
        if (capacity < (int32_t) most) {
            return halo::fail(HALO_ERR_ARGUMENT, "the buffer holds " + std::to_string(capacity) + " rows, " +
                                                     std::to_string(most) + " are needed");
        }
        for (size_t il = 0; il < (size_t) ctx->model.hparams.n_layer_all; ++il) {
            rows[il] = 0;
            if (il < x.read.size()) {
                rows[il] = (int32_t) (x.read[il].size() / width);
                std::copy(x.read[il].begin(), x.read[il].end(), ids + il * (size_t) capacity * width);
                x.read[il].clear();
            }
        }
        return (int32_t) most;
    });
}

int32_t halo_experts_scores(llama_context * ctx, int32_t n, float * scores, float * probs) {
    return halo::guarded([&]() -> int32_t {
        halo::context_state * state = nullptr;
        if (const auto status = moe_state(ctx, &state); status != HALO_OK) {
            return status;
        }
        auto & x = state->experts;
        if (x.capture < 2 || x.rows.empty()) {
            return halo::fail(HALO_ERR_ARGUMENT, "scores are not captured: see halo_experts_mode");
        }
        const int32_t most = std::min(n, std::min(*std::max_element(x.rows.begin(), x.rows.end()), HALO_EXPERT_ROWS));
        if (most < 0 || !scores || !probs) {
            return halo::fail(HALO_ERR_ARGUMENT, "an output is NULL or has no room");
        }
        ggml_backend_sched_synchronize(ctx->get_sched());
        const auto   n_layers = (size_t) ctx->model.hparams.n_layer_all;
        const size_t width    = ctx->model.hparams.n_expert;
        std::vector<float> block(n_layers * (size_t) most * width);
        for (const auto & store : x.stores) {
            for (const auto & [leaf, out] : { std::pair{ store.scores, scores }, std::pair{ store.probs, probs } }) {
                ggml_backend_tensor_get_2d(leaf, block.data(), 0, (size_t) most * leaf->nb[1], n_layers, leaf->nb[2],
                                           (size_t) most * leaf->nb[1]);
                for (size_t il = 0; il < n_layers; ++il) {
                    if (x.where[il] == store.type) {
                        std::copy_n(&block[il * (size_t) most * width], (size_t) most * width, out + il * (size_t) n * width);
                    }
                }
            }
        }
        return most;
    });
}

} // extern "C"
