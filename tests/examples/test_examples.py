"""The lessons print the tutorials' numbers, and draw pictures, on every backend.

Each lesson runs as a reader runs it, in a process of its own. Long runs are marked slow; the nox
session `examples` runs these too.
"""

import re
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from PIL import Image

from tests.processes import example

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
LESSONS = sorted(path.stem for path in EXAMPLES.glob("t[0-9]_*.py"))
T1, T2, T3, T4, T5 = LESSONS

LOSSES = [  # of lesson 4, at iteration 0, 1000, ... 9000
    *(0.84737, 0.25143, 0.24759, 0.23786, 0.21222),
    *(0.16742, 0.09682, 0.07850, 0.07750, 0.07722),
]
FLOORS = {"diabetes": 0.48, "cancer": 0.97, "digits": 0.965}  # a linear model: 0.485, 0.979, 0.971


def page_of(lesson):
    """The text of a lesson's page."""
    return (ROOT / "docs" / "lessons" / f"{lesson}.md").read_text(encoding="utf-8")


@pytest.fixture
def run(tmp_path):
    """A function that runs a lesson, checks its picture, and returns what it printed."""

    def run(lesson, backend, *flags):
        done = example(lesson, "--backend", backend, "--out", tmp_path, *flags)
        assert (done.returncode, done.stderr) == (0, "")
        picture = tmp_path / f"{lesson}.png"
        assert done.stdout.endswith(f"\npicture: {picture}\n")
        with Image.open(picture) as image:
            assert image.format == "PNG"
            image.verify()
        with Image.open(picture) as image:  # verified, an image is used up
            assert image.width >= 800
            assert image.height >= 400
            colours = image.convert("RGB").getcolors(image.width * image.height)
        assert colours is not None
        assert len(colours) > 100  # lines and letters, with their soft edges
        assert [path.name for path in tmp_path.iterdir()] == [picture.name]
        return done.stdout

    return run


# --- lesson 1: a computational graph -----------------------------------------------------------


def test_t1_prints_the_lessons_numbers(backend64, tmp_path):
    """In its order and to the last digit: 1.1 * 100 and 1.1 * 3 are rounded in binary."""
    done = example(T1, "--backend", backend64.name, "--out", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.findall(r"^(\w+(?: \w+)?) +([\d.]+)$", done.stdout, re.MULTILINE) == [
        ("total", "671.0"),
        ("apple price", "4.4"),
        ("apple count", "110.00000000000001"),
        ("mandarin price", "3.3000000000000003"),
        ("mandarin count", "77.0"),
        ("apple total", "1.1"),
        ("mandarin total", "1.1"),
        ("fruit total", "1.1"),
        ("tax", "610.0"),
    ]
    graph = tmp_path / f"{T1}.dot"
    assert f"\ngraph: {graph}\n" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == [graph.name]
    text = graph.read_text(encoding="utf-8")
    assert text.startswith("digraph")
    for name in ("apple price", "mandarin total", "fruit total", "tax"):
        assert name in text


# --- lesson 2: one layer ------------------------------------------------------------------------


def test_t2_finds_the_rule(run, backend):
    """The true weights are what seed 0 draws; they and the 3 are found to within 1e-3."""
    printed = run(T2, backend.name)
    pairs = [line.split() for line in printed.split("found\n")[1].split("\n\n")[0].splitlines()]
    true, found = np.array(pairs, dtype=float).T
    weights = np.random.default_rng(0).uniform(-5.0, 5.0, 10)
    np.testing.assert_allclose(true, [*weights, 3.0], atol=6e-5)  # printed with four digits
    np.testing.assert_allclose(found, [*weights, 3.0], atol=1e-3)
    assert float(re.search(r"largest difference: (\S+)", printed)[1]) < 1e-3


def test_t2_prints_the_error_each_hundred_epochs(run):
    """What it learns on each library is tested above. The page says: "level below 1e-9 after 750 epochs"."""
    printed = run(T2, "numpy")
    epochs, errors = zip(*re.findall(r"epoch +(\d+) +error (\S+)", printed), strict=True)
    assert list(map(int, epochs)) == list(range(0, 1001, 100))
    falling, level = np.split(np.array(errors, dtype=float), [7])
    assert np.all(falling[:-1] > 10.0 * falling[1:])
    assert falling[-1] > 1e-9
    assert "level below 1e-9 after 750 epochs" in page_of("one-layer")
    assert np.all(level[1:] < 1e-9)
    np.testing.assert_allclose(level[1:], level[-1], rtol=0.1)


# --- lesson 3: a multi-layer perceptron -----------------------------------------------------------


def scores(printed):
    """{data set: (score, that of a constant guess)}."""
    rows = re.findall(r"^(\w+) +\w+ +\w+_score +(-?[\d.]+) +(-?[\d.]+)$", printed, re.MULTILINE)
    return {name: (float(score), float(guess)) for name, score, guess in rows}


@pytest.mark.parametrize("hidden", ["32", "32,16"])
def test_t3_learns_three_kinds_of_task(run, backend, hidden):
    """After few passes it is far above a constant guess; an int is as good as a list."""
    pytest.importorskip("sklearn", reason="the data come with scikit-learn: the extra `examples`")
    printed = run(T3, backend.name, "--hidden", hidden, "--epochs", 6)
    shown = f"[{hidden.replace(',', ', ')}]" if "," in hidden else hidden
    assert printed.startswith(f"hidden: {shown}\n")
    found = scores(printed)
    assert list(found) == ["diabetes", "cancer", "digits"]
    assert all(score > guess + 0.3 for score, guess in found.values())


@pytest.mark.slow
@pytest.mark.parametrize("hidden", ["32", "32,16"])
def test_t3_reaches_its_scores(run, hidden):
    """About what scikit-learn's linear models reach on the same split, or more: see FLOORS."""
    pytest.importorskip("sklearn", reason="the data come with scikit-learn: the extra `examples`")
    found = scores(run(T3, "numpy", "--hidden", hidden))
    assert {name: score for name, (score, _) in found.items() if score < FLOORS[name]} == {}


@pytest.mark.slow
def test_the_page_of_t3_states_its_scores(run):
    """To one of the 100 to 400 rows for the test."""
    pytest.importorskip("sklearn", reason="the data come with scikit-learn: the extra `examples`")
    page = page_of("multilayer-perceptron")
    assert "$ python examples/t3_multilayer_perceptron.py --hidden 32\n" in page
    stated = re.findall(r"(\w+) (?:R²|accuracy) = (\d\.\d+)", page)
    found = scores(run(T3, "numpy", "--hidden", "32"))
    assert [name for name, _ in stated] == list(found)
    for name, score in stated:
        assert float(score) == pytest.approx(found[name][0], abs=0.01)


# --- lesson 4: define by run ----------------------------------------------------------------------


def losses(printed):
    """(iterations, losses) of the network composed by hand, and of the fused one."""
    for name in ("composed by hand", "fused"):
        rows = printed.split(f"{name}\n")[1].split("\n\n")[0].splitlines()
        iterations, values = zip(*(row.split() for row in rows), strict=True)
        yield list(map(int, iterations)), list(map(float, values))


def test_t4_begins_with_the_lessons_losses(run, backend64):
    """At iteration 0 and 1000, composed and fused, to 1e-5."""
    by_hand, fused = losses(run(T4, backend64.name, "--iterations", 1001))
    for iterations, values in (by_hand, fused):
        assert iterations == [0, 1000]
        np.testing.assert_allclose(values, LOSSES[:2], rtol=0, atol=1.001e-5)


@pytest.mark.slow
def test_t4_prints_all_of_the_lessons_losses(run):
    by_hand, fused = losses(run(T4, "numpy"))
    for iterations, values in (by_hand, fused):
        assert iterations == list(range(0, 10_000, 1000))
        np.testing.assert_allclose(values, LOSSES, rtol=0, atol=1.001e-5)


# --- lesson 5: a two-layer network ----------------------------------------------------------------


def accuracies(printed):
    """[(epoch, train, test)]."""
    rows = re.findall(r"^epoch +(\d+) +loss \S+ +train (\S+) +test (\S+)$", printed, re.MULTILINE)
    return [(int(epoch), float(train), float(test)) for epoch, train, test in rows]


def test_t5_agrees_with_differences_and_learns(run, backend64):
    """Both gradients are one to 1e-7 in float64; an epoch of 300 batches learns most digits."""
    printed = run(T5, backend64.name, "--iterations", 320)
    assert 0.0 < float(re.search(r"differ by at most (\S+)", printed)[1]) < 1e-7
    (first, train, test), (second, *_) = accuracies(printed)
    assert (first, second) == (1, 2)  # the last batches are shown too
    assert min(train, test) > 0.85


@pytest.mark.slow
def test_t5_reaches_97_per_cent(run):
    """In the lesson's 20,000 iterations."""
    history = accuracies(run(T5, "numpy"))
    assert [epoch for epoch, *_ in history] == list(range(1, 68))
    assert history[-1][2] >= 0.97


# --- what all of them have in common ---------------------------------------------------------------


@pytest.mark.parametrize("lesson", LESSONS)
def test_a_lesson_shows_how_to_run_it(lesson):
    """No more than 100 columns wide, and in the list of lessons; test_project.py counts lines."""
    text = (EXAMPLES / f"{lesson}.py").read_text(encoding="utf-8")
    assert max(map(len, text.splitlines())) <= 100
    assert f"    python examples/{lesson}.py" in text
    assert f"({lesson}.py)" in (EXAMPLES / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("lesson", LESSONS)
def test_help_is_the_lesson_itself(lesson):
    done = example(lesson, "--help", COLUMNS="100")
    assert done.returncode == 0
    assert f"Lesson {lesson[1]}: " in done.stdout
    for flag in ("--backend", "--out"):
        assert flag in done.stdout


@pytest.mark.parametrize("lesson", LESSONS)
def test_what_cannot_be_done_is_said_at_once(lesson, tmp_path):
    """Exit code 2 and one sentence, before any training."""
    if lesson == T3:
        pytest.importorskip("sklearn", reason="it looks for scikit-learn first")
    done = example(lesson, "--backend", "cupy:99", "--out", tmp_path)  # no machine has so many GPUs
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"{lesson}.py: The backend 'cupy:99' cannot be used: ")
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--colour", "red"], "unrecognized arguments: --colour red"),
        (["--iterations", "0"], "invalid positive value: '0'"),
        (["--iterations", "many"], "invalid positive value: 'many'"),
        (["--backend", "abacus"], "Unknown backend 'abacus'"),
    ],
)
def test_a_wrong_flag(flags, words):
    done = example(T4, *flags)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("hidden", ["", "0", "32,", "-1", "three"])
def test_a_wrong_width(hidden):
    """The text that was given, and one that would do."""
    done = example(T3, f"--hidden={hidden}")
    assert done.returncode == 2
    assert f"expected a width as in 32, or several as in 32,16; got {hidden!r}" in done.stderr


def test_a_folder_that_cannot_be_written(tmp_path):
    """It is found out before the training, not after it."""
    file = tmp_path / "file"
    file.touch()
    for out in (file, file / "folder"):
        done = example(T4, "--out", out)
        assert (done.returncode, done.stdout) == (2, "")
        assert str(file) in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("lesson", "packages"), [(T2, "matplotlib"), (T3, "matplotlib scikit-learn")]
)
def test_an_error_names_the_missing_packages(lesson, packages, tmp_path):
    hidden = "import sys; sys.modules['matplotlib'] = sys.modules['sklearn'] = None"
    (tmp_path / "sitecustomize.py").write_text(hidden, encoding="utf-8")
    done = example(lesson, first=str(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"{lesson}.py: install first: pip install {packages}\n"


def test_the_backend_may_be_set_in_the_environment(tmp_path):
    """The flag takes precedence."""
    done = example(T1, "--out", tmp_path, XPNET_BACKEND="abacus")
    assert (done.returncode, "Unknown backend 'abacus'" in done.stderr) == (2, True)
    done = example(T1, "--out", tmp_path, "--backend", "numpy", XPNET_BACKEND="abacus")
    assert done.returncode == 0
