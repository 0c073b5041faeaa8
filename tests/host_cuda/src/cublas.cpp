// cuBLAS on the host: its handles, and products of matrices, by OpenBLAS. Matrices lie column by
// column, as on a device.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <library_types.h>

#include <algorithm>
#include <cstring>
#include <type_traits>
#include <vector>

#include "cublas.h"
#include "library.h"
#include "openblas.h"

namespace {

using namespace host_cuda;
using namespace host_cuda::cublas;

// C = alpha op(A) op(B) + beta C, where op(A) is m by k, op(B) k by n and C m by n.
struct Shape {
    Shape(int op_a, int op_b, int m, int n, int k, int lda, int ldb, int ldc)
        : transa(operation(op_a)),
          transb(operation(op_b)),
          m(m),
          n(n),
          k(k),
          lda(lda),
          ldb(ldb),
          ldc(ldc) {
        require_count(m, "m");
        require_count(n, "n");
        require_count(k, "k");
    }

    int rows_a() const {
        return transa == 'N' ? m : k;
    }
    int columns_a() const {
        return transa == 'N' ? k : m;
    }
    int rows_b() const {
        return transb == 'N' ? k : n;
    }
    int columns_b() const {
        return transb == 'N' ? n : k;
    }

    template <class T>
    Matrix<T> a(T* data) const {
        return {data, rows_a(), columns_a(), lda, "A"};
    }
    template <class T>
    Matrix<T> b(T* data) const {
        return {data, rows_b(), columns_b(), ldb, "B"};
    }
    template <class T>
    Matrix<T> c(T* data) const {
        return {data, m, n, ldc, "C"};
    }

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

float in_float32(float x) {
    return x;
}
float in_float32(__half x) {
    return __half2float(x);
}
float in_float32(__nv_bfloat16 x) {
    return __bfloat162float(x);
}

void store(float x, float& y) {
    y = x;
}
void store(float x, __half& y) {
    y = __float2half(x);
}
void store(float x, __nv_bfloat16& y) {
    y = __float2bfloat16(x);
}

// The elements of a matrix as float32, without gaps.
template <class T>
std::vector<float> in_float32(const T* a, int rows, int columns, int ld) {
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
template <class Pointer>
struct Operand {
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

// Uses a workspace as cuBLAS does: what lies there afterwards is not what lay there before.
void scribble(void* workspace, std::size_t bytes) {
    require_memory(workspace, bytes, "the workspace of cuBLAS");
    std::memset(workspace, 0xA5, std::min<std::size_t>(bytes, 4096));
}

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
    const auto workspace = h.workspace;
    const auto bytes = h.workspace_bytes;
    product(function, h.stream, [=] {
        scribble(workspace, bytes);
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
        submit_product<T>(
            function, h,
            {shape, alpha, {a, 0, stride_a}, {b, 0, stride_b}, beta, {c, 0, stride_c}, count});
    });
}

constexpr int COMPUTE_FLOAT32 = 68;

// The compute types of cublasComputeType_t: float32, whose variants (pedantic, or by way of
// float16, bfloat16 or TF32) are all plain float32 here; and float64, pedantic or not.
bool computes_in_float32(int type) {
    return type == COMPUTE_FLOAT32 || type == 69 || type == 74 || type == 75 || type == 77;
}

bool computes_in_float64(int type) {
    return type == 70 || type == 71;
}

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
    return with_handle("cublasSetStream", handle, [&](Handle& h) {
        h.stream = stream;
        h.workspace = nullptr;
        h.workspace_bytes = 0;
    });
}

// The emulation needs no workspace; it checks the one that it is given, with each product.
API int cublasSetWorkspace_v2(void* handle, void* workspace, size_t bytes) {
    return with_handle("cublasSetWorkspace", handle, [&](Handle& h) {
        require_value(reinterpret_cast<std::uintptr_t>(workspace) % 256 == 0,
                      "expected a workspace at a multiple of 256 bytes");
        h.workspace = workspace;
        h.workspace_bytes = bytes;
    });
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

// --- the entry points ----------------------------------------------------------------------------

#define GEMM(L, T) \
    API int cublas##L##gemm_v2(void* handle, int transa, int transb, int m, int n, int k, \
                               const T* alpha, const T* a, int lda, const T* b, int ldb, \
                               const T* beta, T* c, int ldc) { \
        return gemm<T>("cublas" #L "gemm", handle, transa, transb, m, n, k, alpha, a, lda, 0, b, \
                       ldb, 0, beta, c, ldc, 0, 1); \
    } \
    API int cublas##L##gemmStridedBatched( \
        void* handle, int transa, int transb, int m, int n, int k, const T* alpha, const T* a, \
        int lda, long long stride_a, const T* b, int ldb, long long stride_b, const T* beta, T* c, \
        int ldc, long long stride_c, int count) { \
        return gemm<T>("cublas" #L "gemmStridedBatched", handle, transa, transb, m, n, k, alpha, \
                       a, lda, stride_a, b, ldb, stride_b, beta, c, ldc, stride_c, count); \
    } \
    API int cublas##L##gemmBatched(void* handle, int transa, int transb, int m, int n, int k, \
                                   const T* alpha, const T* const* a, int lda, const T* const* b, \
                                   int ldb, const T* beta, T* const* c, int ldc, int count) { \
        return gemm_batched("cublas" #L "gemmBatched", handle, transa, transb, m, n, k, alpha, a, \
                            lda, b, ldb, beta, c, ldc, count); \
    }
EACH_TYPE(GEMM)

API int cublasGemmStridedBatchedEx(void* handle, int transa, int transb, int m, int n, int k,
                                   const void* alpha, const void* a, int type_a, int lda,
                                   long long stride_a, const void* b, int type_b, int ldb,
                                   long long stride_b, const void* beta, void* c, int type_c,
                                   int ldc, long long stride_c, int count, int compute, int) {
    return gemm_ex("cublasGemmStridedBatchedEx", handle, transa, transb, m, n, k, lda, ldb, ldc,
                   alpha, {a, type_a, stride_a}, {b, type_b, stride_b}, beta, {c, type_c, stride_c},
                   count, compute);
}

API int cublasGemmEx(void* handle, int transa, int transb, int m, int n, int k, const void* alpha,
                     const void* a, int type_a, int lda, const void* b, int type_b, int ldb,
                     const void* beta, void* c, int type_c, int ldc, int compute, int) {
    return gemm_ex("cublasGemmEx", handle, transa, transb, m, n, k, lda, ldb, ldc, alpha,
                   {a, type_a, 0}, {b, type_b, 0}, beta, {c, type_c, 0}, 1, compute);
}

API int cublasSgemmEx(void* handle, int transa, int transb, int m, int n, int k, const float* alpha,
                      const void* a, int type_a, int lda, const void* b, int type_b, int ldb,
                      const float* beta, void* c, int type_c, int ldc) {
    return gemm_ex("cublasSgemmEx", handle, transa, transb, m, n, k, lda, ldb, ldc, alpha,
                   {a, type_a, 0}, {b, type_b, 0}, beta, {c, type_c, 0}, 1, COMPUTE_FLOAT32);
}
