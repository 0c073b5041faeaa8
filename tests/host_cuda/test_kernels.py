"""Threads, barriers, shuffles, shared memory, atomic operations, compilation and faults of kernels."""

import numpy as np
import pytest

from tests.host_cuda.device import NOT_EMULATED, emulated

if not emulated():
    pytest.skip(NOT_EMULATED, allow_module_level=True)

INDICES = r"""
extern "C" __global__ void indices(int* out) {
    int in_block = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
    int block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
    int i = in_block + block * blockDim.x * blockDim.y * blockDim.z;
    int* mine = out + 6 * i;
    mine[0] = threadIdx.x; mine[1] = threadIdx.y; mine[2] = threadIdx.z;
    mine[3] = blockIdx.x; mine[4] = blockIdx.y; mine[5] = blockIdx.z;
}
"""


def test_every_thread_of_a_grid_runs_once_with_its_indices(cupy):
    grid = (2, 3, 2)
    block = (4, 2, 3)
    out = cupy.full((2 * 3 * 2, 4 * 2 * 3, 6), -1, dtype="int32")
    cupy.RawKernel(INDICES, "indices")(grid, block, (out,))
    expected = [
        [(x, y, z, bx, by, bz) for z in range(3) for y in range(2) for x in range(4)]
        for bz in range(2)
        for by in range(3)
        for bx in range(2)
    ]
    np.testing.assert_array_equal(out.get(), expected)


def test_a_grid_stride_loop_covers_more_elements_than_threads(cupy):
    kernel = cupy.ElementwiseKernel("T x", "T y", "y = 3 * x", "host_cuda_triple")
    x = cupy.arange(100_003, dtype="int64")
    np.testing.assert_array_equal(kernel(x, block_size=32).get(), 3 * np.arange(100_003))


REVERSE = r"""
extern "C" __global__ void reverse(const float* x, float* y) {
    %s
    int i = threadIdx.x;
    int n = blockDim.x;
    kept[i] = x[blockIdx.x * n + i];
    __syncthreads();
    y[blockIdx.x * n + i] = kept[n - 1 - i];
}
"""


@pytest.mark.parametrize(
    ("declaration", "bytes_"),
    [
        ("__shared__ float kept[192];", 0),
        ("extern __shared__ float kept[];", 768),
        ("extern __shared__ __align__(16) float kept[];", 768),
    ],
)
def test_a_barrier_orders_writes_to_shared_memory_before_reads(cupy, declaration, bytes_):
    x = cupy.arange(2 * 192, dtype="float32")
    y = cupy.zeros_like(x)
    cupy.RawKernel(REVERSE % declaration, "reverse")((2,), (192,), (x, y), shared_mem=bytes_)
    np.testing.assert_array_equal(y.get(), x.get().reshape(2, 192)[:, ::-1].ravel())


def test_a_barrier_waits_for_all_threads_that_have_not_returned(cupy):
    source = r"""
    extern "C" __global__ void prefix(int* x, int n) {
        if (threadIdx.x >= n) return;
        for (int step = 1; step < n; step *= 2) {
            int before = threadIdx.x >= step ? x[threadIdx.x - step] : 0;
            __syncthreads();
            x[threadIdx.x] += before;
            __syncthreads();
        }
    }
    """
    x = cupy.arange(100, dtype="int32")
    cupy.RawKernel(source, "prefix")((1,), (128,), (x, np.int32(100)))
    np.testing.assert_array_equal(x.get(), np.cumsum(np.arange(100)))


def test_a_deadlock_of_threads_raises(cupy):
    source = r"""
    extern "C" __global__ void stuck(int* x) {
        if (threadIdx.x < 16) __syncwarp(); else __syncthreads();
        x[threadIdx.x] = 1;
    }
    """
    x = cupy.zeros(32, dtype="int32")
    kernel = cupy.RawKernel(source, "stuck")
    with pytest.raises(cupy.cuda.driver.CUDADriverError, match="unspecified launch failure"):
        kernel((1,), (32,), (x,))
    assert int((x + 1).sum()) == 32  # the device can still be used


SHUFFLE = r"""
extern "C" __global__ void shuffle(const double* x, double* y) {
    int i = threadIdx.x;
    y[i] = %s;
}
"""


@pytest.mark.parametrize(
    ("call", "source_of"),
    [
        ("__shfl_sync(~0u, x[i], 5)", lambda i: i // 32 * 32 + 5),
        ("__shfl_sync(~0u, x[i], i + 1)", lambda i: i // 32 * 32 + (i + 1) % 32),
        ("__shfl_sync(~0u, x[i], 1, 8)", lambda i: i // 8 * 8 + 1),
        ("__shfl_up_sync(~0u, x[i], 3)", lambda i: i if i % 32 < 3 else i - 3),
        ("__shfl_down_sync(~0u, x[i], 3)", lambda i: i if i % 32 > 28 else i + 3),
        ("__shfl_down_sync(~0u, x[i], 4, 16)", lambda i: i if i % 16 > 11 else i + 4),
        ("__shfl_xor_sync(~0u, x[i], 6)", lambda i: i ^ 6),
    ],
)
def test_shuffles_read_the_lane_that_cuda_defines(cupy, call, source_of):
    x = np.random.default_rng(0).normal(size=96)
    y = cupy.zeros(96)
    cupy.RawKernel(SHUFFLE % call, "shuffle")((1,), (96,), (cupy.asarray(x), y))
    np.testing.assert_array_equal(y.get(), x[[source_of(i) for i in range(96)]])


def test_a_sum_over_a_warp_by_shuffles_while_other_warps_wait_at_a_barrier(cupy):
    source = r"""
    extern "C" __global__ void total(const float* x, float* y) {
        __shared__ float sums[32];
        int i = threadIdx.x;
        float sum = x[i];
        for (int step = 16; step > 0; step /= 2) sum += __shfl_down_sync(~0u, sum, step);
        if (i % 32 == 0) sums[i / 32] = sum;
        __syncthreads();
        if (i < 32) {
            sum = i < blockDim.x / 32 ? sums[i] : 0.0f;
            for (int step = 16; step > 0; step /= 2) sum += __shfl_down_sync(~0u, sum, step);
            if (i == 0) sums[0] = sum;
        }
        __syncthreads();
        y[i] = sums[0];
    }
    """
    x = cupy.arange(256, dtype="float32")
    y = cupy.zeros_like(x)
    cupy.RawKernel(source, "total")((1,), (256,), (x, y))
    np.testing.assert_array_equal(y.get(), np.full(256, 255 * 256 / 2))


def test_votes_count_the_predicates_of_their_warp(cupy):
    source = r"""
    extern "C" __global__ void votes(const int* x, unsigned* ballot, int* any, int* all, int* count) {
        int i = threadIdx.x;
        ballot[i] = __ballot_sync(~0u, x[i] > 0);
        any[i] = __any_sync(~0u, x[i] > 0);
        all[i] = __all_sync(~0u, x[i] > 0);
        count[i] = __syncthreads_count(x[i] > 0);
    }
    """
    x = np.zeros(96, dtype="int32")
    x[[3, 31]] = 1  # some of the first warp, none of the second
    x[64:] = 1  # all of the third
    outputs = [cupy.zeros(96, dtype=dtype) for dtype in ("uint32", "int32", "int32", "int32")]
    cupy.RawKernel(source, "votes")((1,), (96,), (cupy.asarray(x), *outputs))
    ballot, any_, all_, count = (output.get() for output in outputs)
    np.testing.assert_array_equal(ballot[::32], [1 << 3 | 1 << 31, 0, 0xFFFFFFFF])
    np.testing.assert_array_equal(any_[::32], [1, 0, 1])
    np.testing.assert_array_equal(all_[::32], [0, 0, 1])
    np.testing.assert_array_equal(count, np.full(96, 34))


ATOMIC = r"""
extern "C" __global__ void atomic(const %(type)s* x, %(type)s* total, %(type)s* old) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    old[i] = %(name)s(total, x[i]);
}
"""


@pytest.mark.parametrize(
    ("name", "type_", "dtype", "expected"),
    [
        ("atomicAdd", "int", "int32", sum),
        ("atomicAdd", "float", "float32", sum),
        ("atomicAdd", "double", "float64", sum),
        ("atomicSub", "int", "int32", lambda x: -sum(x)),
        ("atomicMin", "int", "int32", lambda x: min(0, *x)),
        ("atomicMax", "int", "int32", lambda x: max(0, *x)),
        ("atomicOr", "unsigned", "uint32", np.bitwise_or.reduce),
        ("atomicXor", "unsigned", "uint32", np.bitwise_xor.reduce),
    ],
)
def test_atomic_operations_apply_every_update(cupy, name, type_, dtype, expected):
    x = np.random.default_rng(0).integers(0, 1000, 4 * 64).astype(dtype)
    total = cupy.zeros(1, dtype=dtype)
    old = cupy.zeros_like(cupy.asarray(x))
    kernel = cupy.RawKernel(ATOMIC % {"name": name, "type": type_}, "atomic")
    kernel((4,), (64,), (cupy.asarray(x), total, old))
    assert total.get()[0] == expected(x)
    assert old.get()[0] == 0  # the value before the first update


def test_an_atomic_operation_that_cuda_lacks_does_not_compile(cupy):
    source = ATOMIC % {"name": "atomicSub", "type": "double"}
    with pytest.raises(cupy.cuda.compiler.CompileException, match="atomicSub"):
        cupy.RawKernel(source, "atomic").compile()


def test_any_atomic_operation_can_be_built_from_compare_and_swap(cupy):
    source = r"""
    extern "C" __global__ void multiply(const float* x, int* product) {
        int old = *product, assumed;
        do {
            assumed = old;
            old = atomicCAS(product, assumed, __float_as_int(__int_as_float(assumed) * x[threadIdx.x]));
        } while (old != assumed);
    }
    """
    product = cupy.ones(1, dtype="float32")
    x = cupy.full(10, 2, dtype="float32")
    cupy.RawKernel(source, "multiply")((1,), (10,), (x, product))
    assert float(product[0]) == 1024


def test_arguments_of_all_kinds_reach_a_kernel(cupy):
    source = r"""
    #include <cupy/complex.cuh>
    struct Pair { int a; double b; };
    extern "C" __global__ void arguments(
        double* out, int i, float f, bool b, complex<float> c, short s, unsigned long long u) {
        out[0] = i; out[1] = f; out[2] = b; out[3] = c.real(); out[4] = c.imag(); out[5] = s;
        out[6] = u;
    }
    """
    out = cupy.zeros(7)
    values = (np.int32(-3), np.float32(0.5), np.bool_(True), np.complex64(2 - 4j), np.int16(-7))
    cupy.RawKernel(source, "arguments")((1,), (1,), (out, *values, np.uint64(1 << 40)))
    np.testing.assert_array_equal(out.get(), [-3, 0.5, 1, 2, -4, -7, float(1 << 40)])


def test_a_template_is_found_by_its_name_expression(cupy):
    source = "template <class T, int n> __global__ void fill(T* x) { x[threadIdx.x] = T(n); }"
    names = ["fill<float, 3>", "fill<int, -2>"]
    module = cupy.RawModule(code=source, options=("-std=c++17",), name_expressions=names)
    x = cupy.zeros(4, dtype="float32")
    y = cupy.zeros(4, dtype="int32")
    module.get_function(names[0])((1,), (4,), (x,))
    module.get_function(names[1])((1,), (4,), (y,))
    np.testing.assert_array_equal(x.get(), np.full(4, 3))
    np.testing.assert_array_equal(y.get(), np.full(4, -2))


def test_constant_memory_is_a_variable_that_the_host_can_set(cupy):
    source = r"""
    extern "C" {
    __constant__ float factors[3];
    __global__ void scale(float* x) { x[threadIdx.x] *= factors[threadIdx.x]; }
    }
    """
    module = cupy.RawModule(code=source)
    pointer = module.get_global("factors")
    factors = cupy.ndarray((3,), "float32", pointer)
    factors[...] = cupy.asarray([2, 3, 4], dtype="float32")
    x = cupy.ones(3, dtype="float32")
    module.get_function("scale")((1,), (3,), (x,))
    np.testing.assert_array_equal(x.get(), [2, 3, 4])


def test_a_kernel_that_does_not_compile_raises_the_compilers_message(cupy):
    source = 'extern "C" __global__ void wrong(float* x) {\n    x[0] = undeclared;\n}'
    with pytest.raises(cupy.cuda.compiler.CompileException, match=r":2:.*undeclared"):
        cupy.RawKernel(source, "wrong").compile()


def test_a_missing_kernel_raises(cupy):
    module = cupy.RawModule(code='extern "C" __global__ void present() {}')
    with pytest.raises(cupy.cuda.driver.CUDADriverError, match="NOT_FOUND"):
        module.get_function("absent")


@pytest.mark.parametrize(
    ("grid", "block"), [((1,), (1025,)), ((1, 1 << 16), (1,)), ((1,), (1, 1, 65))]
)
def test_a_launch_beyond_the_limits_of_the_device_raises(cupy, grid, block):
    kernel = cupy.RawKernel('extern "C" __global__ void limited() {}', "limited")
    with pytest.raises(cupy.cuda.driver.CUDADriverError, match="INVALID_VALUE"):
        kernel(grid, block, ())


def test_a_failed_assertion_ends_the_kernel_and_not_the_process(cupy, capfd):
    source = 'extern "C" __global__ void check(int* x) { assert(x[threadIdx.x] > 0); }'
    with pytest.raises(cupy.cuda.driver.CUDADriverError, match="device-side assert"):
        cupy.RawKernel(source, "check")((1,), (4,), (cupy.asarray([1, 2, 0, 3], dtype="int32"),))
    assert "assert(x[threadIdx.x] > 0)" in capfd.readouterr().err


def test_dividing_an_integer_by_zero_ends_the_kernel_and_not_the_process(cupy):
    source = 'extern "C" __global__ void divide(int* x) { x[0] = x[0] / x[1]; }'
    with pytest.raises(cupy.cuda.driver.CUDADriverError, match="launch failure"):
        cupy.RawKernel(source, "divide")((1,), (1,), (cupy.asarray([1, 0], dtype="int32"),))


def test_a_stack_overflow_ends_the_kernel_and_not_the_process(cupy):
    source = r"""
    __device__ int deep(volatile int* x, int n) {
        volatile int kept[64];
        kept[n % 64] = x[0];
        return n == 0 ? 0 : deep(x, n - 1) + kept[n % 64];
    }
    extern "C" __global__ void recurse(int* x) { __syncthreads(); x[1] = deep(x, 1 << 20); }
    """
    with pytest.raises(cupy.cuda.driver.CUDADriverError, match="illegal memory access"):
        cupy.RawKernel(source, "recurse")((1,), (1,), (cupy.zeros(2, dtype="int32"),))
