// cuSOLVER's dense routines on the host, by the LAPACK in NumPy's OpenBLAS. Matrices lie column by
// column, and devInfo is LAPACK's info: 0, -i where argument i is invalid, or i where the matrix is
// singular, not positive definite, or did not converge.
#include <library_types.h>

#include <cstring>
#include <vector>

#include "lapack.h"
#include "library.h"
#include "openblas.h"

namespace {

using namespace host_cuda;

constexpr Statuses STATUSES{/*handle*/ 1, /*value*/ 3, /*unsupported*/ 9, /*execution*/ 6};

struct Handle {
    cudaStream_t stream = nullptr;
};

// The arguments of the generic interface, and of the Jacobi methods: tolerances and sweeps of
// algorithms that LAPACK does not have.
struct Parameters {};

Handles<Handle> handles;
Handles<Parameters> parameters;
Handles<Parameters> jacobi_parameters;

// Runs `body` on a handle of cuSOLVER and returns the status.
template <class Body>
int with_handle(const char* function, void* handle, Body body) {
    return guarded(function, STATUSES, [&] { body(handles.find(handle)); });
}

char triangle(int fill) {
    return choice(fill, "LU", "the fill mode");
}
char with_vectors(int jobz) {
    return choice(jobz, "NV", "the mode of eigenvectors");
}
char side_of(int side) {
    return choice(side, "LR", "the side");
}

// Real reflectors support N and T, complex ones N and C.
template <class T>
char operation(int op) {
    const char letter = choice(op, "NTC", "the operation");
    if (!is_complex<T>) {
        return letter == 'C' ? 'T' : letter;
    }
    require_value(letter != 'T', "a product with complex reflectors cannot be transposed only");
    return letter;
}

// The workspace of a routine: LAPACK brings its own, so the size reported is a formula that is
// never 0, and the memory that is passed in is only checked.
int workspace_size(int m, int n) {
    return std::max(1, m) * 8 + std::max(1, n) * 8;
}

template <class T>
class Workspace {
  public:
    Workspace(const T* data, int length, int needed) : data_(data), length_(length) {
        require_value(length >= needed, "the workspace has " + std::to_string(length) +
                                            " elements, expected " + std::to_string(needed));
    }

    void check() const {
        require_array(data_, length_, "the workspace");
    }

  private:
    const T* data_;
    int length_;
};

// devInfo is written on the device.
void write_info(int* info, int value) {
    require_array(info, 1, "devInfo");
    *info = value;
}

int report_size(const char* function, void* handle, int m, int n, int* size) {
    return with_handle(function, handle, [&](Handle&) {
        require_count(m, "m");
        require_count(n, "n");
        *size = workspace_size(m, n);
    });
}

// --- linear systems ------------------------------------------------------------------------------

template <class T>
int getrf(const char* function, void* handle, int m, int n, T* a, int lda, T* work, int* pivots,
          int* info) {
    return with_handle(function, handle, [&](Handle& h) {
        const Matrix<T> matrix(a, m, n, lda, "A");
        const int size = workspace_size(m, n);
        const Workspace<T> workspace(work, size, size);
        require(pivots, Refused::unsupported,
                "the pivots are a null pointer; a factorization without pivots is not emulated");
        launch(function, h.stream, [=] {
            workspace.check();
            require_array(pivots, std::min(m, n), "the pivots");
            write_info(info, lapack::getrf(m, n, matrix.data(), lda, pivots));
        });
    });
}

template <class T>
int getrs(const char* function, void* handle, int trans, int n, int nrhs, const T* a, int lda,
          const int* pivots, T* b, int ldb, int* info) {
    return with_handle(function, handle, [&](Handle& h) {
        const char op = choice(trans, "NTC", "the operation");
        const Matrix<const T> factors(a, n, n, lda, "A");
        const Matrix<T> sides(b, n, nrhs, ldb, "B");
        launch(function, h.stream, [=] {
            require_array(pivots, n, "the pivots");
            write_info(info,
                       lapack::getrs(op, n, nrhs, factors.data(), lda, pivots, sides.data(), ldb));
        });
    });
}

template <class T>
int potrf(const char* function, void* handle, int uplo, int n, T* a, int lda, T* work, int lwork,
          int* info) {
    return with_handle(function, handle, [&](Handle& h) {
        const char part = triangle(uplo);
        const Matrix<T> matrix(a, n, n, lda, "A");
        const Workspace<T> workspace(work, lwork, workspace_size(n, n));
        launch(function, h.stream, [=] {
            workspace.check();
            write_info(info, lapack::potrf(part, n, matrix.data(), lda));
        });
    });
}

template <class T>
int potrs(const char* function, void* handle, int uplo, int n, int nrhs, const T* a, int lda, T* b,
          int ldb, int* info) {
    return with_handle(function, handle, [&](Handle& h) {
        const char part = triangle(uplo);
        const Matrix<const T> factors(a, n, n, lda, "A");
        const Matrix<T> sides(b, n, nrhs, ldb, "B");
        launch(function, h.stream, [=] {
            write_info(info, lapack::potrs(part, n, nrhs, factors.data(), lda, sides.data(), ldb));
        });
    });
}

template <class T>
int potrf_batched(const char* function, void* handle, int uplo, int n, T* const* a, int lda,
                  int* info, int count) {
    return with_handle(function, handle, [&](Handle& h) {
        const char part = triangle(uplo);
        const Batch<T> matrices(a, count, n, n, lda, "A");
        launch(function, h.stream, [=] {
            for (int i = 0; i < count; i++) {
                write_info(info + i, lapack::potrf(part, n, matrices[i], lda));
            }
        });
    });
}

// The right-hand sides are one column each, and devInfo is one number, as in cuSOLVER.
template <class T>
int potrs_batched(const char* function, void* handle, int uplo, int n, int nrhs, T* const* a,
                  int lda, T* const* b, int ldb, int* info, int count) {
    return with_handle(function, handle, [&](Handle& h) {
        const char part = triangle(uplo);
        const Batch<T> factors(a, count, n, n, lda, "A");
        const Batch<T> sides(b, count, n, nrhs, ldb, "B");
        require_value(nrhs == 1,
                      "expected one right-hand side a matrix, given " + std::to_string(nrhs));
        launch(function, h.stream, [=] {
            write_info(info, 0);
            for (int i = 0; i < count; i++) {
                lapack::potrs(part, n, nrhs, factors[i], lda, sides[i], ldb);
            }
        });
    });
}

// --- QR ------------------------------------------------------------------------------------------

template <class T>
int geqrf(const char* function, void* handle, int m, int n, T* a, int lda, T* tau, T* work,
          int lwork, int* info) {
    return with_handle(function, handle, [&](Handle& h) {
        const Matrix<T> matrix(a, m, n, lda, "A");
        const Workspace<T> workspace(work, lwork, workspace_size(m, n));
        launch(function, h.stream, [=] {
            workspace.check();
            require_array(tau, std::min(m, n), "tau");
            write_info(info, lapack::geqrf(m, n, matrix.data(), lda, tau));
        });
    });
}

template <class T>
int orgqr(const char* function, void* handle, int m, int n, int k, T* a, int lda, const T* tau,
          T* work, int lwork, int* info) {
    return with_handle(function, handle, [&](Handle& h) {
        const Matrix<T> matrix(a, m, n, lda, "A");
        const Workspace<T> workspace(work, lwork, workspace_size(m, n));
        require_value(0 <= k && k <= n && n <= m,
                      "expected 0 <= k <= n <= m, given k " + std::to_string(k) + ", n " +
                          std::to_string(n) + ", m " + std::to_string(m));
        launch(function, h.stream, [=] {
            workspace.check();
            require_array(tau, k, "tau");
            write_info(info, lapack::orgqr(m, n, k, matrix.data(), lda, tau));
        });
    });
}

template <class T>
int ormqr(const char* function, void* handle, int side, int trans, int m, int n, int k, const T* a,
          int lda, const T* tau, T* c, int ldc, T* work, int lwork, int* info) {
    return with_handle(function, handle, [&](Handle& h) {
        const char from = side_of(side);
        const char op = operation<T>(trans);
        const Matrix<const T> reflectors(a, from == 'L' ? m : n, k, lda, "A");
        const Matrix<T> matrix(c, m, n, ldc, "C");
        const Workspace<T> workspace(work, lwork, workspace_size(m, n));
        launch(function, h.stream, [=] {
            workspace.check();
            require_array(tau, k, "tau");
            write_info(info, lapack::ormqr(from, op, m, n, k, reflectors.data(), lda, tau,
                                           matrix.data(), ldc));
        });
    });
}

// --- singular values -----------------------------------------------------------------------------

// The part of U or V^H that a job of gesvd writes to an array of its own.
template <class T>
Matrix<T> factor(char job, T* data, int rows, int columns, int ld, const char* name) {
    const bool written = job == 'A' || job == 'S';
    return {data, written ? rows : 0, written ? columns : 0, written ? ld : std::max(1, ld), name};
}

template <class T>
int gesvd(const char* function, void* handle, char jobu, char jobvt, int m, int n, T* a, int lda,
          Real<T>* s, T* u, int ldu, T* vt, int ldvt, T* work, int lwork, Real<T>* rwork,
          int* info) {
    return with_handle(function, handle, [&](Handle& h) {
        require_value(m >= n, "gesvd needs m >= n, given m " + std::to_string(m) + ", n " +
                                  std::to_string(n));
        require_value(std::strchr("ASON", jobu) && std::strchr("ASON", jobvt),
                      "expected jobs of A, S, O and N");
        require_value(jobu != 'O' || jobvt != 'O', "U and V^H cannot both overwrite A");
        const int k = std::min(m, n);
        const Matrix<T> matrix(a, m, n, lda, "A");
        const auto left = factor(jobu, u, m, jobu == 'A' ? m : k, ldu, "U");
        const auto right = factor(jobvt, vt, jobvt == 'A' ? n : k, n, ldvt, "VT");
        const Workspace<T> workspace(work, lwork, workspace_size(m, n));
        launch(function, h.stream, [=] {
            workspace.check();
            require_array(s, k, "S");
            if (rwork) {
                require_array(rwork, std::max(0, k - 1), "rwork");
            }
            write_info(info, lapack::gesvd(jobu, jobvt, m, n, matrix.data(), lda, s, left.data(),
                                           ldu, right.data(), ldvt));
        });
    });
}

// A = U diag(s) V^H with V itself, not V^H, as gesvdj returns it. With `econ` U and V have
// min(m, n) columns.
template <class T>
int svd_with_v(bool vectors, bool econ, int m, int n, T* a, int lda, Real<T>* s, T* u, int ldu,
               T* v, int ldv) {
    const char job = !vectors ? 'N' : econ ? 'S' : 'A';
    const int columns = econ ? std::min(m, n) : n;
    std::vector<T> vt(std::max<std::size_t>(1, std::size_t(columns) * n));
    const int info =
        lapack::gesvd(job, job, m, n, a, lda, s, u, ldu, vt.data(), std::max(1, columns));
    if (vectors) {
        for (int j = 0; j < columns; j++) {
            for (int i = 0; i < n; i++) {
                v[i + std::size_t(j) * ldv] = conjugate(vt[j + std::size_t(i) * columns]);
            }
        }
    }
    return info;
}

// One matrix or a batch, whose matrices follow each other without gaps.
template <class T>
void submit_gesvdj(const char* function, const Handle& h, int jobz, bool econ, int m, int n, T* a,
                   int lda, Real<T>* s, T* u, int ldu, T* v, int ldv, T* work, int lwork, int* info,
                   void* params, int count) {
    jacobi_parameters.find(params);
    require_count(count, "the batch");
    const bool vectors = with_vectors(jobz) == 'V';
    const int k = std::min(m, n);
    const int columns_u = econ ? k : m;
    const int columns_v = econ ? k : n;
    const Matrix<T> matrix(a, m, n, lda, "A");
    const Matrix<T> left(u, vectors ? m : 0, columns_u, ldu, "U");
    const Matrix<T> right(v, vectors ? n : 0, columns_v, ldv, "V");
    const Workspace<T> workspace(work, lwork, workspace_size(m, n));
    launch(function, h.stream, [=] {
        workspace.check();
        require_array(s, std::size_t(k) * count, "S");
        for (long long i = 0; i < count; i++) {
            write_info(info + i, svd_with_v(vectors, econ, m, n, matrix.at(i * lda * n), lda,
                                            s + i * k, left.at(i * ldu * columns_u), ldu,
                                            right.at(i * ldv * columns_v), ldv));
        }
    });
}

template <class T>
int gesvdj(const char* function, void* handle, int jobz, int econ, int m, int n, T* a, int lda,
           Real<T>* s, T* u, int ldu, T* v, int ldv, T* work, int lwork, int* info, void* params) {
    return with_handle(function, handle, [&](Handle& h) {
        submit_gesvdj(function, h, jobz, econ != 0, m, n, a, lda, s, u, ldu, v, ldv, work, lwork,
                      info, params, 1);
    });
}

template <class T>
int gesvdj_batched(const char* function, void* handle, int jobz, int m, int n, T* a, int lda,
                   Real<T>* s, T* u, int ldu, T* v, int ldv, T* work, int lwork, int* info,
                   void* params, int count) {
    constexpr int LIMIT = 32;
    return with_handle(function, handle, [&](Handle& h) {
        require_value(m <= LIMIT && n <= LIMIT, "a batch needs m and n up to 32, given m " +
                                                    std::to_string(m) + ", n " + std::to_string(n));
        submit_gesvdj(function, h, jobz, false, m, n, a, lda, s, u, ldu, v, ldv, work, lwork, info,
                      params, count);
    });
}

// --- eigenvalues of symmetric and Hermitian matrices ---------------------------------------------

template <class T>
void submit_heev(const char* function, const Handle& h, int jobz, int uplo, int n, T* a, int lda,
                 Real<T>* w, int* info, int count) {
    const char job = with_vectors(jobz);
    const char part = triangle(uplo);
    const Matrix<T> matrix(a, n, n, lda, "A");
    require_count(count, "the batch");
    launch(function, h.stream, [=] {
        require_array(w, std::size_t(n) * count, "W");
        for (long long i = 0; i < count; i++) {
            write_info(info + i,
                       lapack::heev(job, part, n, matrix.at(i * lda * n), lda, w + i * n));
        }
    });
}

template <class T>
int heevd(const char* function, void* handle, int jobz, int uplo, int n, T* a, int lda, Real<T>* w,
          T* work, int lwork, int* info) {
    return with_handle(function, handle, [&](Handle& h) {
        const Workspace<T> workspace(work, lwork, workspace_size(n, n));
        submit_heev(function, h, jobz, uplo, n, a, lda, w, info, 1);
    });
}

template <class T>
int heevj(const char* function, void* handle, int jobz, int uplo, int n, T* a, int lda, Real<T>* w,
          T* work, int lwork, int* info, void* params, int count) {
    return with_handle(function, handle, [&](Handle& h) {
        jacobi_parameters.find(params);
        const Workspace<T> workspace(work, lwork, workspace_size(n, n));
        submit_heev(function, h, jobz, uplo, n, a, lda, w, info, count);
    });
}

// --- the generic interface: types are arguments, sizes have 64 bits
// --------------------------------

// Calls `body(T())` for the type of the matrix.
template <class Body>
void with_type(int type, Body body) {
    switch (type) {
        case CUDA_R_32F:
            return body(float());
        case CUDA_R_64F:
            return body(double());
        case CUDA_C_32F:
            return body(Complex());
        case CUDA_C_64F:
            return body(DoubleComplex());
        default:
            throw Refusal{Refused::unsupported,
                          "the cudaDataType " + std::to_string(type) + " is not emulated"};
    }
}

template <class T>
constexpr int type_of = CUDA_R_32F;
template <>
inline constexpr int type_of<double> = CUDA_R_64F;
template <>
inline constexpr int type_of<Complex> = CUDA_C_32F;
template <>
inline constexpr int type_of<DoubleComplex> = CUDA_C_64F;

void require_type(int type, int expected, const char* name) {
    require_value(type == expected, std::string("the cudaDataType of ") + name + " is " +
                                        std::to_string(type) + ", expected " +
                                        std::to_string(expected));
}

// Sizes of matrices that a host computes in a test fit into 32 bits.
int narrowed(std::int64_t size) {
    require_value(size >= 0 && size <= 0x7fffffff, "a size does not fit into 32 bits");
    return int(size);
}

template <class T>
void submit_geev(const char* function, const Handle& h, int jobvr, int n, T* a, int lda, void* w,
                 T* vr, int ldvr, int* info) {
    const char job = with_vectors(jobvr);
    const Matrix<T> matrix(a, n, n, lda, "A");
    const Matrix<T> vectors(vr, job == 'V' ? n : 0, n, ldvr, "VR");
    auto* values = static_cast<std::complex<Real<T>>*>(w);
    launch(function, h.stream, [=] {
        require_array(values, n, "W");
        write_info(info, lapack::geev(job, n, matrix.data(), lda, values, vectors.data(), ldvr));
    });
}

}  // namespace

// --- handles -------------------------------------------------------------------------------------

API int cusolverGetProperty(int which, int* value) {
    constexpr int VERSION[] = {12, 0, 0};
    return guarded("cusolverGetProperty", STATUSES, [&] {
        require_value(which >= 0 && which <= 2, "expected a property from 0 to 2");
        *value = VERSION[which];
    });
}

API int cusolverDnCreate(void** handle) {
    return guarded("cusolverDnCreate", STATUSES, [&] {
        openblas::library();
        *handle = handles.create();
    });
}

API int cusolverDnDestroy(void* handle) {
    return guarded("cusolverDnDestroy", STATUSES, [&] { handles.destroy(handle); });
}

API int cusolverDnSetStream(void* handle, cudaStream_t stream) {
    return with_handle("cusolverDnSetStream", handle, [&](Handle& h) { h.stream = stream; });
}

API int cusolverDnGetStream(void* handle, cudaStream_t* stream) {
    return with_handle("cusolverDnGetStream", handle, [&](Handle& h) { *stream = h.stream; });
}

#define PARAMETERS(NAME, REGISTRY) \
    API int cusolverDnCreate##NAME(void** made) { \
        return guarded("cusolverDnCreate" #NAME, STATUSES, [&] { *made = REGISTRY.create(); }); \
    } \
    API int cusolverDnDestroy##NAME(void* made) { \
        return guarded("cusolverDnDestroy" #NAME, STATUSES, [&] { REGISTRY.destroy(made); }); \
    }
PARAMETERS(Params, parameters)
PARAMETERS(GesvdjInfo, jacobi_parameters)
PARAMETERS(SyevjInfo, jacobi_parameters)

// --- one macro a routine, for the types that it has ----------------------------------------------

#define EACH_TYPE(ROUTINE) \
    ROUTINE(S, float) \
    ROUTINE(D, double) \
    ROUTINE(C, Complex) \
    ROUTINE(Z, DoubleComplex)

#define LINEAR_SYSTEMS(L, T) \
    API int cusolverDn##L##getrf_bufferSize(void* handle, int m, int n, T*, int, int* size) { \
        return report_size("cusolverDn" #L "getrf_bufferSize", handle, m, n, size); \
    } \
    API int cusolverDn##L##getrf(void* handle, int m, int n, T* a, int lda, T* work, int* pivots, \
                                 int* info) { \
        return getrf("cusolverDn" #L "getrf", handle, m, n, a, lda, work, pivots, info); \
    } \
    API int cusolverDn##L##getrs(void* handle, int trans, int n, int nrhs, const T* a, int lda, \
                                 const int* pivots, T* b, int ldb, int* info) { \
        return getrs("cusolverDn" #L "getrs", handle, trans, n, nrhs, a, lda, pivots, b, ldb, \
                     info); \
    } \
    API int cusolverDn##L##potrf_bufferSize(void* handle, int, int n, T*, int, int* size) { \
        return report_size("cusolverDn" #L "potrf_bufferSize", handle, n, n, size); \
    } \
    API int cusolverDn##L##potrf(void* handle, int uplo, int n, T* a, int lda, T* work, int lwork, \
                                 int* info) { \
        return potrf("cusolverDn" #L "potrf", handle, uplo, n, a, lda, work, lwork, info); \
    } \
    API int cusolverDn##L##potrs(void* handle, int uplo, int n, int nrhs, const T* a, int lda, \
                                 T* b, int ldb, int* info) { \
        return potrs("cusolverDn" #L "potrs", handle, uplo, n, nrhs, a, lda, b, ldb, info); \
    } \
    API int cusolverDn##L##potrfBatched(void* handle, int uplo, int n, T* const* a, int lda, \
                                        int* info, int count) { \
        return potrf_batched("cusolverDn" #L "potrfBatched", handle, uplo, n, a, lda, info, \
                             count); \
    } \
    API int cusolverDn##L##potrsBatched(void* handle, int uplo, int n, int nrhs, T* const* a, \
                                        int lda, T* const* b, int ldb, int* info, int count) { \
        return potrs_batched("cusolverDn" #L "potrsBatched", handle, uplo, n, nrhs, a, lda, b, \
                             ldb, info, count); \
    }
EACH_TYPE(LINEAR_SYSTEMS)

// The names of real and of complex routines differ: orgqr and ungqr, ormqr and unmqr.
#define ORTHOGONAL(L, T, ORGQR, ORMQR) \
    API int cusolverDn##L##geqrf_bufferSize(void* handle, int m, int n, T*, int, int* size) { \
        return report_size("cusolverDn" #L "geqrf_bufferSize", handle, m, n, size); \
    } \
    API int cusolverDn##L##geqrf(void* handle, int m, int n, T* a, int lda, T* tau, T* work, \
                                 int lwork, int* info) { \
        return geqrf("cusolverDn" #L "geqrf", handle, m, n, a, lda, tau, work, lwork, info); \
    } \
    API int cusolverDn##L##ORGQR##_bufferSize(void* handle, int m, int n, int, const T*, int, \
                                              const T*, int* size) { \
        return report_size("cusolverDn" #L#ORGQR "_bufferSize", handle, m, n, size); \
    } \
    API int cusolverDn##L##ORGQR(void* handle, int m, int n, int k, T* a, int lda, const T* tau, \
                                 T* work, int lwork, int* info) { \
        return orgqr("cusolverDn" #L#ORGQR, handle, m, n, k, a, lda, tau, work, lwork, info); \
    } \
    API int cusolverDn##L##ORMQR##_bufferSize(void* handle, int, int, int m, int n, int, const T*, \
                                              int, const T*, const T*, int, int* size) { \
        return report_size("cusolverDn" #L#ORMQR "_bufferSize", handle, m, n, size); \
    } \
    API int cusolverDn##L##ORMQR(void* handle, int side, int trans, int m, int n, int k, \
                                 const T* a, int lda, const T* tau, T* c, int ldc, T* work, \
                                 int lwork, int* info) { \
        return ormqr("cusolverDn" #L#ORMQR, handle, side, trans, m, n, k, a, lda, tau, c, ldc, \
                     work, lwork, info); \
    }
ORTHOGONAL(S, float, orgqr, ormqr)
ORTHOGONAL(D, double, orgqr, ormqr)
ORTHOGONAL(C, Complex, ungqr, unmqr)
ORTHOGONAL(Z, DoubleComplex, ungqr, unmqr)

#define SINGULAR_VALUES(L, T) \
    API int cusolverDn##L##gesvd_bufferSize(void* handle, int m, int n, int* size) { \
        return report_size("cusolverDn" #L "gesvd_bufferSize", handle, m, n, size); \
    } \
    API int cusolverDn##L##gesvd(void* handle, signed char jobu, signed char jobvt, int m, int n, \
                                 T* a, int lda, Real<T>* s, T* u, int ldu, T* vt, int ldvt, \
                                 T* work, int lwork, Real<T>* rwork, int* info) { \
        return gesvd("cusolverDn" #L "gesvd", handle, jobu, jobvt, m, n, a, lda, s, u, ldu, vt, \
                     ldvt, work, lwork, rwork, info); \
    } \
    API int cusolverDn##L##gesvdj_bufferSize(void* handle, int, int, int m, int n, const T*, int, \
                                             const Real<T>*, const T*, int, const T*, int, \
                                             int* size, void*) { \
        return report_size("cusolverDn" #L "gesvdj_bufferSize", handle, m, n, size); \
    } \
    API int cusolverDn##L##gesvdj(void* handle, int jobz, int econ, int m, int n, T* a, int lda, \
                                  Real<T>* s, T* u, int ldu, T* v, int ldv, T* work, int lwork, \
                                  int* info, void* params) { \
        return gesvdj("cusolverDn" #L "gesvdj", handle, jobz, econ, m, n, a, lda, s, u, ldu, v, \
                      ldv, work, lwork, info, params); \
    } \
    API int cusolverDn##L##gesvdjBatched_bufferSize(void* handle, int, int m, int n, const T*, \
                                                    int, const Real<T>*, const T*, int, const T*, \
                                                    int, int* size, void*, int) { \
        return report_size("cusolverDn" #L "gesvdjBatched_bufferSize", handle, m, n, size); \
    } \
    API int cusolverDn##L##gesvdjBatched(void* handle, int jobz, int m, int n, T* a, int lda, \
                                         Real<T>* s, T* u, int ldu, T* v, int ldv, T* work, \
                                         int lwork, int* info, void* params, int count) { \
        return gesvdj_batched("cusolverDn" #L "gesvdjBatched", handle, jobz, m, n, a, lda, s, u, \
                              ldu, v, ldv, work, lwork, info, params, count); \
    }
EACH_TYPE(SINGULAR_VALUES)

// The names of real and of complex routines differ: syevd and heevd, syevj and heevj.
#define EIGENVALUES(L, T, EEVD, EEVJ) \
    API int cusolverDn##L##EEVD##_bufferSize(void* handle, int, int, int n, const T*, int, \
                                             const Real<T>*, int* size) { \
        return report_size("cusolverDn" #L#EEVD "_bufferSize", handle, n, n, size); \
    } \
    API int cusolverDn##L##EEVD(void* handle, int jobz, int uplo, int n, T* a, int lda, \
                                Real<T>* w, T* work, int lwork, int* info) { \
        return heevd("cusolverDn" #L#EEVD, handle, jobz, uplo, n, a, lda, w, work, lwork, info); \
    } \
    API int cusolverDn##L##EEVJ##_bufferSize(void* handle, int, int, int n, const T*, int, \
                                             const Real<T>*, int* size, void*) { \
        return report_size("cusolverDn" #L#EEVJ "_bufferSize", handle, n, n, size); \
    } \
    API int cusolverDn##L##EEVJ(void* handle, int jobz, int uplo, int n, T* a, int lda, \
                                Real<T>* w, T* work, int lwork, int* info, void* params) { \
        return heevj("cusolverDn" #L#EEVJ, handle, jobz, uplo, n, a, lda, w, work, lwork, info, \
                     params, 1); \
    } \
    API int cusolverDn##L##EEVJ##Batched_bufferSize(void* handle, int, int, int n, const T*, int, \
                                                    const Real<T>*, int* size, void*, int) { \
        return report_size("cusolverDn" #L#EEVJ "Batched_bufferSize", handle, n, n, size); \
    } \
    API int cusolverDn##L##EEVJ##Batched(void* handle, int jobz, int uplo, int n, T* a, int lda, \
                                         Real<T>* w, T* work, int lwork, int* info, void* params, \
                                         int count) { \
        return heevj("cusolverDn" #L#EEVJ "Batched", handle, jobz, uplo, n, a, lda, w, work, \
                     lwork, info, params, count); \
    }
EIGENVALUES(S, float, syevd, syevj)
EIGENVALUES(D, double, syevd, syevj)
EIGENVALUES(C, Complex, heevd, heevj)
EIGENVALUES(Z, DoubleComplex, heevd, heevj)

API int cusolverDnXsyevd_bufferSize(void* handle, void* params, int, int, std::int64_t n, int,
                                    const void*, std::int64_t, int, const void*, int,
                                    std::size_t* on_device, std::size_t* on_host) {
    return with_handle("cusolverDnXsyevd_bufferSize", handle, [&](Handle&) {
        parameters.find(params);
        *on_device = workspace_size(narrowed(n), narrowed(n));
        *on_host = 0;
    });
}

API int cusolverDnXsyevd(void* handle, void* params, int jobz, int uplo, std::int64_t n, int type_a,
                         void* a, std::int64_t lda, int type_w, void* w, int compute,
                         void* on_device, std::size_t device_bytes, void*, std::size_t, int* info) {
    const char* function = "cusolverDnXsyevd";
    return with_handle(function, handle, [&](Handle& h) {
        parameters.find(params);
        const int order = narrowed(n);
        const Workspace<char> workspace(static_cast<char*>(on_device), narrowed(device_bytes),
                                        workspace_size(order, order));
        with_type(type_a, [&](auto zero) {
            using T = decltype(zero);
            require_type(type_w, type_of<Real<T>>, "W");
            require_type(compute, type_a, "the computation");
            submit_heev(function, h, jobz, uplo, order, static_cast<T*>(a), narrowed(lda),
                        static_cast<Real<T>*>(w), info, 1);
        });
    });
}

API int cusolverDnXgeev_bufferSize(void* handle, void* params, int, int, std::int64_t n, int,
                                   const void*, std::int64_t, int, const void*, int, const void*,
                                   std::int64_t, int, const void*, std::int64_t, int,
                                   std::size_t* on_device, std::size_t* on_host) {
    return with_handle("cusolverDnXgeev_bufferSize", handle, [&](Handle&) {
        parameters.find(params);
        *on_device = workspace_size(narrowed(n), narrowed(n));
        *on_host = workspace_size(narrowed(n), narrowed(n));
    });
}

// Left eigenvectors are refused: cuSOLVER does not compute them either.
API int cusolverDnXgeev(void* handle, void* params, int jobvl, int jobvr, std::int64_t n,
                        int type_a, void* a, std::int64_t lda, int type_w, void* w, int, void*,
                        std::int64_t, int type_vr, void* vr, std::int64_t ldvr, int compute,
                        void* on_device, std::size_t device_bytes, void*, std::size_t, int* info) {
    const char* function = "cusolverDnXgeev";
    return with_handle(function, handle, [&](Handle& h) {
        parameters.find(params);
        require(jobvl == 0, Refused::unsupported, "left eigenvectors are not computed");
        const int order = narrowed(n);
        const Workspace<char> workspace(static_cast<char*>(on_device), narrowed(device_bytes),
                                        workspace_size(order, order));
        with_type(type_a, [&](auto zero) {
            using T = decltype(zero);
            require_type(type_w, type_of<std::complex<Real<T>>>, "W");
            require_type(type_vr, type_a, "VR");
            require_type(compute, type_a, "the computation");
            submit_geev(function, h, jobvr, order, static_cast<T*>(a), narrowed(lda), w,
                        static_cast<T*>(vr), narrowed(ldvr), info);
        });
    });
}
