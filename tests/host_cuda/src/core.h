// What the files of the core share with each other; libraries include host_cuda.h alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "host_cuda.h"

namespace host_cuda {

// --- settings.cpp: the environment, read once ----------------------------------------------------

struct Settings {
    std::string folder;       // HOST_CUDA: what build.py built
    std::string kernels;      // HOST_CUDA_KERNELS: compiled kernels, shared by all processes
    int devices;              // HOST_CUDA_DEVICES
    std::size_t memory;       // HOST_CUDA_MEMORY: bytes per device
    bool peers;               // HOST_CUDA_PEERS: devices may use each other's memory
    bool shuffle;             // HOST_CUDA_SHUFFLE is set
    unsigned long long seed;  // its value
};

const Settings& settings();

// Prints one line to the standard error: "host_cuda: ...".
void complain(const std::string& message);

// --- errors.cpp ----------------------------------------------------------------------------------

// Makes `error` the host thread's last error, unless it is cudaSuccess, and returns it.
cudaError_t report(cudaError_t error);

// Keeps the error of work that ran late, until the next synchronization of its device.
void keep_error(int device, cudaError_t error);

// Returns the kept error of the device, and forgets it. A real device would stay unusable.
cudaError_t take_error(int device);

// --- devices.cpp ---------------------------------------------------------------------------------

// To be called before a device is used. It fails in a process that was forked from one that had
// used a device, as CUDA does.
cudaError_t use_device();

// The current device of the host thread.
int current_device();
bool is_device(int device);

// Makes `device` current as long as the object lives.
class CurrentDevice {
  public:
    explicit CurrentDevice(int device);
    ~CurrentDevice();
    CurrentDevice(const CurrentDevice&) = delete;
    CurrentDevice& operator=(const CurrentDevice&) = delete;

  private:
    int before_;
};

// Whether code that runs on `device` may use memory of `owner`.
bool may_access(int device, int owner);

// --- memory.cpp ----------------------------------------------------------------------------------

enum class Kind { device, managed, pinned, registered, symbol };

struct Allocation {
    std::uintptr_t begin;
    std::size_t size;
    int device;
    Kind kind;
    void* mapping;       // what to unmap; null where the memory is not ours
    std::size_t mapped;  // its bytes, guard page included

    std::uintptr_t end() const {
        return begin + size;
    }
};

// The live allocation that `p` points into, or just past the end of.
std::optional<Allocation> find_allocation(const void* p);

// Whether the bytes lie in memory of any device (for copies, which may cross devices).
bool on_any_device(const void* p, std::size_t bytes);

// Whether all the bytes are pinned: a copy reads them when it runs, not when it is called.
bool is_pinned(const void* p, std::size_t bytes);

// Makes a variable of a module known as memory of the device.
void register_symbol(void* p, std::size_t bytes);

// A description of the address for messages: "memory of device 1 (64 bytes at 0x...)".
std::string describe(const void* p);

// --- streams.cpp ---------------------------------------------------------------------------------

// Like submit(), for work that runs under empty_launches() too: events, callbacks, frees.
cudaError_t enqueue(cudaStream_t stream, std::function<void()> work);

// Waits for all work of the device; cudaFree and its kin do.
cudaError_t synchronize_device(int device);

// Whether work runs late and in random order.
bool shuffling();

// The device of a stream; no value if there is no such stream.
std::optional<int> device_of(cudaStream_t stream);

// --- graphs.cpp ----------------------------------------------------------------------------------

// The work that is captured on a stream, in order.
struct Capture {
    int device = 0;
    bool blocking = false;  // whether the stream is one that the legacy default stream waits for
    cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;
    std::thread::id thread;  // the host thread that has begun it
    bool valid = true;
    std::vector<std::function<void()>> work;

    cudaError_t add(std::function<void()> next);

    // A call has made it invalid; returns the error of that call.
    cudaError_t invalidate(cudaError_t error);
};

// To be called before what the mode of a capture may forbid: cudaMalloc, and calls that wait
// without naming a stream. Invalidates such captures, and returns the error; or cudaSuccess.
cudaError_t unsafe_call();

// The same before the host waits for a whole device, which no mode allows.
cudaError_t wait_for_device(int device);

// The same before the legacy default stream is used: no blocking stream may be captured.
cudaError_t use_legacy_stream(int device);

// In streams.cpp: the capture of a stream, null if there is none; and its begin and end.
std::shared_ptr<Capture> capture_of(cudaStream_t stream);
cudaError_t begin_capture(cudaStream_t stream, std::shared_ptr<Capture> capture);
void end_capture(cudaStream_t stream);

}  // namespace host_cuda
