// What a compiled kernel and the launcher agree on. Included by both, and by nothing else.
#pragma once

#include <cstddef>

#include <vector_types.h>

namespace host_cuda_kernel {

constexpr int most_threads = 1024;               // in a block
constexpr int slot_bytes = 32;                   // the largest value that a shuffle exchanges
constexpr std::size_t most_dynamic = 227 << 10;  // bytes of dynamic shared memory

// Why a kernel ends early.
enum class Trap { assertion, trap };

// The state of the thread that runs, and what it can ask of the launcher. One for each module.
struct State {
    uint3 thread;
    uint3 block;
    dim3 block_size;
    dim3 grid_size;
    void (*block_barrier)();
    void (*warp_barrier)(unsigned mask);
    unsigned (*live_lanes)();  // those of the thread's warp that have not finished
    void (*trap)(Trap why, const char* message);
    char (*exchange)[slot_bytes];  // a slot for each thread of the block
};

// Reports the memory that an argument of a kernel points to: `bytes` from `first`; 0 bytes where
// the extent is not known.
using Visit = void (*)(void* context, int argument, const void* first, std::size_t bytes);

struct Kernel {
    void (*call)(void** arguments);
    void (*visit_pointers)(void** arguments, Visit visit, void* context);
    const std::size_t* sizes;  // of the arguments
    int arguments;
    State* state;
    bool grid_stride;  // the kernel is one loop over its grid: a single thread computes the same
};

}  // namespace host_cuda_kernel
