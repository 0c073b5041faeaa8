// Running kernels: what driver.cpp and launch.cpp share.
#pragma once

#include <string>

#include "core.h"
#include "device/kernel.h"

namespace host_cuda {

struct Launch {
    const host_cuda_kernel::Kernel* kernel;
    std::string name;
    dim3 grid;
    dim3 block;
};

// Runs all blocks of the launch, one after the other, in the calling host thread. Throws Failure
// where an argument points to memory that the current device cannot use, or the kernel fails.
void run_kernel(const Launch& launch, void** arguments);

}  // namespace host_cuda
