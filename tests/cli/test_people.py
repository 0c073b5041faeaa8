"""A table as people have it: categories, gaps, dates, booleans, names; from training to predictions."""

import csv
import io
import json
import re
import tomllib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import safetensors.numpy
from typer.testing import CliRunner

from xpnet.cli.commands import app
from xpnet.training import open_run

FLAGS = (
    "--target",
    "income",
    "--id",
    "name",
    "--missing",
    "-999",
    "--drop",
    "note",
    "--hidden",
    32,
)


def people(count, seed, cities=("Paris", "Rome", "Oslo")):
    """Rows of a table; the income is high in Rome or from 50 years on."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(count):
        age = int(rng.integers(18, 80))
        city = str(rng.choice(cities))
        rows.append(
            {
                "name": f"Person {i}",
                "age": "" if i % 20 == 7 else age,
                "city": "NA" if i % 30 == 3 else city,
                "member": str(rng.choice(["yes", "no"])),
                "since": f"20{i % 20:02}-0{1 + i % 9}-11",
                "score": -999 if i % 4 == 1 else round(float(rng.random()), 3),
                "note": f"a sentence, number {i}",
                "income": "high" if age > 50 or city == "Rome" else "low",
            }
        )
    return rows


def write(path, rows, columns=None, **options):
    with path.open("w", newline="", **{"encoding": "utf-8", **options}) as file:
        writer = csv.DictWriter(file, columns or list(rows[0]), extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A table, the run that learned it, and what was printed."""
    folder = tmp_path_factory.mktemp("people")
    table = write(folder / "people.csv", people(400, 0))
    words = ["train", table, *FLAGS, "--epochs", 30, "--out", folder / "run"]
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert (result.exit_code, result.stderr) == (0, "")
    return table, folder / "run", result.stdout


def predictions(answer):
    assert answer.code == 0, answer.output
    return list(csv.DictReader(io.StringIO(answer.out)))


def test_the_data_dictionary_is_printed_before_the_training(trained):
    _, _, out = trained
    first, empty, *lines = out.splitlines()
    assert first.startswith("288 training, 32 validation and 80 test samples, ")
    assert empty == ""
    assert lines[0].split() == ["column", "kind", "missing", "values"]
    kinds = {line.split()[0]: line.split()[1:] for line in lines[1:8]}
    assert kinds["age"][0] == "number"
    assert kinds["city"][0] == "category"
    assert kinds["member"][0] == "boolean"
    assert kinds["since"][0] == "date"
    assert kinds["name"] == ["identifier", "not", "an", "input"]
    assert kinds["income"] == ["class", "the", "target:", "high", "64%,", "low", "36%"]
    assert "note" not in kinds
    assert lines[8].startswith(
        "5 features become 13 inputs. A missing number or date becomes the median"
    )
    assert "Affine(13 -> 32)" in out


def test_the_figures_of_the_dictionary_are_those_of_the_training_rows(trained):
    """Age and gaps, computed from the rows of the file that are not in the test."""
    table, run, out = trained
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    from xpnet.data import split

    train, _ = split([row["income"] for row in rows], 0.2, 0)
    ages = [float(rows[i]["age"]) for i in train if rows[i]["age"]]
    schema = json.loads((run / "config.json").read_text())["reading"]["schema"]
    age = next(column for column in schema["columns"] if column["name"] == "age")
    high = sum(rows[i]["income"] == "high" for i in train)
    assert f"the target: high {high / len(train):.0%}, low" in out
    assert age["missing"] == len(train) - len(ages)
    assert age["fill"] == [np.median(ages)]
    assert schema["version"] == 1


def test_it_is_learned_and_evaluated(trained, run_xpnet):
    """The interval is Wilson's for 80 samples."""
    _, run, out = trained
    accuracy = float(re.search(r"Test accuracy (\S+)%", out)[1])
    assert accuracy > 85
    low, high = re.search(r"80 test samples, the 95% interval .* is (\S+)% to (\S+)%", out).groups()
    p, n, z = accuracy / 100, 80, 1.96
    for end in (float(low) / 100, float(high) / 100):  # where |p - end| is z standard errors of end
        assert abs(p - end) == pytest.approx(z * (end * (1 - end) / n) ** 0.5, abs=2e-3)
    answer = run_xpnet("evaluate", run)
    assert (answer.code, answer.err) == (0, "")
    assert re.search(r"Test accuracy (\S+)%", out)[1] in answer.out


def test_predictions_have_line_identifier_label_and_probability(trained, run_xpnet):
    table, run, _ = trained
    answer = run_xpnet("predict", run, table)
    assert answer.err == ""
    found = predictions(answer)
    assert list(found[0]) == ["line", "name", "income", "probability"]
    assert [row["line"] for row in found] == [str(i) for i in range(2, 402)]
    assert [row["name"] for row in found] == [f"Person {i}" for i in range(400)]
    right = [
        row["income"] == known["income"] for row, known in zip(found, people(400, 0), strict=True)
    ]
    assert np.mean(right) > 0.9
    assert all(0.5 <= float(row["probability"]) <= 1 for row in found)


def test_the_probability_of_each_class_is_printed_on_request(trained, run_xpnet):
    """They add up to one, and the largest is that of the class."""
    table, run, _ = trained
    plain = predictions(run_xpnet("predict", run, table))
    found = predictions(run_xpnet("predict", run, table, "--probabilities"))
    assert list(found[0]) == ["line", "name", "income", "income=high", "income=low"]
    for row, short in zip(found, plain, strict=True):
        high, low = float(row["income=high"]), float(row["income=low"])
        assert high + low == pytest.approx(1, abs=2e-4)
        assert (row["income"], max(high, low)) == (short["income"], float(short["probability"]))


def test_python_predicts_what_the_command_prints(trained, run_xpnet, tmp_path):
    """For a file and for a data frame, on any backend; what differs is a warning."""
    pandas = pytest.importorskip("pandas", reason="a data frame is predicted")
    table, run, _ = trained
    stated = predictions(run_xpnet("predict", run, table, "--probabilities"))
    found = open_run(run).predict(table)
    assert (found.title, found.rows) == ("line", list(range(2, 402)))
    assert found.ids == {"name": [f"Person {i}" for i in range(400)]}
    assert found.values == [row["income"] for row in stated]
    assert found.classes == ["high", "low"]
    expected = [[float(row["income=high"]), float(row["income=low"])] for row in stated]
    np.testing.assert_allclose(found.probabilities, expected, atol=6e-5)
    frame = pandas.DataFrame([{**row, "city": "Athens"} for row in people(9, 0)]).drop(
        columns=["name", "income"]
    )
    with pytest.warns(UserWarning, match="the data frame: ") as noted:
        found = open_run(run).predict(frame)
    assert (found.title, found.rows, found.ids) == ("row", list(range(9)), {"name": [""] * 9})
    assert [str(warning.message) for warning in noted] == [
        "the data frame: columns name, which identify the rows, are not there; left empty.",
        (
            "the data frame: column 'city': 9 values are not among the categories of the training ('Athens'); "
            "taken as no category."
        ),
    ]
    assert noted[0].filename == __file__


def test_python_predicts_numbers_in_the_units_of_the_table(run_xpnet, tmp_path):
    """Targets are standardised for the training; the index names the rows."""
    rng = np.random.default_rng(0)
    area = rng.uniform(40, 200, 200)
    rows = [
        {"house": f"H{i}", "area": f"{a:.3f}", "price": f"{3000 * a:.1f}"}
        for i, a in enumerate(area)
    ]
    table = write(tmp_path / "houses.csv", rows)
    flags = ("--task", "regress", "--index", "house", "--dtype", "float64", "--quiet")
    answer = run_xpnet("train", table, *flags, "--out", tmp_path / "run")
    assert answer.code == 0, answer.output
    found = open_run(tmp_path / "run").predict(table)
    assert (found.title, found.rows[:2], found.classes) == ("house", ["H0", "H1"], [])
    assert found.probabilities is None
    assert np.abs(np.asarray(found.values) / (3000 * area) - 1).mean() < 0.05
    printed = predictions(run_xpnet("predict", tmp_path / "run", table))
    stated = [float(row["price"]) for row in printed]
    np.testing.assert_allclose(found.values, stated, rtol=1e-6)


def test_the_mistakes_of_the_report_lead_back_to_the_file(run_xpnet, tmp_path):
    """Past empty lines, cells of several lines, and rows without a target; and of a test table of its own."""
    rng = np.random.default_rng(0)
    texts = ["key,a,note,kind"]
    for i in range(120):
        kind = rng.choice(["x", "y"]) if i % 7 else ""
        texts += [f'k{i},{rng.random():.3f},"row {i % 3}\nof {i % 2}",{kind}', ""][
            : 1 + (i % 11 == 0)
        ]
    table, other = tmp_path / "table.csv", tmp_path / "other.csv"
    table.write_text("\n".join(texts), encoding="utf-8")
    other.write_text("\n".join([texts[0], *texts[60:]]), encoding="utf-8")
    flags = ("--epochs", 1, "--drop-missing-target", "--quiet", "--id", "key")
    for own, name in ((table, "split"), (other, "separate")):
        run = tmp_path / name
        test = ("--test", other) if own == other else ()
        answer = run_xpnet("train", table, *test, *flags, "--out", run)
        assert answer.code == 0, answer.output
        assert run_xpnet("evaluate", run).code == 0
        page = (run / "report.html").read_text(encoding="utf-8")
        assert f"<h1>{name}: {own.name}</h1>" in page  # the file that the lines are of
        mistakes = re.findall(
            r">line (\d+), key (k\d+)</th><td>([xy])</td><td>[^<]*</td><td>([xy])</td>",
            page,
        )
        assert len(mistakes) > 5
        lines = own.read_text(encoding="utf-8").splitlines()
        for line, key, predicted, actual in mistakes:
            assert lines[int(line) - 1].endswith(f'",{actual}')
            assert lines[int(line) - 2].startswith(f"{key},")  # where the row begins
            assert predicted != actual


def test_another_table_may_have_other_columns_in_another_order(trained, run_xpnet, tmp_path):
    """What is new is noted on standard error, once, with counts."""
    _, run, _ = trained
    rows = people(60, 1, cities=("Oslo", "Athens"))
    expected = write(tmp_path / "a.csv", rows)
    columns = ["score", "height", "city", "since", "member", "age"]
    other = write(tmp_path / "b.csv", [{**row, "height": 7} for row in rows], columns)
    answer = run_xpnet("predict", run, other)
    notes = answer.err.splitlines()
    count = sum(row["city"] == "Athens" for row in rows)
    unseen = f"{count} values are not among the categories of the training ('Athens')"
    assert notes == [
        f"Note: {other}: ignored, as the training did not have them: columns height.",
        f"Note: {other}: columns name, which identify the rows, are not there; left empty.",
        f"Note: {other}: column 'city': {unseen}; taken as no category.",
    ]
    found = predictions(answer)
    assert {row["name"] for row in found} == {""}  # the column is not there
    same = predictions(run_xpnet("predict", run, expected))
    assert [row["probability"] for row in found] == [row["probability"] for row in same]


def test_a_missing_column_is_named(trained, run_xpnet, tmp_path):
    _, run, _ = trained
    other = write(tmp_path / "b.csv", people(9, 1), ["age", "city", "since", "score"])
    answer = run_xpnet("predict", run, other)
    assert (answer.code, answer.out) == (2, "")
    assert "no column 'member', which the model needs; of its 5 features, " in answer.err
    assert "the table lacks member. Add what is missing: cells may be empty" in answer.err
    rows = [{**row, "member": ""} for row in people(9, 1)]  # as the error advises
    answer = run_xpnet("predict", run, write(tmp_path / "c.csv", rows))
    assert len(predictions(answer)) == 9
    assert "column 'member': 9 values are missing, as none was in training" in answer.err


def test_a_table_with_values_of_another_kind_is_refused(trained, run_xpnet, tmp_path):
    _, run, _ = trained
    rows = people(9, 1)
    for column, cell, message in (
        ("age", "old", "line 4, column 'age': expected a number, found the text 'old'"),
        (
            "since",
            "03/04/2021",
            "line 4, column 'since': dates of the form 03/04/2021 have two meanings",
        ),
        ("member", "perhaps", "line 4, column 'member': expected true or false, yes or no"),
    ):
        changed = [*rows[:2], {**rows[2], column: cell}, *rows[3:]]
        answer = run_xpnet("predict", run, write(tmp_path / "b.csv", changed))
        assert (answer.code, answer.out) == (2, "")
        assert message in answer.err


def test_several_threads_predict_at_once(trained):
    """As those of a web server, each with a row of its own."""
    pandas = pytest.importorskip("pandas")
    _, folder, _ = trained
    run = open_run(folder)
    table = pandas.DataFrame(people(60, 3))
    expected = run.predict(table).probabilities
    rows = [table.iloc[[i]] for i in range(len(table))]
    with ThreadPoolExecutor(8) as pool:
        found = [prediction.probabilities[0] for prediction in pool.map(run.predict, rows)]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_a_note_names_the_sheets_that_are_not_read(run_xpnet, tmp_path):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("openpyxl", reason="pandas writes and reads Excel files with it")
    path = tmp_path / "people.xlsx"
    with pandas.ExcelWriter(path) as book:
        pandas.DataFrame(people(60, 0)).to_excel(book, sheet_name="people", index=False)
        pandas.DataFrame({"a": [1]}).to_excel(book, sheet_name="totals")
    note = f"Note: {path}: only the first sheet, 'people', is read, and not 'totals'."
    run = tmp_path / "run"
    assert note in run_xpnet("train", path, *FLAGS, "--epochs", 1, "--out", run).err
    for command in (("predict", run, path), ("evaluate", run)):
        answer = run_xpnet(*command)
        assert (answer.code, answer.err.count(note)) == (0, 1)


def test_another_table_with_targets_is_evaluated(trained, run_xpnet, tmp_path):
    _, run, _ = trained
    other = write(tmp_path / "other.csv", people(200, 5))
    assert run_xpnet("evaluate", run).code == 0
    page = (run / "report.html").read_text(encoding="utf-8")
    answer = run_xpnet("evaluate", run, "--dataset", other)
    assert answer.out.startswith(f"200 test samples of {other}")
    assert answer.out.endswith(f"Report page: {run / 'report-other.html'}\n")
    assert (run / "report.html").read_text(encoding="utf-8") == page  # that of the run's own test
    assert float(re.search(r"accuracy (\S+)%", answer.out)[1]) > 85


def test_a_test_table_with_new_categories_is_noted(trained, run_xpnet, tmp_path):
    """By the training and by evaluate, not as a warning of Python."""
    table, _, _ = trained
    other = write(tmp_path / "other.csv", people(50, 5, cities=("Rome", "Athens")))
    flags = (*FLAGS, "--epochs", 1, "--quiet", "--out", tmp_path / "run")
    note = f"Note: {other}: column 'city': "
    for answer in (
        run_xpnet("train", table, "--test", other, *flags),
        run_xpnet("evaluate", tmp_path / "run"),
    ):
        assert answer.code == 0, answer.output
        (line,) = answer.err.splitlines()
        assert line.startswith(note)
        assert line.endswith("taken as no category.")


def test_the_run_is_repeated_and_resumed(trained, run_xpnet, tmp_path):
    """Each flag is in the file that repeats the run."""
    _, run, _ = trained
    kept = tomllib.loads((run / "config.toml").read_text())
    assert (kept["id"], kept["missing"], kept["drop"]) == ("name", "-999", "note")
    again = tmp_path / "again"
    answer = run_xpnet("train", "--config", run / "config.toml", "--quiet", "--out", again)
    assert answer.code == 0, answer.output
    states = [safetensors.numpy.load_file(path / "model.safetensors") for path in (run, again)]
    assert all((states[0][name] == states[1][name]).all() for name in states[0])
    answer = run_xpnet("train", "--resume", again, "--epochs", 31, "--quiet")
    assert answer.code == 0, answer.output


def test_identifiers_and_missing_targets_are_refused_with_the_flag(run_xpnet, tmp_path):
    rows = people(60, 0)
    table = write(tmp_path / "t.csv", rows)
    answer = run_xpnet("train", table, "--out", tmp_path / "run")
    assert (answer.code, answer.out) == (2, "")
    assert "nearly all texts differ in 'name', 'note'" in answer.output
    assert "--drop name,note" in answer.output
    rows[3]["income"] = ""
    write(table, rows)
    flags = ("--drop", "name,note", "--epochs", 1, "--quiet", "--out", tmp_path / "run")
    answer = run_xpnet("train", table, *flags)
    assert (answer.code, answer.out) == (2, "")
    assert "line 5, column 'income': the value is missing" in answer.output
    assert run_xpnet("train", table, "--drop-missing-target", *flags).code == 0
    assert run_xpnet("evaluate", tmp_path / "run").out.startswith("12 test samples")


def test_a_parquet_file_is_learned_and_predicted_like_its_text(trained, run_xpnet, tmp_path):
    """The rows are counted from 0, as in a data frame."""
    polars = pytest.importorskip("polars")
    table, run, _ = trained
    file = tmp_path / "people.parquet"
    polars.read_csv(table, infer_schema_length=None).write_parquet(file)
    flags = (*FLAGS, "--epochs", 30, "--quiet", "--out", tmp_path / "run")
    answer = run_xpnet("train", file, *flags)
    assert (answer.code, answer.err) == (0, "")
    states = [
        safetensors.numpy.load_file(path / "model.safetensors") for path in (run, tmp_path / "run")
    ]
    assert all((states[0][name] == states[1][name]).all() for name in states[0])
    found = predictions(run_xpnet("predict", tmp_path / "run", file))
    expected = predictions(run_xpnet("predict", run, table))
    assert [row.pop("row") for row in found] == [str(i) for i in range(400)]
    for row in expected:
        del row["line"]
    assert found == expected


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp949", "cp1252"])
def test_the_encoding_is_guessed_and_said(run_xpnet, tmp_path, encoding):
    names = ["버시컬러", "세토사"] if encoding in ("cp949", "utf-16") else ["élan", "Größe"]
    rows = [{"a": i, names[0]: names[i % 2], "t": names[i // 2 % 2]} for i in range(60)]
    table = write(tmp_path / "t.csv", rows, encoding=encoding)
    run = tmp_path / "run"
    answer = run_xpnet("train", table, "--epochs", 1, "--quiet", "--out", run)
    assert answer.code == 0, answer.output
    note = f"Note: {table} is not UTF-8, and is read as {encoding}. If letters are wrong, name its encoding: --encoding NAME\n"
    said = note if not encoding.startswith("utf-8") else ""
    assert answer.err == said
    answer = run_xpnet("predict", run, table)
    assert (answer.code, answer.err) == (0, said)
    assert {row["t"] for row in predictions(answer)} <= {*names}
    utf8 = write(tmp_path / "new.csv", rows)  # another file may have another encoding
    assert run_xpnet("predict", run, utf8).err == ""
    if encoding in ("cp949", "cp1252"):
        chosen = ("--encoding", encoding, "--epochs", 1, "--quiet", "--out", tmp_path / "chosen")
        answer = run_xpnet("train", table, *chosen)
        assert (answer.code, answer.err) == (0, "")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--drop", "a,,b"), "'--drop': expected the names of columns"),
        (("--drop", "colour"), "no column 'colour'; its columns are length, width, kind"),
        (("--id", "colour"), "no column 'colour'"),
        (("--categories", "colour"), "no column 'colour'"),
        (("--drop", "kind", "--target", "kind"), "'kind' is both left out and the target"),
        (("--drop", "length,width"), "found 1 besides"),
    ],
)
def test_an_unsuitable_choice_is_named(run_xpnet, flowers, tmp_path, flags, message):
    answer = run_xpnet("train", flowers, *flags, "--out", tmp_path / "run")
    assert (answer.code, answer.out) == (2, "")
    assert message in answer.output
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("flag", ["--drop", "--id", "--categories", "--missing"])
def test_choices_for_tables_are_refused_for_images(run_xpnet, tmp_path, flag):
    answer = run_xpnet("train", "mnist", flag, "a", "--out", tmp_path / "run")
    assert (answer.code, answer.out) == (2, "")
    assert f"'{flag}': it is for CSV tables; the data are mnist" in answer.output


def test_a_run_folder_without_a_dictionary_still_predicts(run_xpnet, flowers, tmp_path):
    """As those of before: numbers only, and a gap is an error."""
    run = tmp_path / "run"
    assert run_xpnet("train", flowers, "--epochs", 2, "--quiet", "--out", run).code == 0
    expected = run_xpnet("predict", run, flowers).out
    with safetensors.safe_open(run / "model.safetensors", framework="numpy") as file:
        metadata = file.metadata()
    state = safetensors.numpy.load_file(run / "model.safetensors")
    config = json.loads(metadata["xpnet"])
    schema = config["reading"]["schema"]
    new = ("version", "columns", "rows", "ids", "missing", "drop_missing_target", "unused")
    config["reading"]["schema"] = {k: v for k, v in schema.items() if k not in new}
    config["reading"]["schema"]["encoding"] = "utf-8"
    metadata["xpnet"] = json.dumps(config)
    safetensors.numpy.save_file(state, run / "model.safetensors", metadata)
    assert run_xpnet("predict", run, flowers).out == expected
    assert run_xpnet("evaluate", run).code == 0
    (tmp_path / "gap.csv").write_text("length,width\n1,\n")
    answer = run_xpnet("predict", run, tmp_path / "gap.csv")
    assert answer.code == 2
    assert "line 2, column 'width': the value is missing" in answer.err
