// Sorting, in place of the Thrust that is compiled into CuPy's module `thrust`; see thrust.py.
//
// The order is NumPy's: NaN comes last, complex numbers are ordered by their real parts first, and
// those with a NaN come after those without. All sorts are stable.
#include <algorithm>
#include <cmath>
#include <complex>
#include <numeric>
#include <vector>

#include <cuda_fp16.h>

#include "core.h"

namespace host_cuda {
namespace {

template <class T>
bool less(T a, T b) {
    return a < b;
}

template <class T>
bool less_real(T a, T b) {
    return std::isnan(b) ? !std::isnan(a) : a < b;
}

bool less(float a, float b) {
    return less_real(a, b);
}

bool less(double a, double b) {
    return less_real(a, b);
}

bool less(__half a, __half b) {
    return less_real(__half2float(a), __half2float(b));
}

// In which group of NumPy's order a number is: R + Rj, R + nan j, nan + R j, nan + nan j.
template <class T>
int group(std::complex<T> x) {
    return 2 * std::isnan(x.real()) + std::isnan(x.imag());
}

template <class T>
bool less(std::complex<T> a, std::complex<T> b) {
    if (group(a) != group(b)) {
        return group(a) < group(b);
    }
    bool real_parts_differ = !std::isnan(a.real()) && a.real() != b.real();
    return real_parts_differ ? a.real() < b.real() : a.imag() < b.imag();
}

// The indices that sort `count` numbers.
template <class T>
std::vector<std::size_t> order_of(const T* values, std::size_t count) {
    std::vector<std::size_t> order(count);
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [values](std::size_t i, std::size_t j) { return less(values[i], values[j]); });
    return order;
}

struct Rows {
    std::size_t rows;
    std::size_t columns;

    std::size_t size() const {
        return rows * columns;
    }
};

// Sorts each row of the data; `indices`, if given, receives the indices that sort it.
template <class T>
void sort_rows(void* data, std::size_t* indices, Rows shape) {
    require_memory(data, shape.size() * sizeof(T), "sort: data");
    if (indices) {
        require_memory(indices, shape.size() * sizeof(std::size_t), "sort: indices");
    }
    for (std::size_t row = 0; row < shape.rows; row++) {
        T* values = static_cast<T*>(data) + row * shape.columns;
        std::vector<std::size_t> order = order_of(values, shape.columns);
        std::vector<T> before(values, values + shape.columns);
        for (std::size_t i = 0; i < shape.columns; i++) {
            values[i] = before[order[i]];
        }
        if (indices) {
            std::copy(order.begin(), order.end(), indices + row * shape.columns);
        }
    }
}

// The indices that sort by the last row of keys, then by the one before, and so on.
template <class T>
void sort_by_keys(const void* keys, std::size_t* indices, Rows shape) {
    require_memory(keys, shape.size() * sizeof(T), "lexsort: keys");
    require_memory(indices, shape.columns * sizeof(std::size_t), "lexsort: indices");
    std::iota(indices, indices + shape.columns, std::size_t{0});
    for (std::size_t row = 0; row < shape.rows; row++) {
        const T* values = static_cast<const T*>(keys) + row * shape.columns;
        std::stable_sort(indices, indices + shape.columns, [values](std::size_t i, std::size_t j) {
            return less(values[i], values[j]);
        });
    }
}

// Calls `work` with a value of the type that NumPy's character stands for; false where there is
// none.
template <class Work>
bool with_type(char type, Work work) {
    switch (type) {
        case '?':
            return work(bool{}), true;
        case 'b':
            return work(static_cast<signed char>(0)), true;
        case 'B':
            return work(static_cast<unsigned char>(0)), true;
        case 'h':
            return work(short{}), true;
        case 'H':
            return work(static_cast<unsigned short>(0)), true;
        case 'i':
            return work(int{}), true;
        case 'I':
            return work(0u), true;
        case 'l':
        case 'q':
            return work(0ll), true;
        case 'L':
        case 'Q':
            return work(0ull), true;
        case 'e':
            return work(__half{}), true;
        case 'f':
            return work(float{}), true;
        case 'd':
            return work(double{}), true;
        case 'F':
            return work(std::complex<float>{}), true;
        case 'D':
            return work(std::complex<double>{}), true;
        default:
            return false;
    }
}

}  // namespace
}  // namespace host_cuda

using namespace host_cuda;

// Sorts rows of numbers in place; `indices` may be null. Returns an error of the runtime's.
API int host_cuda_sort(char type, void* data, std::size_t* indices, std::size_t rows,
                       std::size_t columns, cudaStream_t stream) {
    Rows shape{rows, columns};
    count(Event::launch, indices ? "thrust argsort" : "thrust sort");
    cudaError_t error = cudaErrorNotSupported;
    with_type(type, [&](auto example) {
        using T = decltype(example);
        error = submit(stream, [=] { sort_rows<T>(data, indices, shape); });
    });
    return report(error);
}

API int host_cuda_lexsort(char type, const void* keys, std::size_t* indices, std::size_t rows,
                          std::size_t columns, cudaStream_t stream) {
    Rows shape{rows, columns};
    count(Event::launch, "thrust lexsort");
    cudaError_t error = cudaErrorNotSupported;
    with_type(type, [&](auto example) {
        using T = decltype(example);
        error = submit(stream, [=] { sort_by_keys<T>(keys, indices, shape); });
    });
    return report(error);
}
