// Reads, writes, frees and moves the contents of KV cells.
#include <algorithm>
#include <cmath>

#include "internal.h"

#include "llama-context.h"
#include "llama-kv-cache.h"
#include "llama-model.h"

namespace {

halo_status check_cells(const halo::cache_state & cache, int32_t stream, const int32_t * cells, int32_t n) {
    if (stream < 0 || stream >= (int32_t) cache.kv->get_n_stream()) {
        return halo::fail(HALO_ERR_ARGUMENT, "stream " + std::to_string(stream) + " does not exist");
    }
    if (n < 0 || (n && !cells)) {
        return halo::fail(HALO_ERR_ARGUMENT, "no cells are given");
    }
    for (int32_t i = 0; i < n; ++i) {
        if (cells[i] < 0 || cells[i] >= (int32_t) cache.kv->get_size()) {
            return halo::fail(HALO_ERR_ARGUMENT, "cell " + std::to_string(cells[i]) + " does not exist");
        }
    }
    return HALO_OK;
}

void decode_row(ggml_type type, const uint8_t * from, float * to, int64_t n) {
    if (type == GGML_TYPE_F32) {
        std::copy_n((const float *) from, n, to);
    } else {
        ggml_get_type_traits(type)->to_float(from, to, n);
    }
}

void encode_row(ggml_type type, const float * from, uint8_t * to, int64_t n) {
    if (type == GGML_TYPE_F32) {
        std::copy_n(from, n, (float *) to);
    } else {
        ggml_quantize_chunk(type, from, to, 0, 1, n, nullptr);
    }
}

// Runs of neighbouring cells: body(first index into cells, first cell, count).
template <typename F> void for_runs(const int32_t * cells, int32_t n, F && body) {
    for (int32_t i = 0; i < n;) {
        int32_t end = i + 1;
        while (end < n && cells[end] == cells[end - 1] + 1) {
            ++end;
        }
        body(i, cells[i], end - i);
        i = end;
    }
}

// Whether cells of a tensor on a device are better moved with what lies between them.
bool is_scattered(const ggml_tensor * t, const int32_t * cells, int32_t n) {
    if (ggml_backend_buffer_is_host(t->buffer)) {
        return false;
    }
    int32_t runs = 0;
    for_runs(cells, n, [&](int32_t, int32_t, int32_t) { ++runs; });
    if (runs < 3) {
        return false;
    }
    const auto [lowest, highest] = std::minmax_element(cells, cells + n);
    return *highest - *lowest < 64 * runs;
}

// Rows of cells as they are stored, to or from `rows`. On a device every transfer costs a wait: cells
// close to each other travel as one block.
template <bool Write> void copy_rows(ggml_tensor * t, int32_t stream, const int32_t * cells, int32_t n, uint8_t * rows) {
    const size_t bytes = t->nb[1], base = stream * t->nb[2];
    if (!is_scattered(t, cells, n)) {
        for_runs(cells, n, [&](int32_t i, int32_t cell, int32_t count) {
            if constexpr (Write) {
                ggml_backend_tensor_set(t, rows + i * bytes, base + cell * bytes, count * bytes);
            } else {
                ggml_backend_tensor_get(t, rows + i * bytes, base + cell * bytes, count * bytes);
            }
        });
        return;
    }
    const auto [lowest, highest] = std::minmax_element(cells, cells + n);
    std::vector<uint8_t> block(bytes * (*highest - *lowest + 1));
    ggml_backend_tensor_get(t, block.data(), base + *lowest * bytes, block.size());
    for (int32_t c = 0; c < n; ++c) {
        uint8_t * at = &block[(cells[c] - *lowest) * bytes];
        if constexpr (Write) {
            std::copy_n(rows + c * bytes, bytes, at);
        } else {
            std::copy_n(at, bytes, rows + c * bytes);
        }
    }
    if constexpr (Write) {
        ggml_backend_tensor_set(t, block.data(), base + *lowest * bytes, block.size());
    }
}

// One tensor with a cell's numbers side by side: K always, V with flash attention.
template <bool Write, typename Data>
void rows_of(ggml_tensor * t, int32_t stream, const int32_t * cells, int32_t n, Data * data) {
    const int64_t width = t->ne[0];
    std::vector<uint8_t> rows(n * t->nb[1]);
    if constexpr (Write) {
        for (int32_t c = 0; c < n; ++c) {
            encode_row(t->type, data + c * width, &rows[c * t->nb[1]], width);
        }
    }
    copy_rows<Write>(t, stream, cells, n, rows.data());
    if constexpr (!Write) {
        for (int32_t c = 0; c < n; ++c) {
            decode_row(t->type, &rows[c * t->nb[1]], data + c * width, width);
        }
    }
}

// V without flash attention: number j of a cell is at j * kv_size + cell. These are never quantised.
template <bool Write, typename Data>
void columns_of(ggml_tensor * t, uint32_t kv_size, int32_t stream, const int32_t * cells, int32_t n, Data * data) {
    if (!n) {
        return;
    }
    const int64_t width = t->ne[0];
    const size_t  size  = ggml_type_size(t->type);
    const auto [lowest, highest] = std::minmax_element(cells, cells + n);
    const size_t column = size * (*highest - *lowest + 1), offset = stream * t->nb[2] + *lowest * size;
    std::vector<uint8_t> buffer(column * width);
    ggml_backend_tensor_get_2d(t, buffer.data(), offset, column, width, kv_size * size, column);
    for (int64_t j = 0; j < width; ++j) {
        for (int32_t c = 0; c < n; ++c) {
            uint8_t * at = &buffer[j * column + (cells[c] - *lowest) * size];
            if constexpr (Write) {
                encode_row(t->type, data + c * width + j, at, 1);
            } else {
                decode_row(t->type, at, data + c * width + j, 1);
            }
        }
    }
    if constexpr (Write) {
        ggml_backend_tensor_set_2d(t, buffer.data(), offset, column, width, kv_size * size, column);
    }
}

template <bool Write, typename Data>
void transfer(const halo::layer_state & layer, int32_t stream, const int32_t * cells, int32_t n, Data * keys, Data * values) {
    if (keys) {
        rows_of<Write>(layer.k, stream, cells, n, keys);
    }
    if (values && layer.cache->kv->v_trans) {
        columns_of<Write>(layer.v, layer.cache->kv->get_size(), stream, cells, n, values);
    } else if (values) {
        rows_of<Write>(layer.v, stream, cells, n, values);
    }
}

// Whether a type can hold the numbers: F16 and the scales of quantised blocks end at 65504.
bool fits(ggml_type type, const float * data, size_t n) {
    const float limit = type == GGML_TYPE_F32 || type == GGML_TYPE_BF16 ? 3e38f : 65504.0f;
    return std::all_of(data, data + n, [&](float x) { return std::abs(x) <= limit; }); // false for NaN
}

void move_data(const halo::layer_state & layer, int32_t stream, const std::vector<std::pair<int32_t, int32_t>> & moves) {
    std::vector<uint8_t> buffer;
    for (ggml_tensor * t : { layer.k, layer.v }) {
        if (!t) {
            continue;
        }
        if (t == layer.v && layer.cache->kv->v_trans) {
            const size_t   size    = ggml_type_size(t->type);
            const uint32_t kv_size = layer.cache->kv->get_size();
            buffer.resize(t->nb[2]);
            ggml_backend_tensor_get(t, buffer.data(), stream * t->nb[2], buffer.size());
            for (int64_t j = 0; j < t->ne[0]; ++j) {
                for (const auto & [from, to] : moves) {
                    std::copy_n(&buffer[(j * kv_size + from) * size], size, &buffer[(j * kv_size + to) * size]);
                }
            }
            ggml_backend_tensor_set(t, buffer.data(), stream * t->nb[2], buffer.size());
        } else {
            // Moves come with `from` falling and `to` rising, and no cell is in both.
            const size_t bytes = t->nb[1], n = moves.size();
            std::vector<int32_t> from, to;
            for (size_t i = 0; i < n; ++i) {
                from.push_back(moves[n - 1 - i].first);
                to.push_back(moves[i].second);
            }
            buffer.resize(2 * n * bytes);
            copy_rows<false>(t, stream, from.data(), (int32_t) n, buffer.data());
            for (size_t i = 0; i < n; ++i) {
                std::copy_n(&buffer[(n - 1 - i) * bytes], bytes, &buffer[(n + i) * bytes]);
            }
            copy_rows<true>(t, stream, to.data(), (int32_t) n, &buffer[n * bytes]);
        }
    }
}

} // namespace

extern "C" {

halo_status halo_layer_describe(const llama_context * ctx, int32_t cache, int32_t i, halo_layer_info * out) {
    return halo::guarded([&] {
        halo_status status = HALO_OK;
        const auto * layer = halo::pick_layer(ctx, cache, i, &status);
        if (!layer) {
            return status;
        }
        if (!out) {
            return halo::fail(HALO_ERR_ARGUMENT, "out is NULL");
        }
        const auto * kv = layer->cache->kv;
        *out = {};
        out->layer     = layer->il;
        out->n_head    = layer->n_head;
        out->n_head_kv = layer->n_head_kv;
        out->d_k       = layer->d_k;
        out->d_v       = layer->d_v;
        out->type_k    = layer->k->type;
        out->type_v    = layer->v ? layer->v->type : layer->k->type;
        out->rotated_k = kv->attn_rot_k;
        out->rotated_v = kv->attn_rot_v;
        out->scale     = layer->scale;
        out->softcap   = layer->softcap;
        out->alibi     = ctx->model.hparams.f_max_alibi_bias > 0.0f;
        return HALO_OK;
    });
}

halo_status halo_cells_read(const llama_context * ctx, int32_t cache, int32_t i, int32_t stream, const int32_t * cells,
                            int32_t n, float * keys, float * values) {
    return halo::guarded([&] {
        halo_status status = HALO_OK;
        const auto * layer = halo::pick_layer(ctx, cache, i, &status);
        if (!layer) {
            return status;
        }
        if (status = check_cells(*layer->cache, stream, cells, n); status != HALO_OK) {
            return status;
        }
        if (values && !layer->v) {
            return halo::fail(HALO_ERR_UNSUPPORTED, "this model's cache is compressed already (MLA): it has no values of their own");
        }
        llama_synchronize(const_cast<llama_context *>(ctx));
        transfer<false>(*layer, stream, cells, n, keys, values);
        return HALO_OK;
    });
}

halo_status halo_cells_write(llama_context * ctx, int32_t cache, int32_t i, int32_t stream, const int32_t * cells, int32_t n,
                             const float * keys, const float * values) {
    return halo::guarded([&] {
        halo_status status = HALO_OK;
        const auto * layer = halo::pick_layer(ctx, cache, i, &status);
        if (!layer) {
            return status;
        }
        if (status = check_cells(*layer->cache, stream, cells, n); status != HALO_OK) {
            return status;
        }
        if (values && !layer->v) {
            return halo::fail(HALO_ERR_UNSUPPORTED, "this model's cache is compressed already (MLA): it has no values of their own");
        }
        const size_t rows = (size_t) n * layer->n_head_kv;
        if ((keys && !fits(layer->k->type, keys, rows * layer->d_k)) ||
            (values && !fits(layer->v->type, values, rows * layer->d_v))) {
            return halo::fail(HALO_ERR_ARGUMENT, "a key or value is not finite, or too large for the cache's type");
        }
        llama_synchronize(ctx);
        transfer<true>(*layer, stream, cells, n, keys, values);
        return HALO_OK;
    });
}

halo_status halo_cells_evict(llama_context * ctx, int32_t cache, int32_t stream, int32_t seq, const int32_t * cells, int32_t n) {
    return halo::guarded([&] {
        halo_status status = HALO_OK;
        auto * owner = halo::pick_cache(ctx, cache, &status);
        if (!owner) {
            return status;
        }
        if (status = check_cells(*owner, stream, cells, n); status != HALO_OK) {
            return status;
        }
        if (seq < 0 || seq >= LLAMA_MAX_SEQ) {
            return halo::fail(HALO_ERR_ARGUMENT, "sequence " + std::to_string(seq) + " does not exist");
        }
        if (owner->kv->other) {
            return halo::fail(HALO_ERR_UNSUPPORTED, "this cache shares its cells with another one");
        }
        auto & table = owner->kv->v_cells[stream];
        const auto last = table.seq_pos_max(seq);
        for (int32_t c = 0; c < n; ++c) {
            const uint32_t cell = (uint32_t) cells[c];
            if (table.is_empty(cell) || !table.seq[cell].test(seq) || table.seq[cell].count() != 1) {
                return halo::fail(HALO_ERR_ARGUMENT, "cell " + std::to_string(cell) + " is not sequence " +
                                                         std::to_string(seq) + "'s alone");
            }
            if (table.pos_get(cell) == last) {
                return halo::fail(HALO_ERR_ARGUMENT, "the last cell of a sequence cannot be freed: decoding goes on from it");
            }
        }
        for (int32_t c = 0; c < n; ++c) {
            if (!table.is_empty(cells[c])) { // listed twice
                table.rm(cells[c]);
            }
            owner->kv->v_heads[stream] = std::min(owner->kv->v_heads[stream], (uint32_t) cells[c]);
        }
        return HALO_OK;
    });
}

int32_t halo_cells_defragment(llama_context * ctx, int32_t cache, int32_t stream, int32_t most) {
    return halo::guarded([&]() -> int32_t {
        halo_status status = HALO_OK;
        auto * owner = halo::pick_cache(ctx, cache, &status);
        if (!owner) {
            return status;
        }
        if (status = check_cells(*owner, stream, nullptr, 0); status != HALO_OK) {
            return status;
        }
        auto * kv    = owner->kv;
        auto & table = kv->v_cells[stream];
        if (kv->other || table.get_has_shift()) {
            return 0;
        }
        const auto used = table.get_used();
        std::vector<std::pair<int32_t, int32_t>> moves;
        uint32_t to = 0;
        for (uint32_t from = table.used_max_p1(); from-- > used && (int32_t) moves.size() < most;) {
            if (table.is_empty(from)) {
                continue;
            }
            while (!table.is_empty(to)) {
                ++to;
            }
            moves.emplace_back((int32_t) from, (int32_t) to++);
        }
        if (moves.empty()) {
            return 0;
        }
        llama_synchronize(ctx);
        for (const auto & layer : owner->layers) {
            move_data(layer, stream, moves);
        }
        const uint32_t base = (uint32_t) stream * kv->get_size();
        for (const auto & [from, dest] : moves) {
            halo::move_bias(*owner, base + (uint32_t) from, base + (uint32_t) dest);
            const auto cell = table.cp((uint32_t) from, 1);
            table.rm((uint32_t) from);
            table.set((uint32_t) dest, cell);
        }
        kv->v_heads[stream] = std::min(kv->v_heads[stream], table.get_used());
        return (int32_t) moves.size();
    });
}

} // extern "C"
