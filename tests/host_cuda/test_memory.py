"""Fresh and freed memory, memory of another device, a full device; copies between host and device."""

import ctypes

import numpy as np
import pytest

from tests.host_cuda.device import NOT_EMULATED, emulated

if not emulated():
    pytest.skip(NOT_EMULATED, allow_module_level=True)

FILL = r"""
extern "C" __global__ void fill(float* x, float value) { x[threadIdx.x] = value; }
"""


@pytest.fixture
def without_pool(cupy):
    """Every array has its own allocation, which is freed with the array."""
    cupy.cuda.set_allocator(None)
    yield
    cupy.cuda.set_allocator(cupy.get_default_memory_pool().malloc)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "complex64"])
def test_fresh_memory_contains_nan(cupy, without_pool, dtype):
    assert np.isnan(cupy.empty(100, dtype=dtype).get()).all()


def test_fresh_memory_of_integers_contains_minus_one(cupy, without_pool):
    np.testing.assert_array_equal(cupy.empty(5, dtype="int32").get(), np.full(5, -1))


def pointer_of(cupy, address, size=4):
    """An array at an address, which need not be in the device's memory."""
    memory = cupy.cuda.UnownedMemory(address, 4 * size, owner=None, device_id=0)
    return cupy.ndarray((size,), "float32", cupy.cuda.MemoryPointer(memory, 0))


def test_a_kernel_that_is_given_freed_memory_fails(cupy, without_pool, capfd):
    x = cupy.ones(4, dtype="float32")
    stale = pointer_of(cupy, x.data.ptr)
    assert float(stale.sum()) == 4
    del x
    with pytest.raises(cupy.cuda.driver.CUDADriverError, match="illegal memory access"):
        stale + 1
    assert "freed memory of device 0 (16 bytes" in capfd.readouterr().err


def test_a_raw_kernel_that_is_given_freed_memory_fails(cupy, without_pool):
    kernel = cupy.RawKernel(FILL, "fill")
    x = cupy.ones(4, dtype="float32")
    stale = pointer_of(cupy, x.data.ptr)
    kernel((1,), (4,), (stale, np.float32(2)))
    del x
    with pytest.raises(cupy.cuda.driver.CUDADriverError, match="illegal memory access"):
        kernel((1,), (4,), (stale, np.float32(2)))


def test_a_kernel_that_is_given_memory_of_the_host_fails(cupy, capfd):
    host = np.ones(4, dtype="float32")
    with pytest.raises(cupy.cuda.driver.CUDADriverError, match="illegal memory access"):
        pointer_of(cupy, host.ctypes.data) * 2
    assert "no memory of a device" in capfd.readouterr().err


def test_an_array_that_reaches_beyond_its_allocation_fails(cupy, without_pool):
    x = cupy.ones(4, dtype="float32")
    with pytest.raises(cupy.cuda.driver.CUDADriverError, match="illegal memory access"):
        pointer_of(cupy, x.data.ptr, size=200) * 2


def test_an_access_beyond_the_end_of_memory_fails(cupy, without_pool):
    source = 'extern "C" __global__ void beyond(float* x, int i) { x[i] = 1; }'
    kernel = cupy.RawKernel(source, "beyond")
    x = cupy.zeros(128, dtype="float32")
    kernel((1,), (1,), (x, np.int32(127)))
    assert float(x[127]) == 1
    with pytest.raises(cupy.cuda.driver.CUDADriverError, match="illegal memory access"):
        kernel((1,), (1,), (x, np.int32(128)))
    assert float(x.sum()) == 1  # the device can still be used


def test_views_with_negative_and_zero_strides_are_within_their_memory(cupy, without_pool):
    x = cupy.arange(12, dtype="float32").reshape(3, 4)
    np.testing.assert_array_equal((x[::-1, ::-2] + 0).get(), x.get()[::-1, ::-2])
    np.testing.assert_array_equal((cupy.broadcast_to(x[2, 3:], (5,)) + 0).get(), np.full(5, 11))


def test_empty_arrays_need_no_memory(cupy, without_pool):
    x = cupy.zeros((0, 3), dtype="float32")
    assert (x + 1).shape == (0, 3)
    y = cupy.zeros(4, dtype="float32")
    assert (y[4:] + 1).shape == (0,)


def test_copies_check_source_and_target(cupy, without_pool, capfd):
    runtime = cupy.cuda.runtime
    host = np.ones(4, dtype="float32")
    x = cupy.zeros(4, dtype="float32")
    address = x.data.ptr
    invalid = pytest.raises(runtime.CUDARuntimeError, match="cudaErrorInvalidValue")
    with invalid:  # the wrong direction
        runtime.memcpy(address, host.ctypes.data, 16, runtime.memcpyDeviceToHost)
    with invalid:  # too long
        runtime.memcpy(address, host.ctypes.data, 520, runtime.memcpyHostToDevice)
    del x
    with invalid:  # freed
        runtime.memcpy(address, host.ctypes.data, 16, runtime.memcpyHostToDevice)
    with invalid:
        runtime.memset(address, 0, 16)
    assert "expected device memory as the target of 16 bytes, given freed" in capfd.readouterr().err


def test_a_library_that_is_given_freed_memory_fails(cupy, without_pool):
    x = cupy.ones((2, 2), dtype="float32")
    memory = cupy.cuda.UnownedMemory(x.data.ptr, 16, owner=None, device_id=0)
    stale = cupy.ndarray((2, 2), "float32", cupy.cuda.MemoryPointer(memory, 0))
    np.testing.assert_array_equal((stale @ stale).get(), np.full((2, 2), 2))
    del x
    with pytest.raises(cupy.cuda.cublas.CUBLASError):
        stale @ stale


def test_two_dimensional_copies_follow_their_pitches(cupy):
    runtime = cupy.cuda.runtime
    source = np.arange(24, dtype="uint8").reshape(4, 6)
    x = cupy.zeros((4, 8), dtype="uint8")
    runtime.memcpy2D(x.data.ptr, 8, source.ctypes.data, 6, 5, 4, runtime.memcpyHostToDevice)
    expected = np.zeros((4, 8), dtype="uint8")
    expected[:, :5] = source[:, :5]
    np.testing.assert_array_equal(x.get(), expected)


def test_pointers_have_the_type_of_their_memory(cupy):
    runtime = cupy.cuda.runtime
    x = cupy.zeros(4)
    host = np.zeros(4)
    pinned = cupy.cuda.alloc_pinned_memory(32)
    types = {
        x.data.ptr: runtime.memoryTypeDevice,
        host.ctypes.data: runtime.memoryTypeUnregistered,
        pinned.ptr: runtime.memoryTypeHost,
    }
    for pointer, expected in types.items():
        assert runtime.pointerGetAttributes(pointer).type == expected


def test_pinned_memory_can_be_read_by_kernels(cupy):
    pinned = cupy.cuda.alloc_pinned_memory(16)
    values = np.frombuffer(pinned, dtype="float32", count=4)
    values[:] = [1, 2, 3, 4]
    np.testing.assert_array_equal((pointer_of(cupy, pinned.ptr) * 2).get(), [2, 4, 6, 8])


FULL = """
import cupy
pool = cupy.get_default_memory_pool()
free, total = cupy.cuda.runtime.memGetInfo()
assert free == total == 1_000_000, (free, total)
x = cupy.zeros(100_000, dtype="uint8")
try:
    cupy.zeros(950_000, dtype="uint8")
except cupy.cuda.memory.OutOfMemoryError as error:
    print(error)
else:
    raise AssertionError("there was memory for more than there is")
free, total = cupy.cuda.runtime.memGetInfo()
assert (free, total) == (1_000_000 - pool.total_bytes(), 1_000_000)
del x
pool.free_all_blocks()
y = cupy.zeros(950_000, dtype="uint8")
assert int(y.sum()) == 0
assert cupy.cuda.runtime.getDeviceProperties(0)["totalGlobalMem"] == 1_000_000
"""


def test_an_allocation_beyond_the_memory_raises(child):
    assert "Out of memory allocating 950,272 bytes" in child(FULL, HOST_CUDA_MEMORY="1000000")


TWO = """
import cupy, numpy as np
from cupy.cuda import Device, runtime

assert runtime.getDeviceCount() == 2
a = cupy.arange(4, dtype="float32")
with Device(1):
    b = cupy.arange(4, dtype="float32") * 2
    assert b.device.id == 1 and runtime.getDevice() == 1
assert (a.device.id, runtime.getDevice()) == (0, 0)

copied = cupy.asarray(b)  # a copy from device to device
assert copied.device.id == 0
assert copied.get().tolist() == [0, 2, 4, 6]
"""

FOREIGN = """
source = 'extern "C" __global__ void twice(float* x) { x[threadIdx.x] *= 2; }'
kernel = cupy.RawKernel(source, "twice")
b_here = cupy.ndarray((4,), "float32", b.data)
kernel((1,), (4,), (b.data.ptr,))
"""


def test_two_devices_have_separate_memories(child):
    child(TWO, HOST_CUDA_DEVICES="2")


def test_using_the_memory_of_another_device_raises(child):
    code = f"""{TWO}
try:
    a + b
except ValueError as error:
    assert "same as the current device" in str(error) or "Peer access" in str(error), error
else:
    raise AssertionError("CuPy let a kernel use the other device's memory")
try:
    {"; ".join(line for line in FOREIGN.strip().splitlines())}
except cupy.cuda.driver.CUDADriverError as error:
    assert "illegal memory access" in str(error)
else:
    raise AssertionError("a kernel used the other device's memory")
assert b.get().tolist() == [0, 2, 4, 6]
"""
    child(code, HOST_CUDA_DEVICES="2")


def test_peer_devices_can_use_each_others_memory(child):
    code = f"""{TWO}
import warnings
with warnings.catch_warnings():
    warnings.simplefilter("ignore", cupy._util.PerformanceWarning)
    assert (a + b).get().tolist() == [0, 3, 6, 9]
{FOREIGN}
assert b.get().tolist() == [0, 4, 8, 12]
"""
    child(code, HOST_CUDA_DEVICES="2", HOST_CUDA_PEERS="1")


def test_each_device_has_the_configured_memory(child):
    code = """
import cupy
x = cupy.zeros(900_000, dtype="uint8")
with cupy.cuda.Device(1):
    y = cupy.zeros(900_000, dtype="uint8")
    assert cupy.cuda.runtime.memGetInfo()[0] < 100_001
"""
    child(code, HOST_CUDA_DEVICES="2", HOST_CUDA_MEMORY="1000000")


def test_an_invalid_setting_ends_the_process(cupy, child):
    with pytest.raises(AssertionError, match="HOST_CUDA_MEMORY: expected a whole number"):
        child("import cupy; cupy.zeros(3)", HOST_CUDA_MEMORY="2 GB")


def test_a_missing_device_raises(cupy):
    with pytest.raises(cupy.cuda.runtime.CUDARuntimeError, match="invalid device ordinal"):
        cupy.cuda.Device(7).use()


def test_the_last_error_is_kept_until_it_is_read(cupy):
    library = ctypes.CDLL("libcudart.so.13")
    assert library.cudaSetDevice(99) == 101
    assert library.cudaPeekAtLastError() == 101
    assert library.cudaGetLastError() == 101
    assert library.cudaGetLastError() == 0


def test_a_function_that_is_not_emulated_fails_and_prints_its_name(cupy, capfd):
    with pytest.raises(cupy.cuda.runtime.CUDARuntimeError, match="operation not supported"):
        cupy.cuda.runtime.deviceGetDefaultMemPool(0)
    assert "host_cuda: cudaDeviceGetDefaultMemPool is not emulated" in capfd.readouterr().err
