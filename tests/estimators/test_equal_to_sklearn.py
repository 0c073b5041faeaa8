"""With one random_state, the weights and figures of the perceptrons are scikit-learn's, up to rounding.

Every formula is compared at once: initial weights, orders of the samples, losses, penalty, updates, learning
rates, when to stop.
"""

import inspect
import math
import warnings

import numpy as np
import pytest
import sklearn
from sklearn import neural_network
from sklearn.datasets import load_diabetes, load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.fixes import parse_version

from xpnet import estimators

HAS_WEIGHTS = parse_version(sklearn.__version__) >= parse_version("1.7")
only_since_1_7 = pytest.mark.skipif(
    not HAS_WEIGHTS, reason="scikit-learn's MLP has no sample_weight and no poisson loss before 1.7"
)


def digits(n=300):
    X, y = load_digits(return_X_y=True)
    return X[:n] / 16.0, y[:n]


def diabetes():
    X, y = load_diabetes(return_X_y=True)
    return X * 20.0, (y - y.mean()) / y.std()


def both(name, X, y, sample_weight=None, **parameters):
    """scikit-learn's estimator and xpnet's of the same name, fitted."""
    weights = {} if sample_weight is None else {"sample_weight": sample_weight}
    fitted = []
    for module in (neural_network, estimators):
        estimator = getattr(module, name)(random_state=0, **parameters)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            fitted.append(estimator.fit(X, y, **weights))
    return fitted


FIGURES = ("loss_", "loss_curve_", "best_loss_", "validation_scores_", "best_validation_score_", "n_iter_", "t_", "n_layers_", "n_outputs_", "out_activation_", "n_features_in_")  # fmt: skip


def require_equal(theirs, ours, atol=1e-10):
    for mine, other in zip(
        ours.coefs_ + ours.intercepts_, theirs.coefs_ + theirs.intercepts_, strict=True
    ):
        np.testing.assert_allclose(mine, other, rtol=0.0, atol=atol)
    for name in FIGURES:
        assert hasattr(ours, name) == hasattr(theirs, name), name
        if not hasattr(theirs, name):
            continue
        expected = getattr(theirs, name)
        found = getattr(ours, name)
        if expected is None or isinstance(expected, (str, int)):
            assert found == expected, name
        else:
            np.testing.assert_allclose(found, expected, rtol=1e-8, atol=atol, err_msg=name)


CASES = {
    "adam": {},
    "alpha": {"alpha": 5.0, "batch_size": 64},
    "betas": {"beta_1": 0.5, "beta_2": 0.9, "epsilon": 0.1},
    "layers": {"hidden_layer_sizes": (12, 7), "activation": "tanh"},
    "logistic": {"activation": "logistic", "hidden_layer_sizes": [9]},
    "identity": {"activation": "identity", "hidden_layer_sizes": 4},
    "in order": {"shuffle": False, "batch_size": 77},
    "sgd": {"solver": "sgd", "learning_rate_init": 0.1},
    "heavy ball": {"solver": "sgd", "nesterovs_momentum": False, "momentum": 0.5},
    "all momentum": {"solver": "sgd", "momentum": 1, "learning_rate_init": 0.001},
    "invscaling": {"solver": "sgd", "learning_rate": "invscaling", "learning_rate_init": 0.3},
    "adaptive": {
        "solver": "sgd",
        "learning_rate": "adaptive",
        "learning_rate_init": 0.5,
        "tol": 0.5,
        "n_iter_no_change": 2,
        "max_iter": 40,
    },
    "converged": {"tol": 0.1, "n_iter_no_change": 1, "learning_rate_init": 0.05, "max_iter": 50},
    "early stopping": {"early_stopping": True, "n_iter_no_change": 2, "learning_rate_init": 0.05},
    "lbfgs": {"solver": "lbfgs"},
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("classes", [10, 2])
def test_of_a_classifier(case, classes):
    X, y = digits()
    parameters = {"max_iter": 6} | CASES[case]
    theirs, ours = both("MLPClassifier", X, y % classes, **parameters)
    require_equal(theirs, ours, atol=1e-8 if case == "lbfgs" else 1e-10)
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-7)
    assert ours.score(X, y % classes) == theirs.score(X, y % classes)


@pytest.mark.parametrize("case", ["adam", "early stopping", "lbfgs", "invscaling"])
def test_of_a_regressor(case):
    X, y = diabetes()
    theirs, ours = both("MLPRegressor", X, y, max_iter=6, **CASES[case])
    require_equal(theirs, ours, atol=1e-8 if case == "lbfgs" else 1e-10)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), atol=1e-7)


def test_of_a_regressor_with_several_outputs():
    """scikit-learn follows the gradient of the sum over the outputs, and reports their mean."""
    X, y = diabetes()
    Y = np.stack([y, -y, X[:, 0]], axis=1)
    theirs, ours = both("MLPRegressor", X, Y, max_iter=6, alpha=1.0)
    require_equal(theirs, ours)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), atol=1e-9)


@only_since_1_7
@pytest.mark.parametrize("weighted", [False, True])
def test_of_a_regressor_of_several_counts(weighted):
    """For this loss, scikit-learn reports the sum over the outputs."""
    X, y = diabetes()
    Y = np.round(np.exp(np.stack([y, -y, X[:, 0]], axis=1)))
    weight = np.random.default_rng(0).random(len(y)) if weighted else None
    theirs, ours = both("MLPRegressor", X, Y, weight, max_iter=6, loss="poisson", alpha=1.0)
    require_equal(theirs, ours)


def test_of_a_classifier_of_several_labels():
    X, y = digits()
    Y = np.stack([y % 2, y > 4, y == 3], axis=1).astype(int)
    theirs, ours = both("MLPClassifier", X, Y, max_iter=6)
    require_equal(theirs, ours)
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))


@only_since_1_7
@pytest.mark.parametrize("classes", [10, 2])
def test_with_weighted_samples(classes):
    X, y = digits()
    weight = np.random.default_rng(0).random(len(y))
    theirs, ours = both("MLPClassifier", X, y % classes, weight, max_iter=6, batch_size=50)
    require_equal(theirs, ours)


@only_since_1_7
@pytest.mark.parametrize("parameters", [{"loss": "poisson"}, {"early_stopping": True}])
def test_of_a_regressor_with_weighted_samples(parameters):
    X, y = diabetes()
    weight = np.random.default_rng(0).random(len(y))
    theirs, ours = both("MLPRegressor", X, np.round(np.exp(y)), weight, max_iter=6, **parameters)
    require_equal(theirs, ours)


def test_in_float32():
    X, y = digits()
    theirs, ours = both("MLPClassifier", X.astype(np.float32), y, max_iter=6)
    assert ours.coefs_[0].dtype == theirs.coefs_[0].dtype == np.float32
    require_equal(theirs, ours, atol=1e-5)


@pytest.mark.parametrize("name", ["MLPClassifier", "MLPRegressor"])
def test_warm_start_and_partial_fit(name):
    """Both continue with the weights; `partial_fit` also with the state of the optimizer."""
    X, y = digits()
    fitted = []
    for module in (neural_network, estimators):
        estimator = getattr(module, name)(random_state=0, max_iter=3, warm_start=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            estimator.fit(X, y).fit(X, y)
        for _ in range(3):
            estimator.partial_fit(X, y)
        fitted.append(estimator)
    require_equal(*fitted)


def test_partial_fit_from_the_beginning():
    X, y = digits()
    fitted = []
    for module in (neural_network, estimators):
        estimator = module.MLPClassifier(solver="sgd", random_state=0)
        for start in range(0, 300, 100):
            part = slice(start, start + 100)
            estimator.partial_fit(X[part], y[part], classes=np.arange(10))
        fitted.append(estimator)
    require_equal(*fitted)


@pytest.mark.parametrize("name", ["MLPClassifier", "MLPRegressor"])
def test_parameters_are_those_of_scikit_learn(name):
    """By name, order, kind and default; xpnet has more of them, behind these."""
    theirs = inspect.signature(getattr(neural_network, name)).parameters
    ours = inspect.signature(getattr(estimators, name)).parameters
    for parameter, expected in theirs.items():
        assert ours[parameter].default == expected.default, parameter
        assert ours[parameter].kind == expected.kind, parameter
    # scikit-learn's regressor had no loss before 1.7.
    order = [x for x in ours if x in theirs or (name == "MLPRegressor" and x == "loss")]
    assert order == list(ours)[: len(order)]
    assert [x for x in order if x in theirs] == list(theirs)
    more = {"loss", "dropout", "class_weight", "backend", "callbacks", "schedule", "compile"}
    assert ours.keys() - theirs.keys() <= more | {"densify"}


def test_epochs_without_an_end():
    """n_iter_no_change=inf: as many epochs as max_iter."""
    X, y = digits(60)
    with pytest.warns(ConvergenceWarning, match="Maximum iterations"):
        found = estimators.MLPClassifier(max_iter=15, tol=10.0, n_iter_no_change=math.inf).fit(X, y)
    assert found.n_iter_ == 15


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["iris", "wine", "breast_cancer", "digits", "moons", "classification", "diabetes", "friedman"],
)
def test_test_scores_are_equal_within_noise(name):
    """Slow: 10 fits of 200 epochs, twice. Paired by seed: of split, weights and orders."""
    from sklearn import datasets
    from sklearn.model_selection import train_test_split
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    made = {
        "moons": lambda: datasets.make_moons(500, noise=0.2, random_state=0),
        "classification": lambda: datasets.make_classification(1000, random_state=0),
        "friedman": lambda: datasets.make_friedman1(500, random_state=0),
    }
    load = made.get(name) or (lambda: getattr(datasets, f"load_{name}")(return_X_y=True))
    X, y = load()
    kind = "MLPRegressor" if name in ("diabetes", "friedman") else "MLPClassifier"
    differences = []
    for seed in range(10):
        split = train_test_split(X, y, random_state=seed)
        scores = []
        for module in (neural_network, estimators):
            model = make_pipeline(StandardScaler(), getattr(module, kind)(random_state=seed))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                scores.append(model.fit(split[0], split[2]).score(split[1], split[3]))
        differences.append(scores[1] - scores[0])
    assert abs(np.mean(differences)) < 0.005
