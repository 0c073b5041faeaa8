// cuBLAS on the host. Products and triangular solvers are OpenBLAS's; vectors are short loops that
// sum in float64. Matrices lie column by column, as on a device.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <library_types.h>

#include <cmath>
#include <limits>
#include <vector>

#include "lapack.h"
#include "library.h"
#include "openblas.h"

namespace {

using namespace host_cuda;

constexpr Statuses STATUSES{/*handle*/ 1, /*value*/ 7, /*unsupported*/ 15, /*execution*/ 13};
constexpr int HOST_POINTERS = 0;
constexpr int DEVICE_POINTERS = 1;

struct Handle {
    cudaStream_t stream = nullptr;
    int pointer_mode = HOST_POINTERS;
    int math_mode = 0;
};

Handles<Handle> handles;

// Runs `body` on a handle of cuBLAS and returns the status.
template <class Body> int with_handle(const char* function, void* handle, Body body) {
    return guarded(function, STATUSES, [&] { body(handles.find(handle)); });
}

char operation(int op) {
    require_value(op >= 0 && op <= 2, "the operation is " + std::to_string(op) +
                                          ", expected 0 (N), 1 (T) or 2 (C)");
    return "NTC"[op];
}

char triangle(int fill) {
    require_value(fill == 0 || fill == 1, "the fill mode is " + std::to_string(fill) +
                                              ", expected 0 (lower) or 1 (upper)");
    return "LU"[fill];
}

char side_letter(int side) {
    require_value(side == 0 || side == 1, "the side is " + std::to_string(side) +
                                              ", expected 0 (left) or 1 (right)");
    return "LR"[side];
}

char diagonal(int diag) {
    require_value(diag == 0 || diag == 1, "the diagonal type is " + std::to_string(diag) +
                                              ", expected 0 (non-unit) or 1 (unit)");
    return "NU"[diag];
}

// alpha or beta: the host's is read when the function is called, the device's when the work runs.
template <class T> class Scalar {
public:
    Scalar(const Handle& handle, const T* pointer) {
        require_value(pointer, "alpha or beta is a null pointer");
        if (handle.pointer_mode == DEVICE_POINTERS) {
            pointer_ = pointer;
        } else {
            value_ = *pointer;
        }
    }

    T operator()() const {
        if (!pointer_) {
            return value_;
        }
        require_array(pointer_, 1, "alpha or beta, which the pointer mode says is on the device");
        return *pointer_;
    }

private:
    const T* pointer_ = nullptr;
    T value_{};
};

// A number that is returned: on the host the function waits for it, on the device it does not.
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

// Elements `increment` apart; a negative increment walks backwards, as everywhere in BLAS. Made
// inside work, where it finds the memory to be the device's.
template <class T> class Vector {
public:
    Vector(T* data, int n, int increment, const char* name) : first_(data), increment_(increment) {
        const std::ptrdiff_t span = n <= 0 ? 0 : std::ptrdiff_t(n - 1) * std::abs(increment);
        require_array(data, n <= 0 ? 0 : span + 1, name);
        if (increment < 0) {
            first_ += span;
        }
    }

    T& operator[](int i) const { return first_[std::ptrdiff_t(i) * increment_]; }

private:
    T* first_;
    std::ptrdiff_t increment_;
};

// Sums are in float64, and rounded once.
using Wide = std::complex<double>;

template <class T> T rounded(Wide x) {
    if constexpr (is_complex<T>) {
        return T(x);
    } else {
        return T(x.real());
    }
}

// |re| + |im|: what asum and iamax take for the size of a complex number.
template <class T> double taxicab(T x) {
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

// --- products of matrices ----------------------------------------------------------------------

// C = alpha op(A) op(B) + beta C, where op(A) is m by k, op(B) k by n and C m by n.
struct Shape {
    Shape(int op_a, int op_b, int m, int n, int k, int lda, int ldb, int ldc)
        : transa(operation(op_a)), transb(operation(op_b)), m(m), n(n), k(k), lda(lda), ldb(ldb),
          ldc(ldc) {
        require_count(m, "m");
        require_count(n, "n");
        require_count(k, "k");
    }

    int rows_a() const { return transa == 'N' ? m : k; }
    int columns_a() const { return transa == 'N' ? k : m; }
    int rows_b() const { return transb == 'N' ? k : n; }
    int columns_b() const { return transb == 'N' ? n : k; }

    template <class T> Matrix<T> a(T* data) const {
        return {data, rows_a(), columns_a(), lda, "A"};
    }
    template <class T> Matrix<T> b(T* data) const {
        return {data, rows_b(), columns_b(), ldb, "B"};
    }
    template <class T> Matrix<T> c(T* data) const { return {data, m, n, ldc, "C"}; }

    char transa;
    char transb;
    int m;
    int n;
    int k;
    int lda;
    int ldb;
    int ldc;
};

template <class T>
void multiply(const Shape& s, T alpha, const T* a, const T* b, T beta, T* c) {
    static const Routine<T> routine("gemm");
    routine(s.transa, s.transb, s.m, s.n, s.k, alpha, a, s.lda, b, s.ldb, beta, c, s.ldc);
}

template <class T>
int gemm_batched(const char* function, void* handle, int transa, int transb, int m, int n, int k,
                 const T* alpha, const T* const* a, int lda, const T* const* b, int ldb,
                 const T* beta, T* const* c, int ldc, int count) {
    return with_handle(function, handle, [&](Handle& h) {
        const Shape s(transa, transb, m, n, k, lda, ldb, ldc);
        const Scalar<T> scale(h, alpha);
        const Scalar<T> keep(h, beta);
        const Batch<const T> from_a(a, count, s.rows_a(), s.columns_a(), lda, "A");
        const Batch<const T> from_b(b, count, s.rows_b(), s.columns_b(), ldb, "B");
        const Batch<T> to_c(c, count, m, n, ldc, "C");
        product(function, h.stream, [=] {
            for (int i = 0; i < count; i++) {
                multiply(s, scale(), from_a[i], from_b[i], keep(), to_c[i]);
            }
        });
    });
}

// --- products whose types are arguments: float16 and bfloat16 are computed in float32 ------------

float in_float32(float x) { return x; }
float in_float32(__half x) { return __half2float(x); }
float in_float32(__nv_bfloat16 x) { return __bfloat162float(x); }

void store(float x, float& y) { y = x; }
void store(float x, __half& y) { y = __float2half(x); }
void store(float x, __nv_bfloat16& y) { y = __float2bfloat16(x); }

// The elements of a matrix as float32, without gaps.
template <class T> std::vector<float> in_float32(const T* a, int rows, int columns, int ld) {
    std::vector<float> wide;
    wide.reserve(std::size_t(rows) * columns);
    for (int j = 0; j < columns; j++) {
        for (int i = 0; i < rows; i++) {
            wide.push_back(in_float32(a[i + std::size_t(j) * ld]));
        }
    }
    return wide;
}

template <class In, class Out>
void multiply_in_float32(const Shape& s, float alpha, const In* a, const In* b, float beta,
                         Out* c) {
    const std::vector<float> wide_a = in_float32(a, s.rows_a(), s.columns_a(), s.lda);
    const std::vector<float> wide_b = in_float32(b, s.rows_b(), s.columns_b(), s.ldb);
    std::vector<float> wide_c(std::size_t(s.m) * s.n);
    if (beta != 0) {
        wide_c = in_float32(c, s.m, s.n, s.ldc);
    }
    Shape dense = s;
    dense.lda = std::max(1, s.rows_a());
    dense.ldb = std::max(1, s.rows_b());
    dense.ldc = std::max(1, s.m);
    multiply(dense, alpha, wide_a.data(), wide_b.data(), beta, wide_c.data());
    for (int j = 0; j < s.n; j++) {
        for (int i = 0; i < s.m; i++) {
            store(wide_c[i + std::size_t(j) * s.m], c[i + std::size_t(j) * s.ldc]);
        }
    }
}

// The matrices of a batch begin `stride` elements apart; their type is one of cudaDataType.
template <class Pointer> struct Operand {
    Pointer data;
    int type;
    long long stride;
};

struct Product {
    Shape shape;
    const void* alpha;
    Operand<const void*> a;
    Operand<const void*> b;
    const void* beta;
    Operand<void*> c;
    int count;
};

// Computes with A and B of type In, C of type Out, and alpha and beta of type T.
template <class T, class In = T, class Out = T>
void submit_product(const char* function, const Handle& h, const Product& p) {
    const Scalar<T> scale(h, static_cast<const T*>(p.alpha));
    const Scalar<T> keep(h, static_cast<const T*>(p.beta));
    const Shape shape = p.shape;
    const auto a = shape.a(static_cast<const In*>(p.a.data));
    const auto b = shape.b(static_cast<const In*>(p.b.data));
    const auto c = shape.c(static_cast<Out*>(p.c.data));
    require_count(p.count, "the batch");
    product(function, h.stream, [=] {
        for (long long i = 0; i < p.count; i++) {
            const In* from_a = a.at(i * p.a.stride);
            const In* from_b = b.at(i * p.b.stride);
            Out* to_c = c.at(i * p.c.stride);
            if constexpr (std::is_same_v<T, In>) {
                multiply(shape, scale(), from_a, from_b, keep(), to_c);
            } else {
                multiply_in_float32(shape, scale(), from_a, from_b, keep(), to_c);
            }
        }
    });
}

template <class T>
int gemm(const char* function, void* handle, int transa, int transb, int m, int n, int k,
         const T* alpha, const T* a, int lda, long long stride_a, const T* b, int ldb,
         long long stride_b, const T* beta, T* c, int ldc, long long stride_c, int count) {
    return with_handle(function, handle, [&](Handle& h) {
        const Shape shape(transa, transb, m, n, k, lda, ldb, ldc);
        submit_product<T>(function, h, {shape, alpha, {a, 0, stride_a}, {b, 0, stride_b}, beta,
                                        {c, 0, stride_c}, count});
    });
}

constexpr int COMPUTE_FLOAT32 = 68;

// The compute types of cublasComputeType_t: float32, with its variants that are pedantic or go
// through float16, bfloat16 or TF32, and which all are plain float32 here; float64, and pedantic.
bool computes_in_float32(int type) {
    return type == COMPUTE_FLOAT32 || type == 69 || type == 74 || type == 75 || type == 77;
}

bool computes_in_float64(int type) { return type == 70 || type == 71; }

void dispatch_types(const char* function, const Handle& h, const Product& p, int compute) {
    const bool single = computes_in_float32(compute) && p.a.type == p.b.type;
    const bool twice = computes_in_float64(compute) && p.a.type == p.b.type;
    const auto types = [&](cudaDataType in, cudaDataType out) {
        return p.a.type == in && p.c.type == out;
    };
    if (single && types(CUDA_R_32F, CUDA_R_32F)) {
        submit_product<float>(function, h, p);
    } else if (single && types(CUDA_C_32F, CUDA_C_32F)) {
        submit_product<Complex>(function, h, p);
    } else if (twice && types(CUDA_R_64F, CUDA_R_64F)) {
        submit_product<double>(function, h, p);
    } else if (twice && types(CUDA_C_64F, CUDA_C_64F)) {
        submit_product<DoubleComplex>(function, h, p);
    } else if (single && types(CUDA_R_16F, CUDA_R_16F)) {
        submit_product<float, __half, __half>(function, h, p);
    } else if (single && types(CUDA_R_16F, CUDA_R_32F)) {
        submit_product<float, __half, float>(function, h, p);
    } else if (single && types(CUDA_R_16BF, CUDA_R_16BF)) {
        submit_product<float, __nv_bfloat16, __nv_bfloat16>(function, h, p);
    } else if (single && types(CUDA_R_16BF, CUDA_R_32F)) {
        submit_product<float, __nv_bfloat16, float>(function, h, p);
    } else {
        throw Refusal{Refused::unsupported,
                      "a product of the cudaDataTypes " + std::to_string(p.a.type) + " and " +
                          std::to_string(p.b.type) + " to " + std::to_string(p.c.type) +
                          ", with the compute type " + std::to_string(compute) +
                          ", is not emulated"};
    }
}

int gemm_ex(const char* function, void* handle, int transa, int transb, int m, int n, int k,
            int lda, int ldb, int ldc, const void* alpha, Operand<const void*> a,
            Operand<const void*> b, const void* beta, Operand<void*> c, int count, int compute) {
    return with_handle(function, handle, [&](Handle& h) {
        const Shape shape(transa, transb, m, n, k, lda, ldb, ldc);
        dispatch_types(function, h, {shape, alpha, a, b, beta, c, count}, compute);
    });
}

// --- triangular systems, and what BLAS does not have ---------------------------------------------

struct Triangle {
    Triangle(int side, int uplo, int trans, int diag)
        : side(side_letter(side)), part(triangle(uplo)), op(operation(trans)),
          unit(diagonal(diag)) {}

    char side;
    char part;
    char op;
    char unit;
};

// op(A) X = alpha B or X op(A) = alpha B, where A is triangular. X overwrites B.
template <class T>
int trsm(const char* function, void* handle, int side, int uplo, int trans, int diag, int m, int n, const T* alpha,
         const T* a, int lda, T* b, int ldb) {
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
int trsm_batched(const char* function, void* handle, int side, int uplo, int trans, int diag, int m, int n,
                 const T* alpha, const T* const* a, int lda, T* const* b, int ldb, int count) {
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

// C = alpha op(A) op(A)^T + beta C, of which one triangle is written.
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
template <class T> T scaled(T factor, const T* a, char op, int ld, int i, int j) {
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
template <class Index> Index* pivots_of(Index* pivots, int i, int n) {
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

// `info` is one number on the host: whether an argument is invalid.
template <class T>
int getrs_batched(const char* function, void* handle, int trans, int n, int nrhs,
                  const T* const* a, int lda, const int* pivots, T* const* b, int ldb, int* info,
                  int count) {
    return with_handle(function, handle, [&](Handle& h) {
        const char op = operation(trans);
        const Batch<const T> factors(a, count, n, n, lda, "A");
        const Batch<T> sides(b, count, n, nrhs, ldb, "B");
        require_pivots(pivots);
        *info = 0;
        launch(function, h.stream, [=] {
            for (int i = 0; i < count; i++) {
                lapack::getrs(op, n, nrhs, factors[i], lda, pivots_of(pivots, i, n), sides[i],
                              ldb);
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
                info[i] =
                    invert(n, factors[i], lda, pivots_of(pivots, i, n), inverses[i], ldc);
            }
        });
    });
}

}  // namespace

// --- handles -------------------------------------------------------------------------------------

API int cublasCreate_v2(void** handle) {
    return guarded("cublasCreate", STATUSES, [&] {
        openblas::library();
        *handle = handles.create();
    });
}

API int cublasDestroy_v2(void* handle) {
    return guarded("cublasDestroy", STATUSES, [&] { handles.destroy(handle); });
}

API int cublasGetVersion_v2(void* handle, int* version) {
    return with_handle("cublasGetVersion", handle, [&](Handle&) { *version = 130000; });
}

API int cublasSetStream_v2(void* handle, cudaStream_t stream) {
    return with_handle("cublasSetStream", handle, [&](Handle& h) { h.stream = stream; });
}

API int cublasGetStream_v2(void* handle, cudaStream_t* stream) {
    return with_handle("cublasGetStream", handle, [&](Handle& h) { *stream = h.stream; });
}

API int cublasSetPointerMode_v2(void* handle, int mode) {
    return with_handle("cublasSetPointerMode", handle, [&](Handle& h) {
        require_value(mode == HOST_POINTERS || mode == DEVICE_POINTERS, "expected the mode 0 or 1");
        h.pointer_mode = mode;
    });
}

API int cublasGetPointerMode_v2(void* handle, int* mode) {
    return with_handle("cublasGetPointerMode", handle, [&](Handle& h) { *mode = h.pointer_mode; });
}

API int cublasSetMathMode(void* handle, int mode) {
    return with_handle("cublasSetMathMode", handle, [&](Handle& h) { h.math_mode = mode; });
}

API int cublasGetMathMode(void* handle, int* mode) {
    return with_handle("cublasGetMathMode", handle, [&](Handle& h) { *mode = h.math_mode; });
}

// --- one macro a routine, for the types that it has ----------------------------------------------

#define EACH_TYPE(ROUTINE)     \
    ROUTINE(S, float)          \
    ROUTINE(D, double)         \
    ROUTINE(C, Complex)        \
    ROUTINE(Z, DoubleComplex)

#define AMAX(L, l, T)                                                                           \
    API int cublasI##l##amax_v2(void* handle, int n, const T* x, int incx, int* result) {       \
        return extremum("cublasI" #l "amax", handle, n, x, incx, result, 1);                    \
    }                                                                                           \
    API int cublasI##l##amin_v2(void* handle, int n, const T* x, int incx, int* result) {       \
        return extremum("cublasI" #l "amin", handle, n, x, incx, result, -1);                   \
    }
AMAX(S, s, float)
AMAX(D, d, double)
AMAX(C, c, Complex)
AMAX(Z, z, DoubleComplex)

#define NORM(NAME, ROUTINE, T)                                                                  \
    API int cublas##NAME##_v2(void* handle, int n, const T* x, int incx, Real<T>* result) {     \
        return ROUTINE("cublas" #NAME, handle, n, x, incx, result);                             \
    }
NORM(Sasum, asum, float)
NORM(Dasum, asum, double)
NORM(Scasum, asum, Complex)
NORM(Dzasum, asum, DoubleComplex)
NORM(Snrm2, nrm2, float)
NORM(Dnrm2, nrm2, double)
NORM(Scnrm2, nrm2, Complex)
NORM(Dznrm2, nrm2, DoubleComplex)

#define DOT(NAME, T, CONJUGATED)                                                                \
    API int cublas##NAME##_v2(void* handle, int n, const T* x, int incx, const T* y, int incy,  \
                              T* result) {                                                      \
        return dot("cublas" #NAME, handle, n, x, incx, y, incy, result, CONJUGATED);            \
    }
DOT(Sdot, float, false)
DOT(Ddot, double, false)
DOT(Cdotu, Complex, false)
DOT(Cdotc, Complex, true)
DOT(Zdotu, DoubleComplex, false)
DOT(Zdotc, DoubleComplex, true)

#define AXPY(L, T)                                                                              \
    API int cublas##L##axpy_v2(void* handle, int n, const T* alpha, const T* x, int incx, T* y, \
                               int incy) {                                                      \
        return axpy("cublas" #L "axpy", handle, n, alpha, x, incx, y, incy);                    \
    }
EACH_TYPE(AXPY)

#define SCAL(NAME, T, FACTOR)                                                                   \
    API int cublas##NAME##_v2(void* handle, int n, const FACTOR* alpha, T* x, int incx) {       \
        return scal("cublas" #NAME, handle, n, alpha, x, incx);                                 \
    }
SCAL(Sscal, float, float)
SCAL(Dscal, double, double)
SCAL(Cscal, Complex, Complex)
SCAL(Csscal, Complex, float)
SCAL(Zscal, DoubleComplex, DoubleComplex)
SCAL(Zdscal, DoubleComplex, double)

#define GEMV(L, T)                                                                              \
    API int cublas##L##gemv_v2(void* handle, int trans, int m, int n, const T* alpha,           \
                               const T* a, int lda, const T* x, int incx, const T* beta, T* y,  \
                               int incy) {                                                      \
        return gemv("cublas" #L "gemv", handle, trans, m, n, alpha, a, lda, x, incx, beta, y,   \
                    incy);                                                                      \
    }
EACH_TYPE(GEMV)

#define GER(L, NAME, T)                                                                         \
    API int cublas##L##NAME##_v2(void* handle, int m, int n, const T* alpha, const T* x,        \
                                 int incx, const T* y, int incy, T* a, int lda) {               \
        return ger("cublas" #L #NAME, #NAME, handle, m, n, alpha, x, incx, y, incy, a, lda);    \
    }
GER(S, ger, float)
GER(D, ger, double)
GER(C, geru, Complex)
GER(C, gerc, Complex)
GER(Z, geru, DoubleComplex)
GER(Z, gerc, DoubleComplex)

#define SBMV(L, T)                                                                              \
    API int cublas##L##sbmv_v2(void* handle, int uplo, int n, int k, const T* alpha,            \
                               const T* a, int lda, const T* x, int incx, const T* beta, T* y,  \
                               int incy) {                                                      \
        return sbmv("cublas" #L "sbmv", handle, uplo, n, k, alpha, a, lda, x, incx, beta, y,    \
                    incy);                                                                      \
    }
SBMV(S, float)
SBMV(D, double)

#define GEMM(L, T)                                                                              \
    API int cublas##L##gemm_v2(void* handle, int transa, int transb, int m, int n, int k,       \
                               const T* alpha, const T* a, int lda, const T* b, int ldb,        \
                               const T* beta, T* c, int ldc) {                                  \
        return gemm<T>("cublas" #L "gemm", handle, transa, transb, m, n, k, alpha, a, lda, 0,   \
                       b, ldb, 0, beta, c, ldc, 0, 1);                                          \
    }                                                                                           \
    API int cublas##L##gemmStridedBatched(                                                      \
        void* handle, int transa, int transb, int m, int n, int k, const T* alpha, const T* a,  \
        int lda, long long stride_a, const T* b, int ldb, long long stride_b, const T* beta,    \
        T* c, int ldc, long long stride_c, int count) {                                         \
        return gemm<T>("cublas" #L "gemmStridedBatched", handle, transa, transb, m, n, k,       \
                       alpha, a, lda, stride_a, b, ldb, stride_b, beta, c, ldc, stride_c,       \
                       count);                                                                  \
    }                                                                                           \
    API int cublas##L##gemmBatched(void* handle, int transa, int transb, int m, int n, int k,   \
                                   const T* alpha, const T* const* a, int lda,                  \
                                   const T* const* b, int ldb, const T* beta, T* const* c,      \
                                   int ldc, int count) {                                        \
        return gemm_batched("cublas" #L "gemmBatched", handle, transa, transb, m, n, k, alpha,  \
                            a, lda, b, ldb, beta, c, ldc, count);                               \
    }
EACH_TYPE(GEMM)

API int cublasGemmStridedBatchedEx(void* handle, int transa, int transb, int m, int n, int k,
                                   const void* alpha, const void* a, int type_a, int lda,
                                   long long stride_a, const void* b, int type_b, int ldb,
                                   long long stride_b, const void* beta, void* c, int type_c,
                                   int ldc, long long stride_c, int count, int compute, int) {
    return gemm_ex("cublasGemmStridedBatchedEx", handle, transa, transb, m, n, k, lda, ldb, ldc,
                   alpha, {a, type_a, stride_a}, {b, type_b, stride_b}, beta,
                   {c, type_c, stride_c}, count, compute);
}

API int cublasGemmEx(void* handle, int transa, int transb, int m, int n, int k, const void* alpha,
                     const void* a, int type_a, int lda, const void* b, int type_b, int ldb,
                     const void* beta, void* c, int type_c, int ldc, int compute, int) {
    return gemm_ex("cublasGemmEx", handle, transa, transb, m, n, k, lda, ldb, ldc, alpha,
                   {a, type_a, 0}, {b, type_b, 0}, beta, {c, type_c, 0}, 1, compute);
}

API int cublasSgemmEx(void* handle, int transa, int transb, int m, int n, int k,
                      const float* alpha, const void* a, int type_a, int lda, const void* b,
                      int type_b, int ldb, const float* beta, void* c, int type_c, int ldc) {
    return gemm_ex("cublasSgemmEx", handle, transa, transb, m, n, k, lda, ldb, ldc, alpha,
                   {a, type_a, 0}, {b, type_b, 0}, beta, {c, type_c, 0}, 1, COMPUTE_FLOAT32);
}

#define TRSM(L, T)                                                                              \
    API int cublas##L##trsm_v2(void* handle, int side, int uplo, int trans, int diag, int m,    \
                               int n, const T* alpha, const T* a, int lda, T* b, int ldb) {     \
        return trsm("cublas" #L "trsm", handle, side, uplo, trans, diag, m, n, alpha, a, lda,   \
                    b, ldb);                                                                    \
    }                                                                                           \
    API int cublas##L##trsmBatched(void* handle, int side, int uplo, int trans, int diag,       \
                                   int m, int n, const T* alpha, const T* const* a, int lda,    \
                                   T* const* b, int ldb, int count) {                           \
        return trsm_batched("cublas" #L "trsmBatched", handle, side, uplo, trans, diag, m, n,   \
                            alpha, a, lda, b, ldb, count);                                      \
    }
EACH_TYPE(TRSM)

#define SYRK(L, T)                                                                              \
    API int cublas##L##syrk_v2(void* handle, int uplo, int trans, int n, int k,                 \
                               const T* alpha, const T* a, int lda, const T* beta, T* c,        \
                               int ldc) {                                                       \
        return syrk("cublas" #L "syrk", handle, uplo, trans, n, k, alpha, a, lda, beta, c,      \
                    ldc);                                                                       \
    }
EACH_TYPE(SYRK)

#define GEAM(L, T)                                                                              \
    API int cublas##L##geam(void* handle, int transa, int transb, int m, int n,                 \
                            const T* alpha, const T* a, int lda, const T* beta, const T* b,     \
                            int ldb, T* c, int ldc) {                                           \
        return geam("cublas" #L "geam", handle, transa, transb, m, n, alpha, a, lda, beta, b,   \
                    ldb, c, ldc);                                                               \
    }                                                                                           \
    API int cublas##L##dgmm(void* handle, int side, int m, int n, const T* a, int lda,          \
                            const T* x, int incx, T* c, int ldc) {                              \
        return dgmm("cublas" #L "dgmm", handle, side, m, n, a, lda, x, incx, c, ldc);           \
    }
EACH_TYPE(GEAM)

#define PACKED(L, T)                                                                            \
    API int cublas##L##tpttr(void* handle, int uplo, int n, const T* packed, T* a, int lda) {   \
        return unpack("cublas" #L "tpttr", handle, uplo, n, packed, a, lda);                    \
    }                                                                                           \
    API int cublas##L##trttp(void* handle, int uplo, int n, const T* a, int lda, T* packed) {   \
        return pack("cublas" #L "trttp", handle, uplo, n, a, lda, packed);                      \
    }
PACKED(S, float)
PACKED(D, double)

#define LU(L, T)                                                                                \
    API int cublas##L##getrfBatched(void* handle, int n, T* const* a, int lda, int* pivots,     \
                                    int* info, int count) {                                     \
        return getrf_batched("cublas" #L "getrfBatched", handle, n, a, lda, pivots, info,       \
                             count);                                                            \
    }                                                                                           \
    API int cublas##L##getrsBatched(void* handle, int trans, int n, int nrhs,                   \
                                    const T* const* a, int lda, const int* pivots,              \
                                    T* const* b, int ldb, int* info, int count) {               \
        return getrs_batched("cublas" #L "getrsBatched", handle, trans, n, nrhs, a, lda,        \
                             pivots, b, ldb, info, count);                                      \
    }                                                                                           \
    API int cublas##L##getriBatched(void* handle, int n, const T* const* a, int lda,            \
                                    const int* pivots, T* const* c, int ldc, int* info,         \
                                    int count) {                                                \
        return getri_batched("cublas" #L "getriBatched", handle, n, a, lda, pivots, c, ldc,     \
                             info, count);                                                      \
    }
EACH_TYPE(LU)
