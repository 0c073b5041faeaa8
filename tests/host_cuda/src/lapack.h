// The routines of LAPACK that cuBLAS and cuSOLVER offer. Matrices lie column by column; each
// function returns LAPACK's `info`, and brings its own workspace.
#pragma once

#include "openblas.h"

#include <algorithm>
#include <vector>

namespace host_cuda::lapack {

// `call(work, lwork, &info)`, first to ask for the size of the workspace, then with one.
template <class T, class Call>
int with_workspace(Call call) {
    T size{};
    Integer info = 0;
    call(&size, Integer(-1), &info);
    if (info != 0) {
        return int(info);
    }
    std::vector<T> work(std::max<std::size_t>(1, std::size_t(std::real(size))));
    call(work.data(), Integer(work.size()), &info);
    return int(info);
}

// P A = L U. The pivots count from 1.
template <class T>
int getrf(int m, int n, T* a, int lda, int* pivots) {
    static const Routine<T> routine("getrf");
    std::vector<Integer> wide(std::min(m, n));
    Integer info = 0;
    routine(m, n, a, lda, wide.data(), &info);
    std::copy(wide.begin(), wide.end(), pivots);
    return int(info);
}

// op(A) X = B, with what getrf made of A.
template <class T>
int getrs(char trans, int n, int nrhs, const T* a, int lda, const int* pivots, T* b, int ldb) {
    static const Routine<T> routine("getrs");
    const std::vector<Integer> wide(pivots, pivots + n);
    Integer info = 0;
    routine(trans, n, nrhs, a, lda, wide.data(), b, ldb, &info);
    return int(info);
}

// A = L L^H or U^H U.
template <class T>
int potrf(char uplo, int n, T* a, int lda) {
    static const Routine<T> routine("potrf");
    Integer info = 0;
    routine(uplo, n, a, lda, &info);
    return int(info);
}

// A X = B, with what potrf made of A.
template <class T>
int potrs(char uplo, int n, int nrhs, const T* a, int lda, T* b, int ldb) {
    static const Routine<T> routine("potrs");
    Integer info = 0;
    routine(uplo, n, nrhs, a, lda, b, ldb, &info);
    return int(info);
}

// A = Q R, with Q as min(m, n) reflectors.
template <class T>
int geqrf(int m, int n, T* a, int lda, T* tau) {
    static const Routine<T> routine("geqrf");
    return with_workspace<T>([=](T* work, Integer lwork, Integer* info) {
        routine(m, n, a, lda, tau, work, lwork, info);
    });
}

// The first n columns of the product of k reflectors.
template <class T>
int orgqr(int m, int n, int k, T* a, int lda, const T* tau) {
    static const Routine<T> routine(is_complex<T> ? "ungqr" : "orgqr");
    return with_workspace<T>([=](T* work, Integer lwork, Integer* info) {
        routine(m, n, k, a, lda, tau, work, lwork, info);
    });
}

// op(Q) C or C op(Q), with Q as k reflectors.
template <class T>
int ormqr(char side, char trans, int m, int n, int k, const T* a, int lda, const T* tau, T* c,
          int ldc) {
    static const Routine<T> routine(is_complex<T> ? "unmqr" : "ormqr");
    return with_workspace<T>([=](T* work, Integer lwork, Integer* info) {
        routine(side, trans, m, n, k, a, lda, tau, c, ldc, work, lwork, info);
    });
}

// A = U diag(s) V^H. A is overwritten.
template <class T>
int gesvd(char jobu, char jobvt, int m, int n, T* a, int lda, Real<T>* s, T* u, int ldu, T* vt,
          int ldvt) {
    static const Routine<T> routine("gesvd");
    std::vector<Real<T>> rwork(5 * std::size_t(std::max(1, std::min(m, n))));
    return with_workspace<T>([&](T* work, Integer lwork, Integer* info) {
        if constexpr (is_complex<T>) {
            routine(jobu, jobvt, m, n, a, lda, s, u, ldu, vt, ldvt, work, lwork, rwork.data(),
                    info);
        } else {
            routine(jobu, jobvt, m, n, a, lda, s, u, ldu, vt, ldvt, work, lwork, info);
        }
    });
}

// A = V diag(w) V^H for a symmetric or Hermitian matrix, of which one triangle is read. V
// overwrites A.
template <class T>
int heev(char jobz, char uplo, int n, T* a, int lda, Real<T>* w) {
    static const Routine<T> routine(is_complex<T> ? "heev" : "syev");
    std::vector<Real<T>> rwork(3 * std::size_t(std::max(1, n)));
    return with_workspace<T>([&](T* work, Integer lwork, Integer* info) {
        if constexpr (is_complex<T>) {
            routine(jobz, uplo, n, a, lda, w, work, lwork, rwork.data(), info);
        } else {
            routine(jobz, uplo, n, a, lda, w, work, lwork, info);
        }
    });
}

// A V = V diag(w). For a real A the columns of V are LAPACK's: a conjugate pair of eigenvectors
// is one column of real and one of imaginary parts.
template <class T>
int geev(char jobvr, int n, T* a, int lda, std::complex<Real<T>>* w, T* vr, int ldvr) {
    static const Routine<T> routine("geev");
    std::vector<Real<T>> parts(2 * std::size_t(std::max(1, n)));
    T no_left_vectors{};
    const int info = with_workspace<T>([&](T* work, Integer lwork, Integer* info) {
        if constexpr (is_complex<T>) {
            routine('N', jobvr, n, a, lda, w, &no_left_vectors, 1, vr, ldvr, work, lwork,
                    parts.data(), info);
        } else {
            routine('N', jobvr, n, a, lda, parts.data(), parts.data() + n, &no_left_vectors, 1, vr,
                    ldvr, work, lwork, info);
        }
    });
    if constexpr (!is_complex<T>) {
        for (int i = 0; i < n; i++) {
            w[i] = {parts[i], parts[n + i]};
        }
    }
    return info;
}

}  // namespace host_cuda::lapack
