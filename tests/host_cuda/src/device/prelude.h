// What CUDA C++ has and C++ has not, for kernels that g++ compiles, and the headers of CuPy that
// its kernels include. build.py precompiles this; each kernel is compiled after it.
#pragma once

#include <cassert>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <limits>
#include <type_traits>
#include <utility>

#include <cuda_runtime_api.h>

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "kernel.h"

// The state of this module, which the launcher fills.
static host_cuda_kernel::State host_cuda_state;

// Dynamic shared memory of this module. nvrtc.cpp makes `extern __shared__ T name[]` a pointer to
// it.
alignas(1024) static char host_cuda_dynamic[host_cuda_kernel::most_dynamic];

// --- the language --------------------------------------------------------------------------------

#define __CUDACC_VER_MAJOR__ 13
#define __CUDACC_VER_MINOR__ 0
#undef __global__
#undef __device__
#undef __host__
#undef __shared__
#undef __constant__
#undef __managed__
#undef __forceinline__
#undef __noinline__
#undef __launch_bounds__
#undef __grid_constant__
#define __global__
#define __device__
#define __host__
#define __shared__ static  // one block runs at a time
#define __constant__
#define __managed__
#define __forceinline__ inline
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __grid_constant__

#define threadIdx (host_cuda_state.thread)
#define blockIdx (host_cuda_state.block)
#define blockDim (host_cuda_state.block_size)
#define gridDim (host_cuda_state.grid_size)
#define warpSize 32

#undef assert
#define assert(condition) \
    ((condition) \
         ? (void)0 \
         : host_cuda_state.trap(host_cuda_kernel::Trap::assertion, "assert(" #condition ")"))

static inline void __trap() {
    host_cuda_state.trap(host_cuda_kernel::Trap::trap, "__trap()");
}

// --- barriers, shuffles and votes ----------------------------------------------------------------

static inline int host_cuda_linear() {
    return threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
}

static inline void __syncthreads() {
    host_cuda_state.block_barrier();
}

static inline void __syncwarp(unsigned mask = 0xffffffffu) {
    host_cuda_state.warp_barrier(mask);
}

// Memory is the host's, and one thread runs at a time: what is written is seen.
static inline void __threadfence() {}
static inline void __threadfence_block() {}
static inline void __threadfence_system() {}

static inline unsigned __activemask() {
    return host_cuda_state.live_lanes();
}

// Each thread shows its value to the others between two barriers.
template <class T>
static void host_cuda_show(const T& value) {
    static_assert(sizeof(T) <= host_cuda_kernel::slot_bytes, "a value too large to exchange");
    std::memcpy(host_cuda_state.exchange[host_cuda_linear()], &value, sizeof(T));
}

template <class T>
static T host_cuda_shown(int thread) {
    T value;
    std::memcpy(&value, host_cuda_state.exchange[thread], sizeof(T));
    return value;
}

template <class T>
static T host_cuda_shuffle(unsigned mask, const T& value, int from) {
    host_cuda_show(value);
    __syncwarp(mask);
    T result = host_cuda_shown<T>(from);
    __syncwarp(mask);
    return result;
}

// The first thread of the group of `width` lanes that a thread belongs to.
static inline int host_cuda_group(int me, int width) {
    return me - me % width;
}

template <class T>
static T __shfl_sync(unsigned mask, T value, int lane, int width = 32) {
    int me = host_cuda_linear();
    return host_cuda_shuffle(mask, value, host_cuda_group(me, width) + (lane & (width - 1)));
}

template <class T>
static T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32) {
    int me = host_cuda_linear();
    int from = me - static_cast<int>(delta);
    return host_cuda_shuffle(mask, value, from < host_cuda_group(me, width) ? me : from);
}

template <class T>
static T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32) {
    int me = host_cuda_linear();
    int from = me + static_cast<int>(delta);
    return host_cuda_shuffle(mask, value, from >= host_cuda_group(me, width) + width ? me : from);
}

template <class T>
static T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = 32) {
    int me = host_cuda_linear();
    int from = me ^ lane_mask;
    return host_cuda_shuffle(mask, value, from >= host_cuda_group(me, width) + width ? me : from);
}

static inline unsigned __ballot_sync(unsigned mask, int predicate) {
    int first = host_cuda_group(host_cuda_linear(), 32);
    host_cuda_show(predicate);
    __syncwarp(mask);
    unsigned lanes = mask & host_cuda_state.live_lanes();
    unsigned result = 0;
    for (int lane = 0; lane < 32; lane++) {
        bool votes = lanes >> lane & 1u;
        if (votes && host_cuda_shown<int>(first + lane)) {
            result |= 1u << lane;
        }
    }
    __syncwarp(mask);
    return result;
}

static inline int __any_sync(unsigned mask, int predicate) {
    return __ballot_sync(mask, predicate) != 0;
}

static inline int __all_sync(unsigned mask, int predicate) {
    return __ballot_sync(mask, !predicate) == 0;
}

static inline int __syncthreads_count(int predicate) {
    int threads = static_cast<int>(blockDim.x * blockDim.y * blockDim.z);
    host_cuda_show(predicate);
    __syncthreads();
    int result = 0;
    for (int thread = 0; thread < threads; thread++) {
        result += host_cuda_shown<int>(thread) != 0;
    }
    __syncthreads();
    return result;
}

static inline int __syncthreads_or(int predicate) {
    return __syncthreads_count(predicate) != 0;
}

static inline int __syncthreads_and(int predicate) {
    return __syncthreads_count(!predicate) == 0;
}

// CUDA has these functions for float and double in the global namespace. Code there finds them by
// these declarations, `::abs(x)` too.
#define HOST_CUDA_MATHEMATICS(use) \
    use(abs) use(acos) use(acosh) use(asin) use(asinh) use(atan) use(atan2) use(atanh) use(cbrt) \
        use(ceil) use(copysign) use(cos) use(cosh) use(erf) use(erfc) use(exp) use(exp2) \
            use(expm1) use(fabs) use(floor) use(fma) use(fmax) use(fmin) use(fmod) use(frexp) \
                use(hypot) use(isfinite) use(isinf) use(isnan) use(ldexp) use(lgamma) use(log) \
                    use(log10) use(log1p) use(log2) use(modf) use(nextafter) use(pow) \
                        use(remainder) use(rint) use(round) use(signbit) use(sin) use(sinh) \
                            use(sqrt) use(tan) use(tanh) use(tgamma) use(trunc)
#define HOST_CUDA_USE_STD(name) using std::name;
#define HOST_CUDA_USE_GLOBAL(name) using ::name;
HOST_CUDA_MATHEMATICS(HOST_CUDA_USE_STD)

// In a namespace without a name, what a kernel does not use is not compiled with it: that saves
// half of the time. CuPy's headers must be in the same one, because their calls of isnan() and the
// like would not look further out than their own.
namespace {
#include "atomics.h"
#include "functions.h"

#include <cupy/complex.cuh>

#include <cupy/math_constants.h>
#include <cupy/atomics.cuh>
#include <cupy/bfloat16.cuh>
#include <cupy/float16.cuh>
}  // namespace

// --- what the launcher needs to know of a kernel -------------------------------------------------

// The bytes from the lowest to the highest that an array can reach.
template <class Array>
static void host_cuda_visit_array(const Array& array, const char* data, std::size_t item,
                                  host_cuda_kernel::Visit visit, void* context, int argument) {
    if (array.size() == 0) {
        return;
    }
    const char* first = data;
    std::size_t bytes = item;
    for (int i = 0; i < Array::ndim; i++) {
        std::ptrdiff_t reach = (array.shape()[i] - 1) * array.strides()[i];
        first += reach < 0 ? reach : 0;
        bytes += reach < 0 ? -reach : reach;
    }
    visit(context, argument, first, bytes);
}

// Arguments of other types hold no pointers that we know of.
template <class T>
struct host_cuda_argument {
    static void visit(void*, host_cuda_kernel::Visit, void*, int) {}
};

template <class T>
struct host_cuda_argument<T*> {
    static void visit(void* value, host_cuda_kernel::Visit visit, void* context, int argument) {
        visit(context, argument, *static_cast<T**>(value), 0);
    }
};

template <class T, int ndim, bool contiguous, bool narrow>
struct host_cuda_argument<CArray<T, ndim, contiguous, narrow>> {
    static void visit(void* value, host_cuda_kernel::Visit visit, void* context, int argument) {
        const auto& array = *static_cast<CArray<T, ndim, contiguous, narrow>*>(value);
        const char* data = *static_cast<char**>(value);  // its first member
        host_cuda_visit_array(array, data, sizeof(T), visit, context, argument);
    }
};

template <auto function, class Type>
struct host_cuda_entry;

template <auto function, class... Arguments>
struct host_cuda_entry<function, void (*)(Arguments...)> {
    template <class T>
    using Plain = std::remove_cv_t<std::remove_reference_t<T>>;

    static constexpr int count = sizeof...(Arguments);
    static constexpr std::size_t sizes[count + 1] = {sizeof(Arguments)..., 0};

    template <std::size_t... i>
    static void call_with(void** values, std::index_sequence<i...>) {
        function(*static_cast<Plain<Arguments>*>(values[i])...);
    }

    template <std::size_t... i>
    static void visit_with(void** values, host_cuda_kernel::Visit visit, void* context,
                           std::index_sequence<i...>) {
        (host_cuda_argument<Plain<Arguments>>::visit(values[i], visit, context, i), ...);
    }

    static void call(void** values) {
        call_with(values, std::index_sequence_for<Arguments...>{});
    }

    static void visit(void** values, host_cuda_kernel::Visit visit, void* context) {
        visit_with(values, visit, context, std::index_sequence_for<Arguments...>{});
    }
};

// nvrtc.cpp writes these two for each kernel, where HOST_CUDA_KERNEL declares what it finds by
// name:
//     static constexpr auto host_cuda_pointer_scale = &scale;
//     HOST_CUDA_KERNEL(scale, false)
#define HOST_CUDA_ENTRY(name) \
    host_cuda_entry<host_cuda_pointer_##name, \
                    std::remove_const_t<decltype(host_cuda_pointer_##name)>>

#define HOST_CUDA_KERNEL(name, grid_stride) \
    extern "C" __attribute__((visibility("default"))) \
    const host_cuda_kernel::Kernel host_cuda_kernel_##name = { \
        HOST_CUDA_ENTRY(name)::call, \
        HOST_CUDA_ENTRY(name)::visit, \
        HOST_CUDA_ENTRY(name)::sizes, \
        HOST_CUDA_ENTRY(name)::count, \
        &host_cuda_state, \
        grid_stride, \
    };
