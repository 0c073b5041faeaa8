"""Commands at the same time: none disturbs another, and each succeeds or reports why not."""

import json
import re
import time

import safetensors.numpy

SMALL = ("--hidden", 4, "--quiet")


def results_of(processes):
    """The exit code, the output and the errors of each."""
    found = [(*process.communicate(timeout=80), process) for process in processes]
    return [(process.returncode, out, err) for out, err, process in found]


def seed_of(run):
    return json.loads((run / "config.json").read_text())["seed"]


def test_runs_that_start_together_have_different_folders(start, flowers, tmp_path):
    """Without --out each gets another one; with one --out for all, exactly one gets it."""
    out = tmp_path / "one"
    program = (
        "-c", f"import os; os.chdir({str(tmp_path)!r}); from xpnet.cli import main; main()",
    )  # fmt: skip
    free, same = [], []
    for seed in range(4):
        flags = ("train", flowers, "--epochs", 40, "--seed", seed, *SMALL)
        free.append(start(*flags, program=program))
        same.append(start(*flags, "--out", out, program=program))
    folders = {}
    for seed, (code, printed, err) in enumerate(results_of(free)):
        assert (code, err) == (0, "")
        folders[re.search(r"Run folder: (\S+)", printed)[1]] = seed
    assert len(folders) == 4
    for folder, seed in folders.items():
        assert seed_of(tmp_path / folder) == seed
    results = results_of(same)
    assert sorted(code for code, _, _ in results) == [0, 2, 2, 2]
    assert [code for code, _, _ in results].index(0) == seed_of(out)
    for code, printed, err in results:
        if code:
            assert printed == ""
            assert f"{out}: a training is writing to this folder" in err or "not empty" in err
    assert len(safetensors.numpy.load_file(out / "model.safetensors")) == 4


def test_a_running_training_can_be_tested_but_not_resumed(start, run_xpnet, flowers, tmp_path):
    """It is disturbed by neither, and can be resumed once it has been killed."""
    run = tmp_path / "run"
    process = start("train", flowers, "--epochs", 1_000_000, "--out", run, *SMALL)
    while not all((run / name).exists() for name in ("config.json", "last.safetensors")):
        assert process.poll() is None
        time.sleep(0.05)
    answer = run_xpnet("train", "--resume", run, "--epochs", 2_000_000)
    assert (answer.code, answer.out) == (2, "")
    assert (
        f"Error: {run}: a training is writing to this folder: process {process.pid} on"
        in answer.output
    )
    answer = run_xpnet("evaluate", run)
    assert (answer.code, answer.err) == (0, "")
    assert "The training was not finished" in answer.out
    assert process.poll() is None
    process.kill()
    process.wait()
    done = json.loads((run / "config.json").read_text())["epochs_finished"]
    answer = run_xpnet("train", "--resume", run, "--epochs", done + 100, "--quiet")
    assert (answer.code, answer.err) == (0, "")
    assert not (run / ".lock").exists()
