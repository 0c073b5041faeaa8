// The part of the driver's interface that CuPy calls: contexts, modules, launches.
#include <dlfcn.h>
#include <elf.h>
#include <link.h>

#include <cstring>
#include <memory>
#include <vector>

#include <cuda.h>

#include "launch.h"

#undef cuDeviceGetCount
#undef cuModuleGetGlobal
#undef cuCtxCreate
#undef cuCtxDestroy
#undef cuDevicePrimaryCtxRelease

using namespace host_cuda;
using host_cuda_kernel::Kernel;

namespace {

struct Module {
    void* library;
};

struct Function {
    std::string name;
    const Kernel* kernel;
};

CUresult result_of(cudaError_t error) {
    return static_cast<CUresult>(error);  // the numbers of the errors that we use are the same
}

// Contexts are only compared and passed on: the one of a device is its number, counted from 1.
CUcontext context_of(int device) {
    return reinterpret_cast<CUcontext>(static_cast<std::uintptr_t>(device) + 1);
}

int device_of_context(CUcontext context) {
    return static_cast<int>(reinterpret_cast<std::uintptr_t>(context)) - 1;
}

bool within(unsigned value, unsigned most) {
    return 1 <= value && value <= most;
}

bool valid(dim3 grid, dim3 block, unsigned shared) {
    constexpr unsigned most_x = 2147483647;
    constexpr unsigned most_yz = 65535;
    constexpr unsigned most_threads = host_cuda_kernel::most_threads;
    bool grid_fits = within(grid.x, most_x) && within(grid.y, most_yz) && within(grid.z, most_yz);
    bool block_fits =
        within(block.x, most_threads) && within(block.y, most_threads) && within(block.z, 64);
    bool threads_fit = block_fits && block.x * block.y * block.z <= most_threads;
    return grid_fits && threads_fit && shared <= host_cuda_kernel::most_dynamic;
}

// A launch that may run after the call, once or several times: it keeps its own copy of the
// arguments.
class LateLaunch {
  public:
    LateLaunch(Launch launch, void** arguments) : launch_(std::move(launch)) {
        const Kernel& kernel = *launch_.kernel;
        for (int i = 0; i < kernel.arguments; i++) {
            const char* first = static_cast<const char*>(arguments[i]);
            values_.emplace_back(first, first + kernel.sizes[i]);
        }
    }
    void run() {
        std::vector<void*> arguments;
        for (std::vector<char>& value : values_) {
            arguments.push_back(value.data());
        }
        run_kernel(launch_, arguments.data());
    }

  private:
    Launch launch_;
    std::vector<std::vector<char>> values_;
};

CUresult launch_kernel(const Function& function, dim3 grid, dim3 block, cudaStream_t stream,
                       void** arguments) {
    Launch launch{function.kernel, function.name, grid, block};
    bool late_or_often = shuffling() || capture_of(stream);
    if (!late_or_often) {
        return result_of(submit(stream, [&] { run_kernel(launch, arguments); }));
    }
    auto late = std::make_shared<LateLaunch>(launch, arguments);
    return result_of(submit(stream, [late] { late->run(); }));
}

}  // namespace

API CUresult cuInit(unsigned) {
    return CUDA_SUCCESS;
}

API CUresult cuDriverGetVersion(int* version) {
    return result_of(cudaDriverGetVersion(version));
}

API CUresult cuDeviceGetCount(int* count) {
    return result_of(cudaGetDeviceCount(count));
}

API CUresult cuCtxGetCurrent(CUcontext* context) {
    *context = context_of(current_device());
    return CUDA_SUCCESS;
}

API CUresult cuCtxSetCurrent(CUcontext context) {
    return context ? result_of(cudaSetDevice(device_of_context(context))) : CUDA_SUCCESS;
}

API CUresult cuCtxGetDevice(CUdevice* device) {
    *device = current_device();
    return CUDA_SUCCESS;
}

API CUresult cuStreamGetCtx(CUstream stream, CUcontext* context) {
    std::optional<int> device = device_of(stream);
    if (!device) {
        return CUDA_ERROR_INVALID_HANDLE;
    }
    *context = context_of(*device);
    return CUDA_SUCCESS;
}

// An image is what nvrtc.cpp returns: the path of a shared library.
API CUresult cuModuleLoadData(CUmodule* module, const void* image) {
    const char* path = static_cast<const char*>(image);
    if (path[0] != '/') {
        complain("cuModuleLoadData: expected a kernel that NVRTC compiled, given something else");
        return CUDA_ERROR_INVALID_IMAGE;
    }
    void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        complain(dlerror());
        return CUDA_ERROR_INVALID_IMAGE;
    }
    *module = reinterpret_cast<CUmodule>(new Module{library});
    return CUDA_SUCCESS;
}

API CUresult cuModuleLoad(CUmodule* module, const char* path) {
    return cuModuleLoadData(module, path);
}

// The code stays loaded: launches of its kernels may still wait in a stream.
API CUresult cuModuleUnload(CUmodule module) {
    delete reinterpret_cast<Module*>(module);
    return CUDA_SUCCESS;
}

API CUresult cuModuleGetFunction(CUfunction* function, CUmodule module, const char* name) {
    void* library = reinterpret_cast<Module*>(module)->library;
    std::string symbol = std::string("host_cuda_kernel_") + name;
    void* kernel = dlsym(library, symbol.c_str());
    if (!kernel) {
        return CUDA_ERROR_NOT_FOUND;
    }
    *function =
        reinterpret_cast<CUfunction>(new Function{name, static_cast<const Kernel*>(kernel)});
    return CUDA_SUCCESS;
}

API CUresult cuModuleGetGlobal_v2(CUdeviceptr* p, size_t* bytes, CUmodule module,
                                  const char* name) {
    void* address = dlsym(reinterpret_cast<Module*>(module)->library, name);
    Dl_info info;
    ElfW(Sym)* symbol = nullptr;
    void** extra = reinterpret_cast<void**>(&symbol);
    if (!address || !dladdr1(address, &info, extra, RTLD_DL_SYMENT) || !symbol) {
        return CUDA_ERROR_NOT_FOUND;
    }
    *p = reinterpret_cast<CUdeviceptr>(address);
    *bytes = symbol->st_size;
    register_symbol(address, symbol->st_size);
    return CUDA_SUCCESS;
}

API CUresult cuFuncGetAttribute(int* value, CUfunction_attribute attribute, CUfunction) {
    switch (attribute) {
        case CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK:
            *value = host_cuda_kernel::most_threads;
            break;
        case CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES:
            *value = 48 << 10;
            break;
        default:
            *value = 0;
    }
    return CUDA_SUCCESS;
}

API CUresult cuFuncSetAttribute(CUfunction, CUfunction_attribute, int) {
    return CUDA_SUCCESS;
}

API CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, CUfunction, int size,
                                                         size_t) {
    *blocks = 2048 / (size > 0 ? size : 1);
    return CUDA_SUCCESS;
}

API CUresult cuOccupancyMaxPotentialBlockSize(int* grid, int* block, CUfunction, CUoccupancyB2DSize,
                                              size_t, int limit) {
    int size = 256;
    *block = limit > 0 && limit < size ? limit : size;
    *grid = 132 * (2048 / *block);
    return CUDA_SUCCESS;
}

API CUresult cuLaunchKernel(CUfunction f, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                            unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared,
                            CUstream stream, void** arguments, void** extra) {
    const Function& function = *reinterpret_cast<Function*>(f);
    count(Event::launch, function.name);
    if (empty_launches()) {
        return CUDA_SUCCESS;
    }
    dim3 grid(grid_x, grid_y, grid_z);
    dim3 block(block_x, block_y, block_z);
    if (!valid(grid, block, shared)) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    if (extra) {
        complain("cuLaunchKernel: arguments in one buffer (`extra`) are not emulated");
        return CUDA_ERROR_NOT_SUPPORTED;
    }
    std::optional<int> device = device_of(stream);
    if (!device || *device != current_device()) {
        return CUDA_ERROR_INVALID_HANDLE;
    }
    return launch_kernel(function, grid, block, stream, arguments);
}

API CUresult cuLaunchCooperativeKernel(CUfunction, unsigned, unsigned, unsigned, unsigned, unsigned,
                                       unsigned, unsigned, CUstream, void**) {
    complain("cuLaunchCooperativeKernel: barriers of a whole grid are not emulated");
    return CUDA_ERROR_NOT_SUPPORTED;
}
