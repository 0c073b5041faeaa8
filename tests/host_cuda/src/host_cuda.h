// The interface between the core of the emulated device and the libraries on top of it.
//
// A library (cublas.cpp, cusolver.cpp, ...) is one source file that includes this header, defines
// the entry points that CuPy calls with API, and follows four rules:
//
//   1. It counts what a user would call an operation: count(Event::product, "cublasSgemm").
//   2. It checks the handles and the host arguments at the call, and copies scalars that lie on the
//      host (alpha, beta) into the closure, because the caller may change them after the call.
//   3. It gives all that reads or writes device memory to submit(), together with the stream. The
//      closure may run after the call has returned, and on another host thread.
//   4. In the closure, before it touches memory, it calls require_memory() for each array.
//
//     API cublasStatus_t cublasSscal_v2(Handle* handle, int n, const float* alpha, float* x, int
//     step) {
//         host_cuda::count(host_cuda::Event::launch, "cublasSscal");
//         float factor = *alpha;
//         cudaError_t error = host_cuda::submit(handle->stream, [=] {
//             host_cuda::require_memory(x, extent, "cublasSscal: x");
//             ...
//         });
//         return error ? CUBLAS_STATUS_EXECUTION_FAILED : CUBLAS_STATUS_SUCCESS;
//     }
#pragma once

#include <cstddef>
#include <functional>
#include <string>

#include <cuda_runtime_api.h>

#define API extern "C" __attribute__((visibility("default")))

namespace host_cuda {

// The events that are counted. device.py lists the same names in the same order.
enum class Event {
    launch,     // a kernel, or a call of a library that would launch kernels, except products
    product,    // a product of matrices by cuBLAS, batched or not
    to_device,  // a copy from the host to a device
    to_host,    // a copy from a device to the host
    on_device,  // a copy within a device or between devices
    memset,
    synchronize,  // the host waits: for a device, a stream or an event
    allocate,     // cudaMalloc and its kin, which CuPy's memory pool avoids
    free,
    compile,  // a kernel is handed to NVRTC (or found in the cache of compiled kernels)
    record,   // an event is recorded
    wait,     // a stream waits for an event
    graph,    // a graph is launched: all its kernels, products and copies at once
    number_of_events
};

// Counts one event. `name` goes into the log, where one is kept (device.py: counting(names=True)).
void count(Event kind, const char* name);
void count(Event kind, const std::string& name);

// Whether kernels, products and copies are to do nothing (device.py: empty_launches()). submit()
// drops its work by itself; a library need not ask, unless preparing the closure is expensive.
bool empty_launches();

// Thrown by work that cannot be done; submit() turns it into the error of the device.
struct Failure {
    cudaError_t error;
};

// Runs `work` in the order of `stream` (null: the default stream of the current device): before the
// call returns, or later, where streams are shuffled. While it runs, the current device is the one
// of the stream. Returns the error of the work if it has run, else cudaSuccess (then the next
// synchronization reports the error). `work` must not call submit() or synchronize().
cudaError_t submit(cudaStream_t stream, std::function<void()> work);

// Waits until all work of the stream has run; returns the error of the work, if there was one. For
// calls that give a result to the host, such as a dot product. Not counted as a synchronization.
cudaError_t synchronize(cudaStream_t stream);

// Whether the `bytes` bytes from `p` lie in one live allocation that the current device can use:
// its own memory, managed or pinned memory, or that of a device to which it has access. True for 0
// bytes.
bool is_device_memory(const void* p, std::size_t bytes);

// If is_device_memory() is false, prints `name`, the address and what lies there, and throws
// Failure{cudaErrorIllegalAddress}. For use inside work.
void require_memory(const void* p, std::size_t bytes, const char* name);

// Allocates and frees device memory without counting it, for workspaces. Null if memory runs out.
void* allocate_workspace(std::size_t bytes);
void free_workspace(void* p);

}  // namespace host_cuda
