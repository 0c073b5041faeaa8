"""``device.py``: counts of events, and launches that do nothing; and threads of the host."""

import threading

import numpy as np
import pytest

from tests.host_cuda.device import (
    DEVICE_NAME,
    NOT_EMULATED,
    Counts,
    counting,
    empty_launches,
    emulated,
)

if not emulated():
    pytest.skip(NOT_EMULATED, allow_module_level=True)


def test_the_device_reports_that_it_is_emulated(cupy):
    properties = cupy.cuda.runtime.getDeviceProperties(0)
    assert properties["name"].decode() == DEVICE_NAME
    assert cupy.cuda.Device().compute_capability == "90"
    assert emulated()


def test_counting_without_the_emulation_raises(monkeypatch):
    monkeypatch.setattr("tests.host_cuda.device._library", lambda: None)
    assert not emulated()
    with pytest.raises(RuntimeError, match="expected the emulated CUDA device"), counting():
        pass


def test_nothing_is_counted_if_the_device_does_nothing(cupy):
    x = cupy.ones((2, 3))
    with counting() as counts:
        _ = x.T[1:], x.shape, x.dtype
    assert counts == Counts()


def test_launches_and_products_are_counted_one_by_one(cupy):
    x = cupy.ones((4, 4), dtype="float32")
    _ = x @ x, x + x, x.sum()
    with counting() as counts:
        _ = x + x
        _ = x @ x
        _ = x.sum()
    assert (counts.launches, counts.products, counts.memsets) == (2, 1, 0)
    assert counts.total == 3


def test_copies_are_counted_by_their_direction(cupy):
    host = np.ones(10, dtype="float32")
    y = cupy.empty(10, dtype="float32")
    with counting() as counts:
        x = cupy.asarray(host)
        y.data.copy_from_device(x.data, 40)
        _ = y.get()
    copies = counts.to_device, counts.on_device, counts.to_host
    assert copies == (1, 1, 1)
    assert counts.launches == 0


def test_memsets_and_synchronizations_are_counted(cupy):
    stream = cupy.cuda.Stream()
    event = cupy.cuda.Event()
    with counting() as counts:
        cupy.zeros(10).data.memset_async(0, 80, stream)
        event.record(stream)
        stream.wait_event(event)
        stream.synchronize()
        event.synchronize()
        cupy.cuda.Device().synchronize()
    assert counts.memsets == 2  # zeros() is one
    assert (counts.records, counts.waits, counts.synchronizes) == (1, 1, 3)


def test_allocations_are_counted_if_the_pool_grows(cupy):
    pool = cupy.cuda.MemoryPool()
    with cupy.cuda.using_allocator(pool.malloc):
        with counting() as first:
            x = cupy.empty(1000)
        del x
        with counting() as second:
            x = cupy.empty(1000)
        del x
        with counting() as freed:
            pool.free_all_blocks()
    assert (first.allocations, second.allocations, freed.frees) == (1, 0, 1)


def test_a_kernel_is_compiled_once(cupy):
    kernel = cupy.ElementwiseKernel("T x", "T y", "y = x + 41", "host_cuda_compiled_once")
    x = cupy.zeros(3)
    with counting() as first:
        kernel(x)
    with counting() as second:
        kernel(x)
    assert (first.compilations, second.compilations) == (1, 0)


def test_the_names_of_events_are_in_order(cupy):
    x = cupy.ones((2, 2), dtype="float32")
    _ = (x + x) @ x
    with counting(names=True) as counts:
        (x + x).get()
    names = [name.split()[0] for name in counts.names]
    assert names == ["launch", "to_host", "synchronize"]
    assert "cupy_add__float32_float32_float32" in counts.names[0]


def test_empty_launches_compute_nothing_and_are_counted(cupy):
    x = cupy.ones((2, 2), dtype="float32")
    y = cupy.zeros_like(x)
    cupy.add(x, x, out=y)
    y[...] = 0
    with empty_launches(), counting() as counts:
        cupy.add(x, x, out=y)
        cupy.matmul(x, x, out=y)
    assert (counts.launches, counts.products) == (1, 1)
    np.testing.assert_array_equal(y.get(), np.zeros((2, 2)))


def test_each_thread_has_its_own_current_device(child):
    code = """
import threading
import cupy

def check():
    seen.append(cupy.cuda.runtime.getDevice())
    cupy.cuda.Device(0).use()

seen = []
cupy.cuda.Device(1).use()
thread = threading.Thread(target=check)
thread.start()
thread.join()
assert seen == [0], seen
assert cupy.cuda.runtime.getDevice() == 1
"""
    child(code, HOST_CUDA_DEVICES="2")


def test_threads_launch_kernels_at_the_same_time(cupy):
    rng = np.random.default_rng(0)
    inputs = [rng.normal(size=(50, 40)) for _ in range(6)]
    outputs = {}

    def work(number):
        x = cupy.asarray(inputs[number])
        for _ in range(20):
            outputs[number] = cupy.sum(x * number + 1, axis=0).get()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, x in enumerate(inputs):
        np.testing.assert_allclose(outputs[number], (x * number + 1).sum(axis=0), rtol=1e-12)


def test_threads_compile_one_kernel_at_the_same_time(cupy):
    results = []

    def work(number):
        source = 'extern "C" __global__ void at_once(int* x) { x[threadIdx.x] = 17; }'
        x = cupy.zeros(8, dtype="int32")
        cupy.RawKernel(source, "at_once")((1,), (8,), (x,))
        results.append(int(x.sum()))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [17 * 8] * 4


def test_a_forked_process_cannot_use_the_device(child):
    code = """
import os
import cupy

x = cupy.ones(3)
process = os.fork()
if process == 0:
    try:
        x + 1
    except (cupy.cuda.driver.CUDADriverError, cupy.cuda.runtime.CUDARuntimeError) as error:
        os._exit(3 if "INITIALIZ" in str(error).upper() else 4)
    os._exit(5)
assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 3
assert float((x + 1).sum()) == 6
"""
    child(code)


def test_a_fault_outside_of_kernels_ends_the_process(cupy, child):
    code = """
import ctypes
import cupy
cupy.zeros(3) + 1
ctypes.string_at(8)
"""
    with pytest.raises(AssertionError):
        child(code)
