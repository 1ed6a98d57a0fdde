// The wrapped attention calls: adds the bias to the mask, copies the queries out.
#include <algorithm>
#include <cstring>

#include "internal.h"

#include "llama-context.h"
#include "llama-graph.h"
#include "llama-kv-cache-iswa.h"
#include "llama-kv-cache.h"
#include "llama-memory-hybrid-iswa.h"
#include "llama-memory-hybrid.h"
#include "llama-model.h"

namespace {

// Only graphs of attached contexts are touched; both are null outside build_graph().
thread_local halo::context_state *    t_state  = nullptr;
thread_local const llm_graph_params * t_params = nullptr;

const llama_kv_cache_context * attention_context(const llama_memory_context_i * m, int which) {
    if (const auto * c = dynamic_cast<const llama_kv_cache_context *>(m)) {
        return which == 0 ? c : nullptr;
    }
    if (const auto * c = dynamic_cast<const llama_kv_cache_iswa_context *>(m)) {
        return which == 0 ? c->get_base() : c->get_swa();
    }
    if (const auto * c = dynamic_cast<const llama_memory_hybrid_iswa_context *>(m)) {
        return which == 0 ? c->get_attn()->get_base() : c->get_attn()->get_swa();
    }
    if (const auto * c = dynamic_cast<const llama_memory_hybrid_context *>(m)) {
        return which == 0 ? c->get_attn() : nullptr;
    }
    return nullptr;
}

// Rides along with every graph of an attached context. It has no tensors: it says whether the graph
// is still right, and comes by before each ubatch is computed.
struct halo_input : public llm_graph_input_i {
    halo::context_state *          state;
    uint64_t                       epoch;
    const llama_memory_context_i * memory;

    halo_input(halo::context_state * s, const llama_memory_context_i * m) : state(s), epoch(s->epoch), memory(m) {}

    void set_input(const llama_ubatch * ubatch) override {
        halo::fetch_queries(*state);
        halo::fetch_experts(*state);
        halo::plan_experts(*state);
        if (!state->rings.empty()) {
            halo::plan_queries(*state, *ubatch);
        }
        if (!state->bias_on) {
            return;
        }
        for (int which = 0; which < 2; ++which) {
            const auto * attention = attention_context(memory, which);
            if (!attention) {
                continue;
            }
            for (auto & cache : state->caches) {
                if (cache->kv != attention->kv) {
                    continue;
                }
                // The slots of this ubatch hold new tokens already: what was biased there is gone.
                const auto & slots = attention->sinfos[attention->i_cur];
                std::vector<uint32_t> taken;
                for (size_t s = 0; s < slots.idxs.size(); ++s) {
                    for (const auto cell : slots.idxs[s]) {
                        taken.push_back((uint32_t) slots.strm[s] * cache->kv->get_size() + cell);
                    }
                }
                halo::clear_stale(*state, *cache, taken);
            }
        }
    }

    bool can_reuse(const llm_graph_params & params) override {
        memory = params.mctx;
        return epoch == state->epoch;
    }
};

struct found {
    halo::layer_state *  layer = nullptr;
    const ggml_tensor * view  = nullptr; // of the layer's key storage
};

// The layer whose stored keys a tensor is a view (or a cast view) of.
found find_layer(const ggml_tensor * k) {
    for (int depth = 0; k && depth < 4; ++depth) {
        const auto it = t_state->by_k.find(k->view_src ? k->view_src : k);
        if (it != t_state->by_k.end()) {
            return { it->second, k };
        }
        k = k->src[0];
    }
    return {};
}

int64_t first_stream(const found & f) {
    return (int64_t) (f.view->view_offs / f.layer->k->nb[2]);
}

// mask [n_kv, n_tokens, 1, n_streams] + bias -> [n_kv, n_tokens, n_head, n_streams]: attention picks
// its mask by query head.
ggml_tensor * mask_per_head(ggml_context * ctx, ggml_tensor * mask, const found & f, int64_t n_kv, int64_t n_streams) {
    const auto *  layer = f.layer;
    ggml_tensor * bias  = layer->bias;
    const int64_t group = layer->n_head / layer->n_head_kv, n_tokens = mask->ne[1];
    ggml_tensor * b = ggml_view_4d(ctx, bias, n_kv, 1, layer->n_head_kv, n_streams, bias->nb[1], bias->nb[1], bias->nb[2],
                                   first_stream(f) * bias->nb[2]);
    if (b->type != mask->type) {
        b = ggml_cast(ctx, b, mask->type);
    }
    // One slice a KV head, then repeated within the group: repeat() puts copies side by side, so the
    // group has to be the inner dimension.
    ggml_tensor * m = ggml_add(ctx, ggml_repeat_4d(ctx, mask, n_kv, n_tokens, layer->n_head_kv, n_streams), b);
    if (group > 1) {
        m = ggml_reshape_4d(ctx, m, n_kv * n_tokens, 1, layer->n_head_kv, n_streams);
        m = ggml_repeat_4d(ctx, m, n_kv * n_tokens, group, layer->n_head_kv, n_streams);
        m = ggml_reshape_4d(ctx, m, n_kv, n_tokens, layer->n_head, n_streams);
    }
    ggml_format_name(m, "halo_mask-%d", layer->il);
    return m;
}

void capture(ggml_context * ctx, ggml_tensor * q, halo::layer_state * layer) {
    if (layer->cache != t_state->caches[0].get() || q->ne[0] != layer->d_k || q->ne[2] != layer->n_head) {
        return;
    }
    if (!layer->queries) {
        layer->queries = halo::make_leaf(*t_state, layer->k, GGML_TYPE_F32, layer->d_k, layer->n_head,
                                         t_state->ctx->cparams.n_ubatch, "halo_queries");
    }
    ggml_tensor * leaf = layer->queries;
    if (q->ne[1] * q->ne[3] > leaf->ne[2]) {
        return;
    }
    // q [d, n_tokens, n_head, n_streams] -> rows of tokens, in the ubatch's order
    ggml_tensor * rows = ggml_permute(ctx, q, 0, 2, 1, 3);
    ggml_tensor * to   = ggml_view_4d(ctx, leaf, q->ne[0], q->ne[2], q->ne[1], q->ne[3], leaf->nb[1], leaf->nb[2],
                                      leaf->nb[2] * q->ne[1], 0);
    ggml_build_forward_expand(t_params->res->get_gf(), ggml_cpy(ctx, rows, to));
    layer->captured = true;
}

void note(halo::layer_state * layer, float scale, float max_bias, float softcap) {
    layer->scale   = scale;
    layer->alibi   = max_bias;
    layer->softcap = softcap;
}

bool biased(const found & f, const ggml_tensor * mask) {
    return f.layer && mask && t_state->bias_on && f.layer->bias && f.layer->alibi == 0.0f;
}

// The flash attention behind what a wrapped call returned.
ggml_tensor * flash_attention_of(ggml_tensor * t) {
    while (t && t->op != GGML_OP_FLASH_ATTN_EXT) {
        t = t->src[0];
    }
    return t;
}

} // namespace

namespace halo {

building::building(context_state * state, const llm_graph_params * params)
    : saved_state(t_state), saved_params(t_params) {
    t_state  = state;
    t_params = params;
    begin_experts(*state);
    for (auto & cache : state->caches) {
        for (auto & layer : cache->layers) {
            layer.captured = false;
        }
    }
}

context_state * building_state() {
    return t_state;
}

const llm_graph_params * building_params() {
    return t_params;
}

building::~building() {
    // Added even when nothing is biased: it is what notices that something is, later.
    t_params->res->add_input(std::make_unique<halo_input>(t_state, t_params->mctx));
    t_state  = saved_state;
    t_params = saved_params;
}

} // namespace halo

extern "C" {

ggml_tensor * __real_ggml_flash_attn_ext(ggml_context *, ggml_tensor *, ggml_tensor *, ggml_tensor *, ggml_tensor *, float, float, float);
ggml_tensor * __wrap_ggml_flash_attn_ext(ggml_context *, ggml_tensor *, ggml_tensor *, ggml_tensor *, ggml_tensor *, float, float, float);
void __real_ggml_flash_attn_ext_add_sinks(ggml_tensor *, ggml_tensor *);
void __wrap_ggml_flash_attn_ext_add_sinks(ggml_tensor *, ggml_tensor *);
void __real_ggml_flash_attn_ext_set_n_kv_max(ggml_tensor *, int32_t);
void __wrap_ggml_flash_attn_ext_set_n_kv_max(ggml_tensor *, int32_t);
void __real_ggml_prec_set_acc(ggml_tensor *, ggml_prec);
void __wrap_ggml_prec_set_acc(ggml_tensor *, ggml_prec);
ggml_tensor * __real_ggml_soft_max_ext(ggml_context *, ggml_tensor *, ggml_tensor *, float, float);
ggml_tensor * __wrap_ggml_soft_max_ext(ggml_context *, ggml_tensor *, ggml_tensor *, float, float);

ggml_tensor * __wrap_ggml_flash_attn_ext(ggml_context * ctx, ggml_tensor * q, ggml_tensor * k, ggml_tensor * v,
                                         ggml_tensor * mask, float scale, float max_bias, float softcap) {
    halo::count_hook(halo::HOOK_FLASH_ATTENTION);
    const found f = t_state ? find_layer(k) : found{};
    if (f.layer) {
        note(f.layer, scale, max_bias, softcap);
        if (!t_state->rings.empty()) {
            capture(ctx, q, f.layer);
        }
    }
    if (!biased(f, mask)) {
        return __real_ggml_flash_attn_ext(ctx, q, k, v, mask, scale, max_bias, softcap);
    }
    const int64_t n_kv = k->ne[1], n_streams = k->ne[3];
    if (n_streams > 1 || f.layer->sinks || t_state->bias_mode == 1) {
        mask = mask_per_head(ctx, mask, f, n_kv, n_streams);
        return __real_ggml_flash_attn_ext(ctx, q, k, v, mask, scale, max_bias, softcap);
    }
    // KV heads become streams: each attends alone with the query heads of its group, so the mask keeps
    // one slice (CUDA and SYCL take no other) and needs no copy per query head.
    const int64_t d = q->ne[0], n_tokens = q->ne[1], n_head = q->ne[2], n_kv_heads = k->ne[2], group = n_head / n_kv_heads;
    ggml_tensor * bias = f.layer->bias;
    ggml_tensor * q4   = ggml_view_4d(ctx, q, d, n_tokens, group, n_kv_heads, q->nb[1], q->nb[2], q->nb[2] * group, 0);
    ggml_tensor * b    = ggml_view_4d(ctx, bias, n_kv, 1, 1, n_kv_heads, bias->nb[1], bias->nb[1], bias->nb[1],
                                      first_stream(f) * bias->nb[2]);
    if (b->type != mask->type) {
        b = ggml_cast(ctx, b, mask->type);
    }
    ggml_tensor * m = ggml_add(ctx, ggml_repeat_4d(ctx, mask, n_kv, mask->ne[1], 1, n_kv_heads), b);
    ggml_format_name(m, "halo_mask-%d", f.layer->il);
    ggml_tensor * k4 = ggml_view_4d(ctx, k, k->ne[0], n_kv, 1, n_kv_heads, k->nb[1], k->nb[2], k->nb[2], 0);
    ggml_tensor * v4 = ggml_view_4d(ctx, v, v->ne[0], n_kv, 1, n_kv_heads, v->nb[1], v->nb[2], v->nb[2], 0);
    ggml_tensor * out = __real_ggml_flash_attn_ext(ctx, q4, k4, v4, m, scale, max_bias, softcap); // [dv, group, n_tokens, n_kv_heads]
    if (n_tokens > 1) {
        out = ggml_cont(ctx, ggml_permute(ctx, out, 0, 1, 3, 2));
    }
    return ggml_reshape_4d(ctx, out, v->ne[0], n_head, n_tokens, 1);
}

// llama.cpp calls these on what flash attention returned; where heads became streams that is a
// reshape of it.
void __wrap_ggml_flash_attn_ext_add_sinks(ggml_tensor * a, ggml_tensor * sinks) {
    if (a->op == GGML_OP_FLASH_ATTN_EXT || sinks) {
        __real_ggml_flash_attn_ext_add_sinks(a, sinks);
    }
}

void __wrap_ggml_flash_attn_ext_set_n_kv_max(ggml_tensor * a, int32_t n) {
    if (auto * attention = flash_attention_of(a)) {
        __real_ggml_flash_attn_ext_set_n_kv_max(attention, n);
    }
}

void __wrap_ggml_prec_set_acc(ggml_tensor * a, ggml_prec precision) {
    if (t_state && a->op == GGML_OP_RESHAPE) {
        a = flash_attention_of(a);
    }
    if (a) {
        __real_ggml_prec_set_acc(a, precision);
    }
}

ggml_tensor * __wrap_ggml_soft_max_ext(ggml_context * ctx, ggml_tensor * a, ggml_tensor * mask, float scale, float max_bias) {
    halo::count_hook(halo::HOOK_SOFT_MAX);
    if (!t_state) {
        return __real_ggml_soft_max_ext(ctx, a, mask, scale, max_bias);
    }
    const ggml_tensor * scores = a;
    float softcap = 0.0f;
    while (scores && scores->op != GGML_OP_MUL_MAT) {
        if (scores->op == GGML_OP_SCALE) {
            // scale(1/cap), tanh, scale(cap): the last one is met first
            float factor;
            std::memcpy(&factor, scores->op_params, sizeof(factor));
            softcap = std::max(softcap, factor);
        }
        scores = scores->src[0];
    }
    const found f = scores ? find_layer(scores->src[0]) : found{};
    if (f.layer) {
        note(f.layer, scale, max_bias, softcap);
        if (!t_state->rings.empty()) {
            capture(ctx, scores->src[1], f.layer);
        }
    }
    if (biased(f, mask)) {
        mask = mask_per_head(ctx, mask, f, scores->src[0]->ne[1], scores->src[0]->ne[3]);
    }
    return __real_ggml_soft_max_ext(ctx, a, mask, scale, max_bias);
}

} // extern "C"
