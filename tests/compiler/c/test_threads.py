"""Threads: operations in parts compute what one thread does, the same in each run, and nothing hangs."""

import ctypes
import operator
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from threadpoolctl import threadpool_limits

from tests.compiler.c import conftest
from tests.compiler.programs import Builder, recorded_step
from xpnet.compiler.c.blas import usable_threads
from xpnet.compiler.executors.c import CExecutor
from xpnet.compiler.passes import cleaned

TASK = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)
ROOT = Path(__file__).parents[3]


@pytest.fixture
def parallel(library):
    """xpnet_parallel, for a Python function of a part's number."""
    c = library("threads")
    c.xpnet_parallel.argtypes = [TASK, ctypes.c_void_p, ctypes.c_int64]
    c.xpnet_parallel.restype = None

    def run(function, parts):
        c.xpnet_parallel(TASK(lambda _, part: function(part)), None, parts)

    return run


# ---- the pool ------------------------------------------------------------------------------------


@pytest.mark.parametrize("parts", [1, 2, 3, 8, 40])
def test_each_part_is_computed_once(parallel, parts):
    for _ in range(50):
        counts = [0] * parts

        def count(part, counts=counts):
            counts[part] += 1

        parallel(count, parts)
        assert counts == [1] * parts


def test_several_threads_compute_the_parts_of_one_job(parallel):
    both = threading.Barrier(2, timeout=30)
    arrived = []
    parallel(lambda part: arrived.append(both.wait()), 2)  # waits until two threads are there
    assert sorted(arrived) == [0, 1]


def test_a_caller_does_not_wait_for_a_job_of_another_thread(parallel):
    begun = threading.Event()
    may_end = threading.Event()

    def hold(_):
        begun.set()
        assert may_end.wait(30)

    other = threading.Thread(target=parallel, args=(hold, 2))
    other.start()
    assert begun.wait(30)
    mine = []
    parallel(lambda part: mine.append((part, threading.get_ident())), 3)
    may_end.set()
    other.join(30)
    assert not other.is_alive()
    assert mine == [(part, threading.get_ident()) for part in range(3)]


def test_a_job_within_a_job_is_computed(parallel):
    counts = [0] * 6
    lock = threading.Lock()

    def inner(part):
        with lock:
            counts[part] += 1

    parallel(lambda _: parallel(inner, 6), 4)
    assert counts == [4] * 6


POOL = """
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include "threads.h"

// Two callers at once: each adds up numbers that its parts write, job after job.
static void fill(void* data, int64_t part) { ((int64_t*)data)[part] += part + 1; }

static void* call(void* failed) {
    int64_t numbers[7];
    for (int job = 0; job < 3000; job++) {
        memset(numbers, 0, sizeof numbers);
        const int64_t parts = 1 + job % 7;
        xpnet_parallel(fill, numbers, parts);
        for (int64_t i = 0; i < 7; i++) {
            if (numbers[i] != (i < parts ? i + 1 : 0)) *(int*)failed = 1;
        }
    }
    return NULL;
}

int main(void) {
    pthread_t other;
    int failed[2] = {0, 0};
    pthread_create(&other, NULL, call, failed);
    call(failed + 1);
    pthread_join(other, NULL);
    puts(failed[0] || failed[1] ? "wrong" : "right");
    return 0;
}
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="the program is written for POSIX threads")
def test_the_pool_has_no_race(tmp_path):
    if conftest.COMPILER is None:
        pytest.skip("no C compiler: gcc, clang or cc is needed")
    source = tmp_path / "pool.c"
    source.write_text(POOL)
    program = tmp_path / "pool"
    command = [conftest.COMPILER, "-std=gnu11", "-O1", "-g", "-pthread", "-fsanitize=thread"]
    command += [f"-I{conftest.SOURCES}", str(source), str(conftest.SOURCES / "threads.c")]
    built = subprocess.run(
        [*command, "-o", str(program)], capture_output=True, text=True, check=False
    )
    if "cannot find" in built.stderr:
        pytest.skip("this compiler has no thread sanitizer")
    assert built.returncode == 0, built.stderr
    ran = subprocess.run([program], capture_output=True, text=True, timeout=300, check=False)
    if "unexpected memory mapping" in ran.stderr:
        pytest.skip("the thread sanitizer does not run on this kernel")
    assert ran.stdout == "right\n", ran.stderr
    assert "WARNING" not in ran.stderr
    assert ran.returncode == 0


def in_a_process(code, **options):
    """Run Python code in a process of its own that may use two threads; what it prints."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment,
        **options,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


START = """
import ctypes, os, signal, sys, threading, time
c = ctypes.CDLL(sys.argv[1] if len(sys.argv) > 1 else {path!r})
TASK = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)
def parallel(function, parts):
    task = TASK(lambda _, part: function(part))
    c.xpnet_parallel(task, None, ctypes.c_int64(parts))
def two_threads():
    both = threading.Barrier(2, timeout=20)
    parallel(lambda part: both.wait(), 2)
two_threads()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork()")
def test_after_a_fork_the_child_has_threads_of_its_own(library):
    code = START.format(path=library("threads")._name) + (
        "pid = os.fork()\n"
        "two_threads()\n"
        "if pid == 0: os._exit(7)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n"
    )
    assert in_a_process(code) == "7\n"


def test_a_process_ends_while_its_threads_spin_or_sleep(library):
    start = START.format(path=library("threads")._name)
    assert in_a_process(start + "print('end')") == "end\n"
    assert in_a_process(start + "time.sleep(0.1); print('end')") == "end\n"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no signals that a thread may block")
def test_a_signal_during_a_job_is_handled_by_python_afterwards(library):
    code = START.format(path=library("threads")._name) + (
        "task = ctypes.cast(ctypes.CDLL(None).usleep, TASK)\n"
        "def handle(*_): raise KeyboardInterrupt\n"
        "signal.signal(signal.SIGALRM, handle)\n"
        "signal.setitimer(signal.ITIMER_REAL, 0.1)\n"
        "begun = time.monotonic()\n"
        "try:\n"
        "    c.xpnet_parallel(task, ctypes.c_void_p(500_000), ctypes.c_int64(2))\n"
        "    time.sleep(20)\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted', time.monotonic() - begun > 0.4)\n"
        "two_threads()\n"
    )
    assert in_a_process(code) == "interrupted True\n"


# ---- operations in parts -------------------------------------------------------------------------


def results(builder, library, threads, runs=1):
    """The outputs and the new states of a program, of each of some runs from the same start."""
    found = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XPNET_PRODUCTS", "own")
        executor = CExecutor(cleaned(builder.program, "c"), library, threads)
    for _ in range(runs):
        bound = executor.bind([x.copy() for x in builder.given("state")])
        outputs = executor.run(builder.given("argument"), [0.25])
        found.append([*outputs, *[x.copy() for x in bound]])
    return found


def close_and_repeated(builder, library, threads, exact=False):
    """Assert that threads compute what one does, up to rounding, and the same in each run."""
    [alone] = results(builder, library, 1)
    first, *others = results(builder, library, threads, 4)
    for again in others:
        for x, y in zip(first, again, strict=True):
            np.testing.assert_array_equal(x, y)
    for x, y in zip(first, alone, strict=True):
        if exact:
            np.testing.assert_array_equal(x, y)
        else:
            eps = np.finfo(x.dtype).eps
            np.testing.assert_allclose(x, y, rtol=8 * eps, atol=64 * eps * np.abs(y).max())


SIZES = st.integers(1, 40) | st.sampled_from([64, 100, 127, 400, 784])


@given(
    m=SIZES,
    n=SIZES,
    k=SIZES,
    turned=st.tuples(st.booleans(), st.booleans()),
    seed=st.integers(0, 99),
    threads=st.integers(2, 5),
)
@settings(deadline=None, max_examples=60)
def test_products_in_parts(plans, m, n, k, turned, seed, threads):
    rng = np.random.default_rng(seed)
    scale = 2_000_000 // (2 * m * n * k) + 1  # enough work for two threads
    m *= scale if scale < 200 else 1
    builder = Builder()
    arrays = []
    for shape, is_turned in (((m, k), turned[0]), ((k, n), turned[1])):
        x = rng.standard_normal(shape[::-1] if is_turned else shape).astype("f")
        value = builder.input("argument", x)
        if is_turned:
            value = builder.apply("matrix_transpose", np.matrix_transpose, value)
        arrays.append(value)
    builder.program.outputs = [builder.apply("matmul", operator.matmul, *arrays)]
    close_and_repeated(builder, plans, threads)


@given(shape=st.tuples(st.integers(1, 700), st.integers(1, 700)), threads=st.integers(2, 5))
@settings(deadline=None, max_examples=40)
def test_chains_in_parts(plans, shape, threads):
    rng = np.random.default_rng(0)
    builder = Builder()
    x = builder.input("state", rng.standard_normal(shape).astype("f"))
    row = builder.input("argument", rng.standard_normal(shape[1:]).astype("f"))
    y = builder.apply("multiply", operator.mul, x, row)
    z = builder.apply("add", operator.add, y, x)
    builder.program.outputs = [y]
    builder.program.updates = {0: z}
    close_and_repeated(builder, plans, threads, exact=True)


def test_as_many_threads_as_the_blas_has():
    with threadpool_limits(1, user_api="blas"):
        assert usable_threads() == 1
    assert usable_threads() >= 1


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="processes cannot be bound here")
def test_no_more_threads_than_cores_that_the_process_may_use():
    code = (
        "import os, numpy\n"
        "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from xpnet.compiler.c.blas import usable_threads\n"
        "print(usable_threads())"
    )
    assert in_a_process(code) == "1\n"


@pytest.mark.parametrize("name", ["lenet", "mlp"])
def test_training_steps_in_parts(plans, name):
    program, arguments, states, hosts = recorded_step(name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XPNET_PRODUCTS", "own")
        executors = [CExecutor(cleaned(program, "c"), plans, threads) for threads in (1, 2, 2, 3)]
    found = []
    for executor in executors:
        bound = executor.bind([x.copy() for x in states])
        outputs = [executor.run(arguments, hosts) for _ in range(5)]
        found.append([*[x for each in outputs for x in each], *bound])
    alone, two, again, three = found
    for x, y in zip(two, again, strict=True):
        np.testing.assert_array_equal(x, y)
    for other in (two, three):
        for x, y in zip(alone, other, strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5)


def test_two_plans_in_two_python_threads(plans):
    program, arguments, states, hosts = recorded_step("lenet")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XPNET_PRODUCTS", "own")
        executors = [CExecutor(cleaned(program, "c"), plans, 2) for _ in range(3)]
    bound = [executor.bind([x.copy() for x in states]) for executor in executors]

    def train(executor):
        for _ in range(30):
            executor.run(arguments, hosts)

    train(executors[0])
    others = [threading.Thread(target=train, args=(executor,)) for executor in executors[1:]]
    for each in others:
        each.start()
    for each in others:
        each.join(60)
        assert not each.is_alive()
    for found in bound[1:]:
        for x, y in zip(found, bound[0], strict=True):
            np.testing.assert_array_equal(x, y)
