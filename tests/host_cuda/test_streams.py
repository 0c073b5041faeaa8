"""The order of work in streams, which is random where nothing orders it.

Each test runs in processes of their own, with the seeds of SEEDS. What lacks an order must come out
wrong with at least one of them; what has one must come out right with all.
"""

import pytest

SEEDS = range(8)

START = """
import cupy, numpy as np
n = 1000
a = cupy.zeros(n, dtype="float32")
b = cupy.zeros(n, dtype="float32")
cupy.cuda.Device().synchronize()
first, second = cupy.cuda.Stream(non_blocking=True), cupy.cuda.Stream(non_blocking=True)
with first:
    for _ in range(5):
        a += 1
"""
END = """
cupy.cuda.Device().synchronize()
print(bool((b == 50).all()))
"""
MULTIPLY = """
with second:
    b[...] = a * 10
"""


def outcomes(child, code):
    """Whether the result was right, for each seed."""
    return [child(code, HOST_CUDA_SHUFFLE=str(seed)).strip() == "True" for seed in SEEDS]


def test_without_an_order_the_result_is_wrong_for_some_seed(child):
    assert not all(outcomes(child, START + MULTIPLY + END))


@pytest.mark.parametrize(
    "ordered",
    [
        "second.wait_event(first.record())",
        "second.wait_stream(first) if hasattr(second, 'wait_stream') else first.synchronize()",
        "first.synchronize()",
        "cupy.cuda.Device().synchronize()",
        "event = first.record(); event.synchronize()",
        "while not first.done: pass",
        "event = first.record()\nwhile not event.done: pass",
    ],
)
def test_what_orders_the_streams_makes_the_result_right(child, ordered):
    assert all(outcomes(child, START + ordered + MULTIPLY + END))


def test_an_event_that_was_recorded_too_early_does_not_order(child):
    early = START.replace("with first:", "event = first.record()\nwith first:")
    assert not all(outcomes(child, early + "second.wait_event(event)" + MULTIPLY + END))


def test_a_wait_is_for_the_last_recording_before_it(child):
    code = START + "event = first.record(); second.wait_event(event); event.record(second)"
    assert all(outcomes(child, code + MULTIPLY + END))


BLOCKING = START.replace("non_blocking=True", "non_blocking=False")


def test_blocking_streams_and_the_default_stream_wait_for_each_other(child):
    from_default = """
with cupy.cuda.Stream.null:
    b[...] = a * 10
"""
    assert all(outcomes(child, BLOCKING + from_default + END))
    to_default = BLOCKING.replace("with first:", "with cupy.cuda.Stream.null:")
    assert all(outcomes(child, to_default + MULTIPLY + END))


def test_non_blocking_streams_and_the_default_stream_do_not_wait(child):
    from_default = """
with cupy.cuda.Stream.null:
    b[...] = a * 10
"""
    assert not all(outcomes(child, START + from_default + END))


def test_two_blocking_streams_do_not_wait_for_each_other(child):
    assert not all(outcomes(child, BLOCKING + MULTIPLY + END))


def test_a_copy_to_pageable_memory_waits_for_its_stream(child):
    code = START + "with first:\n    b_host = a.get()\nprint(bool((b_host == 5).all()))"
    assert all(outcomes(child, code))


PINNED = """
import cupy, numpy as np
stream = cupy.cuda.Stream(non_blocking=True)
pinned = cupy.cuda.alloc_pinned_memory(4000)
host = np.frombuffer(pinned, dtype="float32", count=1000)
x = cupy.zeros(1000, dtype="float32")
cupy.cuda.Device().synchronize()
host[:] = 1
x.data.copy_from_host_async(pinned.ptr, 4000, stream)
"""
OVERWRITE = """
host[:] = 2
cupy.cuda.Device().synchronize()
print(bool((x == 1).all()))
"""


def test_a_pinned_buffer_that_is_overwritten_too_early_shows(child):
    assert not all(outcomes(child, PINNED + OVERWRITE))


def test_a_pinned_buffer_can_be_overwritten_after_a_wait(child):
    assert all(outcomes(child, PINNED + "stream.synchronize()" + OVERWRITE))


def test_a_pageable_buffer_can_be_overwritten_at_once(child):
    pageable = PINNED.replace("np.frombuffer(pinned, dtype='float32', count=1000)", "")
    pageable = pageable.replace('np.frombuffer(pinned, dtype="float32", count=1000)', "np.zeros(1000, 'f4')")
    pageable = pageable.replace("pinned.ptr", "host.ctypes.data")
    assert all(outcomes(child, pageable + OVERWRITE))


def test_a_copy_to_pinned_memory_is_late(child):
    code = """
import cupy, numpy as np
stream = cupy.cuda.Stream(non_blocking=True)
pinned = cupy.cuda.alloc_pinned_memory(4000)
host = np.frombuffer(pinned, dtype="float32", count=1000)
host[:] = 0
x = cupy.ones(1000, dtype="float32")
cupy.cuda.Device().synchronize()
x.data.copy_to_host_async(pinned.ptr, 4000, stream)
%s
print(bool((host == 1).all()))
"""
    assert not all(outcomes(child, code % ""))
    assert all(outcomes(child, code % "stream.synchronize()"))


def test_libraries_run_in_the_order_of_their_stream(child):
    products = """
import cupy
a = cupy.eye(4, dtype="float32")
cupy.cuda.Device().synchronize()
first, second = cupy.cuda.Stream(non_blocking=True), cupy.cuda.Stream(non_blocking=True)
with first:
    for _ in range(5):
        a = (a @ a) * 2
%s
with second:
    b = cupy.sort((a @ a).ravel())[-1]
cupy.cuda.Device().synchronize()
print(bool(b == float(2 ** 62)))
"""
    assert not all(outcomes(child, products % ""))
    assert all(outcomes(child, products % "second.wait_event(first.record())"))


def test_arguments_are_those_of_the_launch(child):
    code = """
import cupy, numpy as np
source = 'extern "C" __global__ void add(float* x, float value) { x[threadIdx.x] += value; }'
kernel = cupy.RawKernel(source, "add")
x = cupy.zeros(4, dtype="float32")
value = np.full(1, 1, dtype="float32")
for i in range(20):
    value[0] = i
    kernel((1,), (4,), (x, value[0]))
print(x.get().tolist() == [190.0] * 4)
"""
    assert all(outcomes(child, code))


def test_callbacks_run_in_their_streams_order(child):
    code = """
import cupy
stream = cupy.cuda.Stream(non_blocking=True)
x = cupy.zeros(10)
cupy.cuda.Device().synchronize()
seen = []
with stream:
    for i in range(5):
        x += 1
        stream.launch_host_func(seen.append, i)
    stream.add_callback(lambda *arguments: seen.append("last"), None)
%s
print(seen == [0, 1, 2, 3, 4, "last"])
"""
    assert not all(outcomes(child, code % ""))
    assert all(outcomes(child, code % "stream.synchronize()"))


def test_an_error_of_late_work_is_raised_by_the_next_synchronization(child):
    code = """
import cupy, numpy as np
source = 'extern "C" __global__ void wild(float* x) { x[1 << 28] = 1; }'
stream = cupy.cuda.Stream(non_blocking=True)
x = cupy.zeros(4, dtype="float32")
with stream:
    cupy.RawKernel(source, "wild")((1,), (1,), (x,))
try:
    stream.synchronize()
except cupy.cuda.runtime.CUDARuntimeError as error:
    print("illegal memory access" in str(error))
stream.synchronize()
"""
    assert all(outcomes(child, code))


def test_memory_that_is_freed_while_work_is_late_is_freed_after_it(child):
    code = """
import cupy
cupy.cuda.set_allocator(None)
stream = cupy.cuda.Stream(non_blocking=True)
x = cupy.zeros(1000)
cupy.cuda.Device().synchronize()
with stream:
    y = x + 1
    del x
stream.synchronize()
print(bool((y == 1).all()))
"""
    assert all(outcomes(child, code))


def test_time_between_events(cupy):
    events = [cupy.cuda.Event(), cupy.cuda.Event()]
    events[0].record()
    cupy.zeros(1000) + 1
    events[1].record()
    events[1].synchronize()
    assert 0 <= cupy.cuda.get_elapsed_time(*events) < 10_000


def test_the_same_seed_is_the_same_order(child):
    code = START + MULTIPLY + "cupy.cuda.Device().synchronize()\nprint(float(b[0]))"
    for seed in ("1", "5"):
        assert child(code, HOST_CUDA_SHUFFLE=seed) == child(code, HOST_CUDA_SHUFFLE=seed)


def test_host_threads_share_a_shuffled_device(child):
    code = """
import threading
import cupy
results = {}
def work(number):
    with cupy.cuda.Stream(non_blocking=True) as stream:
        x = cupy.zeros(100, dtype="float32")
        for _ in range(20):
            x += number
        stream.launch_host_func(lambda _: None, None)
        results[number] = float(x.sum())
threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(results == {number: number * 2000.0 for number in range(6)})
"""
    assert all(outcomes(child, code))
