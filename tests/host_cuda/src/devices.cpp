// Devices: how many, what they are like, which is current, which may use another's memory.
#include <cstdio>
#include <cstring>
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
constexpr int shared_memory = 48 << 10;          // bytes a block
constexpr int shared_memory_optin = 227 << 10;   // where a kernel asks for more

thread_local int current = 0;
std::mutex peers_mutex;
std::set<std::pair<int, int>> peers;  // (device, owner of the memory)

}  // namespace

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

// What a program can learn of the device. Nothing that is not emulated is announced.
API cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
    if (!is_device(device)) {
        return report(cudaErrorInvalidDevice);
    }
    switch (attribute) {
        case cudaDevAttrComputeCapabilityMajor:
            *value = 9;
            break;
        case cudaDevAttrWarpSize:
            *value = 32;
            break;
        case cudaDevAttrMultiProcessorCount:
            *value = multiprocessors;
            break;
        case cudaDevAttrMaxThreadsPerBlock:
        case cudaDevAttrMaxBlockDimX:
        case cudaDevAttrMaxBlockDimY:
            *value = 1024;
            break;
        case cudaDevAttrMaxBlockDimZ:
            *value = 64;
            break;
        case cudaDevAttrMaxGridDimX:
            *value = 2147483647;
            break;
        case cudaDevAttrMaxGridDimY:
        case cudaDevAttrMaxGridDimZ:
            *value = 65535;
            break;
        case cudaDevAttrMaxThreadsPerMultiProcessor:
            *value = 2048;
            break;
        case cudaDevAttrMaxRegistersPerBlock:
        case cudaDevAttrMaxRegistersPerMultiprocessor:
        case cudaDevAttrTotalConstantMemory:
            *value = 65536;
            break;
        case cudaDevAttrMaxSharedMemoryPerBlock:
            *value = shared_memory;
            break;
        case cudaDevAttrMaxSharedMemoryPerBlockOptin:
        case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
            *value = shared_memory_optin;
            break;
        case cudaDevAttrUnifiedAddressing:
        case cudaDevAttrManagedMemory:
        case cudaDevAttrCanMapHostMemory:
        case cudaDevAttrConcurrentKernels:
            *value = 1;
            break;
        default:
            *value = 0;
    }
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
