"""Streams that are captured, and the graphs that come of it: what CUDA promises, and what it forbids."""

import ctypes
import threading

import numpy as np
import pytest

from tests.host_cuda.device import NOT_EMULATED, counting, emulated, shuffled

if not emulated():
    pytest.skip(NOT_EMULATED, allow_module_level=True)

RELAXED = 2
THREAD_LOCAL = 1
GLOBAL = 0


@pytest.fixture
def stream(cupy):
    """A stream that the default stream does not wait for."""
    return cupy.cuda.Stream(non_blocking=True)


def captured(stream, work, mode=RELAXED):
    """A graph of what `work()` does on the stream."""
    with stream:
        stream.begin_capture(mode)
        work()
        return stream.end_capture()


def error(cupy, name):
    """A context in which an error of the CUDA runtime is expected."""
    return pytest.raises(cupy.cuda.runtime.CUDARuntimeError, match=name)


def end_invalid(cupy, stream):
    """The capture is found to be invalid, and the stream can be used again."""
    with error(cupy, "StreamCaptureInvalidated"):
        stream.end_capture()
    assert not stream.is_capturing()
    stream.synchronize()


def test_captured_work_runs_when_the_graph_is_launched(cupy, stream):
    x = cupy.zeros(4)
    graph = captured(stream, lambda: cupy.add(x, 1.0, out=x))
    assert x.get().tolist() == [0.0] * 4
    for count in (1, 2, 3):
        graph.launch(stream)
        stream.synchronize()
        assert x.get().tolist() == [count] * 4


def test_a_launch_reads_what_is_in_memory_now(cupy, stream):
    x = cupy.ones(4)
    y = cupy.zeros(4)
    graph = captured(stream, lambda: cupy.multiply(x, x, out=y))
    x.fill(3.0)
    graph.launch()
    assert y.get().tolist() == [9.0] * 4


def test_an_argument_by_value_is_that_of_the_capture(cupy, stream):
    x = cupy.zeros(4)
    number = [2.0]
    graph = captured(stream, lambda: cupy.add(x, number[0], out=x))
    number[0] = 100.0
    graph.launch()
    graph.launch()
    assert x.get().tolist() == [4.0] * 4


def test_a_launch_fails_where_memory_was_freed(cupy, stream):
    cupy.cuda.set_allocator(None)
    try:
        given = [cupy.zeros(4)]
        y = cupy.zeros(4)
        graph = captured(stream, lambda: cupy.add(given[0], 1.0, out=y))
        graph.launch()
        given.clear()
        with error(cupy, "illegal"):
            graph.launch()
    finally:
        cupy.cuda.set_allocator(cupy.get_default_memory_pool().malloc)


def test_copies_memsets_and_callbacks_are_captured(cupy, stream):
    x = cupy.arange(4.0)
    y = cupy.empty(4)
    seen = []

    def work():
        y.data.memset_async(0, 8, stream)
        (y.data + 8).copy_from_device_async(x.data + 8, 24, stream)
        stream.launch_host_func(seen.append, "ran")

    graph = captured(stream, work)
    assert not seen
    graph.launch(stream)
    stream.synchronize()
    assert seen == ["ran"]
    assert y.get().tolist() == [0.0, 1.0, 2.0, 3.0]


def test_a_graph_is_counted_as_one(cupy, stream):
    x = cupy.zeros(4)

    def work():
        for _ in range(5):
            cupy.add(x, 1.0, out=x)

    graph = captured(stream, work)
    with counting(names=True) as counts:
        graph.launch()
    assert (counts.total, counts.graphs) == (1, 1)
    assert counts.names == ["graph 5"]


@pytest.mark.parametrize("seed", range(6))
def test_a_graph_runs_in_the_order_of_its_stream(cupy, stream, seed):
    x = cupy.zeros(4)

    def work():
        cupy.add(x, 1.0, out=x)
        cupy.multiply(x, 2.0, out=x)

    graph = captured(stream, work)
    with shuffled(seed), stream:
        for _ in range(3):
            graph.launch()
            cupy.add(x, 10.0, out=x)
        stream.synchronize()
        assert x.get().tolist() == [84.0] * 4


# --- what invalidates a capture --------------------------------------------------------------------


def wait_for_the_stream(cupy, stream):
    stream.synchronize()


def query_the_stream(cupy, stream):
    runtime = cupy.cuda.runtime
    runtime.check_status(runtime.streamQuery(stream.ptr))  # `stream.done` is False after any error


def wait_for_the_device(cupy, stream):
    cupy.cuda.Device().synchronize()


def wait_for_a_captured_event(cupy, stream):
    event = cupy.cuda.Event()
    event.record(stream)
    event.synchronize()


def copy_from_pageable_memory(cupy, stream):
    x = cupy.zeros(4)
    host = np.zeros(4)
    cupy.cuda.runtime.memcpyAsync(x.data.ptr, host.ctypes.data, 32, 1, stream.ptr)


@pytest.mark.parametrize(
    "call",
    [
        wait_for_the_stream,
        query_the_stream,
        wait_for_the_device,
        wait_for_a_captured_event,
        copy_from_pageable_memory,
    ],
)
def test_what_waits_for_a_captured_stream_invalidates_it(cupy, stream, call):
    x = cupy.zeros(4)
    with stream:
        stream.begin_capture()
        with error(cupy, "StreamCaptureUnsupported|CapturedEvent"):
            call(cupy, stream)
        with error(cupy, "StreamCaptureInvalidated"):
            cupy.cuda.runtime.memsetAsync(x.data.ptr, 0, 8, stream.ptr)
    end_invalid(cupy, stream)


def test_a_number_for_the_host_is_refused_by_cupy(cupy, stream):
    x = cupy.zeros(4)
    with stream:
        stream.begin_capture()
        with pytest.raises(RuntimeError, match="capturing"):
            x.get()
        stream.end_capture()
    assert x.get().tolist() == [0.0] * 4


def test_a_product_is_refused_by_cupy(cupy, stream):
    x = cupy.ones((2, 2))
    with stream:
        stream.begin_capture()
        with pytest.raises(NotImplementedError, match="capture"):
            x @ x
        stream.end_capture()


def test_dependencies_do_not_cross_the_capture(cupy, stream):
    event = cupy.cuda.Event()
    event.record()
    stream.begin_capture()
    with error(cupy, "StreamCaptureIsolation"):
        stream.wait_event(event)
    end_invalid(cupy, stream)


def test_no_capture_begins_in_the_default_stream_or_twice(cupy, stream):
    runtime = cupy.cuda.runtime
    with error(cupy, "StreamCaptureUnsupported"):
        runtime.streamBeginCapture(0)
    stream.begin_capture()
    with error(cupy, "IllegalState"):
        runtime.streamBeginCapture(stream.ptr)
    stream.end_capture()
    with error(cupy, "IllegalState"):
        runtime.streamEndCapture(stream.ptr)


def test_the_default_stream_is_not_used_while_a_blocking_stream_is_captured(cupy):
    blocking = cupy.cuda.Stream()
    x = cupy.zeros(4)
    blocking.begin_capture()
    with error(cupy, "StreamCaptureImplicit"):
        cupy.cuda.runtime.memsetAsync(x.data.ptr, 0, 8, 0)
    end_invalid(cupy, blocking)


@pytest.mark.parametrize("mode", [GLOBAL, THREAD_LOCAL, RELAXED])
@pytest.mark.parametrize("elsewhere", [False, True])
def test_the_mode_decides_who_may_allocate(cupy, stream, mode, elsewhere):
    """Nobody, another thread only, or everybody."""
    found = []

    def allocate():
        try:
            cupy.cuda.runtime.free(cupy.cuda.runtime.malloc(512))
            found.append("")
        except cupy.cuda.runtime.CUDARuntimeError as refused:
            found.append(str(refused))

    stream.begin_capture(mode)
    if elsewhere:
        thread = threading.Thread(target=allocate)
        thread.start()
        thread.join()
    else:
        allocate()
    if mode == RELAXED or (mode == THREAD_LOCAL and elsewhere):
        assert found == [""]
        stream.end_capture()
    else:
        assert "StreamCaptureUnsupported" in found[0]
        end_invalid(cupy, stream)


def test_the_thread_that_began_a_capture_ends_it(cupy, stream):
    found = []

    def end():
        try:
            stream.end_capture()
        except cupy.cuda.runtime.CUDARuntimeError as refused:
            found.append(str(refused))

    for mode in (THREAD_LOCAL, RELAXED):
        stream.begin_capture(mode)
        thread = threading.Thread(target=end)
        thread.start()
        thread.join()
        if mode == THREAD_LOCAL:
            assert "StreamCaptureWrongThread" in found.pop()
            cupy.cuda.runtime.streamEndCapture(stream.ptr)
    assert not found


# --- cuBLAS ----------------------------------------------------------------------------------------


def test_a_product_in_a_graph_uses_the_workspace_of_its_handle(cupy, stream):
    """CuPy refuses to call cuBLAS here, so it is called directly."""
    from xpnet.kernels.products import Products

    a = cupy.asarray(np.arange(6.0).reshape(2, 3))
    b = cupy.asarray(np.arange(12.0).reshape(3, 4))
    with Products(stream) as products:
        products.workspace.fill(1)
        cupy.cuda.Device().synchronize()
        with stream:
            stream.begin_capture()
            y = products(a, b)
            graph = stream.end_capture()
    a.fill(1.0)
    graph.launch()
    np.testing.assert_array_equal(y.get(), np.ones((2, 3)) @ b.get())
    assert products.workspace[:4].get().tolist() != [1] * 4


def test_a_workspace_that_was_freed_is_noticed(cupy, handle):
    library = ctypes.CDLL("libcublas.so.13")
    address = cupy.cuda.runtime.malloc(4096)
    library.cublasSetWorkspace_v2(
        ctypes.c_void_p(handle), ctypes.c_void_p(address), ctypes.c_size_t(4096)
    )
    cupy.cuda.runtime.free(address)
    one = np.ones(1)
    x = cupy.ones((2, 2))
    status = library.cublasDgemm_v2(
        *(ctypes.c_void_p(handle), 0, 0, 2, 2, 2, ctypes.c_void_p(one.ctypes.data)),
        *(ctypes.c_void_p(x.data.ptr), 2, ctypes.c_void_p(x.data.ptr), 2),
        *(ctypes.c_void_p(one.ctypes.data), ctypes.c_void_p(x.data.ptr), 2),
    )
    assert status != 0
    assert (x @ x).get().tolist() == [[2.0, 2.0]] * 2, "CuPy sets the stream, and so the workspace"
