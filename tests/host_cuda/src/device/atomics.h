// Atomic operations, for exactly the types that CUDA has them for: a kernel that needs another type
// is to fail here as well. One thread runs at a time, so they are plain reads and writes.
#pragma once

#define HOST_CUDA_ATOMIC(name, T, formula) \
    static inline T name(T* address, T value) { \
        T old = *address; \
        *address = formula; \
        return old; \
    }

#define HOST_CUDA_ATOMIC_INTEGERS(name, formula) \
    HOST_CUDA_ATOMIC(name, int, formula) \
    HOST_CUDA_ATOMIC(name, unsigned, formula) \
    HOST_CUDA_ATOMIC(name, unsigned long long, formula)

#define HOST_CUDA_ATOMIC_WIDE(name, formula) \
    HOST_CUDA_ATOMIC_INTEGERS(name, formula) \
    HOST_CUDA_ATOMIC(name, long long, formula)

HOST_CUDA_ATOMIC_INTEGERS(atomicAdd, old + value)
HOST_CUDA_ATOMIC(atomicAdd, float, old + value)
HOST_CUDA_ATOMIC(atomicAdd, double, old + value)
HOST_CUDA_ATOMIC(atomicAdd, __half, __hadd(old, value))
HOST_CUDA_ATOMIC(atomicAdd, __nv_bfloat16, __hadd(old, value))

HOST_CUDA_ATOMIC(atomicSub, int, old - value)
HOST_CUDA_ATOMIC(atomicSub, unsigned, old - value)

HOST_CUDA_ATOMIC_INTEGERS(atomicExch, value)
HOST_CUDA_ATOMIC(atomicExch, float, value)

HOST_CUDA_ATOMIC_WIDE(atomicMin, value < old ? value : old)
HOST_CUDA_ATOMIC_WIDE(atomicMax, value > old ? value : old)
HOST_CUDA_ATOMIC_INTEGERS(atomicAnd, (old & value))
HOST_CUDA_ATOMIC_INTEGERS(atomicOr, (old | value))
HOST_CUDA_ATOMIC_INTEGERS(atomicXor, (old ^ value))
HOST_CUDA_ATOMIC(atomicInc, unsigned, old >= value ? 0u : old + 1u)
HOST_CUDA_ATOMIC(atomicDec, unsigned, old == 0u || old > value ? value : old - 1u)

#define HOST_CUDA_COMPARE_AND_SWAP(T) \
    static inline T atomicCAS(T* address, T expected, T value) { \
        T old = *address; \
        if (old == expected) { \
            *address = value; \
        } \
        return old; \
    }

HOST_CUDA_COMPARE_AND_SWAP(int)
HOST_CUDA_COMPARE_AND_SWAP(unsigned)
HOST_CUDA_COMPARE_AND_SWAP(unsigned long long)
HOST_CUDA_COMPARE_AND_SWAP(unsigned short)
