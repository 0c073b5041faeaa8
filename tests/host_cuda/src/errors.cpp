// The last error of each host thread, the kept errors of devices, and the names of errors.
#include <map>
#include <mutex>

#include <cuda.h>

#include "core.h"

namespace host_cuda {
namespace {

struct Description {
    const char* name;         // the runtime's
    const char* driver_name;  // the driver's, where it has that error
    const char* text;
};

// The errors that the emulation returns. Runtime and driver share the numbers of most.
const std::map<int, Description>& descriptions() {
    static const std::map<int, Description> table = {
        {0, {"cudaSuccess", "CUDA_SUCCESS", "no error"}},
        {1, {"cudaErrorInvalidValue", "CUDA_ERROR_INVALID_VALUE", "invalid argument"}},
        {2, {"cudaErrorMemoryAllocation", "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"}},
        {3, {"cudaErrorInitializationError", "CUDA_ERROR_NOT_INITIALIZED", "initialization error"}},
        {9, {"cudaErrorInvalidConfiguration", nullptr, "invalid configuration argument"}},
        {21, {"cudaErrorInvalidMemcpyDirection", nullptr, "invalid copy direction for memcpy"}},
        {100, {"cudaErrorNoDevice", "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"}},
        {101, {"cudaErrorInvalidDevice", "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"}},
        {200,
         {"cudaErrorInvalidKernelImage", "CUDA_ERROR_INVALID_IMAGE",
          "device kernel image is invalid"}},
        {217,
         {"cudaErrorPeerAccessUnsupported", "CUDA_ERROR_PEER_ACCESS_UNSUPPORTED",
          "peer access is not supported between these two devices"}},
        {400,
         {"cudaErrorInvalidResourceHandle", "CUDA_ERROR_INVALID_HANDLE",
          "invalid resource handle"}},
        {401,
         {"cudaErrorIllegalState", "CUDA_ERROR_ILLEGAL_STATE",
          "the operation cannot be performed in the present state"}},
        {500, {"cudaErrorSymbolNotFound", "CUDA_ERROR_NOT_FOUND", "named symbol not found"}},
        {600, {"cudaErrorNotReady", "CUDA_ERROR_NOT_READY", "device not ready"}},
        {700,
         {"cudaErrorIllegalAddress", "CUDA_ERROR_ILLEGAL_ADDRESS",
          "an illegal memory access was encountered"}},
        {704,
         {"cudaErrorPeerAccessAlreadyEnabled", "CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED",
          "peer access is already enabled"}},
        {705,
         {"cudaErrorPeerAccessNotEnabled", "CUDA_ERROR_PEER_ACCESS_NOT_ENABLED",
          "peer access has not been enabled"}},
        {710, {"cudaErrorAssert", "CUDA_ERROR_ASSERT", "device-side assert triggered"}},
        {712,
         {"cudaErrorHostMemoryAlreadyRegistered", "CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED",
          "part or all of the requested memory range is already mapped"}},
        {713,
         {"cudaErrorHostMemoryNotRegistered", "CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED",
          "pointer does not correspond to a registered memory region"}},
        {719, {"cudaErrorLaunchFailure", "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"}},
        {801, {"cudaErrorNotSupported", "CUDA_ERROR_NOT_SUPPORTED", "operation not supported"}},
        {900,
         {"cudaErrorStreamCaptureUnsupported", "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED",
          "operation not permitted when stream is capturing"}},
        {901,
         {"cudaErrorStreamCaptureInvalidated", "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED",
          "operation failed due to a previous error during capture"}},
        {905,
         {"cudaErrorStreamCaptureIsolation", "CUDA_ERROR_STREAM_CAPTURE_ISOLATION",
          "dependency created on uncaptured work in another stream"}},
        {906,
         {"cudaErrorStreamCaptureImplicit", "CUDA_ERROR_STREAM_CAPTURE_IMPLICIT",
          "operation would make the legacy stream depend on a capturing blocking stream"}},
        {907,
         {"cudaErrorCapturedEvent", "CUDA_ERROR_CAPTURED_EVENT",
          "operation not permitted on an event last recorded in a capturing stream"}},
        {908,
         {"cudaErrorStreamCaptureWrongThread", "CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD",
          "attempt to terminate a thread-local capture sequence from another thread"}},
        {999, {"cudaErrorUnknown", "CUDA_ERROR_UNKNOWN", "unknown error"}},
    };
    return table;
}

thread_local cudaError_t last_error = cudaSuccess;
std::mutex kept_mutex;
std::map<int, cudaError_t> kept;

}  // namespace

cudaError_t report(cudaError_t error) {
    if (error != cudaSuccess) {
        last_error = error;
    }
    return error;
}

void keep_error(int device, cudaError_t error) {
    std::lock_guard<std::mutex> lock(kept_mutex);
    kept.emplace(device, error);  // the first one stays
}

cudaError_t take_error(int device) {
    std::lock_guard<std::mutex> lock(kept_mutex);
    auto found = kept.find(device);
    if (found == kept.end()) {
        return cudaSuccess;
    }
    cudaError_t error = found->second;
    kept.erase(found);
    return error;
}

}  // namespace host_cuda

using namespace host_cuda;

API const char* cudaGetErrorName(cudaError_t error) {
    auto found = descriptions().find(error);
    return found == descriptions().end() ? "unrecognized error code" : found->second.name;
}

API const char* cudaGetErrorString(cudaError_t error) {
    auto found = descriptions().find(error);
    return found == descriptions().end() ? "unrecognized error code" : found->second.text;
}

API cudaError_t cudaGetLastError() {
    cudaError_t error = last_error;
    last_error = cudaSuccess;
    return error;
}

API cudaError_t cudaPeekAtLastError() {
    return last_error;
}

API CUresult cuGetErrorName(CUresult error, const char** name) {
    auto found = descriptions().find(error);
    bool known = found != descriptions().end() && found->second.driver_name;
    *name = known ? found->second.driver_name : "unrecognized error code";
    return known ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

API CUresult cuGetErrorString(CUresult error, const char** text) {
    auto found = descriptions().find(error);
    bool known = found != descriptions().end();
    *text = known ? found->second.text : "unrecognized error code";
    return known ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}
