/* halo_compact.h: KV compaction by Attention Matching (arXiv 2602.16284), one C call for many heads.
 *
 * libhalo_compact.so stands alone: it links OpenBLAS and no llama.cpp, so it can be loaded, tested
 * and sanitized without a model.
 *
 * Conventions
 *   - Functions that can fail return a halo_compact_status; 0 is success, errors are negative, and
 *     halo_compact_last_error() then holds one sentence (per thread, valid until the next failing
 *     call of that thread). Nothing here aborts or lets a C++ exception out.
 *   - Arrays are row-major float32 and borrowed for the length of the call. A stride is the distance
 *     between rows in floats; 0 means that rows are packed.
 *   - Threads: any number of calls may run at once. A call starts its own threads and ends them.
 *   - Non-finite keys, values and beta make a cell absent, non-finite queries are left out: they
 *     never reach the arithmetic.
 */
#ifndef HALO_COMPACT_H
#define HALO_COMPACT_H

#include <stdint.h>

#if defined(__GNUC__)
#    define HALO_COMPACT_API __attribute__((visibility("default")))
#else
#    define HALO_COMPACT_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define HALO_COMPACT_ABI 3

typedef enum halo_compact_status {
    HALO_COMPACT_OK            =  0,
    HALO_COMPACT_ERR_ARGUMENT  = -1, /* null pointer, impossible size or parameter */
    HALO_COMPACT_ERR_CANCELLED = -2, /* *cancel became non-zero; unfinished jobs keep this status */
    HALO_COMPACT_ERR_MEMORY    = -3,
    HALO_COMPACT_ERR_INTERNAL  = -4, /* an exception was caught; the message tells which */
} halo_compact_status;

typedef enum halo_compact_method {
    HALO_COMPACT_ATTENTION       = 0, /* largest attention over the queries (section "highest attention") */
    HALO_COMPACT_OMP             = 1, /* orthogonal matching pursuit on the mass */
    HALO_COMPACT_EVICT_ATTENTION = 2, /* largest mean attention: plain eviction */
    HALO_COMPACT_EVICT_RECENT    = 3, /* the newest cells and the first 4 */
} halo_compact_method;

typedef enum halo_compact_score {
    HALO_COMPACT_RMS  = 0,
    HALO_COMPACT_MEAN = 1,
    HALO_COMPACT_MAX  = 2,
} halo_compact_score;

typedef struct halo_compact_params {
    int32_t method;        /* halo_compact_method */
    int32_t score;         /* halo_compact_score, of method `attention` */
    int32_t pool;          /* width of the average over neighbouring cells' scores; 0 or 1 = off */
    int32_t omp_k;         /* keys taken per round */
    int32_t omp_interval;  /* rounds between two refits of the weights */
    int32_t fit_beta;      /* 0 = beta stays what it was */
    int32_t fit_values;    /* 0 = values stay those of the selected cells */
    float   beta_min;      /* bounds of the change of beta (log weight); beta_min < beta_max */
    float   beta_max;      /* NaN = 3, for OMP at least log(n / m) + 1 */
    float   ridge;         /* shrinkage of the values, times mean(diag XtX); < 0 = chosen on held-out queries */
    float   value_ratio;   /* limit of max|C_v| / max|V|; <= 0 = none */
    float   value_limit;   /* limit of max|C_v| for the cache's type; <= 0 = none */
    float   holdout;       /* share of the queries that judge the fits, 0..0.5 */
    int32_t refine;        /* steps of gradient descent on keys, beta and values together, where both fits are
                              on and the job has room for keys; 0 = off */
    int32_t threads;       /* 0 = one per core */
    uint32_t seed;         /* of the split into fitting and judging queries */
} halo_compact_params;

/* Where log_rest is given, a query counts by the share of its attention that the span had: scores,
 * fits and errors are then those of the attention output as the model sees it.
 *
 * Errors are relative errors of the span's attention output, |O - O'| / |O| over the held-out
 * queries (Frobenius), measured on a fit that did not see them. NaN where nothing was held out. */
typedef struct halo_compact_diagnostics {
    double seconds;              /* of this job, one thread or all */
    float  mass_error;           /* mean |log(mass of the result / mass of the span)| */
    float  mass_error_unfitted;
    float  output_error;
    float  output_error_unfitted; /* same cells, their own beta and values */
    float  output_error_evict_attention;
    float  output_error_evict_recent;
    float  ridge;                /* shrinkage used; infinity = values left as they were */
    float  norm_ratio;           /* max|C_v| / max|V| */
    float  beta_min;             /* over cells that are present */
    float  beta_max;
    int32_t fitted_beta;         /* 0 = off, or the unfitted selection was better */
    int32_t fitted_values;
    int32_t refined;             /* 1 = the keys are not those of the cells any more */
    int32_t queries;             /* finite queries that see at least one cell */
    int32_t held_out;
} halo_compact_diagnostics;

/* One layer and KV head. */
typedef struct halo_compact_job {
    const float   * keys;      /* [n, d] post-RoPE */
    const float   * values;    /* [n, dv] */
    const float   * queries;   /* [q, d] post-RoPE, all heads of the group */
    const float   * beta;      /* [n] or NULL; -inf = absent */
    const int32_t * key_pos;   /* [n] or NULL */
    const int32_t * query_pos; /* [q] or NULL; a query sees keys with key_pos <= query_pos */
    const float   * log_rest;  /* [q] or NULL; log of the query's attention mass outside the span */
    int64_t key_stride, value_stride, query_stride;
    int32_t n, q, d, dv;
    int32_t m;                 /* cells wanted, >= 1 */
    float   scale;             /* of q.k; 0 = 1/sqrt(d) */
    float   softcap;           /* scores become cap*tanh(score/cap); 0 = off */

    /* Results; the first `count` = min(m, n) entries are set, the rest is -1, -inf and 0. */
    int32_t * indices;         /* [m] ascending */
    float   * out_beta;        /* [m] */
    float   * out_values;      /* [m, dv] packed */
    float   * out_keys;        /* [m, d] packed, or NULL: those of the cells, to be read there */
    int32_t count;
    int32_t status;            /* halo_compact_status */
    halo_compact_diagnostics diagnostics;
} halo_compact_job;

HALO_COMPACT_API const char * halo_compact_last_error(void);
HALO_COMPACT_API int32_t halo_compact_abi(void);

/* Fills in the defaults documented in engine.compaction. */
HALO_COMPACT_API void halo_compact_defaults(halo_compact_params * params);

/* Compacts every job. `cancel` (may be NULL) is read between heads and between rounds; `done` (may
 * be NULL) counts finished jobs. Both are accessed atomically. Returns the first job's error. */
HALO_COMPACT_API int32_t halo_compact_run(
        halo_compact_job * jobs, int32_t n_jobs, const halo_compact_params * params,
        const int32_t * cancel, int32_t * done);

/* Errors of one head for several m, from one pass over the span: out[i] is what a run with ms[i]
 * would report (seconds: of that m alone). The job's m and result pointers are not used. */
HALO_COMPACT_API int32_t halo_compact_profile(
        const halo_compact_job * job, const int32_t * ms, int32_t n_ms,
        const halo_compact_params * params, const int32_t * cancel, halo_compact_diagnostics * out);

/* Single-precision GFLOP/s of the linked GEMM on [rows, inner] x [inner, cols], for benches. */
HALO_COMPACT_API double halo_compact_gemm_rate(
        int32_t rows, int32_t cols, int32_t inner, int32_t threads, double seconds);

#ifdef __cplusplus
}
#endif

#endif /* HALO_COMPACT_H */
