// Lists the KV cells of a context: index, position, sequences.
#include "internal.h"

#include "llama-hparams.h"
#include "llama-kv-cache.h"

extern "C" {

int32_t halo_cache_count(const llama_context * ctx) {
    const auto * state = halo::find(ctx);
    if (!state) {
        return ctx ? HALO_ERR_NOT_ATTACHED : HALO_ERR_ARGUMENT;
    }
    return (int32_t) state->caches.size();
}

halo_status halo_cache_describe(const llama_context * ctx, int32_t cache, halo_cache_info * out) {
    return halo::guarded([&] {
        halo_status status = HALO_OK;
        const auto * state = halo::pick_cache(ctx, cache, &status);
        if (!state) {
            return status;
        }
        const auto * kv = state->kv;
        if (!out) {
            return halo::fail(HALO_ERR_ARGUMENT, "out is NULL");
        }
        out->n_streams = (int32_t) kv->get_n_stream();
        out->n_cells   = (int32_t) kv->get_size();
        out->n_layers  = (int32_t) kv->layers.size();
        out->n_swa     = (int32_t) kv->n_swa;
        return HALO_OK;
    });
}

halo_status halo_cells(const llama_context * ctx, int32_t cache, int32_t stream, int32_t * pos, int32_t * owner,
                       int32_t * first, int32_t * count, int32_t capacity, halo_cells_summary * out) {
    return halo::guarded([&] {
        halo_status status = HALO_OK;
        const auto * state = halo::pick_cache(ctx, cache, &status);
        if (!state) {
            return status;
        }
        const auto * kv = state->kv;
        if (stream < 0 || stream >= (int32_t) kv->get_n_stream()) {
            return halo::fail(HALO_ERR_ARGUMENT, "stream " + std::to_string(stream) + " is not one of the cache's " +
                                                     std::to_string(kv->get_n_stream()));
        }
        const auto & cells = kv->v_cells[stream];
        const auto   n     = (int32_t) cells.size();
        const bool   lists = pos || owner || first || count;
        if (lists && capacity < n) {
            return halo::fail(HALO_ERR_ARGUMENT, "the arrays hold " + std::to_string(capacity) + " cells, the stream has " +
                                                     std::to_string(n));
        }
        int32_t n_shared = 0;
        for (int32_t i = 0; i < n; ++i) {
            const bool empty = cells.is_empty(i);
            // The bit set is read directly: seq_get() walks all 256 sequence ids for each cell.
            const int32_t n_seq = empty ? 0 : (int32_t) cells.seq[i].count();
            const int32_t lowest = n_seq ? (int32_t) cells.seq[i]._Find_first() : HALO_CELL_FREE;
            n_shared += n_seq > 1;
            if (pos)   { pos[i]   = empty ? -1 : (int32_t) cells.pos_get(i); }
            if (owner) { owner[i] = n_seq > 1 ? HALO_CELL_SHARED : lowest; }
            if (first) { first[i] = lowest; }
            if (count) { count[i] = n_seq; }
        }
        if (out) {
            out->total   = n;
            out->used    = (int32_t) cells.get_used();
            out->highest = (int32_t) cells.used_max_p1();
            out->shared  = n_shared;
        }
        return HALO_OK;
    });
}

int32_t halo_cells_of(const llama_context * ctx, int32_t cache, int32_t stream, int32_t seq, int32_t * cells, int32_t * pos,
                      int32_t * owners, int32_t capacity) {
    return halo::guarded([&]() -> int32_t {
        halo_status status = HALO_OK;
        const auto * state = halo::pick_cache(ctx, cache, &status);
        if (!state) {
            return status;
        }
        if (stream < 0 || stream >= (int32_t) state->kv->get_n_stream() || seq < 0 || seq >= LLAMA_MAX_SEQ) {
            return halo::fail(HALO_ERR_ARGUMENT, "no such stream or sequence");
        }
        const auto & table = state->kv->v_cells[stream];
        int32_t n = 0;
        for (const auto & [at, cell] : table.seq_pos_get(seq)) {
            if (n < capacity) {
                if (cells)  { cells[n]  = (int32_t) cell; }
                if (pos)    { pos[n]    = (int32_t) at; }
                if (owners) { owners[n] = (int32_t) table.seq[cell].count(); }
            }
            ++n;
        }
        return n;
    });
}

} // extern "C"
