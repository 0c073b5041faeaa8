"""Any value on the command line or in a configuration gives a result or a message, and no traceback."""

import json
import math
import re
import shutil

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from typer.testing import CliRunner

from tests.cli.conftest import Answer
from xpnet import schedules
from xpnet.cli.commands import app
from xpnet.errors import DataError

FLAGS = {  # of each command, those that take a value
    "train": ["--dataset", "--data-dir", "--target", "--test", "--task", "--model", "--hidden",
              "--activation", "--epochs", "--batch-size", "--optimizer", "--lr", "--schedule",
              "--weight-decay", "--clip", "--seed", "--backend", "--dtype", "--precision", "--out",
              "--resume", "--config", "DATASET"],
    "evaluate": ["RUN", "--backend", "--data-dir", "--dataset", "--report"],
    "predict": ["RUN", "FILE", "--backend"],
    "doctor": ["FILE"],
}  # fmt: skip
VALUES = [
    "", " ", "-", "--", "-1", "0", "-0.0", "nan", "inf", "-inf", "1e400", "1e-400", "9" * 5000,
    "1_0", "0x10", "٣", "1,2", "1,,2", ",", ":", "::", ":f", "x.py:", "none.py:f", "a:b:c",
    "linear:", "linear:end", "linear:warmup=1e308", "step:size=" + "9" * 5000, "one-cycle:warmup=1",
    "one-cycle:div_factor=1e-300,final_div_factor=1e-300", "exponential:gamma=1e308",
    "multi-step:milestones=" + "/".join(["1"] * 5000), "cosine-restarts:size=0",
    "\0", "a\0b.csv", "\n", "a\tb", "caf\udce9", "caf\udce9.csv", "\ud800.npz", "\x1b[2J", "🙂", "[red]",
    "%s%n", "{0}", "$HOME", "~", "/", ".", "..", "a" * 5000, "a" * 5000 + ".csv", "a/" * 3000 + "x.npz",
    "/dev/null", "/dev/zero", "none/none", "empty.csv", "folder.csv", "folder.npz", "loop.csv", "loop/x",
    "text.csv/x.csv", "text.csv", "noise.csv", "noise.npz", "noise.png", "noise.toml", "noise.py:f",
    "none.csv", "torch:cuda", "numpy:1", "cupy:-1", "cupy:99999999999999999999", "torch:", ":0",
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory, few_digits):
    """A folder with invalid files, a small data set, and a run on it."""
    folder = tmp_path_factory.mktemp("hostile")
    shutil.copytree(few_digits, folder / "few")
    for name in ("folder.csv", "folder.npz"):
        (folder / name).mkdir()
    (folder / "empty.csv").touch()
    (folder / "text.csv").write_text("no table at all\n")
    for name in ("noise.csv", "noise.npz", "noise.png", "noise.toml", "noise.py"):
        (folder / name).write_bytes(bytes(range(256)) * 20)
    for name in ("loop.csv", "loop"):
        (folder / name).symlink_to(folder / name)
    shutil.copyfile(folder / "few" / "t10k-images-idx3-ubyte", folder / "digits")
    return folder


@pytest.fixture(scope="module")
def trained(folder):
    """A run on the small data set."""
    run = [
        "train",
        "--data-dir",
        str(folder / "few"),
        "--out",
        str(folder / "run"),
        *SHORT_TRAINING,
    ]
    assert CliRunner().invoke(app, run).exit_code == 0
    return folder / "run"


SHORT_TRAINING = ["--epochs", "1", "--batch-size", "100", "--hidden", "4", "--quiet"]


def command(name, flag, value, run):
    """The words of a command that is valid but for the value of one flag or argument."""
    if name == "train":
        short = {
            "--data-dir": "few",
            **dict(zip(SHORT_TRAINING[:6:2], SHORT_TRAINING[1:6:2], strict=True)),
        }
        if flag == "--resume":
            short = {}
        short.pop(flag, None)
        words = [word for pair in short.items() for word in pair]
    elif name == "evaluate":
        words = [] if flag == "RUN" else [str(run)]
    elif name == "predict":
        words = [value if flag == "RUN" else str(run), value if flag == "FILE" else "noise.png"]
        return [name, *words] if flag.isupper() else [name, *words, flag, value]
    else:
        words = []
    return [name, *words, value] if flag.isupper() else [name, *words, f"{flag}={value}"]


def require_a_sentence(answer):
    """Require success or an error message; `Answer` has checked that nothing else was raised."""
    assert answer.code in (0, 2), answer.err
    assert "Traceback" not in answer.err
    plain = re.sub(r"\x1b\[[\d;]*m", "", answer.out + answer.err)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]", plain)
    if answer.code == 2:
        assert answer.err.strip()
        assert len(answer.err) < 60_000


@pytest.mark.parametrize(
    ("name", "flag"), [(name, flag) for name, flags in FLAGS.items() for flag in flags]
)
def test_no_value_of_a_flag_leads_to_a_traceback(
    run_xpnet, folder, trained, tmp_path, monkeypatch, name, flag
):
    """Each flag of each command with some eighty unusual values."""
    for entry in folder.iterdir():
        if entry.name != "run":
            (tmp_path / entry.name).symlink_to(entry)
    monkeypatch.chdir(tmp_path)
    paths = VALUES[VALUES.index("\0") :]
    for value in paths if flag == "--report" else VALUES:
        answer = run_xpnet(*command(name, flag, value, trained))
        require_a_sentence(answer)


# --- a configuration ------------------------------------------------------------------------------

TOML = {
    "nested brackets": "epochs = " + "[" * 3000 + "]" * 3000,
    "nested tables": "epochs = " + "{a = " * 3000 + "1" + "}" * 3000,
    "a nested key": ".".join(["epochs"] * 3000) + " = 1",
    "nested headers": "[" + ".".join(["a"] * 3000) + "]",
    "a hexadecimal of 4,000 digits": "epochs = 0x" + "f" * 4000,
    "its width": "hidden = 0x" + "f" * 4000,
    "its widths": "hidden = [4, 0x" + "f" * 4000 + "]",
    "its rate": "lr = 0x" + "f" * 4000,
    "a rate of 400 digits": "lr = 1" + "0" * 399,
    "a seed of 400 digits": "seed = 1" + "0" * 399,
    "a decimal of 5,000 digits": "epochs = " + "9" * 5000,
    "a float of 5,000 digits": "lr = -0." + "9" * 5000,
    "infinite": "lr = inf",
    "not a number": "clip = nan",
    "a date": "epochs = 1979-05-27",
    "a time": "lr = 07:32:00",
    "a moment": "seed = 1979-05-27T07:32:00Z",
    "a dotted key": "lr.value = 0.1",
    "a table": "[lr]\nvalue = 1",
    "tables": "[[lr]]\nvalue = 1",
    "the same key twice": "lr = 0.1\nlr = 0.2",
    "a key in quotes": '"lr\\u0000" = 0.1',
    "an empty key": '"" = 1',
    "mixed widths": 'hidden = [4, "4"]',
    "no widths": "hidden = []",
    "widths of widths": "hidden = [[4]]",
    "true as a number": "epochs = true",
    "a number as a text": 'epochs = "1"',
    "a text as true": 'quiet = "yes"',
    "a large text": f'optimizer = "{"a" * 500_000}"',
    "a large file": "#" * 2**21,
    "a lone surrogate": 'dataset = "\\ud800.csv"',
    "nothing": "lr =",
    "a name of XML": '<?xml version="1.0"?>',
    "JSON": json.dumps({"epochs": 1}),
    "what cannot be in a file": 'config = "other.toml"',
}


@pytest.mark.parametrize("text", TOML.values(), ids=TOML)
def test_no_configuration_leads_to_a_traceback(run_xpnet, tmp_path, text):
    path = tmp_path / "train.toml"
    path.write_text(text, encoding="utf-8")
    answer = run_xpnet("train", "--config", path, "--out", tmp_path / "run")
    require_a_sentence(answer)
    assert answer.code == 2
    assert "'--config': " in answer.output
    assert "train.toml" in answer.output.replace(" ", "")
    assert len(answer.err) < 3000
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "key",
    ["dataset", "test", "data-dir", "model", "out", "target", "backend", "optimizer", "schedule",
     "task", "dtype", "precision", "activation", "hidden"],
)  # fmt: skip
@pytest.mark.parametrize("text", ["a\\u0000b.csv", "\\u0000", "mnist\\u0000", "a\\u0000.py:f"])
def test_a_nul_character_in_a_string_is_refused(run_xpnet, tmp_path, key, text):
    """In C a path ends at NUL: another file might be read."""
    path = tmp_path / "train.toml"
    path.write_text(f'{key} = "{text}"', encoding="utf-8")
    answer = run_xpnet("train", "--config", path)
    require_a_sentence(answer)
    assert answer.code == 2
    assert f"train.toml: {key}: expected" in answer.output


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_byte_order_mark_is_accepted(run_xpnet, few_digits, tmp_path, encoding, newline):
    """As Notepad and PowerShell write it, in configurations and in tables."""
    lines = [
        f"data-dir = '{few_digits}'",
        "epochs = 1",
        "hidden = 4",
        "batch-size = 100",
        "quiet = true",
    ]
    path = tmp_path / "train.toml"
    path.write_text("\n".join(lines), encoding=encoding, newline=newline)
    answer = run_xpnet("train", "--config", path, "--out", tmp_path / "run")
    assert (answer.code, answer.err) == (0, "")


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_another_encoding_is_named(run_xpnet, tmp_path, encoding):
    path = tmp_path / "train.toml"
    path.write_text("# é\nepochs = 1\n", encoding=encoding)
    answer = run_xpnet("train", "--config", path)
    assert answer.code == 2
    assert "is not valid TOML: expected UTF-8" in answer.output
    assert "Save it as UTF-8." in answer.output


# --- file names that are no UTF-8 -----------------------------------------------------------------


def path_not_in_utf8(folder, name="caf\udce9.csv"):
    """A path whose last part is not UTF-8, where a file system allows it."""
    path = folder / name
    try:
        path.touch()
    except OSError:
        pytest.skip("this file system accepts only UTF-8")
    path.unlink()
    return path


@pytest.mark.parametrize("flag", ["DATASET", "--dataset", "--test", "--model", "--data-dir"])
def test_a_path_that_the_configuration_cannot_hold_is_refused(
    run_xpnet, flowers, few_digits, tmp_path, flag
):
    """TOML is Unicode: the run could not be repeated or resumed. Nothing is written."""
    name = {"--model": "caf\udce9.py", "--data-dir": "caf\udce9"}.get(flag, "caf\udce9.csv")
    path = path_not_in_utf8(tmp_path, name)
    if flag == "--data-dir":
        shutil.copytree(few_digits, path)
    elif flag == "--model":
        path.write_text("import xpnet\nnet = lambda s, n: xpnet.MLP(s[0], 4, n)\n")
    else:
        shutil.copy(flowers, path)
    value = f"{path}:net" if flag == "--model" else path
    words = {
        "DATASET": [path],
        "--dataset": ["--dataset", path],
        "--data-dir": ["--data-dir", path],
    }
    answer = run_xpnet(
        "train", *words.get(flag, [flowers, flag, value]), "--epochs", 1, "--out", tmp_path / "run"
    )
    assert answer.code == 2
    assert re.search(r"caf\\xe9.*expected a path in UTF-8.*Rename", answer.output)
    assert not (tmp_path / "run").exists()


def test_the_name_of_a_parent_folder_counts_as_well(run_xpnet, flowers, tmp_path, monkeypatch):
    above = path_not_in_utf8(tmp_path, "caf\udce9")
    above.mkdir()
    shutil.copy(flowers, above / "t.csv")
    monkeypatch.chdir(above)
    answer = run_xpnet("train", "t.csv", "--epochs", 1)
    assert answer.code == 2
    assert r"caf\xe9/t.csv: expected a path in UTF-8" in answer.output


def test_a_run_folder_may_have_any_name(run_xpnet, flowers, tmp_path):
    """It is in no configuration: train, resume, evaluate with its page, predict."""
    run = path_not_in_utf8(tmp_path, "caf\udce9")
    table = path_not_in_utf8(tmp_path)
    shutil.copy(flowers, table)
    flags = ("--epochs", 1, "--hidden", 4, "--out", run)
    for words in (
        ["train", flowers, *flags],
        ["train", "--resume", run, "--epochs", 2],
        ["evaluate", run],
        ["evaluate", run, "--dataset", table, "--report", tmp_path / "r\udce9.html"],
        ["predict", run, table],
    ):
        answer = run_xpnet(*words)
        assert (answer.code, answer.err) == (0, ""), words
        assert not re.search("[\ud800-\udfff]", answer.out)
    page = (tmp_path / "r\udce9.html").read_text(encoding="utf-8")
    assert "caf\\udce9" in page


# --- values drawn by Hypothesis -------------------------------------------------------------------

FLAG_VALUES = st.one_of(
    st.text(st.characters(exclude_categories=()), max_size=30),
    st.from_regex(r"[a-z-]{0,12}(:[a-z_]{1,10}=[0-9./e-]{0,6}){0,2}", fullmatch=True),
    st.floats().map(str),
    st.integers().map(str),
    st.sampled_from(VALUES),
)
TOML_VALUES = st.recursive(
    st.one_of(
        st.text(st.characters(exclude_categories=("Cs",)), max_size=20).map(json.dumps),
        st.integers(-(10**30), 10**30).map(str),
        st.floats().map(lambda x: "nan" if math.isnan(x) else str(x)),
        st.sampled_from(["true", "false", "1979-05-27", "07:32:00"]),
    ),
    lambda value: st.lists(value, max_size=3).map(lambda values: f"[{', '.join(values)}]"),
    max_leaves=4,
)
HYPOTHESIS = settings(
    max_examples=150, deadline=None, derandomize=True, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
PARSED_FLAGS = [
    flag for flag in FLAGS["train"] if flag not in ("DATASET", "--out", "--resume", "--config")
]


@pytest.fixture
def parse(monkeypatch, tmp_path):
    """A function that parses and checks the flags of a command line, but trains nothing."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("XPNET_BACKEND", raising=False)

    def refuse(*_):
        raise DataError("here the training would begin")

    monkeypatch.setattr("xpnet.cli.train._train", refuse)

    def run(*words):
        require_a_sentence(Answer(CliRunner().invoke(app, ["train", *words])))

    return run


@HYPOTHESIS
@given(
    pairs=st.lists(st.tuples(st.sampled_from(PARSED_FLAGS), FLAG_VALUES), min_size=1, max_size=4)
)
def test_flags_drawn_at_random(parse, pairs):
    parse(*[f"{flag}={value}" for flag, value in pairs])


@HYPOTHESIS
@given(
    pairs=st.dictionaries(st.sampled_from(PARSED_FLAGS), TOML_VALUES, min_size=1, max_size=4),
)
def test_configurations_drawn_at_random(parse, tmp_path, pairs):
    path = tmp_path / "drawn.toml"
    lines = [f"{flag[2:]} = {value}\n" for flag, value in pairs.items()]
    path.write_text("".join(lines), encoding="utf-8")
    parse("--config", str(path))


# --- what is only wrong together with the data ----------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--schedule", "one-cycle"], "Schedule 'one-cycle': expected a training of at least 2"),
        (
            ["--schedule", "linear:warmup=1"],
            "expected a warm-up shorter than 1 epoch, the training",
        ),
        (["--schedule", "step:size=1", "--batch-size", "61"], "A batch of 61 is larger than"),
        (["--precision", "float16", "--dtype", "float64"], "float16 goes with --dtype float32"),
    ],
)
def test_an_error_that_depends_on_the_data_is_one_sentence(
    run_xpnet, flowers, tmp_path, flags, message
):
    """One step of all 48 rows: each flag by itself is valid. Nothing is written."""
    short = {"--epochs": "1", "--batch-size": "48"}
    words = [word for pair in short.items() for word in pair if pair[0] not in flags]
    answer = run_xpnet("train", flowers, *words, *flags, "--out", tmp_path / "run")
    require_a_sentence(answer)
    assert answer.code == 2
    assert message in answer.output
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", [name for name in schedules.BY_NAME if name != "one-cycle"])
def test_the_other_schedules_accept_a_training_of_one_step(run_xpnet, flowers, tmp_path, name):
    short = ("--epochs", 1, "--batch-size", 48, "--schedule", name, "--out", tmp_path / "run")
    answer = run_xpnet("train", flowers, *short, "--quiet")
    assert (answer.code, answer.err) == (0, "")


def test_a_warm_up_may_be_longer_than_the_default_training(run_xpnet, flowers, tmp_path):
    """Its length is checked against --epochs, and not when the flag is parsed."""
    short = ("--epochs", 30, "--schedule", "linear:warmup=20", "--out", tmp_path / "run")
    assert run_xpnet("train", flowers, *short, "--quiet").code == 0
