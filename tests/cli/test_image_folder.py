"""`xpnet train FOLDER`: pictures in a folder for each class are learned, tested and predicted."""

import base64
import json
import re
import shutil

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
    assert "--size 12x12" in answer.output
    assert accuracy(run_xpnet("train", folder, "--size", "9x10", *QUICK, "--out", run)) == 100
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
    answer = run_xpnet("train", one, "--test", other, "--size", 12, *QUICK, "--out", tmp_path / "o")
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
        (("--size", "0"), "'--size': expected a height and width in pixels"),
        (("--size", "9x"), "'--size': expected a height and width in pixels"),
        (("--flip", "left"), "'--flip': expected one of horizontal, vertical, both; got 'left'"),
        (("--rotate", "181"), "'--rotate': expected an angle up to 180 degrees, got 181"),
        (("--crop", "1"), "'--crop': expected a number between 0 and 1, got 1"),
        (("--color-jitter", "x"), "'--color-jitter': expected a number between 0 and 1, got 'x'"),
        (
            ("--shift", "12"),
            "'--shift': expected less than the smaller side of the images, 12 pixels",
        ),
        (("--test", "none.csv"), "'--test': none.csv: for bars, expected another folder"),
        (("--test", "none"), "'--test': expected a number between 0 and 1"),
    ],
)
def test_flags_that_do_not_suit_a_folder_are_refused(run_xpnet, bars, tmp_path, flags, message):
    answer = run_xpnet("train", bars(), *flags, *QUICK, "--out", tmp_path / "run")
    assert (answer.code, answer.out) == (2, "")
    assert message in answer.output


CHANGES = ("--color-jitter", 0.2, "--crop", 0.7, "--rotate", 5, "--shift", 1, "--flip", "both")


def test_augmentation_is_of_the_training_images_and_repeatable(run_xpnet, bars, tmp_path):
    """Each flag is one transform, which is printed; the file of the run has them; the test is unchanged."""
    run, again = tmp_path / "run", tmp_path / "again"
    answer = run_xpnet("train", bars(), *QUICK[:-1], *CHANGES, "--out", run)
    assert (
        "Random changes to the training images: ColorJitter(0.2, 0.2, 0.2), "
        "RandomResizedCrop(scale=(0.7, 1.0), ratio=(0.75, 1.33)), RandomRotation(5.0), "
        "RandomShift(1), RandomHorizontalFlip(p=0.5), RandomVerticalFlip(p=0.5)\n"
    ) in answer.out
    assert accuracy(answer) > 80
    assert accuracy(run_xpnet("evaluate", run)) == accuracy(answer)
    repeated = run_xpnet("train", "--config", run / "config.toml", "--out", again)
    assert accuracy(repeated) == accuracy(answer)
    plain = run_xpnet("train", bars(), *QUICK, "--out", tmp_path / "plain")
    assert "Random changes" not in plain.out
    first, second, third = (
        (tmp_path / name / "model.safetensors").read_bytes() for name in ("run", "again", "plain")
    )
    assert first[-1000:] == second[-1000:]  # weights; the file's head has the folder
    assert first[-1000:] != third[-1000:]


@pytest.mark.parametrize("resumed", [False, True])
def test_sample_images_are_drawn_and_shown_in_the_report(
    run_xpnet, bars, tmp_path, drawing, resumed
):
    """All classes, each twelve images at most, as they are after the changes."""
    run = tmp_path / "run"
    answer = run_xpnet("train", bars(), *QUICK[:-1], *CHANGES, "--out", run)
    assert f"Training images, as the network sees them: {run / 'samples.png'}\n" in answer.out
    with Image.open(run / "samples.png") as picture:
        assert picture.width > 3 * picture.height  # a row of eight for each of two classes
    before = (run / "samples.png").read_bytes()
    if resumed:
        assert run_xpnet("train", "--resume", run, "--epochs", 13).code == 0
    run_xpnet("evaluate", run)
    assert (run / "samples.png").read_bytes() == before
    page = (run / "report.html").read_text()
    assert "<h2>Training images</h2>" in page
    assert base64.b64encode(before).decode() in page


def test_what_is_left_out_of_a_folder_is_printed(run_xpnet, bars, tmp_path):
    """Files without a picture's suffix, and pictures of no class; not those that a system adds."""
    folder = bars()
    shutil.copy(folder / "lying" / "01.png", folder / "cover.png")
    for name in "notes.txt", ".DS_Store", "Thumbs.db":
        (folder / "lying" / name).write_text("no picture")
    answer = run_xpnet("train", folder, *QUICK[:-1], "--out", tmp_path / "run")
    expected = f"Left out: 1 file without the suffix of a picture, such as {folder / 'lying' / 'notes.txt'}\n"
    assert expected in answer.out
    assert (
        f"Left out: 1 picture in no class's folder, such as {folder / 'cover.png'}\n" in answer.out
    )


def test_a_folder_is_predicted(run_xpnet, bars, tmp_path):
    """All pictures in it, in order; one without pictures in itself is reported, and the others are predicted."""
    folder, run = bars(), tmp_path / "run"
    assert run_xpnet("train", folder, *QUICK, "--out", run).code == 0
    (folder / "lying" / "notes.txt").write_text("no picture")
    single = folder / "standing" / "07.png"
    (tmp_path / "empty").mkdir()
    classes = folder / "lying", folder / "standing"
    answer = run_xpnet("predict", run, single, tmp_path / "empty", *classes, folder)
    assert answer.code == 2
    assert (
        f"{tmp_path / 'empty'}: no pictures in it; expected files that end in .avif" in answer.err
    )
    assert f"{folder}: no pictures in it" in answer.err
    assert len(answer.err.splitlines()) == 2
    lines = [line.split() for line in answer.out.splitlines()]
    names = [
        str(folder / kind / f"{i:02}.png") for kind in ("lying", "standing") for i in range(20)
    ]
    assert [line[0] for line in lines] == [str(single), *names]
    assert [line[1] for line in lines] == ["standing"] + ["lying"] * 20 + ["standing"] * 20
    assert all(50 < float(line[2].rstrip("%")) <= 100 for line in lines)


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


@pytest.mark.parametrize("dataset", [".", "../bars.v2"])
def test_the_report_of_other_pictures_has_the_whole_name_of_their_folder(
    run_xpnet, bars, tmp_path, monkeypatch, dataset
):
    """Without what follows a dot, two versions would share a report; and "." has no name of its own."""
    pytest.importorskip("matplotlib")
    run = tmp_path / "run"
    assert run_xpnet("train", bars(), *QUICK, "--epochs", 1, "--out", run).code == 0
    monkeypatch.chdir(bars("bars.v2"))
    answer = run_xpnet("evaluate", run, "--dataset", dataset)
    assert answer.out.endswith(f"Report page: {run / 'report-bars.v2.html'}\n"), answer.output
