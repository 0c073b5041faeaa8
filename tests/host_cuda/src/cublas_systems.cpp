// cuBLAS on the host: systems of linear equations, and all other routines for matrices, except
// products.
#include <cstddef>

#include "cublas.h"
#include "lapack.h"
#include "library.h"
#include "openblas.h"

namespace {

using namespace host_cuda;
using namespace host_cuda::cublas;

// --- triangular systems, and what BLAS does not have ---------------------------------------------

struct Triangle {
    Triangle(int side, int uplo, int trans, int diag)
        : side(side_letter(side)),
          part(triangle(uplo)),
          op(operation(trans)),
          unit(diagonal(diag)) {}

    char side;
    char part;
    char op;
    char unit;
};

// op(A) X = alpha B or X op(A) = alpha B, where A is triangular. X overwrites B.
template <class T>
int trsm(const char* function, void* handle, int side, int uplo, int trans, int diag, int m, int n,
         const T* alpha, const T* a, int lda, T* b, int ldb) {
    return with_handle(function, handle, [&](Handle& h) {
        static const Routine<T> routine("trsm");
        const Triangle t(side, uplo, trans, diag);
        const Scalar<T> scale(h, alpha);
        const int order = t.side == 'L' ? m : n;
        const Matrix<const T> from(a, order, order, lda, "A");
        const Matrix<T> to(b, m, n, ldb, "B");
        launch(function, h.stream, [=] {
            routine(t.side, t.part, t.op, t.unit, m, n, scale(), from.data(), lda, to.data(), ldb);
        });
    });
}

template <class T>
int trsm_batched(const char* function, void* handle, int side, int uplo, int trans, int diag, int m,
                 int n, const T* alpha, const T* const* a, int lda, T* const* b, int ldb,
                 int count) {
    return with_handle(function, handle, [&](Handle& h) {
        static const Routine<T> routine("trsm");
        const Triangle t(side, uplo, trans, diag);
        const Scalar<T> scale(h, alpha);
        const int order = t.side == 'L' ? m : n;
        const Batch<const T> from(a, count, order, order, lda, "A");
        const Batch<T> to(b, count, m, n, ldb, "B");
        launch(function, h.stream, [=] {
            for (int i = 0; i < count; i++) {
                routine(t.side, t.part, t.op, t.unit, m, n, scale(), from[i], lda, to[i], ldb);
            }
        });
    });
}

// C = alpha op(A) op(A)^T + beta C; only one triangle of C is written.
template <class T>
int syrk(const char* function, void* handle, int uplo, int trans, int n, int k, const T* alpha,
         const T* a, int lda, const T* beta, T* c, int ldc) {
    return with_handle(function, handle, [&](Handle& h) {
        static const Routine<T> routine("syrk");
        const char part = triangle(uplo);
        const char op = operation(trans);
        const Scalar<T> scale(h, alpha);
        const Scalar<T> keep(h, beta);
        const Matrix<const T> from(a, op == 'N' ? n : k, op == 'N' ? k : n, lda, "A");
        const Matrix<T> to(c, n, n, ldc, "C");
        product(function, h.stream, [=] {
            routine(part, op, n, k, scale(), from.data(), lda, keep(), to.data(), ldc);
        });
    });
}

// The element of factor op(A) in row i and column j. Where the factor is 0, A is not read.
template <class T>
T scaled(T factor, const T* a, char op, int ld, int i, int j) {
    if (factor == T(0)) {
        return 0;
    }
    const T x = op == 'N' ? a[i + std::size_t(j) * ld] : a[j + std::size_t(i) * ld];
    return factor * (op == 'C' ? conjugate(x) : x);
}

// C = alpha op(A) + beta op(B).
template <class T>
int geam(const char* function, void* handle, int transa, int transb, int m, int n, const T* alpha,
         const T* a, int lda, const T* beta, const T* b, int ldb, T* c, int ldc) {
    return with_handle(function, handle, [&](Handle& h) {
        const char op_a = operation(transa);
        const char op_b = operation(transb);
        const Scalar<T> scale_a(h, alpha);
        const Scalar<T> scale_b(h, beta);
        const Matrix<const T> from_a(a, op_a == 'N' ? m : n, op_a == 'N' ? n : m, lda, "A");
        const Matrix<const T> from_b(b, op_b == 'N' ? m : n, op_b == 'N' ? n : m, ldb, "B");
        const Matrix<T> to_c(c, m, n, ldc, "C");
        launch(function, h.stream, [=] {
            const T factor_a = scale_a();
            const T factor_b = scale_b();
            const T* values_a = factor_a == T(0) ? nullptr : from_a.data();
            const T* values_b = factor_b == T(0) ? nullptr : from_b.data();
            T* values_c = to_c.data();
            for (int j = 0; j < n; j++) {
                for (int i = 0; i < m; i++) {
                    values_c[i + std::size_t(j) * ldc] =
                        scaled(factor_a, values_a, op_a, lda, i, j) +
                        scaled(factor_b, values_b, op_b, ldb, i, j);
                }
            }
        });
    });
}

// C = diag(x) A (left) or A diag(x) (right).
template <class T>
int dgmm(const char* function, void* handle, int side, int m, int n, const T* a, int lda,
         const T* x, int incx, T* c, int ldc) {
    return with_handle(function, handle, [&](Handle& h) {
        const bool left = side_letter(side) == 'L';
        const Matrix<const T> from(a, m, n, lda, "A");
        const Matrix<T> to(c, m, n, ldc, "C");
        launch(function, h.stream, [=] {
            const Vector<const T> factors(x, left ? m : n, incx, "x");
            const T* values = from.data();
            T* results = to.data();
            for (int j = 0; j < n; j++) {
                for (int i = 0; i < m; i++) {
                    results[i + std::size_t(j) * ldc] =
                        values[i + std::size_t(j) * lda] * factors[left ? i : j];
                }
            }
        });
    });
}

// A triangle in packed storage, column after column, to or from a matrix.
template <class T>
int unpack(const char* function, void* handle, int uplo, int n, const T* packed, T* a, int lda) {
    return with_handle(function, handle, [&](Handle& h) {
        static const Routine<T> routine("tpttr");
        const char part = triangle(uplo);
        const Matrix<T> to(a, n, n, lda, "A");
        launch(function, h.stream, [=] {
            require_array(packed, std::size_t(n) * (n + 1) / 2, "the packed triangle");
            Integer info = 0;
            routine(part, n, packed, to.data(), lda, &info);
        });
    });
}

template <class T>
int pack(const char* function, void* handle, int uplo, int n, const T* a, int lda, T* packed) {
    return with_handle(function, handle, [&](Handle& h) {
        static const Routine<T> routine("trttp");
        const char part = triangle(uplo);
        const Matrix<const T> from(a, n, n, lda, "A");
        launch(function, h.stream, [=] {
            require_array(packed, std::size_t(n) * (n + 1) / 2, "the packed triangle");
            Integer info = 0;
            routine(part, n, from.data(), lda, packed, &info);
        });
    });
}

// --- batches of linear systems -------------------------------------------------------------------

// The pivots of the batch's matrix `i`, of order n.
template <class Index>
Index* pivots_of(Index* pivots, int i, int n) {
    Index* own = pivots + std::size_t(i) * n;
    require_array(own, n, "the pivots");
    return own;
}

void require_pivots(const int* pivots) {
    require(pivots, Refused::unsupported,
            "the pivots are a null pointer; a factorization without pivots is not emulated");
}

template <class T>
int getrf_batched(const char* function, void* handle, int n, T* const* a, int lda, int* pivots,
                  int* info, int count) {
    return with_handle(function, handle, [&](Handle& h) {
        const Batch<T> matrices(a, count, n, n, lda, "A");
        require_pivots(pivots);
        launch(function, h.stream, [=] {
            require_array(info, count, "the info array");
            for (int i = 0; i < count; i++) {
                info[i] = lapack::getrf(n, n, matrices[i], lda, pivots_of(pivots, i, n));
            }
        });
    });
}

// `info` is one number on the host, which reports whether an argument is invalid.
template <class T>
int getrs_batched(const char* function, void* handle, int trans, int n, int nrhs, const T* const* a,
                  int lda, const int* pivots, T* const* b, int ldb, int* info, int count) {
    return with_handle(function, handle, [&](Handle& h) {
        const char op = operation(trans);
        const Batch<const T> factors(a, count, n, n, lda, "A");
        const Batch<T> sides(b, count, n, nrhs, ldb, "B");
        require_pivots(pivots);
        *info = 0;
        launch(function, h.stream, [=] {
            for (int i = 0; i < count; i++) {
                lapack::getrs(op, n, nrhs, factors[i], lda, pivots_of(pivots, i, n), sides[i], ldb);
            }
        });
    });
}

// Solves A X = 1, so that a singular matrix gives infinite or NaN elements; returns the first pivot
// that is 0, counted from 1.
template <class T>
int invert(int n, const T* lu, int lda, const int* pivots, T* inverse, int ldc) {
    int zero = 0;
    for (int j = 0; j < n; j++) {
        for (int i = 0; i < n; i++) {
            inverse[i + std::size_t(j) * ldc] = i == j ? T(1) : T(0);
        }
        if (zero == 0 && lu[j + std::size_t(j) * lda] == T(0)) {
            zero = j + 1;
        }
    }
    lapack::getrs('N', n, n, lu, lda, pivots, inverse, ldc);
    return zero;
}

template <class T>
int getri_batched(const char* function, void* handle, int n, const T* const* a, int lda,
                  const int* pivots, T* const* c, int ldc, int* info, int count) {
    return with_handle(function, handle, [&](Handle& h) {
        const Batch<const T> factors(a, count, n, n, lda, "A");
        const Batch<T> inverses(c, count, n, n, ldc, "C");
        require_pivots(pivots);
        launch(function, h.stream, [=] {
            require_array(info, count, "the info array");
            for (int i = 0; i < count; i++) {
                info[i] = invert(n, factors[i], lda, pivots_of(pivots, i, n), inverses[i], ldc);
            }
        });
    });
}

}  // namespace

// --- the entry points ----------------------------------------------------------------------------

#define TRSM(L, T) \
    API int cublas##L##trsm_v2(void* handle, int side, int uplo, int trans, int diag, int m, \
                               int n, const T* alpha, const T* a, int lda, T* b, int ldb) { \
        return trsm("cublas" #L "trsm", handle, side, uplo, trans, diag, m, n, alpha, a, lda, b, \
                    ldb); \
    } \
    API int cublas##L##trsmBatched(void* handle, int side, int uplo, int trans, int diag, int m, \
                                   int n, const T* alpha, const T* const* a, int lda, T* const* b, \
                                   int ldb, int count) { \
        return trsm_batched("cublas" #L "trsmBatched", handle, side, uplo, trans, diag, m, n, \
                            alpha, a, lda, b, ldb, count); \
    }
EACH_TYPE(TRSM)

#define SYRK(L, T) \
    API int cublas##L##syrk_v2(void* handle, int uplo, int trans, int n, int k, const T* alpha, \
                               const T* a, int lda, const T* beta, T* c, int ldc) { \
        return syrk("cublas" #L "syrk", handle, uplo, trans, n, k, alpha, a, lda, beta, c, ldc); \
    }
EACH_TYPE(SYRK)

#define GEAM(L, T) \
    API int cublas##L##geam(void* handle, int transa, int transb, int m, int n, const T* alpha, \
                            const T* a, int lda, const T* beta, const T* b, int ldb, T* c, \
                            int ldc) { \
        return geam("cublas" #L "geam", handle, transa, transb, m, n, alpha, a, lda, beta, b, ldb, \
                    c, ldc); \
    } \
    API int cublas##L##dgmm(void* handle, int side, int m, int n, const T* a, int lda, const T* x, \
                            int incx, T* c, int ldc) { \
        return dgmm("cublas" #L "dgmm", handle, side, m, n, a, lda, x, incx, c, ldc); \
    }
EACH_TYPE(GEAM)

#define PACKED(L, T) \
    API int cublas##L##tpttr(void* handle, int uplo, int n, const T* packed, T* a, int lda) { \
        return unpack("cublas" #L "tpttr", handle, uplo, n, packed, a, lda); \
    } \
    API int cublas##L##trttp(void* handle, int uplo, int n, const T* a, int lda, T* packed) { \
        return pack("cublas" #L "trttp", handle, uplo, n, a, lda, packed); \
    }
PACKED(S, float)
PACKED(D, double)

#define LU(L, T) \
    API int cublas##L##getrfBatched(void* handle, int n, T* const* a, int lda, int* pivots, \
                                    int* info, int count) { \
        return getrf_batched("cublas" #L "getrfBatched", handle, n, a, lda, pivots, info, count); \
    } \
    API int cublas##L##getrsBatched(void* handle, int trans, int n, int nrhs, const T* const* a, \
                                    int lda, const int* pivots, T* const* b, int ldb, int* info, \
                                    int count) { \
        return getrs_batched("cublas" #L "getrsBatched", handle, trans, n, nrhs, a, lda, pivots, \
                             b, ldb, info, count); \
    } \
    API int cublas##L##getriBatched(void* handle, int n, const T* const* a, int lda, \
                                    const int* pivots, T* const* c, int ldc, int* info, \
                                    int count) { \
        return getri_batched("cublas" #L "getriBatched", handle, n, a, lda, pivots, c, ldc, info, \
                             count); \
    }
EACH_TYPE(LU)
