"""benchmarks/distributed.py: the model of a ring, communicators that are slower, and the tables of the page."""

import re
import time
from math import prod
from pathlib import Path

import numpy as np
import pytest

from benchmarks import distributed as benchmark
from benchmarks.distributed import BACKWARD, Link, Slow, Timed, Waiting
from benchmarks.peers import by_xpnet
from xpnet import distributed

PAGE = (Path(__file__).parents[2] / "docs" / "distributed.md").read_text(encoding="utf-8")
LINK = Link(latency=0.1, bandwidth=1e6)  # 2 ranks: 200 ms, and 1 us for each byte


def test_a_ring_sends_a_part_of_the_bytes_in_each_message():
    assert LINK.allreduce(1, 1e6) == 0.0
    assert LINK.allreduce(2, 1e5) == pytest.approx(2 * 0.1 + 0.1)
    assert LINK.allreduce(4, 1e5) == pytest.approx(6 * 0.1 + 6 / 4 * 0.1)


def test_a_link_is_fitted_to_the_times_that_it_takes():
    link = Link(latency=12e-6, bandwidth=5e9)
    times = {size: link.allreduce(4, size) for size in benchmark.SIZES}
    found = benchmark.fitted(4, times)
    assert found.latency == pytest.approx(link.latency)
    assert found.bandwidth == pytest.approx(link.bandwidth)


@pytest.mark.parametrize("overlap", [False, True])
def test_the_least_computation_is_as_long_as_what_is_left_of_the_communication(overlap):
    computed = benchmark.least_computation(LINK, 8, 1e6, overlap)
    hidden = BACKWARD * computed if overlap else 0.0
    assert LINK.allreduce(8, 1e6) - hidden == pytest.approx(computed)


def reduced(wrap, messages=2, **options):
    """The results of messages on two ranks, and the seconds until they were started and had arrived."""

    def reduce(communicator):
        other = wrap(communicator)
        began = time.perf_counter()
        pending = [
            other.allreduce_start(np.full(1000, 1.0 + communicator.rank, np.float32), **options)
            for _ in range(messages)
        ]
        started = time.perf_counter() - began
        results = [float(p.wait()[0]) for p in pending]
        return results, started, time.perf_counter() - began

    return distributed.run(2, reduce)


def test_messages_of_a_slow_link_arrive_one_after_the_other():
    for results, started, seconds in reduced(lambda c: Slow(c, LINK)):
        assert results == [3.0, 3.0]
        assert seconds >= 2 * 0.204
        assert started < 0.204


def test_numbers_of_16_bits_take_half_of_the_bytes():
    link = Link(latency=0.0, bandwidth=1e4)  # 400 ms, and 200
    for results, _, seconds in reduced(lambda c: Slow(c, link), 1, compression="bfloat16"):
        assert results == [3.0]
        assert seconds >= 0.2
    slow = Slow(distributed.SingleProcess(), link)
    slow.size = 2
    before = time.perf_counter()
    slow.allreduce_start(np.ones(1000, np.float32), compression="bfloat16")
    assert slow._free - before == pytest.approx(0.2, abs=0.1)


def test_a_blocking_rank_has_the_results_when_it_has_started_them():
    for results, started, _ in reduced(lambda c: Waiting(Slow(c, LINK))):
        assert results == [3.0, 3.0]
        assert started >= 2 * 0.204


def test_a_silent_rank_sends_samples_and_no_gradients():
    def reduce(communicator):
        silent = benchmark.Silent(communicator)
        return [silent.allreduce(np.ones(2, dtype)).tolist() for dtype in ("float32", "float64")]

    assert distributed.run(2, reduce) == [[[1.0, 1.0], [2.0, 2.0]]] * 2


def test_a_step_is_timed_in_each_way():
    """The network of W4, which has one bucket: what is measured are the steps of two ranks."""
    ways = distributed.run(2, lambda c: benchmark.gain(c, "W4", Link(1e-3, 1e9)))
    assert ways[0] == ways[1]  # the longer time of the two ranks
    assert ways[0].keys() >= {"computed", "blocking", "overlapping"}
    assert ways[0]["blocking"] >= 0.004  # two messages of 2 ms: gradients, and samples


def test_time_in_a_communicator_is_counted_and_messages_are_moved_on():
    timed = []

    def wrap(communicator):
        timed.append(Timed(Slow(communicator, LINK)))
        return timed[-1]

    reduced(wrap)
    assert len(timed) == 2
    assert all(x.seconds >= 0.2 for x in timed)

    class Tested(distributed.SingleProcess):
        tests = 0

        def allreduce_start(self, x, op="sum", compression=None):
            return distributed.Pending(self, lambda: x)

        def test(self):
            self.tests += 1
            return True

    inner = Tested()
    assert Timed(inner).allreduce_start(np.ones(2)).test()
    assert inner.tests == 1


def test_the_table_of_gains_has_a_row_for_each_link():
    ways = {"computed": 0.01, "blocking": 0.03, "overlapping": 0.0205}
    table = benchmark.gain_table(2, LINK, {"W2": {"this machine": ways, "slower": ways}})
    assert table.splitlines()[-2:] == [
        "| W2, 256 | this machine | 10.0 | 30.0 | 20.5 |",
        "| W2, 256 | 100000 us, 0.001 GB/s | 10.0 | 30.0 | 20.5 |",
    ]


def rows_of_page(head):
    """The rows of the table of the page that begins with this heading, as lists of cells."""
    found = re.search(re.escape(head) + r"[^\n]*\n\|[-:|]+\|\n((?:\|.*\n)+)", PAGE)
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in found[1].splitlines()]


def test_the_page_has_the_networks_of_the_benchmark():
    names = {
        row[0].partition(",")[0]: row[1] for row in rows_of_page("| network, batch | parameters")
    }
    assert [*names] != []
    assert set(names) == set(benchmark.NETWORKS)
    for name, count in names.items():
        model = by_xpnet.network(benchmark.workload_of(name), benchmark.LENETS.get(name, 1))
        assert count == f"{sum(prod(p.shape) for p in model.parameters()):,}"
    gains = rows_of_page("| network, batch | link")
    assert {row[0].partition(",")[0] for row in gains} == set(benchmark.GAINING)


def test_the_page_quotes_the_model():
    link = benchmark.LINKS["InfiniBand NDR"]
    quoted = [
        benchmark.least_computation(link, 1024, size * 10**9, overlap)
        for size in (4, 2)
        for overlap in (False, True)
    ]
    assert [round(1e3 * x) for x in quoted] == [179, 108, 100, 60]
    for number in ("for 100 ms, not for 179", "108 ms, or 60 ms in 16 bits"):
        assert number in PAGE
