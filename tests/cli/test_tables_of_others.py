"""Tables as pandas, R, spreadsheets and archives of data sets write them."""

import json
import re
import tomllib

import numpy as np
import pytest
import safetensors.numpy

QUICK = ("--hidden", 8, "--epochs", 2, "--quiet")


def accuracy(answer):
    assert answer.code == 0, answer.output
    return float(re.search(r"accuracy (\S+)%", answer.out)[1])


def reading_of(run):
    return json.loads((run / "config.json").read_text())["reading"]


def weights_of(run):
    state = safetensors.numpy.load_file(run / "model.safetensors")
    return {name: x.tobytes() for name, x in state.items()}


@pytest.fixture(scope="module")
def iris():
    """The flowers of scikit-learn, sorted by their kind as they are published."""
    data = pytest.importorskip("sklearn.datasets").load_iris()
    return data.data, data.target_names[data.target]


def lines(x, t, index=None):
    """Rows of a table, with an index in front."""
    starts = [""] * len(x) if index is None else [f"{i}," for i in index]
    return [
        start + ",".join([*map(str, row), label])
        for start, row, label in zip(starts, x.tolist(), t, strict=True)
    ]


NAMES = "sepal length,sepal width,petal length,petal width,species"


@pytest.mark.parametrize("head", [f",{NAMES}", f"Unnamed: 0,{NAMES}"])
def test_an_index_is_no_feature(run_xpnet, iris, tmp_path, head):
    """The rows are sorted by class, so the row number reveals the class; not in another order."""
    (x, t), run = iris, tmp_path / "run"
    table, shuffled = tmp_path / "iris.csv", tmp_path / "shuffled.csv"
    table.write_text("\n".join([head, *lines(x, t, range(150))]))
    order = np.random.default_rng(0).permutation(150)
    shuffled.write_text("\n".join([head, *lines(x[order], t[order], range(150))]))
    answer = run_xpnet("train", table, "--seed", 1, "--quiet", "--out", run)
    assert accuracy(answer) > 93
    assert reading_of(run)["schema"]["features"] == NAMES.split(",")[:4]
    in_order = run_xpnet("predict", run, table).out.splitlines()[1:]
    mixed = run_xpnet("predict", run, shuffled).out.splitlines()[1:]
    expected = [in_order[i].split(",", 1)[1] for i in order]
    assert [line.split(",", 1)[1] for line in mixed] == expected
    assert accuracy(run_xpnet("evaluate", run, "--dataset", shuffled)) > 95


def test_an_index_as_a_feature_reveals_the_class(run_xpnet, iris, tmp_path):
    """With --index none, which asks for it: the control of the test above."""
    (x, t), run = iris, tmp_path / "run"
    table, shuffled = tmp_path / "iris.csv", tmp_path / "shuffled.csv"
    table.write_text("\n".join([f",{NAMES}", *lines(x, t, range(150))]))
    order = np.random.default_rng(0).permutation(150)
    shuffled.write_text("\n".join([f",{NAMES}", *lines(x[order], t[order], range(150))]))
    answer = run_xpnet("train", table, "--index", "none", "--seed", 1, "--quiet", "--out", run)
    assert accuracy(answer) > 93
    assert reading_of(run)["schema"]["features"][0] == "column 1"
    assert accuracy(run_xpnet("evaluate", run, "--dataset", shuffled)) < 90


@pytest.mark.parametrize("name", ["Id", "index", "ID", "row", "customer_id", "userId"])
def test_a_column_that_numbers_the_rows_is_noted(run_xpnet, iris, tmp_path, name):
    """It is used as a feature, since it has a name; a note shows how to leave it out. It may have gaps."""
    (x, t), table = iris, tmp_path / "iris.csv"
    for start, index in ((1, True), (10**6, True), (None, False)):
        numbers = range(start, start + 450, 3) if index else np.arange(150) // 2
        table.write_text("\n".join([f"{name},{NAMES}", *lines(x, t, numbers)]))
        answer = run_xpnet("train", table, *QUICK, "--out", tmp_path / f"{start}")
        assert answer.code == 0
        note = (
            f"Note: the column '{name}' has another number in each row, as identifiers do, and is used as a "
            f"feature. To leave it out: --id {name}\n"
        )
        assert answer.err == (note if index else "")
    answer = run_xpnet("train", table, "--index", name, *QUICK, "--out", tmp_path / "run")
    assert (answer.code, answer.err) == (0, "")
    assert name not in reading_of(tmp_path / "run")["schema"]["features"]


def test_column_numbers_as_a_header_are_recognised(run_xpnet, iris, tmp_path):
    """pd.DataFrame(array).to_csv(index=False): no class "4" and no additional sample, also in predict."""
    (x, t), run = iris, tmp_path / "run"
    table, new = tmp_path / "iris.csv", tmp_path / "new.csv"
    table.write_text("\n".join(["0,1,2,3,4", *lines(x, t)]))
    assert run_xpnet("train", table, *QUICK[:-1], "--out", run).out.startswith(
        "108 training, 12 validation and 30 test"
    )
    assert reading_of(run)["classes"] == ["setosa", "versicolor", "virginica"]
    new.write_text("0,1,2,3\n5.1,3.5,1.4,0.2\n6.3,3.3,6.0,2.5\n")
    assert len(run_xpnet("predict", run, new).out.splitlines()) == 3


@pytest.mark.parametrize("flag", ["--header", "--no-header"])
def test_an_ambiguous_header_needs_a_flag_that_is_remembered(run_xpnet, tmp_path, flag):
    """By the run, by its config.toml and by predictions with it."""
    table, run, again = tmp_path / "t.csv", tmp_path / "run", tmp_path / "again"
    rows = [f"{i % 5},{i % 2}" for i in range(40)]
    table.write_text("\n".join(["0,1", *rows]))
    answer = run_xpnet("train", table, *QUICK, "--out", run)
    assert (answer.code, answer.out) == (2, "")
    assert "Choose with --header or --no-header" in answer.output
    assert run_xpnet("train", table, flag, *QUICK, "--out", run).code == 0
    assert tomllib.loads((run / "config.toml").read_text())["header"] == (flag == "--header")
    assert run_xpnet("train", "--config", run / "config.toml", "--quiet", "--out", again).code == 0
    assert weights_of(again) == weights_of(run)
    assert len(run_xpnet("predict", run, table).out.splitlines()) == (
        41 if flag == "--header" else 42
    )
    assert run_xpnet("evaluate", run).code == 0
    assert run_xpnet("train", "--resume", run, "--epochs", 3, "--quiet").code == 0


def test_each_choice_is_in_the_file_that_repeats_the_run(run_xpnet, tmp_path):
    """Columns, index, delimiter and encoding; the run reads other files with them."""
    table, run, again = tmp_path / "꽃.txt", tmp_path / "run", tmp_path / "again"
    rows = [f"p{i}^{i}.5^x{i}^{i % 7}^{['버시컬러', '세토사'][i % 2]}" for i in range(40)]
    table.write_text("\n".join(["이름^a^note^b, c^종", *rows]), encoding="cp949")
    flags = ("--encoding", "cp949", "--delimiter", "^", "--index", "이름", "--features", 'a,"b, c"')
    assert run_xpnet("train", table, *flags, "--target", "종", *QUICK, "--out", run).code == 0
    assert reading_of(run)["schema"]["features"] == ["a", "b, c"]
    answer = run_xpnet("predict", run, table)
    head, first, *_ = answer.out.splitlines()
    assert head == "이름,종,probability"
    assert first.split(",")[0] == "p0"
    assert first.split(",")[1] in ("버시컬러", "세토사")
    assert run_xpnet("evaluate", run).code == 0
    assert run_xpnet("train", "--config", run / "config.toml", "--quiet", "--out", again).code == 0
    assert weights_of(again) == weights_of(run)


def test_decimal_commas_are_read_on_request_and_the_run_remembers_them(run_xpnet, tmp_path):
    """Other tables have the mark of the training, unless the command says otherwise."""
    rows = [f"{i + 0.5};{-i / 4};{'xy'[i % 2]}" for i in range(40)]
    points, commas = tmp_path / "points.csv", tmp_path / "commas.csv"
    points.write_text("\n".join(["a;b;kind", *rows]))
    commas.write_text(points.read_text().replace(".", ","))
    run, again, other = (tmp_path / name for name in ("run", "again", "other"))
    refused = run_xpnet("train", commas, *QUICK, "--out", run)
    assert refused.code == 2
    assert f"{commas}, line " in refused.err
    assert ", column 'a': expected a number, found " in refused.err
    assert "If it has a decimal comma: --decimal , (in Python, decimal=',')" in refused.err
    assert run_xpnet("train", commas, "--decimal", ",", *QUICK, "--out", run).code == 0
    assert run_xpnet("train", points, *QUICK, "--out", other).code == 0
    assert weights_of(run) == weights_of(other)
    assert run_xpnet("train", "--config", run / "config.toml", "--quiet", "--out", again).code == 0
    assert weights_of(again) == weights_of(run)
    assert run_xpnet("train", "--resume", run, "--epochs", 3, "--quiet").code == 0
    expected = run_xpnet("predict", run, commas)
    assert (expected.code, expected.err) == (0, "")
    assert run_xpnet("predict", run, points, "--decimal", ".").out == expected.out
    tested = run_xpnet("evaluate", run, "--dataset", points, "--decimal", ".")
    assert tested.code == 0, tested.err
    for command in ("predict", run, points), ("evaluate", run, "--dataset", points):
        refused = run_xpnet(*command)
        assert refused.code == 2
        assert f"{points}, line 2, column 'a': " in refused.err
        assert "If it has decimal points: --decimal ." in refused.err


def test_a_decimal_mark_is_refused_for_a_run_on_images(run_xpnet, run_folder):
    for command in "evaluate", "predict":
        files = ["x.png"] if command == "predict" else []
        answer = run_xpnet(command, run_folder[0], *files, "--decimal", ",")
        assert answer.code == 2
        assert "'--decimal': it is for tables; the run was trained on other data" in answer.output


@pytest.mark.parametrize(
    ("suffix", "delimiter", "head"),
    [
        (".tsv", "\t", True),
        (".txt", " ", False),
        (".data", ",", False),
        (".data", "   ", False),
        (".TXT", ";", True),
        (".csv", "|", True),
    ],
)
def test_tables_with_other_suffixes_are_read(run_xpnet, iris, tmp_path, suffix, delimiter, head):
    """As the UCI repository, R and numpy.savetxt write them."""
    x, t = iris
    table, run = tmp_path / f"iris{suffix}", tmp_path / "run"
    rows = [NAMES.replace(" ", "_")] * head + lines(x, t)
    table.write_text("\n".join(row.replace(",", delimiter) for row in rows) + "\n")
    assert accuracy(run_xpnet("train", table, "--seed", 1, "--quiet", "--out", run)) > 93
    assert run_xpnet("evaluate", run).out.startswith(f"30 test samples of {table}")
    assert len(run_xpnet("predict", run, table).out.splitlines()) == 151
    (tmp_path / "c.toml").write_text(f'dataset = "iris{suffix}"\nepochs = 1\n')
    assert (
        run_xpnet("train", "--config", tmp_path / "c.toml", "--quiet", "--out", tmp_path / "c").code
        == 0
    )


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--delimiter", "ab"), "'--delimiter': expected one character, or tab or space; got 'ab'"),
        (("--delimiter", ""), "'--delimiter': expected one character"),
        (
            ("--encoding", "klingon"),
            "'--encoding': Unknown encoding 'klingon'. Expected one of Python's",
        ),
        (("--decimal", ";"), "'--decimal': expected . or ,; got ';'"),
        (("--features", ""), "'--features': expected the names of columns"),
        (("--features", "a,,b"), "'--features': expected the names of columns"),
        (("--features", "a,a"), "'--features': expected the names of columns, each once"),
        (
            ("--features", "length,colour"),
            "no column 'colour'; its columns are length, width, kind",
        ),
        (("--index", "id"), "no column 'id'; its columns are length, width, kind"),
        (("--index", "9"), "no column '9'"),
        (("--index", "kind", "--target", "kind"), "'kind' is both the index and the target"),
        (
            ("--size", "64"),
            "'--size': it is for folders of pictures; the data are flowers.csv",
        ),
        (("--encoding", "utf-16"), "UTF-16"),
        (("--no-header",), "expected a number, found the text 'length'"),
    ],
)
def test_an_unsuitable_choice_is_named(run_xpnet, flowers, tmp_path, flags, message):
    answer = run_xpnet("train", flowers, *flags, *QUICK, "--out", tmp_path / "run")
    assert (answer.code, answer.out) == (2, "")
    assert message in answer.output
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "flag", ["--features", "--index", "--delimiter", "--encoding", "--header", "--decimal"]
)
def test_choices_for_tables_are_refused_for_images(run_xpnet, tmp_path, flag):
    value = [] if flag == "--header" else ["utf-8" if flag == "--encoding" else ","]
    value = ["a"] if flag in ("--features", "--index") else value
    answer = run_xpnet("train", "mnist", flag, *value, "--out", tmp_path / "run")
    assert (answer.code, answer.out) == (2, "")
    assert f"'{flag}': it is for CSV tables; the data are mnist" in answer.output


@pytest.mark.parametrize(
    "form", [lambda t: t[:, None], lambda t: np.eye(3)[t], lambda t: t * 1.0, lambda t: t == 1]
)
def test_archives_with_classes_in_another_form_are_read(run_xpnet, tmp_path, form):
    """Those of Keras, MedMNIST and scikit-learn: classes that need no --task regress."""
    rng, run = np.random.default_rng(0), tmp_path / "run"
    t = np.arange(90) % 3
    x = rng.standard_normal((90, 2)) + 9 * np.asarray([(0, 0), (0, 1), (1, 0)])[t]
    np.savez(tmp_path / "a.npz", data=x, target=form(t), feature_names=np.asarray(["a", "b"]))
    answer = run_xpnet("train", tmp_path / "a.npz", "--epochs", 40, "--quiet", "--out", run)
    assert accuracy(answer) == 100
    assert accuracy(run_xpnet("evaluate", run)) == 100


def test_archives_of_images_with_channels_last_are_read(run_xpnet, tmp_path):
    """As Keras and MedMNIST have them."""
    rng, run = np.random.default_rng(0), tmp_path / "run"
    t = np.arange(60) % 2
    x = rng.integers(0, 100, (60, 12, 12, 3)) + 100 * t[:, None, None, None]
    np.savez(tmp_path / "a.npz", train_images=x[:40].astype("u1"), train_labels=t[:40, None],
             test_images=x[40:].astype("u1"), test_labels=t[40:, None])  # fmt: skip
    flags = ("--model", "lenet", "--epochs", 2, "--batch-size", 10, "--quiet", "--out", run)
    reached = accuracy(run_xpnet("train", tmp_path / "a.npz", *flags))
    assert accuracy(run_xpnet("evaluate", run)) == reached
    config = json.loads((run / "config.json").read_text())
    assert config["architecture"]["input_shape"] == [3, 12, 12]
