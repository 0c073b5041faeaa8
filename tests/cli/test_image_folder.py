"""`xpnet train FOLDER`: pictures in a folder for each class are learned, tested and predicted."""

import json
import re

import numpy as np
import pytest

Image = pytest.importorskip("PIL.Image", reason="pictures need Pillow")

QUICK = ("--hidden", 16, "--epochs", 12, "--batch-size", 8, "--quiet")


def draw(path, kind, rng, size=12):
    """A noisy picture with a vertical or horizontal bar."""
    pixels = rng.integers(0, 60, (size, size, 3))
    middle = slice(size // 3, 2 * size // 3)
    pixels[(slice(None), middle) if kind == "standing" else (middle,)] += 180
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype("u1")).save(path)


@pytest.fixture
def bars(tmp_path):
    """A function that makes a folder with 20 pictures of each of two classes."""

    def make(name="bars", parts=("",), **options):
        rng = np.random.default_rng(0)
        for part in parts:
            for kind in "lying", "standing":
                for i in range(20):
                    draw(tmp_path / name / part / kind / f"{i:02}.png", kind, rng, **options)
        return tmp_path / name

    return make


def accuracy(answer):
    assert answer.code == 0, answer.output
    return float(re.search(r"accuracy (\S+)%", answer.out)[1])


@pytest.mark.parametrize("model", ["mlp", "lenet"])
def test_a_folder_is_learned_tested_and_predicted(run_xpnet, bars, tmp_path, model):
    folder, run = bars(size=16), tmp_path / "run"
    flags = ("--model", model, *(QUICK if model == "mlp" else QUICK[2:]))
    answer = run_xpnet("train", f"{folder}/", *flags[:-1], "--augment", "--out", run)
    assert answer.out.startswith("32 training and 8 test images, on numpy")
    assert accuracy(answer) == 100
    answer = run_xpnet("evaluate", run)
    assert answer.out.startswith(f"8 test images of {folder}, on numpy")
    assert re.search(r"^ *standing +4 +100.00%", answer.out, re.MULTILINE)
    pictures = [folder / kind / "03.png" for kind in ("lying", "standing")]
    lines = run_xpnet("predict", run, *pictures).out.splitlines()
    assert [line.split()[1] for line in lines] == ["lying", "standing"]
    reading = json.loads((run / "config.json").read_text())["reading"]
    assert (reading["kind"], reading["shape"]) == ("folder", [3, 16, 16])


def test_relative_paths_work_in_runs_and_in_files_of_flags(run_xpnet, bars, tmp_path, monkeypatch):
    """A run can be used from any folder; the paths of a file are relative to the file."""
    bars()
    run, again = tmp_path / "run", tmp_path / "again"
    monkeypatch.chdir(tmp_path)
    assert accuracy(run_xpnet("train", "bars", *QUICK, "--out", run)) == 100
    (tmp_path / "c.toml").write_text('dataset = "bars"\nepochs = 1\n')
    monkeypatch.chdir("/")
    assert accuracy(run_xpnet("evaluate", run)) == 100
    assert (
        run_xpnet("train", "--config", tmp_path / "c.toml", "--quiet", "--out", tmp_path / "c").code
        == 0
    )
    assert run_xpnet("train", "--resume", run, "--epochs", 13, "--quiet").code == 0
    config = run / "config.toml"
    assert accuracy(run_xpnet("train", "--config", config, "--quiet", "--out", again)) == 100


def test_pictures_of_several_sizes_need_a_size(run_xpnet, bars, tmp_path):
    """The message names the flag; with it, pictures to predict are resized as well."""
    folder, run = bars(), tmp_path / "run"
    draw(folder / "lying" / "large.png", "lying", np.random.default_rng(1), size=40)
    answer = run_xpnet("train", folder, *QUICK, "--out", run)
    assert (answer.code, answer.out) == (2, "")
    assert f"{folder / 'lying' / 'large.png'}: 40 x 40 pixels" in answer.output
    assert "--image-size 12x12" in answer.output
    assert accuracy(run_xpnet("train", folder, "--image-size", "9x10", *QUICK, "--out", run)) == 100
    assert accuracy(run_xpnet("evaluate", run)) == 100
    assert " lying " in run_xpnet("predict", run, folder / "lying" / "large.png").out
    reading = json.loads((run / "config.json").read_text())["reading"]
    assert reading["shape"] == [3, 9, 10]


def test_a_folder_may_have_its_own_test(run_xpnet, bars, tmp_path):
    """In the folder, by a flag, or later; the training pictures are not needed for it."""
    folder, run = bars("both", ("train", "test")), tmp_path / "run"
    answer = run_xpnet("train", folder, *QUICK[:-1], "--out", run)
    assert answer.out.startswith("40 training and 40 test images")
    answer = run_xpnet("train", folder, "--test", 0.5, *QUICK, "--out", tmp_path / "no")
    assert (answer.code, answer.out) == (2, "")
    assert "it has a test of its own, test" in answer.output
    for path in (folder / "train").rglob("*.png"):
        path.write_bytes(b"")
    assert run_xpnet("evaluate", run).out.startswith(f"40 test images of {folder}")
    one, other = bars("one"), bars("other", size=13)
    answer = run_xpnet("train", one, "--test", one, *QUICK, "--out", tmp_path / "no")
    assert "the test data are the training data themselves" in answer.output
    assert run_xpnet("evaluate", run, "--dataset", one).out.startswith(f"40 test images of {one}")
    answer = run_xpnet(
        "train", one, "--test", other, "--image-size", 12, *QUICK, "--out", tmp_path / "o"
    )
    assert accuracy(answer) > 90
    assert run_xpnet("evaluate", tmp_path / "o").out.startswith(f"40 test images of {other}")


def test_changed_pictures_are_refused(run_xpnet, bars, tmp_path):
    """A new or a different picture: it is unknown which were learned."""
    folder, run = bars(), tmp_path / "run"
    before = accuracy(run_xpnet("train", folder, *QUICK, "--out", run))
    draw(folder / "lying" / "00a.png", "lying", np.random.default_rng(1))
    answer = run_xpnet("evaluate", run)
    assert (answer.code, answer.out) == (2, "")
    assert (
        f"{folder}: it has changed since the training: it has 41 samples instead of 40"
        in answer.output
    )
    answer = run_xpnet("train", "--resume", run, "--epochs", 20)
    assert (answer.code, answer.out) == (2, "")
    assert "is not what the run was trained on" in answer.output
    (folder / "lying" / "00a.png").unlink()
    assert accuracy(run_xpnet("evaluate", run)) == before
    (folder / "weed").mkdir()
    draw(folder / "weed" / "1.png", "lying", np.random.default_rng(1))
    assert "the class 'weed' was not seen in training" in run_xpnet("evaluate", run).output


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--task", "regress"), "'--task': regress is for numbers in a table; bars has classes"),
        (("--target", "a"), "'--target': it is for CSV tables; the data are bars"),
        (("--data-dir", "."), "'--data-dir': it is for data sets of images; the data are bars"),
        (("--image-size", "0"), "'--image-size': expected a height and width in pixels"),
        (("--image-size", "9x"), "'--image-size': expected a height and width in pixels"),
        (("--test", "none.csv"), "'--test': none.csv: for bars, expected another folder"),
        (("--test", "none"), "'--test': expected a number between 0 and 1"),
    ],
)
def test_flags_that_do_not_suit_a_folder_are_refused(run_xpnet, bars, tmp_path, flags, message):
    answer = run_xpnet("train", bars(), *flags, *QUICK, "--out", tmp_path / "run")
    assert (answer.code, answer.out) == (2, "")
    assert message in answer.output


def test_a_folder_without_pictures_of_classes_is_refused(run_xpnet, bars, tmp_path):
    folder, run = bars(), tmp_path / "run"
    answer = run_xpnet("train", tmp_path / "none", "--out", run)
    assert (answer.code, answer.out) == (2, "")
    assert "or an existing folder that has a folder of pictures for each class" in answer.output
    answer = run_xpnet("train", folder / "lying", "--out", run)
    assert "found no folder, and 20 pictures" in answer.output
    (folder / "lying" / "05.png").write_bytes(b"no picture")
    answer = run_xpnet("train", folder, "--out", run)
    assert (
        f"{folder / 'lying' / '05.png'}: expected a picture that Pillow can read" in answer.output
    )
    assert not run.exists()


def test_the_name_of_a_data_set_takes_precedence_over_a_folder(
    run_xpnet, bars, tmp_path, monkeypatch
):
    """A folder with the name of a data set is given by its path."""
    bars("mnist")
    monkeypatch.chdir(tmp_path)
    answer = run_xpnet("train", "./mnist", *QUICK, "--out", "run")
    assert accuracy(answer) == 100
    (tmp_path / "c.toml").write_text('dataset = "./mnist"\nepochs = 1\nbatch-size = 8\n')
    answer = run_xpnet("train", "--config", "c.toml", "--out", "c")
    assert answer.out.startswith("32 training and 8 test images")
    answer = run_xpnet("train", "mnist", "--test", 0.5, "--out", "no")
    assert "'--test': it is for tables; mnist has its own test images" in answer.output
