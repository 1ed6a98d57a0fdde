// The few BLAS and LAPACK calls used, row-major. OpenBLAS from PyPI prefixes its symbols.
#pragma once

#include <cblas.h>

extern "C" void scipy_spotrf_(const char * uplo, const int * n, float * a, const int * lda, int * info, size_t);

namespace halo::compact {

// C[rows, cols] = alpha * op(A) op(B) + beta * C
inline void gemm(bool ta, bool tb, int rows, int cols, int inner, float alpha, const float * a, int lda,
                 const float * b, int ldb, float beta, float * c, int ldc) {
    if (rows > 0 && cols > 0) {
        scipy_cblas_sgemm(CblasRowMajor, ta ? CblasTrans : CblasNoTrans, tb ? CblasTrans : CblasNoTrans, rows, cols,
                          inner, alpha, a, lda, b, ldb, beta, c, ldc);
    }
}

// Factors the symmetric a[n, n] (lower triangle, row-major) in place; false when it is not positive.
inline bool cholesky(int n, float * a) {
    int info = 0;
    scipy_spotrf_("U", &n, a, &n, &info, 1); // column-major upper = row-major lower
    return info == 0;
}

// x[n, cols] = (L Lt)^-1 x
inline void cholesky_solve(int n, int cols, const float * l, float * x) {
    for (const auto trans : {CblasNoTrans, CblasTrans}) {
        scipy_cblas_strsm(CblasRowMajor, CblasLeft, CblasLower, trans, CblasNonUnit, n, cols, 1.0f, l, n, x, cols);
    }
}

} // namespace halo::compact
