// Devices: their number and properties, the current one, and which may use another's memory.
#include <pthread.h>

#include <atomic>
#include <cstdio>
#include <cstring>
#include <map>
#include <mutex>
#include <set>
#include <utility>

#include "core.h"

#undef cudaGetDeviceProperties  // the header may rename it

namespace host_cuda {
namespace {

constexpr const char* device_name = "Emulated CUDA device (host)";
constexpr int version = 13000;  // CUDA 13.0, of driver and runtime
constexpr int multiprocessors = 132;
constexpr int shared_memory = 48 << 10;         // bytes a block
constexpr int shared_memory_optin = 227 << 10;  // where a kernel asks for more

// The properties that a program can query. Those not listed are 0: the device does not claim to
// support what is not emulated.
const std::map<cudaDeviceAttr, int>& attributes() {
    static const std::map<cudaDeviceAttr, int> table = {
        {cudaDevAttrComputeCapabilityMajor, 9},
        {cudaDevAttrWarpSize, 32},
        {cudaDevAttrMultiProcessorCount, multiprocessors},
        {cudaDevAttrMaxThreadsPerBlock, 1024},
        {cudaDevAttrMaxBlockDimX, 1024},
        {cudaDevAttrMaxBlockDimY, 1024},
        {cudaDevAttrMaxBlockDimZ, 64},
        {cudaDevAttrMaxGridDimX, 2147483647},
        {cudaDevAttrMaxGridDimY, 65535},
        {cudaDevAttrMaxGridDimZ, 65535},
        {cudaDevAttrMaxThreadsPerMultiProcessor, 2048},
        {cudaDevAttrMaxRegistersPerBlock, 65536},
        {cudaDevAttrMaxRegistersPerMultiprocessor, 65536},
        {cudaDevAttrTotalConstantMemory, 65536},
        {cudaDevAttrMaxSharedMemoryPerBlock, shared_memory},
        {cudaDevAttrMaxSharedMemoryPerBlockOptin, shared_memory_optin},
        {cudaDevAttrMaxSharedMemoryPerMultiprocessor, shared_memory_optin},
        {cudaDevAttrUnifiedAddressing, 1},
        {cudaDevAttrManagedMemory, 1},
        {cudaDevAttrCanMapHostMemory, 1},
        {cudaDevAttrConcurrentKernels, 1},
    };
    return table;
}

std::atomic<bool> used{false};    // by this process
std::atomic<bool> forked{false};  // from a process that had used the device

void after_fork() {
    forked = used.load();
}

thread_local int current = 0;
std::mutex peers_mutex;
std::set<std::pair<int, int>> peers;  // (device, owner of the memory)

}  // namespace

cudaError_t use_device() {
    static std::once_flag once;
    std::call_once(once, [] { pthread_atfork(nullptr, nullptr, after_fork); });
    used = true;
    return forked ? cudaErrorInitializationError : cudaSuccess;
}

int current_device() {
    return current;
}

bool is_device(int device) {
    return 0 <= device && device < settings().devices;
}

CurrentDevice::CurrentDevice(int device) : before_(current) {
    current = device;
}

CurrentDevice::~CurrentDevice() {
    current = before_;
}

bool may_access(int device, int owner) {
    if (device == owner) {
        return true;
    }
    std::lock_guard<std::mutex> lock(peers_mutex);
    return peers.count({device, owner}) > 0;
}

}  // namespace host_cuda

using namespace host_cuda;

API cudaError_t cudaDriverGetVersion(int* result) {
    *result = version;
    return cudaSuccess;
}

API cudaError_t cudaRuntimeGetVersion(int* result) {
    *result = version;
    return cudaSuccess;
}

API cudaError_t cudaGetDeviceCount(int* result) {
    *result = settings().devices;
    return report(*result > 0 ? cudaSuccess : cudaErrorNoDevice);
}

API cudaError_t cudaGetDevice(int* device) {
    *device = current;
    return cudaSuccess;
}

API cudaError_t cudaSetDevice(int device) {
    if (!is_device(device)) {
        return report(cudaErrorInvalidDevice);
    }
    current = device;
    return cudaSuccess;
}

API cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
    if (!is_device(device)) {
        return report(cudaErrorInvalidDevice);
    }
    auto found = attributes().find(attribute);
    *value = found == attributes().end() ? 0 : found->second;
    return cudaSuccess;
}

API cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
    if (!is_device(device)) {
        return report(cudaErrorInvalidDevice);
    }
    std::memset(properties, 0, sizeof *properties);
    std::snprintf(properties->name, sizeof properties->name, "%s", device_name);
    std::snprintf(properties->uuid.bytes, sizeof properties->uuid.bytes, "emulated-%d", device);
    properties->totalGlobalMem = settings().memory;
    properties->sharedMemPerBlock = shared_memory;
    properties->sharedMemPerBlockOptin = shared_memory_optin;
    properties->sharedMemPerMultiprocessor = shared_memory_optin;
    properties->regsPerBlock = 65536;
    properties->regsPerMultiprocessor = 65536;
    properties->totalConstMem = 65536;
    properties->warpSize = 32;
    properties->maxThreadsPerBlock = 1024;
    properties->maxThreadsPerMultiProcessor = 2048;
    properties->maxThreadsDim[0] = 1024;
    properties->maxThreadsDim[1] = 1024;
    properties->maxThreadsDim[2] = 64;
    properties->maxGridSize[0] = 2147483647;
    properties->maxGridSize[1] = 65535;
    properties->maxGridSize[2] = 65535;
    properties->major = 9;
    properties->multiProcessorCount = multiprocessors;
    properties->unifiedAddressing = 1;
    properties->managedMemory = 1;
    properties->canMapHostMemory = 1;
    properties->concurrentKernels = 1;
    properties->pciBusID = device + 1;
    return cudaSuccess;
}

API cudaError_t cudaGetDeviceProperties_v2(cudaDeviceProp* properties, int device) {
    return cudaGetDeviceProperties(properties, device);
}

API cudaError_t cudaDeviceGetPCIBusId(char* id, int size, int device) {
    if (!is_device(device)) {
        return report(cudaErrorInvalidDevice);
    }
    std::snprintf(id, size, "0000:%02X:00.0", device + 1);
    return cudaSuccess;
}

API cudaError_t cudaDeviceGetByPCIBusId(int* device, const char* id) {
    unsigned domain = 0;
    unsigned bus = 0;
    bool read = std::sscanf(id, "%x:%x:", &domain, &bus) == 2;
    if (!read || domain != 0 || !is_device(static_cast<int>(bus) - 1)) {
        return report(cudaErrorInvalidDevice);
    }
    *device = static_cast<int>(bus) - 1;
    return cudaSuccess;
}

// Limits of stacks and heaps mean nothing here; asking for them must not fail.
API cudaError_t cudaDeviceGetLimit(size_t* value, cudaLimit) {
    *value = 0;
    return cudaSuccess;
}

API cudaError_t cudaDeviceSetLimit(cudaLimit, size_t) {
    return cudaSuccess;
}

API cudaError_t cudaDeviceCanAccessPeer(int* can, int device, int peer) {
    if (!is_device(device) || !is_device(peer)) {
        return report(cudaErrorInvalidDevice);
    }
    *can = settings().peers && device != peer;
    return cudaSuccess;
}

API cudaError_t cudaDeviceEnablePeerAccess(int peer, unsigned) {
    if (!is_device(peer) || peer == current) {
        return report(cudaErrorInvalidDevice);
    }
    if (!settings().peers) {
        return report(cudaErrorPeerAccessUnsupported);
    }
    std::lock_guard<std::mutex> lock(peers_mutex);
    bool added = peers.insert({current, peer}).second;
    return report(added ? cudaSuccess : cudaErrorPeerAccessAlreadyEnabled);
}

API cudaError_t cudaDeviceDisablePeerAccess(int peer) {
    std::lock_guard<std::mutex> lock(peers_mutex);
    return report(peers.erase({current, peer}) ? cudaSuccess : cudaErrorPeerAccessNotEnabled);
}

API cudaError_t cudaProfilerStart() {
    return cudaSuccess;
}

API cudaError_t cudaProfilerStop() {
    return cudaSuccess;
}
