"""benchmarks/estimators.py: its comparison with scikit-learn, its table in a page, and what it refuses."""

import sys
from types import SimpleNamespace

import pytest

from benchmarks import estimators
from benchmarks.estimators import Fit, Scores, Times
from xpnet.estimators import MLPClassifier


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["estimators.py", *arguments])
    return estimators.main()


def test_a_table_of_scores_is_written_into_a_page(monkeypatch, tmp_path, capsys):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- scores: begin -->\nold\n<!-- scores: end -->\nafter\n")
    options = ("--only", "iris", "--only", "diabetes", "--seeds", "2", "--page", str(page))
    assert run(monkeypatch, "scores", "--check", *options) == 0
    text = page.read_text(encoding="utf-8")
    assert text.startswith("before\n<!-- scores: begin -->\nMeans of 2 seeds.")
    assert text.endswith("<!-- scores: end -->\nafter\n")
    assert "old" not in text
    assert "| iris, accuracy | 0." in text
    assert "| diabetes, R² | 0." in text
    assert "| yes |" in capsys.readouterr().out


@pytest.mark.parametrize("name", [*estimators.CLASSES, *estimators.NUMBERS])
def test_the_data_sets_need_no_network(name, monkeypatch):
    monkeypatch.setattr("socket.socket", None)
    X, y = (estimators.CLASSES | estimators.NUMBERS)[name]()
    assert len(X) == len(y) > 100


def test_scores_are_equal_if_their_difference_is_small_or_within_noise():
    theirs = [0.9, 0.8, 0.7, 0.8]
    assert Scores(theirs, theirs).are_equal
    assert Scores(theirs, theirs).p == 1.0
    assert Scores(theirs, [0.905, 0.805, 0.705, 0.805]).are_equal  # small
    assert Scores(theirs, [0.7, 1.0, 0.95, 0.6]).are_equal  # noise
    worse = Scores(theirs, [0.86, 0.77, 0.67, 0.75])
    assert not worse.are_equal
    assert worse.difference == pytest.approx(-0.0375)
    assert worse.p < 0.05


def test_unequal_scores_are_reported(monkeypatch, capsys):
    monkeypatch.setattr(estimators, "scored", lambda name, seeds: Scores([0.9, 0.8], [0.5, 0.3]))
    assert run(monkeypatch, "scores", "--only", "wine", "--check") == 1
    assert "wine: the scores differ by -0.4500" in capsys.readouterr().out
    assert run(monkeypatch, "scores", "--only", "wine") == 0


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("kind", ["MLPClassifier", "MLPRegressor"])
def test_both_libraries_fit_the_stated_number_of_epochs(kind):
    """Also where the loss has long converged."""
    made = {
        "MLPClassifier": lambda: estimators.classes_of_table(100),
        "MLPRegressor": lambda: estimators.numbers_of_table(100),
    }
    for library in estimators.LIBRARIES:
        data = made[kind]()
        assert estimators.seconds(library, Fit(kind, made[kind], 30), 50, data) > 0.0


def test_a_fit_that_ends_early_is_no_measurement(monkeypatch):
    class Impatient(MLPClassifier):
        def fit(self, X, y):
            return self.set_params(n_iter_no_change=1, tol=10.0)._fit(X, y, None)

    monkeypatch.setitem(estimators.LIBRARIES, "xpnet", SimpleNamespace(MLPClassifier=Impatient))
    fit = Fit("MLPClassifier", estimators.classes_of_table, 50)
    with pytest.raises(RuntimeError, match="xpnet fitted 3 epochs in place of 50"):
        estimators.seconds("xpnet", fit, 100, estimators.classes_of_table(100))


def test_times_above_the_limit_are_reported(monkeypatch, capsys):
    found = Times(4, [2.0, 1.0, 1.0], [1.0, 0.6, 0.9])
    monkeypatch.setattr(estimators, "timed", lambda *arguments: found)
    assert run(monkeypatch, "times", "--only", "digits, classifier", "--check") == 1
    printed = capsys.readouterr().out
    assert "| digits, classifier | 200 | 4 | 1.00 | 0.90 | 0.60 |" in printed
    assert "batch 32: expected at most 0.5 of scikit-learn's time, got 0.60" in printed


def test_the_libraries_take_turns(monkeypatch):
    order = []

    def noted(library, *arguments):
        order.append(library)
        return 2.0 if library == "xpnet" else 8.0

    monkeypatch.setattr(estimators, "seconds", noted)
    fit = Fit("MLPClassifier", lambda: estimators.classes_of_table(100), 1)
    times = estimators.timed(fit, 50, 2, estimators.time.perf_counter)
    both = ["scikit-learn", "xpnet"]
    assert order == [*both, *both, *both[::-1]]  # the first two are not measured
    assert times == Times(1, [8.0, 8.0], [2.0, 2.0])
    assert times.ratio == 0.25
