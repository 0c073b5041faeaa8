"""`xpnet train iris.csv`, the first table that many try, with its defaults."""

import re

import pytest


@pytest.mark.parametrize("seed", range(10))
def test_at_least_93_percent(run_xpnet, tmp_path, seed):
    """At most two of the thirty test rows are wrong; these are scikit-learn's rows of the same seed."""
    datasets = pytest.importorskip("sklearn.datasets")
    model_selection = pytest.importorskip("sklearn.model_selection")
    iris = datasets.load_iris()
    names = iris.target_names[iris.target]
    lines = [
        ",".join([*map(str, row), name])
        for row, name in zip(iris.data.tolist(), names, strict=True)
    ]
    table = tmp_path / "iris.csv"
    table.write_text("\n".join(["a,b,c,d,species", *lines]), encoding="utf-8")
    run = tmp_path / "run"
    answer = run_xpnet("train", table, "--seed", seed, "--quiet", "--out", run)
    assert float(re.search(r"accuracy (\S+)%", answer.out)[1]) >= 93.33

    # Each mistake in the report is a row of scikit-learn's test.
    _, test = model_selection.train_test_split(
        range(150), test_size=0.2, random_state=seed, stratify=names
    )
    run_xpnet("evaluate", run)
    page = (run / "report.html").read_text(encoding="utf-8")
    mistakes = {int(line) for line in re.findall(r"\bline (\d+)", page)}
    assert mistakes <= {row + 2 for row in test}  # the header is line 1
