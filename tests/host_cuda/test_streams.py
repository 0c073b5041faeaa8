"""The order of work in streams, which is random unless something determines it.

Each test computes with the orders of all SEEDS. Without synchronization, the result must be wrong for
at least one of them; with it, the result must be correct for all.
"""

import threading

import numpy as np
import pytest

from tests.host_cuda.device import NOT_EMULATED, emulated, shuffled

if not emulated():
    pytest.skip(NOT_EMULATED, allow_module_level=True)


SEEDS = range(24)


@pytest.fixture
def always(cupy):
    """A function that returns whether ``compute()`` is true for every seed."""

    def decide(compute):
        outcomes = []
        for seed in SEEDS:
            with shuffled(seed):
                outcomes.append(bool(compute()))
        return all(outcomes)

    return decide


class Work:
    """Additions to an array in the first stream; the second computes another array from it."""

    def __init__(self, cupy, *, non_blocking=True):
        self.cupy = cupy
        self.a = cupy.zeros(100, dtype="float32")
        self.b = cupy.zeros(100, dtype="float32")
        cupy.cuda.Device().synchronize()
        self.first = cupy.cuda.Stream(non_blocking=non_blocking)
        self.second = cupy.cuda.Stream(non_blocking=non_blocking)

    def add(self, stream):
        with stream:
            for _ in range(5):
                self.a += 1

    def multiply(self, stream):
        with stream:
            self.cupy.multiply(self.a, 10, out=self.b)

    def is_correct(self):
        self.cupy.cuda.Device().synchronize()
        return (self.b.get() == 50).all()


def test_the_result_without_synchronization_is_wrong_for_some_seed(cupy, always):
    def compute():
        work = Work(cupy)
        work.add(work.first)
        work.multiply(work.second)
        return work.is_correct()

    assert not always(compute)


def wait_for_event(work):
    work.second.wait_event(work.first.record())


def synchronize_the_stream(work):
    work.first.synchronize()


def synchronize_the_device(work):
    work.cupy.cuda.Device().synchronize()


def synchronize_an_event(work):
    work.first.record().synchronize()


def poll_the_stream(work):
    while not work.first.done:
        pass


def poll_an_event(work):
    event = work.first.record()
    while not event.done:
        pass


def record_again_after_the_wait(work):
    event = work.first.record()
    work.second.wait_event(event)
    event.record(work.second)


ORDERS = [
    wait_for_event,
    synchronize_the_stream,
    synchronize_the_device,
    synchronize_an_event,
    poll_the_stream,
    poll_an_event,
    record_again_after_the_wait,
]


@pytest.mark.parametrize("order", ORDERS)
def test_the_result_with_synchronization_is_correct(cupy, always, order):
    def compute():
        work = Work(cupy)
        work.add(work.first)
        order(work)
        work.multiply(work.second)
        return work.is_correct()

    assert always(compute)


def test_an_event_that_was_recorded_too_early_has_no_effect(cupy, always):
    def compute():
        work = Work(cupy)
        event = work.first.record()
        work.add(work.first)
        work.second.wait_event(event)
        work.multiply(work.second)
        return work.is_correct()

    assert not always(compute)


def test_a_wait_for_the_wrong_stream_has_no_effect(cupy, always):
    def compute():
        work = Work(cupy)
        work.add(work.first)
        work.second.wait_event(work.second.record())
        work.multiply(work.second)
        return work.is_correct()

    assert not always(compute)


@pytest.mark.parametrize("non_blocking", [False, True])
@pytest.mark.parametrize("default_first", [False, True])
def test_the_default_stream_and_blocking_streams_wait_for_each_other(
    cupy, always, non_blocking, default_first
):
    def compute():
        work = Work(cupy, non_blocking=non_blocking)
        default = cupy.cuda.Stream.null
        work.add(default if default_first else work.first)
        work.multiply(work.second if default_first else default)
        return work.is_correct()

    assert always(compute) == (not non_blocking)


def test_two_blocking_streams_do_not_wait_for_each_other(cupy, always):
    def compute():
        work = Work(cupy, non_blocking=False)
        work.add(work.first)
        work.multiply(work.second)
        return work.is_correct()

    assert not always(compute)


def test_a_copy_to_pageable_memory_waits_for_its_stream(cupy, always):
    def compute():
        work = Work(cupy)
        work.add(work.first)
        with work.first:
            return (work.a.get() == 5).all()

    assert always(compute)


def pinned_array(cupy, size):
    memory = cupy.cuda.alloc_pinned_memory(4 * size)
    return np.frombuffer(memory, dtype="float32", count=size)


@pytest.mark.parametrize("pinned", [False, True])
@pytest.mark.parametrize("wait", [False, True])
def test_a_pinned_buffer_must_not_be_overwritten_before_the_copy(cupy, always, pinned, wait):
    def compute():
        stream = cupy.cuda.Stream(non_blocking=True)
        host = pinned_array(cupy, 100) if pinned else np.zeros(100, dtype="float32")
        x = cupy.zeros(100, dtype="float32")
        cupy.cuda.Device().synchronize()
        host[:] = 1
        x.data.copy_from_host_async(host.ctypes.data, 400, stream)
        if wait:
            stream.synchronize()
        host[:] = 2
        cupy.cuda.Device().synchronize()
        return (x.get() == 1).all()

    assert always(compute) == (wait or not pinned)


@pytest.mark.parametrize("wait", [False, True])
def test_a_copy_to_pinned_memory_needs_a_synchronization(cupy, always, wait):
    def compute():
        stream = cupy.cuda.Stream(non_blocking=True)
        host = pinned_array(cupy, 100)
        host[:] = 0
        x = cupy.ones(100, dtype="float32")
        cupy.cuda.Device().synchronize()
        x.data.copy_to_host_async(host.ctypes.data, 400, stream)
        if wait:
            stream.synchronize()
        result = (host == 1).all()
        stream.synchronize()
        return result

    assert always(compute) == wait


@pytest.mark.parametrize("wait", [False, True])
def test_libraries_run_in_the_order_of_their_stream(cupy, always, wait):
    def compute():
        a = cupy.eye(4, dtype="float32")
        cupy.cuda.Device().synchronize()
        first = cupy.cuda.Stream(non_blocking=True)
        second = cupy.cuda.Stream(non_blocking=True)
        with first:
            for _ in range(4):
                cupy.matmul(a, 2 * cupy.eye(4, dtype="float32"), out=a)
        if wait:
            second.wait_event(first.record())
        with second:
            largest = cupy.sort(a.ravel())[-1]
        cupy.cuda.Device().synchronize()
        return float(largest) == 16

    assert always(compute) == wait


def test_arguments_have_the_values_at_the_launch(cupy, always):
    source = 'extern "C" __global__ void add(float* x, float value) { x[threadIdx.x] += value; }'
    kernel = cupy.RawKernel(source, "add")

    def compute():
        x = cupy.zeros(4, dtype="float32")
        for value in range(20):
            kernel((1,), (4,), (x, np.float32(value)))
        return x.get().tolist() == [190] * 4

    assert always(compute)


@pytest.mark.parametrize("wait", [False, True])
def test_callbacks_run_in_the_order_of_their_stream(cupy, always, wait):
    def compute():
        stream = cupy.cuda.Stream(non_blocking=True)
        x = cupy.zeros(10)
        cupy.cuda.Device().synchronize()
        seen = []
        with stream:
            for i in range(5):
                x += 1
                stream.launch_host_func(seen.append, i)
            stream.add_callback(lambda *_: seen.append("last"), None)
        if wait:
            stream.synchronize()
        result = seen == [0, 1, 2, 3, 4, "last"]
        stream.synchronize()
        return result

    assert always(compute) == wait


def test_an_error_of_late_work_is_raised_by_a_synchronization(cupy, always):
    # The first page of a process is never mapped, whereas an address far beyond x may be in use.
    source = 'extern "C" __global__ void wild(float* x) { *(volatile float*)16 = 1; }'
    kernel = cupy.RawKernel(source, "wild")

    def compute():
        stream = cupy.cuda.Stream(non_blocking=True)
        x = cupy.zeros(4, dtype="float32")
        with stream:
            kernel((1,), (1,), (x,))
        with pytest.raises(cupy.cuda.runtime.CUDARuntimeError, match="illegal memory access"):
            stream.synchronize()
        stream.synchronize()  # it is reported once
        return True

    assert always(compute)


def test_memory_is_freed_after_the_work_that_uses_it(cupy, always):
    def compute():
        stream = cupy.cuda.Stream(non_blocking=True)
        x = cupy.zeros(100)
        cupy.cuda.Device().synchronize()
        with stream:
            y = x + 1
            del x
        stream.synchronize()
        return (y.get() == 1).all()

    cupy.cuda.set_allocator(None)
    try:
        assert always(compute)
    finally:
        cupy.cuda.set_allocator(cupy.get_default_memory_pool().malloc)


def test_the_work_of_a_destroyed_stream_is_done(cupy, always):
    def compute():
        work = Work(cupy)
        work.add(work.first)
        event = work.first.record()
        del work.first
        work.second.wait_event(event)
        work.multiply(work.second)
        return work.is_correct()

    assert always(compute)


def test_host_threads_share_the_device(cupy, always):
    def compute():
        results = {}

        def work(number):
            with cupy.cuda.Stream(non_blocking=True) as stream:
                x = cupy.zeros(10, dtype="float32")
                for _ in range(20):
                    x += number
                stream.launch_host_func(lambda _: None, None)
                results[number] = float(x.sum())

        threads = [threading.Thread(target=work, args=(number,)) for number in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return results == {number: number * 200 for number in range(5)}

    assert always(compute)


def test_the_time_between_two_events_is_measured(cupy):
    events = [cupy.cuda.Event(), cupy.cuda.Event()]
    events[0].record()
    _ = cupy.zeros(1000) + 1
    events[1].record()
    events[1].synchronize()
    assert 0 <= cupy.cuda.get_elapsed_time(*events) < 10_000


def test_the_same_seed_gives_the_same_order(cupy):
    def order(seed):
        seen = []
        with shuffled(seed):
            streams = [cupy.cuda.Stream(non_blocking=True) for _ in range(6)]
            for number, stream in enumerate(streams):
                stream.launch_host_func(seen.append, number)
            cupy.cuda.Device().synchronize()
        return seen

    assert order(3) == order(3)
    assert len({tuple(order(seed)) for seed in SEEDS}) > 1


def test_the_environment_can_shuffle_the_whole_process(child):
    code = """
import cupy
seen = []
streams = [cupy.cuda.Stream(non_blocking=True) for _ in range(6)]
for number, stream in enumerate(streams):
    stream.launch_host_func(seen.append, number)
cupy.cuda.Device().synchronize()
print(seen)
"""
    orders = {child(code, HOST_CUDA_SHUFFLE=seed) for seed in ("1", "2", "3")}
    assert len(orders) > 1
    assert child(code) == "[0, 1, 2, 3, 4, 5]\n"
