// cuBLAS on the host: vectors, in short loops that sum in float64, and products of matrices and
// vectors, by OpenBLAS.
#include <cmath>
#include <complex>

#include "cublas.h"
#include "library.h"
#include "openblas.h"

namespace {

using namespace host_cuda;
using namespace host_cuda::cublas;

// A number that is returned to the host or to the device: only for the host the function waits.
template <class T, class Compute>
void return_number(const char* function, const Handle& handle, T* result, Compute compute) {
    const bool on_device = handle.pointer_mode == DEVICE_POINTERS;
    launch(function, handle.stream, [=] {
        if (on_device) {
            require_array(result, 1, "the result, which the pointer mode says is on the device");
        }
        *result = compute();
    });
    if (!on_device) {
        require_success(synchronize(handle.stream));
    }
}

// --- vectors -----------------------------------------------------------------------------------

// Sums are in float64, and rounded once.
using Wide = std::complex<double>;

template <class T>
T rounded(Wide x) {
    if constexpr (is_complex<T>) {
        return T(x);
    } else {
        return T(x.real());
    }
}

// |re| + |im|: what asum and iamax use as the size of a complex number.
template <class T>
double taxicab(T x) {
    return std::abs(double(std::real(x))) + std::abs(double(std::imag(x)));
}

template <class T>
int dot(const char* function, void* handle, int n, const T* x, int incx, const T* y, int incy,
        T* result, bool conjugated) {
    return with_handle(function, handle, [&](Handle& h) {
        require_count(n, "n");
        return_number(function, h, result, [=] {
            const Vector<const T> a(x, n, incx, "x");
            const Vector<const T> b(y, n, incy, "y");
            Wide sum = 0;
            for (int i = 0; i < n; i++) {
                sum += Wide(conjugated ? conjugate(a[i]) : a[i]) * Wide(b[i]);
            }
            return rounded<T>(sum);
        });
    });
}

template <class T>
int nrm2(const char* function, void* handle, int n, const T* x, int incx, Real<T>* result) {
    return with_handle(function, handle, [&](Handle& h) {
        require_count(n, "n");
        return_number(function, h, result, [=] {
            const Vector<const T> a(x, n, incx, "x");
            double norm = 0;
            for (int i = 0; i < n; i++) {
                norm = std::hypot(norm, std::abs(Wide(a[i])));
            }
            return Real<T>(norm);
        });
    });
}

template <class T>
int asum(const char* function, void* handle, int n, const T* x, int incx, Real<T>* result) {
    return with_handle(function, handle, [&](Handle& h) {
        require_count(n, "n");
        return_number(function, h, result, [=] {
            const Vector<const T> a(x, n, incx, "x");
            double sum = 0;
            for (int i = 0; i < n; i++) {
                sum += taxicab(a[i]);
            }
            return Real<T>(sum);
        });
    });
}

// The index, from 1, of the first element that is largest (sign 1) or smallest (sign -1); 0 where
// there is none.
template <class T>
int extremum(const char* function, void* handle, int n, const T* x, int incx, int* result,
             int sign) {
    return with_handle(function, handle, [&](Handle& h) {
        const int length = incx > 0 ? n : 0;
        return_number(function, h, result, [=] {
            const Vector<const T> a(x, length, incx, "x");
            double best = 0;
            int index = 0;
            for (int i = 0; i < length; i++) {
                const double size = sign * taxicab(a[i]);
                if (index == 0 || size > best) {
                    best = size;
                    index = i + 1;
                }
            }
            return index;
        });
    });
}

template <class T>
int axpy(const char* function, void* handle, int n, const T* alpha, const T* x, int incx, T* y,
         int incy) {
    return with_handle(function, handle, [&](Handle& h) {
        const Scalar<T> scale(h, alpha);
        require_count(n, "n");
        launch(function, h.stream, [=] {
            const Vector<const T> a(x, n, incx, "x");
            const Vector<T> b(y, n, incy, "y");
            const T factor = scale();
            for (int i = 0; i < n; i++) {
                b[i] += factor * a[i];
            }
        });
    });
}

template <class T, class Factor>
int scal(const char* function, void* handle, int n, const Factor* alpha, T* x, int incx) {
    return with_handle(function, handle, [&](Handle& h) {
        const Scalar<Factor> scale(h, alpha);
        require_count(n, "n");
        launch(function, h.stream, [=] {
            const Vector<T> a(x, n, incx, "x");
            const Factor factor = scale();
            for (int i = 0; i < n; i++) {
                a[i] *= factor;
            }
        });
    });
}

// --- matrix and vector -------------------------------------------------------------------------

// y = alpha op(A) x + beta y.
template <class T>
int gemv(const char* function, void* handle, int trans, int m, int n, const T* alpha, const T* a,
         int lda, const T* x, int incx, const T* beta, T* y, int incy) {
    return with_handle(function, handle, [&](Handle& h) {
        static const Routine<T> routine("gemv");
        const char op = operation(trans);
        const Scalar<T> scale(h, alpha);
        const Scalar<T> keep(h, beta);
        const Matrix<const T> matrix(a, m, n, lda, "A");
        require_value(incx != 0 && incy != 0, "expected increments that are not 0");
        product(function, h.stream, [=] {
            Vector<const T>(x, op == 'N' ? n : m, incx, "x");
            Vector<T>(y, op == 'N' ? m : n, incy, "y");
            routine(op, m, n, scale(), matrix.data(), lda, x, incx, keep(), y, incy);
        });
    });
}

// A + alpha x y^T, or y^H where `name` is "gerc".
template <class T>
int ger(const char* function, const char* name, void* handle, int m, int n, const T* alpha,
        const T* x, int incx, const T* y, int incy, T* a, int lda) {
    return with_handle(function, handle, [&](Handle& h) {
        const Routine<T> routine(name);
        const Scalar<T> scale(h, alpha);
        const Matrix<T> matrix(a, m, n, lda, "A");
        require_value(incx != 0 && incy != 0, "expected increments that are not 0");
        product(function, h.stream, [=] {
            Vector<const T>(x, m, incx, "x");
            Vector<const T>(y, n, incy, "y");
            routine(m, n, scale(), x, incx, y, incy, matrix.data(), lda);
        });
    });
}

// y = alpha A x + beta y, where A is symmetric and has k diagonals beside its own.
template <class T>
int sbmv(const char* function, void* handle, int uplo, int n, int k, const T* alpha, const T* a,
         int lda, const T* x, int incx, const T* beta, T* y, int incy) {
    return with_handle(function, handle, [&](Handle& h) {
        static const Routine<T> routine("sbmv");
        const char part = triangle(uplo);
        const Scalar<T> scale(h, alpha);
        const Scalar<T> keep(h, beta);
        require_count(k, "k");
        const Matrix<const T> band(a, k + 1, n, lda, "A");
        require_value(incx != 0 && incy != 0, "expected increments that are not 0");
        product(function, h.stream, [=] {
            Vector<const T>(x, n, incx, "x");
            Vector<T>(y, n, incy, "y");
            routine(part, n, k, scale(), band.data(), lda, x, incx, keep(), y, incy);
        });
    });
}

}  // namespace

// --- the entry points ----------------------------------------------------------------------------

#define AMAX(L, l, T) \
    API int cublasI##l##amax_v2(void* handle, int n, const T* x, int incx, int* result) { \
        return extremum("cublasI" #l "amax", handle, n, x, incx, result, 1); \
    } \
    API int cublasI##l##amin_v2(void* handle, int n, const T* x, int incx, int* result) { \
        return extremum("cublasI" #l "amin", handle, n, x, incx, result, -1); \
    }
AMAX(S, s, float)
AMAX(D, d, double)
AMAX(C, c, Complex)
AMAX(Z, z, DoubleComplex)

#define NORM(NAME, ROUTINE, T) \
    API int cublas##NAME##_v2(void* handle, int n, const T* x, int incx, Real<T>* result) { \
        return ROUTINE("cublas" #NAME, handle, n, x, incx, result); \
    }
NORM(Sasum, asum, float)
NORM(Dasum, asum, double)
NORM(Scasum, asum, Complex)
NORM(Dzasum, asum, DoubleComplex)
NORM(Snrm2, nrm2, float)
NORM(Dnrm2, nrm2, double)
NORM(Scnrm2, nrm2, Complex)
NORM(Dznrm2, nrm2, DoubleComplex)

#define DOT(NAME, T, CONJUGATED) \
    API int cublas##NAME##_v2(void* handle, int n, const T* x, int incx, const T* y, int incy, \
                              T* result) { \
        return dot("cublas" #NAME, handle, n, x, incx, y, incy, result, CONJUGATED); \
    }
DOT(Sdot, float, false)
DOT(Ddot, double, false)
DOT(Cdotu, Complex, false)
DOT(Cdotc, Complex, true)
DOT(Zdotu, DoubleComplex, false)
DOT(Zdotc, DoubleComplex, true)

#define AXPY(L, T) \
    API int cublas##L##axpy_v2(void* handle, int n, const T* alpha, const T* x, int incx, T* y, \
                               int incy) { \
        return axpy("cublas" #L "axpy", handle, n, alpha, x, incx, y, incy); \
    }
EACH_TYPE(AXPY)

#define SCAL(NAME, T, FACTOR) \
    API int cublas##NAME##_v2(void* handle, int n, const FACTOR* alpha, T* x, int incx) { \
        return scal("cublas" #NAME, handle, n, alpha, x, incx); \
    }
SCAL(Sscal, float, float)
SCAL(Dscal, double, double)
SCAL(Cscal, Complex, Complex)
SCAL(Csscal, Complex, float)
SCAL(Zscal, DoubleComplex, DoubleComplex)
SCAL(Zdscal, DoubleComplex, double)

#define GEMV(L, T) \
    API int cublas##L##gemv_v2(void* handle, int trans, int m, int n, const T* alpha, const T* a, \
                               int lda, const T* x, int incx, const T* beta, T* y, int incy) { \
        return gemv("cublas" #L "gemv", handle, trans, m, n, alpha, a, lda, x, incx, beta, y, \
                    incy); \
    }
EACH_TYPE(GEMV)

#define GER(L, NAME, T) \
    API int cublas##L##NAME##_v2(void* handle, int m, int n, const T* alpha, const T* x, int incx, \
                                 const T* y, int incy, T* a, int lda) { \
        return ger("cublas" #L#NAME, #NAME, handle, m, n, alpha, x, incx, y, incy, a, lda); \
    }
GER(S, ger, float)
GER(D, ger, double)
GER(C, geru, Complex)
GER(C, gerc, Complex)
GER(Z, geru, DoubleComplex)
GER(Z, gerc, DoubleComplex)

#define SBMV(L, T) \
    API int cublas##L##sbmv_v2(void* handle, int uplo, int n, int k, const T* alpha, const T* a, \
                               int lda, const T* x, int incx, const T* beta, T* y, int incy) { \
        return sbmv("cublas" #L "sbmv", handle, uplo, n, k, alpha, a, lda, x, incx, beta, y, \
                    incy); \
    }
SBMV(S, float)
SBMV(D, double)
