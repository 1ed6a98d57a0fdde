/* halo.h: the C ABI of halo-native, what halo-tui adds to an unmodified llama.cpp.
 *
 * Conventions
 *   - Every function that can fail returns a halo_status; HALO_OK is 0, errors are negative.
 *     halo_last_error() then holds one sentence for the user (per thread, valid until the next
 *     failing call of that thread). Nothing here aborts or lets a C++ exception out.
 *   - Pointers to llama_context are borrowed. Call halo_detach() before llama_free().
 *   - Threads: a context and everything about it belong to one thread at a time, as in llama.h.
 *     halo_version(), halo_build_info() and halo_hooks() may be called from any thread.
 *   - A *cache* is one attention KV cache of a context: plain models have one; sliding-window
 *     models two (0 = base, 1 = sliding window); hybrid models those of their attention layers.
 *   - A *stream* is one independent array of cells; unified caches have exactly one.
 */
#ifndef HALO_H
#define HALO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#    define HALO_API __attribute__((visibility("default")))
#else
#    define HALO_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

struct llama_context;

#define HALO_ABI 2

typedef enum halo_status {
    HALO_OK                =  0,
    HALO_ERR_ARGUMENT      = -1, /* null pointer, index out of range, buffer too small */
    HALO_ERR_NOT_ATTACHED  = -2, /* halo_attach() was not called on this context */
    HALO_ERR_UNSUPPORTED   = -3, /* the context's memory is of a kind halo cannot read */
    HALO_ERR_LLAMA         = -4, /* a llama.cpp call failed */
    HALO_ERR_INTERNAL      = -5, /* an exception was caught; the message tells which */
} halo_status;

/* Message of the last failure on this thread; "" when there was none. Never NULL. */
HALO_API const char * halo_last_error(void);

/* --- version ------------------------------------------------------------------------------- */

/* Version of halo-native, e.g. "0.1.0". Static storage. */
HALO_API const char * halo_version(void);

/* HALO_ABI of the library, to be compared with the one the caller was written for. */
HALO_API int32_t halo_abi(void);

/* JSON object: version, abi, llama_cpp (version of the pinned source), compiler, build_type,
 * ggml (its version), backends (names of the ggml backends registered now), system (ggml's CPU
 * feature line). Valid until the next call on this thread. "{}" when memory ran out. */
HALO_API const char * halo_build_info(void);

/* --- hooks --------------------------------------------------------------------------------- */

/* One wrapped upstream symbol. A symbol that upstream renames is ignored silently by the linker,
 * so `reached` is what tells whether the hook works: it counts calls that came through it. */
typedef struct halo_hook {
    const char * name;    /* static storage */
    const char * symbol;  /* the linker symbol, static storage */
    int64_t      reached; /* calls since the library was loaded; `experts` only by models that have some */
} halo_hook;

/* Fills up to `capacity` entries and returns how many hooks there are. `out` may be NULL. */
HALO_API int32_t halo_hooks(halo_hook * out, int32_t capacity);

/* --- context ------------------------------------------------------------------------------- */

/* Makes a context known; calling it again is harmless. HALO_ERR_UNSUPPORTED for memories without attention cells
 * (purely recurrent models, DeepSeek's indexed caches). */
HALO_API halo_status halo_attach(struct llama_context * ctx);

/* Forgets a context and frees what was kept for it. Safe on a context never attached. */
HALO_API void halo_detach(struct llama_context * ctx);

/* --- cells --------------------------------------------------------------------------------- */

typedef struct halo_cache_info {
    int32_t n_streams; /* 1 when unified */
    int32_t n_cells;   /* cells per stream */
    int32_t n_layers;  /* layers whose K and V live in this cache */
    int32_t n_swa;     /* sliding window in tokens, 0 = none */
} halo_cache_info;

/* Number of attention caches of an attached context, or a negative halo_status. */
HALO_API int32_t halo_cache_count(const struct llama_context * ctx);

HALO_API halo_status halo_cache_describe(const struct llama_context * ctx, int32_t cache, halo_cache_info * out);

typedef struct halo_cells_summary {
    int32_t total;   /* cells of the stream */
    int32_t used;    /* cells that hold a token of at least one sequence */
    int32_t highest; /* index of the highest used cell + 1: what attention has to read */
    int32_t shared;  /* used cells that belong to two or more sequences */
} halo_cells_summary;

#define HALO_CELL_FREE   (-1)
#define HALO_CELL_SHARED (-2)

/* Lists the cells of one stream in order of their index, in one pass.
 *   pos   [capacity] position of the cell's token, -1 when free; may be NULL
 *   owner [capacity] sequence id, HALO_CELL_FREE or HALO_CELL_SHARED; may be NULL
 *   first [capacity] lowest sequence id of the cell, also for shared ones, -1 when free; may be NULL
 *   count [capacity] number of sequences the cell belongs to; may be NULL
 *   out   summary; may be NULL
 * capacity must be at least the stream's number of cells when any array is given. Reads host
 * bookkeeping only: no device is touched, no graph needs to be idle. */
HALO_API halo_status halo_cells(
        const struct llama_context * ctx, int32_t cache, int32_t stream,
        int32_t * pos, int32_t * owner, int32_t * first, int32_t * count,
        int32_t capacity, halo_cells_summary * out);

/* The cells of one sequence in order of position, shared ones too: cells, pos, owners [capacity]
 * (owners: number of sequences the cell belongs to); each may be NULL. Returns how many there are,
 * also when more than `capacity`, or a negative halo_status. */
HALO_API int32_t halo_cells_of(
        const struct llama_context * ctx, int32_t cache, int32_t stream, int32_t seq,
        int32_t * cells, int32_t * pos, int32_t * owners, int32_t capacity);

/* --- cells: data ---------------------------------------------------------------------------- */

/* The functions below act on one stream of one cache and must be called between two llama_decode()
 * calls; they wait for the device first. `cells` are indices within the stream. */

typedef struct halo_layer_info {
    int32_t layer;     /* index in the model */
    int32_t n_head;    /* query heads */
    int32_t n_head_kv; /* KV heads; n_head / n_head_kv query heads share one */
    int32_t d_k;       /* width of one head's key */
    int32_t d_v;       /* width of one head's value */
    int32_t type_k;    /* enum ggml_type of the stored keys */
    int32_t type_v;
    bool    rotated_k; /* stored Hadamard-rotated (quantised caches); captured queries are too */
    bool    rotated_v;
    float   scale;     /* of the attention scores, 0 when the graph was not built yet */
    float   softcap;   /* 0 = none */
    bool    alibi;     /* biases cannot be used */
} halo_layer_info;

/* The `i`-th of the cache's n_layers layers. */
HALO_API halo_status halo_layer_describe(const struct llama_context * ctx, int32_t cache, int32_t i, halo_layer_info * out);

/* Keys and values of n cells of the i-th layer as float32, de-quantised.
 *   keys   [n, n_head_kv, d_k], values [n, n_head_kv, d_v]; either may be NULL */
HALO_API halo_status halo_cells_read(
        const struct llama_context * ctx, int32_t cache, int32_t i, int32_t stream,
        const int32_t * cells, int32_t n, float * keys, float * values);

/* Writes keys and values in the cache's types (quantised where it is). HALO_ERR_ARGUMENT, and nothing
 * written, when a number is not finite or too large for the type. */
HALO_API halo_status halo_cells_write(
        struct llama_context * ctx, int32_t cache, int32_t i, int32_t stream,
        const int32_t * cells, int32_t n, const float * keys, const float * values);

/* Frees cells that belong to sequence `seq` alone. HALO_ERR_ARGUMENT, and nothing freed, when one is
 * empty, has another owner too, or is the sequence's last: the next decode continues from it. */
HALO_API halo_status halo_cells_evict(
        struct llama_context * ctx, int32_t cache, int32_t stream, int32_t seq, const int32_t * cells, int32_t n);

/* Moves the highest used cells into the lowest free ones, at most `most` of them, so that `highest`
 * and with it what attention reads goes down. Positions, sequences and biases move along.
 * Returns how many were moved, or a negative halo_status. 0 while a position shift is pending. */
HALO_API int32_t halo_cells_defragment(struct llama_context * ctx, int32_t cache, int32_t stream, int32_t most);

/* --- bias (beta) ---------------------------------------------------------------------------- */

/* A bias is added to the attention score of one cell, for one layer and KV head (all query heads of
 * its group): log(2) makes a cell count twice, -INFINITY hides it. It belongs to what the cell holds:
 * a cell that is freed or overwritten loses it. Until the first bias is set the graph is that of
 * unmodified llama.cpp.
 *
 * Sets the biases of n cells of the i-th layer: beta [n_head_kv, n]. HALO_ERR_UNSUPPORTED for ALiBi. */
HALO_API halo_status halo_bias_set(
        struct llama_context * ctx, int32_t cache, int32_t i, int32_t stream,
        const int32_t * cells, int32_t n, const float * beta);

HALO_API halo_status halo_bias_get(
        const struct llama_context * ctx, int32_t cache, int32_t i, int32_t stream,
        const int32_t * cells, int32_t n, float * beta);

/* Cells with a bias other than 0 in any layer or head of a cache; -1 for all caches. */
HALO_API int32_t halo_bias_count(const struct llama_context * ctx, int32_t cache);

/* How the bias enters flash attention: 0 = by the shape at hand (heads become streams where one stream
 * is computed, else a mask per head), 1 = always a mask per head, 2 = heads become streams. For tests. */
HALO_API halo_status halo_bias_mode(struct llama_context * ctx, int32_t mode);

/* --- queries -------------------------------------------------------------------------------- */

/* Keeps the queries (after RoPE, in the basis of the stored keys) of the newest `capacity` tokens
 * computed for a sequence, in cache 0's layers. 0 forgets them and stops. While no sequence is tracked the graph
 * is that of unmodified llama.cpp. Memory: capacity * sum(n_head * d_k) * 4 bytes a sequence. */
HALO_API halo_status halo_queries_track(struct llama_context * ctx, int32_t seq, int32_t capacity);

/* How many tokens' queries a sequence has whose position is at least `from`, or a negative status. */
HALO_API int32_t halo_queries_count(struct llama_context * ctx, int32_t seq, int32_t from);

/* The queries of the i-th layer of cache 0, oldest first: pos [capacity], queries [capacity, n_head, d_k]; either may
 * be NULL. Returns how many were written, or a negative status. */
HALO_API int32_t halo_queries_read(
        struct llama_context * ctx, int32_t i, int32_t seq, int32_t from, int32_t * pos, float * queries, int32_t capacity);

/* Tells the kept queries that their sequence's positions were shifted (llama_memory_seq_add): those with
 * position >= p0 are forgotten, since their rotation is stale. */
HALO_API halo_status halo_queries_forget(struct llama_context * ctx, int32_t seq, int32_t p0);

/* --- experts -------------------------------------------------------------------------------- */

/* Models whose layers choose among experts (mixture of experts) through llama.cpp's common path. A bias
 * is added to the scores that experts are *selected* by: probabilities of softmax and sigmoid routers,
 * logits of llama4 and of routers that take the softmax of the chosen ones. Weights of the chosen stay
 * those of the unbiased router. Where experts come in groups (DeepSeek, GLM, Ling) the groups are chosen
 * unbiased and the bias acts within them. One bias holds for all tokens of a ubatch; ubatches of more than
 * HALO_EXPERT_ROWS tokens are never biased: they read nearly all experts anyway. While neither bias nor
 * capture is on, the graph is that of unmodified llama.cpp. */

#define HALO_EXPERT_ROWS 64 /* also the tokens of a ubatch, the first ones, whose scores can be read */

typedef struct halo_experts_info {
    int32_t n_layers;      /* layers of the model; arrays below have one entry for each */
    int32_t n_expert;      /* experts of a layer, 0 = a dense model */
    int32_t n_used;        /* most experts a layer takes for a token */
    int32_t n_groups;      /* 0 or 1 = none */
    int32_t n_groups_used;
    int32_t gating;        /* 1 softmax, 2 sigmoid, 3 softmax of the chosen, 4 sqrt(softplus), 0 unset */
} halo_experts_info;

HALO_API halo_status halo_experts_describe(const struct llama_context * ctx, halo_experts_info * out);

/* For each layer how many experts a token takes (0 = a dense layer), and the bytes of one expert's weights:
 * used [n_layers], bytes [n_layers]; capacity is at least n_layers. */
HALO_API halo_status halo_experts_layers(const struct llama_context * ctx, int32_t * used, int64_t * bytes, int32_t capacity);

/* What graphs do from the next ubatch on; a change rebuilds the graph, a new bias does not.
 *   bias     whether the biases act
 *   keep     that many best experts of each token are never displaced, and get the other tokens of the ubatch
 *            a bonus for them (`shared` below): who is read for one may serve all
 *   capture  0 = nothing, 1 = ids of the chosen, 2 = ids and scores
 * HALO_ERR_UNSUPPORTED for dense models. */
HALO_API halo_status halo_experts_mode(struct llama_context * ctx, bool bias, int32_t keep, int32_t capture);

/* The biases of all layers: bias [n_layers, n_expert], finite or -INFINITY (never chosen while others are
 * left); shared [n_layers], >= 0, the bonus of experts that are among the `keep` best of any token of the
 * ubatch. Copied; takes effect at the next ubatch. All 0 is bit-exact with no bias. */
HALO_API halo_status halo_experts_set_bias(struct llama_context * ctx, const float * bias, const float * shared);

/* Ids chosen since the last call, in the order computed: rows [n_layers] tokens of each layer (the last one
 * routes only tokens that have outputs), ids [n_layers, capacity, n_used]. Returns the largest of `rows`;
 * with NULLs that alone, and nothing is taken. What nobody reads is dropped after 4 * n_batch tokens. */
HALO_API int32_t halo_experts_read(struct llama_context * ctx, int32_t * rows, int32_t * ids, int32_t capacity);

/* Of the first n tokens of the last ubatch: scores [n_layers, n, n_expert] that select (unbiased; -INFINITY
 * outside the chosen groups) and probs of the same shape that weigh. Returns for how many tokens. */
HALO_API int32_t halo_experts_scores(struct llama_context * ctx, int32_t n, float * scores, float * probs);

/* --- bench --------------------------------------------------------------------------------- */

typedef struct halo_bench_params {
    int32_t n_seq;       /* sequences decoded in lock step, one llama_decode() per step */
    int32_t n_decode;    /* tokens generated for each sequence, end tokens ignored */
    float   temperature; /* 0 = greedy */
    int32_t top_k;       /* 0 = off */
    float   top_p;       /* 1 = off */
    float   min_p;       /* 0 = off */
    uint32_t seed;       /* sequence i uses seed + i */
} halo_bench_params;

typedef struct halo_bench_result {
    double  prefill_seconds; /* all prompts, until the first token of each is sampled */
    double  decode_seconds;  /* the remaining n_decode - 1 steps */
    double  ttft_seconds;    /* until the first sequence has its first token */
    int64_t prompt_tokens;
    int64_t decoded_tokens;  /* n_seq * (n_decode - 1) */
} halo_bench_result;

/* The ceiling of the throughput bench: prefill and batched decode with nothing around them.
 *   tokens  [offsets[n_seq]] prompts laid end to end
 *   offsets [n_seq + 1] where each prompt begins; the last entry is where the last one ends
 * Clears the context's memory before and after, also when it fails. Uses sequences 0..n_seq-1;
 * n_seq is at most the context's n_seq_max and n_batch. Blocks until it is done. */
HALO_API halo_status halo_bench_batched(
        struct llama_context * ctx, const int32_t * tokens, const int32_t * offsets,
        const halo_bench_params * params, halo_bench_result * out);

#ifdef __cplusplus
}
#endif

#endif /* HALO_H */
