"""xpnet's estimators against scikit-learn's own multi-layer perceptrons: test scores, and time to fit.

    python benchmarks/estimators.py scores                 eight data sets, ten seeds each
    python benchmarks/estimators.py times                  digits, and tables of 50,000 x 50
    python benchmarks/estimators.py times --threads 1      with one thread each; by default, on all cores
    python benchmarks/estimators.py times --threads 1 --cpu      the processor's time, on a busy machine
    python benchmarks/estimators.py times --page docs/estimators.md     and write the table into the page

`--check` makes the exit code 1 if scores are not equal, or a fit takes more than half of scikit-learn's time.

Scores: both have the default parameters, and a seed decides split, initial weights and orders of the
samples for both. They are equal within noise if the mean of the ten differences is less than two of its
standard errors, or less than 0.01. p is that of a paired t-test.

Times: both fit as many epochs, one after the other in turn (A B, B A, ...), so that whatever slows down the
machine slows down both. The ratio is the median of those of the rounds. Each has one fit before that, which
loads its libraries, and compiles xpnet's in C if it is not there; recording the steps is part of each fit.
"""

import argparse
import math
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np
import sklearn
from scipy import stats
from sklearn import datasets, neural_network
from sklearn.base import BaseEstimator
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_info, threadpool_limits

from benchmarks.peers.results import footnote, machine
from benchmarks.report import replaced
from xpnet import estimators

LIBRARIES = {"scikit-learn": neural_network, "xpnet": estimators}
SMALL = 0.01  # a difference of scores that is negligible
LIMIT = 0.5  # of scikit-learn's time

Data = tuple[np.ndarray, np.ndarray]


# --- scores ---------------------------------------------------------------------------------------

CLASSES: dict[str, Callable[[], Data]] = {
    "iris": lambda: datasets.load_iris(return_X_y=True),
    "wine": lambda: datasets.load_wine(return_X_y=True),
    "breast_cancer": lambda: datasets.load_breast_cancer(return_X_y=True),
    "digits": lambda: datasets.load_digits(return_X_y=True),
    "make_moons": lambda: datasets.make_moons(500, noise=0.2, random_state=0),
    "make_classification": lambda: datasets.make_classification(1000, random_state=0),
}
NUMBERS: dict[str, Callable[[], Data]] = {
    "diabetes": lambda: datasets.load_diabetes(return_X_y=True),
    "make_friedman1": lambda: datasets.make_friedman1(500, noise=1.0, random_state=0),
}


class Scores(NamedTuple):
    """The test scores of both libraries on one data set: one for each seed."""

    theirs: list[float]
    ours: list[float]

    @property
    def difference(self) -> float:
        """The mean difference, xpnet's minus scikit-learn's."""
        return float(np.mean(np.subtract(self.ours, self.theirs)))

    @property
    def standard_error(self) -> float:
        """Of the mean difference."""
        differences = np.subtract(self.ours, self.theirs)
        return float(np.std(differences, ddof=1) / math.sqrt(len(differences)))

    @property
    def p(self) -> float:
        """Of a paired t-test; 1 if no seed has a difference."""
        if self.ours == self.theirs:
            return 1.0
        return float(stats.ttest_rel(self.ours, self.theirs).pvalue)

    @property
    def are_equal(self) -> bool:
        """Whether the difference is within noise."""
        return abs(self.difference) < max(SMALL, 2.0 * self.standard_error)


def model_of(library: str, name: str, seed: int) -> BaseEstimator:
    """A perceptron of a library for a data set, with standardized features and targets."""
    module = LIBRARIES[library]
    if name in CLASSES:
        return make_pipeline(StandardScaler(), module.MLPClassifier(random_state=seed))
    regressor = make_pipeline(StandardScaler(), module.MLPRegressor(random_state=seed))
    return TransformedTargetRegressor(regressor, transformer=StandardScaler())


def scored(name: str, seeds: int) -> Scores:
    """The test scores of both libraries: accuracies, or R^2."""
    X, y = (CLASSES | NUMBERS)[name]()
    found: dict[str, list[float]] = {library: [] for library in LIBRARIES}
    for seed in range(seeds):
        X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=seed)
        for library, scores in found.items():
            model = model_of(library, name, seed).fit(X_train, y_train)
            scores.append(float(model.score(X_test, y_test)))
    return Scores(found["scikit-learn"], found["xpnet"])


def table_of_scores(results: dict[str, Scores]) -> str:
    """A line for each data set."""
    lines = [
        "| data set | scikit-learn | xpnet | difference ± standard error | p | equal |",
        "|---|---:|---:|---:|---:|---|",
    ]
    for name, scores in results.items():
        measure = "accuracy" if name in CLASSES else "R²"
        means = f"{np.mean(scores.theirs):.4f} | {np.mean(scores.ours):.4f}"
        difference = f"{scores.difference:+.4f} ± {scores.standard_error:.4f}"
        verdict = "yes" if scores.are_equal else "NO"
        lines.append(f"| {name}, {measure} | {means} | {difference} | {scores.p:.2f} | {verdict} |")
    return "\n".join(lines)


# --- times ----------------------------------------------------------------------------------------


def digits() -> Data:
    """1,797 images of 64 numbers from 0 to 1."""
    X, y = datasets.load_digits(return_X_y=True)
    return X / 16.0, y


def classes_of_table(rows: int = 50_000) -> Data:
    """A table of 50 columns, with two classes."""
    return datasets.make_classification(rows, 50, n_informative=20, random_state=0)


def numbers_of_table(rows: int = 50_000) -> Data:
    """A table of 50 columns, with a number to predict."""
    X, y = datasets.make_regression(rows, 50, noise=10.0, random_state=0)
    return X, y / y.std()


class Fit(NamedTuple):
    """What is fitted: an estimator's name, its data, and for how many epochs."""

    estimator: str
    data: Callable[[], Data]
    epochs: int


FITS = {
    "digits, classifier": Fit("MLPClassifier", digits, 200),
    "50,000 x 50, classifier": Fit("MLPClassifier", classes_of_table, 4),
    "50,000 x 50, regressor": Fit("MLPRegressor", numbers_of_table, 4),
}
BATCHES = (200, 32)


class Times(NamedTuple):
    """The seconds that both libraries need for one fit: one for each round."""

    epochs: int
    theirs: list[float]
    ours: list[float]

    @property
    def ratio(self) -> float:
        """xpnet's time by scikit-learn's: the median of the rounds."""
        return statistics.median(b / a for a, b in zip(self.theirs, self.ours, strict=True))


def seconds(
    library: str, fit: Fit, batch: int, data: Data, clock: Callable[[], float] = time.perf_counter
) -> float:
    """The time of one fit, of exactly as many epochs as stated.

    Raises
    ------
    RuntimeError
        There were fewer epochs.
    """
    model = getattr(LIBRARIES[library], fit.estimator)(
        batch_size=batch, max_iter=fit.epochs, n_iter_no_change=math.inf, random_state=0
    )
    began = clock()
    model.fit(*data)
    passed = clock() - began
    if model.n_iter_ != fit.epochs:
        raise RuntimeError(f"{library} fitted {model.n_iter_} epochs in place of {fit.epochs}.")
    return passed


def timed(fit: Fit, batch: int, rounds: int, clock: Callable[[], float]) -> Times:
    """The times of both libraries, which fit in turn."""
    data = fit.data()
    for library in LIBRARIES:
        seconds(library, fit._replace(epochs=1), batch, data)
    found: dict[str, list[float]] = {library: [] for library in LIBRARIES}
    for i in range(rounds):
        order = list(found)[:: -1 if i % 2 else 1]
        for library in order:
            found[library].append(seconds(library, fit, batch, data, clock))
    return Times(fit.epochs, found["scikit-learn"], found["xpnet"])


def table_of_times(results: dict[tuple[str, int], Times]) -> str:
    """A line for each fit: the median of its times, and the ratio."""
    lines = [
        "| data | batch | epochs | scikit-learn, s | xpnet, s | ratio |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for (name, batch), times in results.items():
        medians = f"{statistics.median(times.theirs):.2f} | {statistics.median(times.ours):.2f}"
        lines.append(f"| {name} | {batch} | {times.epochs} | {medians} | {times.ratio:.2f} |")
    return "\n".join(lines)


# --- the program ----------------------------------------------------------------------------------


def measure_scores(options: argparse.Namespace) -> tuple[str, list[str]]:
    """The table of scores, and what is not equal."""
    results = {}
    for name in options.only or CLASSES | NUMBERS:
        results[name] = scored(name, options.seeds)
        print(f"{name}: measured", file=sys.stderr, flush=True)
    unequal = [
        f"{name}: the scores differ by {scores.difference:+.4f}"
        for name, scores in results.items()
        if not scores.are_equal
    ]
    return f"Means of {options.seeds} seeds.\n\n{table_of_scores(results)}", unequal


def measure_times(options: argparse.Namespace) -> tuple[str, list[str]]:
    """The table of times, and what exceeds the limit."""
    clock = time.process_time if options.cpu else time.perf_counter
    results = {}
    for name in options.only or FITS:
        for batch in BATCHES:
            results[name, batch] = timed(FITS[name], batch, options.rounds, clock)
            print(f"{name}, batch {batch}: measured", file=sys.stderr, flush=True)
    slow = [
        f"{name}, batch {batch}: expected at most {LIMIT} of scikit-learn's time, got {times.ratio:.2f}"
        for (name, batch), times in results.items()
        if times.ratio > LIMIT
    ]
    what = "seconds of the processor" if options.cpu else "seconds"
    return f"Medians of {options.rounds} rounds, {what}.\n\n{table_of_times(results)}", slow


def threads() -> int:
    """How many threads NumPy's BLAS may use."""
    return max((int(pool["num_threads"]) for pool in threadpool_info()), default=1)


def parser() -> argparse.ArgumentParser:
    """Of the command line."""
    made = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    commands = made.add_subparsers(dest="command", required=True)
    for name, choices in (("scores", [*CLASSES, *NUMBERS]), ("times", list(FITS))):
        command = commands.add_parser(name)
        command.add_argument("--only", action="append", choices=choices, help="by default, all")
        command.add_argument("--threads", type=int, help="by default, all cores")
        command.add_argument("--page", type=Path, help="a page, into which the table is written")
        command.add_argument("--check", action="store_true", help="exit code 1 above a limit")
    commands.choices["scores"].add_argument("--seeds", type=int, default=10)
    commands.choices["times"].add_argument("--rounds", type=int, default=5)
    commands.choices["times"].add_argument(
        "--cpu", action="store_true", help="measure the processor's time, on a busy machine"
    )
    return made


def main() -> int:
    """Measure, print the table, and check the limits."""
    options = parser().parse_args()
    measure = measure_scores if options.command == "scores" else measure_times
    with warnings.catch_warnings(), threadpool_limits(options.threads):
        warnings.simplefilter("ignore", ConvergenceWarning)
        table, exceeded = measure(options)
        record: dict[str, Any] = {"machine": machine(), "threads": threads()}
    if options.command == "scores":
        record["machine"]["load"] = 0.0  # they do not depend on what else runs
    text = f"{table}\n\nscikit-learn {sklearn.__version__}. {footnote(record)}"
    print(text)
    if options.page:
        page = options.page.read_text(encoding="utf-8")
        written = replaced(page, options.command, text)
        options.page.write_text(written, encoding="utf-8")
    print("\n".join(["", *exceeded]))
    return int(options.check and bool(exceeded))


if __name__ == "__main__":
    sys.exit(main())
