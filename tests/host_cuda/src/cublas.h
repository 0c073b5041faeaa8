// What the parts of cuBLAS share: its handles, arguments that are letters in BLAS, and scalars that
// lie on the host or on the device.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <string>

#include "library.h"
#include "openblas.h"

namespace host_cuda::cublas {

inline constexpr Statuses STATUSES{/*handle*/ 1, /*value*/ 7, /*unsupported*/ 15, /*execution*/ 13};
inline constexpr int HOST_POINTERS = 0;
inline constexpr int DEVICE_POINTERS = 1;

struct Handle {
    cudaStream_t stream = nullptr;
    int pointer_mode = HOST_POINTERS;
    int math_mode = 0;
    void* workspace = nullptr;  // null: the library's own
    std::size_t workspace_bytes = 0;
};

inline Handles<Handle> handles;

// Runs `body` on a handle of cuBLAS and returns the status.
template <class Body>
int with_handle(const char* function, void* handle, Body body) {
    return guarded(function, STATUSES, [&] { body(handles.find(handle)); });
}

inline char operation(int op) {
    return choice(op, "NTC", "the operation");
}
inline char triangle(int fill) {
    return choice(fill, "LU", "the fill mode");
}
inline char side_letter(int side) {
    return choice(side, "LR", "the side");
}
inline char diagonal(int diag) {
    return choice(diag, "NU", "the diagonal type");
}

// alpha or beta: the host's is read when the function is called, the device's when the work runs.
template <class T>
class Scalar {
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

// Elements `increment` apart; a negative increment walks backwards, as everywhere in BLAS. Made
// inside work, where it finds the memory to be the device's.
template <class T>
class Vector {
  public:
    Vector(T* data, int n, int increment, const char* name) : first_(data), increment_(increment) {
        const std::ptrdiff_t span = n <= 0 ? 0 : std::ptrdiff_t(n - 1) * std::abs(increment);
        require_array(data, n <= 0 ? 0 : span + 1, name);
        if (increment < 0) {
            first_ += span;
        }
    }

    T& operator[](int i) const {
        return first_[std::ptrdiff_t(i) * increment_];
    }

  private:
    T* first_;
    std::ptrdiff_t increment_;
};

}  // namespace host_cuda::cublas

// Defines the entry points of a routine for the four types.
#define EACH_TYPE(ROUTINE) \
    ROUTINE(S, float) \
    ROUTINE(D, double) \
    ROUTINE(C, Complex) \
    ROUTINE(Z, DoubleComplex)
