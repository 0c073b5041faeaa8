"""scikit-learn's own checks of estimators, all of them, without an expected failure."""

import warnings

import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.estimator_checks import parametrize_with_checks

from xpnet.estimators import MLPClassifier, MLPRegressor, NetworkClassifier, NetworkRegressor

ESTIMATORS = [
    MLPClassifier(),
    MLPClassifier(hidden_layer_sizes=10, solver="lbfgs", densify=True),
    MLPRegressor(),
    NetworkClassifier(model_options={"hidden": 64}),
    NetworkRegressor(model_options={"hidden": 64}),
]


@pytest.fixture(autouse=True)
def without_warnings():
    """The checks fit a few samples for few epochs, or data of which scikit-learn's own checks warn."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("ignore", FutureWarning)
        yield


@parametrize_with_checks(ESTIMATORS)
def test_check(estimator, check):
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks(
    [
        NetworkClassifier(),
        NetworkRegressor(),
        MLPClassifier(solver="sgd", learning_rate_init=0.1, densify=True),
        MLPRegressor(solver="lbfgs", densify=True),
        MLPClassifier(hidden_layer_sizes=(50, 20), batch_size=1000),
    ]
)
def test_check_of_other_parameters(estimator, check):
    """Slow: each of these fits about a hundred networks."""
    check(estimator)
