"""benchmarks/: tables and verdicts of made-up figures, and the page that report.py writes of them."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import end_to_end, report, scaling, table
from benchmarks.peers import results as saved
from benchmarks.peers.race import Figures
from xpnet.compiler.c import load
from xpnet.errors import CompileError

ROOT = Path(__file__).parents[2]


def figures(*milliseconds):
    return Figures([x / 1000 for x in milliseconds], 0.5, 50.0)


def made_up(c=(0.9, 1.0, 1.1), by_numpy=(1.4, 1.4, 1.4)):
    """Results of W4, where the products take 1 ms."""
    return {
        "W4": {
            "products": figures(0.9, 1.0, 1.2),
            "xpnet-compiled-c": figures(*c),
            "xpnet-compiled-numpy": figures(*by_numpy),
            "jax-scan": figures(2.0, 2.0, 2.0),
            "torch": Figures([], skipped="torch is not installed"),
        }
    }


def outcomes(results):
    return [(v.missed, v.text.rpartition(": ")[2]) for v in table.verdicts(results)]


def test_the_table_has_ratios_ranges_and_times():
    assert table.markdown(made_up()).splitlines() == [
        "| times the products | W4 |",
        "|---|---:|",
        "| products | **1.00** (0.90 to 1.20), 1.00 ms |",
        "| xpnet-compiled-c | **1.00** (0.90 to 1.10), 1.00 ms |",
        "| xpnet-compiled-numpy | **1.40** (1.40 to 1.40), 1.40 ms |",
        "| jax-scan | **2.00** (2.00 to 2.00), 2.00 ms |",
        "| torch | (torch is not installed) |",
    ]


def test_limits_that_are_kept():
    assert outcomes(made_up()) == [(False, "met")] * 3


def test_a_limit_is_missed_if_it_is_exceeded_by_more_than_the_spread():
    # The limit is 1.1 times the products. At their best: 1.0 / 0.9 = 1.11, and 0.95 / 0.9 = 1.06.
    assert outcomes(made_up(c=(1.0, 1.2, 1.3)))[0] == (True, "MISSED")
    within = outcomes(made_up(c=(0.95, 1.2, 1.3)))[0]
    assert within == (False, "exceeded within the spread")


def test_the_best_of_several_peers_counts():
    results = {
        "W2": {
            "products": figures(1.0),
            "xpnet-compiled-c": figures(0.95),
            "xpnet-compiled-numpy": figures(1.0),
            "jax-jit": figures(2.0),
            "jax-scan": figures(1.0),
        }
    }
    texts = [v.text for v in table.verdicts(results)]
    assert texts[1] == "W2: xpnet-compiled-c takes 0.95 times jax-scan; the limit is 0.9: MISSED"


def test_without_xpnet_a_limit_is_missed_and_without_the_peer_it_cannot_be():
    results = made_up()
    results["W4"]["xpnet-compiled-c"] = Figures([], skipped="no library")
    results["W4"]["jax-scan"] = Figures([], skipped="jax is not installed")
    missed = [v.missed for v in table.verdicts(results)]
    assert missed == [True, True, False]
    results = made_up()
    del results["W4"]["jax-scan"]
    assert outcomes(results)[1] == (False, "no such peer")


def by_size():
    """Results of one axis; compiled xpnet is as fast as the best peer, and then 1.5 times slower."""
    ours = scaling.OURS
    return {
        "batch": {
            1: {"products": figures(0.5), ours: figures(1.0), "torch": figures(1.0)},
            4: {"products": figures(0.5), ours: figures(3.0), "torch": figures(2.0)},
        }
    }


def test_scaling_names_the_worst_ratio():
    assert scaling.worst(by_size()) == (pytest.approx(1.5), "batch 4, against torch")
    assert "| 4 | 500 us, 50 MiB | 3,000 us, 50 MiB | 2,000 us, 50 MiB | torch | **1.50** |" in (
        scaling.markdown(by_size())
    )


def test_scaling_without_a_peer_or_without_xpnet_is_above_its_limit():
    for name in (scaling.OURS, "torch"):
        results = by_size()
        for found in results["batch"].values():
            found[name] = Figures([], skipped="not installed")
        assert scaling.worst(results)[1] == "not measured"
        assert scaling.exceeded(results) == ["batch 1: not measured", "batch 4: not measured"]


def test_scaling_exceeds_its_limit_only_if_the_best_times_do_too():
    results = by_size()
    assert scaling.exceeded(results) == ["batch 4: 1.50 times torch"]
    results["batch"][4][scaling.OURS] = figures(2.4, 3.0, 3.0)  # at its best, 1.2 times
    assert scaling.exceeded(results) == []


def trained(xpnet, accuracy=0.98, epochs=10):
    found = {"xpnet": xpnet, "torch": [9.0, accuracy], "keras": "keras is not installed"}
    return {"mlp": {"epochs": epochs, "libraries": found}}


def test_end_to_end_limits_hold_for_whole_trainings():
    assert end_to_end.slow(trained([5.9, 0.98])) == []
    assert len(end_to_end.slow(trained([6.1, 0.98]))) == 1
    assert len(end_to_end.slow(trained("not there"))) == 1
    assert end_to_end.slow(trained([6.1, 0.98], epochs=1)) == []


def test_a_training_has_all_cores_whatever_the_session_has(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert "OMP_NUM_THREADS" not in end_to_end.environment(0)
    assert end_to_end.environment(2)["OMP_NUM_THREADS"] == "2"


def test_a_library_that_trains_something_else_is_named():
    assert end_to_end.astray(trained([5.0, 0.98], accuracy=0.975)) == []
    (text,) = end_to_end.astray(trained([5.0, 0.98], accuracy=0.57))
    assert text == "mlp: torch reaches 57.00%, the best one 98.00%"


def test_results_are_read_as_they_were_saved(tmp_path):
    path = tmp_path / "new" / "scaling.json"
    saved.save(path, 2, by_size())
    record = saved.load(path)
    assert record["results"] == by_size()
    assert record["threads"] == 2
    assert record["machine"]["versions"]["numpy"]
    assert "with 2 threads on" in saved.footnote(record)


def test_the_page_says_that_other_programs_ran(folder):
    record = saved.load(folder / "table.json")
    record["machine"]["load"] = 1.4
    assert "indicative" not in saved.footnote(record)
    record["machine"]["load"] = 9.0
    assert saved.footnote(record).endswith("(load average 9.0): these figures are only indicative.")


# --- the page -------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    """Results of all programs."""
    saved.save(tmp_path / "table.json", 1, made_up())
    saved.save(tmp_path / "scaling.json", 1, by_size())
    saved.save(tmp_path / "sequences.json", 1, {"lstm": {"xpnet": [0.002, 0.001, 0.003]}})
    saved.save(tmp_path / "end_to_end.json", 0, trained([5.9, 0.98]))
    return tmp_path


def test_the_page_gets_each_table_once(folder):
    page = report.PAGE.read_text(encoding="utf-8")
    written = report.with_tables(page, folder)
    for line in (
        "| xpnet-compiled-c | **1.00** (0.90 to 1.10), 1.00 ms |",
        "- W4: xpnet-compiled-c takes 1.00 times products; the limit is 1.1: met",
        "![Time of a step and memory, by batch](performance-batch.svg)",
        "| lstm | 2,000 us |",
        "| xpnet | 5.9 | 98.00% |",
    ):
        assert written.count(line) == 1
    assert report.with_tables(written, folder) == written


def test_a_page_without_a_place_for_a_table_is_an_error(folder):
    with pytest.raises(ValueError, match="Expected one <!-- table: begin -->"):
        report.with_tables("# Performance\n", folder)


def test_the_command_writes_the_page_and_checks_it(folder):
    page = folder / "performance.md"
    marks = [f"<!-- {x}: begin -->\n\n<!-- {x}: end -->\n" for x in report.PARTS]
    page.write_text("\n".join(marks), encoding="utf-8")
    (folder / "scaling.json").unlink()  # its pictures need Matplotlib

    def command(*flags):
        where = ["--page", str(page), "--results", str(folder)]
        program = [sys.executable, str(ROOT / "benchmarks" / "report.py"), *where, *flags]
        return subprocess.run(program, capture_output=True, text=True, check=False).returncode

    assert command("--check") == 1
    assert command() == 0
    assert "**1.00** (0.90 to 1.10)" in page.read_text(encoding="utf-8")
    assert command("--check") == 0


def test_pictures_of_the_same_figures_are_the_same_files(tmp_path):
    pytest.importorskip("matplotlib", reason="Matplotlib draws the pictures")
    first, second = tmp_path / "1", tmp_path / "2"
    for target in (first, second):
        scaling.draw(by_size(), target)
    name = "performance-batch.svg"
    assert (first / name).read_bytes() == (second / name).read_bytes()


def test_the_published_tables_are_those_of_the_results():
    page = report.PAGE.read_text(encoding="utf-8")
    assert report.with_tables(page, report.RESULTS) == page


def test_published_results_have_machine_and_versions():
    names = sorted(path.stem for path in report.RESULTS.glob("*.json"))
    assert names == sorted(report.PARTS)
    for name in names:
        record = json.loads((report.RESULTS / f"{name}.json").read_text(encoding="utf-8"))
        assert record["machine"]["processor"]
        assert {"xpnet", "numpy"} <= set(record["machine"]["versions"])


# --- the examples of the page -----------------------------------------------------------------------


def examples():
    page = report.PAGE.read_text(encoding="utf-8")
    return [(match["code"], match["printed"]) for match in report.EXAMPLE.finditer(page)]


def test_the_page_has_no_code_without_its_output():
    page = report.PAGE.read_text(encoding="utf-8")
    assert page.count("```python\n") == page.count("```text\n") == len(examples()) == 8


def on_any_machine(printed):
    """A printed plan without what differs between machines: the library, and what fits its processor."""
    printed = re.sub(r"\b(binary|compiled) for \S+", "compiled for a processor", printed)
    return re.sub(r"\b\d+ (bytes|instructions)\b", r"some \1", printed)


@pytest.mark.parametrize("index", range(8))
def test_an_example_prints_what_the_page_shows(index, monkeypatch):
    try:
        load.wait()
    except CompileError as error:
        pytest.skip(f"the page shows plans of the C library: {error}")
    monkeypatch.setenv("XPNET_EXECUTOR", "c")
    code, shown = examples()[index]
    monkeypatch.setattr("xpnet.compiler.executors.c.usable_threads", lambda: 1)
    assert on_any_machine(report.printed(code)) == on_any_machine(shown)
