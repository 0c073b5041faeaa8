"""Estimators where scikit-learn's users put theirs: pipelines, searches, copies, files, DataFrames."""

import copy
import math
import pickle
import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
import scipy.sparse
import sklearn
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_digits, load_iris
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.experimental import enable_halving_search_cv  # noqa: F401 - it makes the next import work
from sklearn.inspection import partial_dependence, permutation_importance
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    cross_val_score,
    learning_curve,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils.validation import check_is_fitted

import xpnet
from xpnet import functions as F
from xpnet.errors import XpnetError
from xpnet.estimators import MLPClassifier, MLPRegressor, NetworkClassifier, NetworkRegressor
from xpnet.training import Callback

SHORT = {"max_iter": 4, "tol": 10.0, "n_iter_no_change": 2, "random_state": 0}
ALL = [
    MLPClassifier(**SHORT),
    MLPRegressor(**SHORT),
    NetworkClassifier(model_options={"hidden": 8}, **SHORT),
    NetworkRegressor(model_options={"hidden": 8}, **SHORT),
]
CLASSIFIERS = ALL[::2]
REGRESSORS = ALL[1::2]


@pytest.fixture
def iris():
    return load_iris(return_X_y=True)


def network(input_shape, outputs, hidden=8):
    return xpnet.MLP(*input_shape, hidden, outputs)


def convolution(input_shape, outputs):
    return xpnet.Sequential(
        xpnet.Conv2d(1, 4, 3), xpnet.ReLU(), xpnet.Flatten(), xpnet.Affine(144, outputs)
    )


# --- scikit-learn's tools ---------------------------------------------------------------------------


def test_a_pipeline_learns(iris):
    pipeline = make_pipeline(StandardScaler(), MLPClassifier(20, solver="lbfgs", random_state=0))
    assert pipeline.fit(*iris).score(*iris) > 0.95


@pytest.mark.parametrize("estimator", ALL, ids=str)
def test_a_search_in_two_processes(estimator, iris):
    name = "alpha" if "alpha" in estimator.get_params() else "learning_rate_init"
    search = GridSearchCV(estimator, {name: [1e-4, 1e-2]}, n_jobs=2, cv=2, error_score="raise")
    search.fit(*iris)
    alone = GridSearchCV(estimator, {name: [1e-4, 1e-2]}, cv=2, error_score="raise").fit(*iris)
    np.testing.assert_array_equal(
        search.cv_results_["mean_test_score"], alone.cv_results_["mean_test_score"]
    )


@pytest.mark.parametrize("estimator", ALL, ids=str)
def test_cross_validation(estimator, iris):
    assert np.isfinite(cross_val_score(estimator, *iris, cv=3, error_score="raise")).all()


@pytest.mark.parametrize("estimator", CLASSIFIERS, ids=str)
def test_calibration(estimator, iris):
    calibrated = CalibratedClassifierCV(estimator, cv=2).fit(*iris)
    np.testing.assert_allclose(calibrated.predict_proba(iris[0]).sum(axis=1), 1.0)


def test_several_outputs_at_once_or_one_by_one(iris):
    X, _ = iris
    Y = X[:, :2] - X[:, 2:]
    both = MLPRegressor(solver="lbfgs", random_state=0, max_iter=2000).fit(X, Y)
    apart = MultiOutputRegressor(both).fit(X, Y)
    for found in (both, apart):
        assert found.predict(X).shape == (150, 2)
        assert found.score(X, Y) > 0.99


TOOLS = {
    "VotingClassifier": lambda e: VotingClassifier([("a", e), ("b", e)], voting="soft"),
    "StackingClassifier": lambda e: StackingClassifier([("a", e)], cv=2),
    "BaggingClassifier": lambda e: BaggingClassifier(e, 2, bootstrap_features=True, random_state=0),
    "AdaBoostClassifier": lambda e: AdaBoostClassifier(e, n_estimators=2, random_state=0),
    "OneVsRestClassifier": OneVsRestClassifier,
    "HalvingGridSearchCV": lambda e: HalvingGridSearchCV(
        e, {"learning_rate_init": [0.01, 0.1]}, cv=2, random_state=0
    ),
}


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("estimator", CLASSIFIERS, ids=str)
def test_estimators_of_estimators(estimator, tool, iris):
    """They need clones, weights of samples, and the tags; each learns more than one class."""
    X, y = iris
    part = clone(estimator).set_params(max_iter=100, tol=0.01, learning_rate_init=0.05)
    found = TOOLS[tool](part).fit(X, y)
    assert found.score(X, y) > 0.5
    np.testing.assert_allclose(found.predict_proba(X).sum(axis=1), 1.0)


def test_inspection_and_curves(iris):
    X, y = iris
    found = MLPClassifier(solver="lbfgs", hidden_layer_sizes=5, max_iter=300, random_state=0)
    found.fit(X, y)
    importance = permutation_importance(found, X, y, n_repeats=3, random_state=0, n_jobs=2)
    assert importance.importances_mean[2:].max() > 0.1
    assert partial_dependence(found, X, [2])["average"].shape[0] == 3
    _, _, scores = learning_curve(
        MLPClassifier(**SHORT), X, y, cv=2, shuffle=True, exploit_incremental_learning=True
    )
    assert np.isfinite(scores).all()


def test_fits_in_several_threads_do_not_meet(iris):
    """Each has its random numbers and its backend."""
    X, y = iris

    def learned(seed):
        found = MLPClassifier(hidden_layer_sizes=8, dropout=0.3, **SHORT | {"random_state": seed})
        return found.fit(X, y).predict_proba(X)

    alone = [learned(seed) for seed in range(2)]
    with ThreadPoolExecutor(4) as pool:
        for seed, found in enumerate(pool.map(learned, [0, 1] * 4)):
            np.testing.assert_array_equal(found, alone[seed % 2])


def test_sample_weights_are_routed(iris):
    X, y = iris
    weight = np.linspace(0.0, 1.0, len(y))
    with sklearn.config_context(enable_metadata_routing=True):
        last = MLPClassifier(**SHORT).set_fit_request(sample_weight=True)
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        routed = make_pipeline(scaler, last).fit(X, y, sample_weight=weight)
    alone = MLPClassifier(**SHORT).fit(StandardScaler().fit_transform(X), y, sample_weight=weight)
    np.testing.assert_array_equal(routed[-1].coefs_[0], alone.coefs_[0])


# --- DataFrames -----------------------------------------------------------------------------------


@pytest.mark.parametrize("library", ["pandas", "polars"])
@pytest.mark.parametrize("estimator", ALL, ids=str)
def test_dataframes_have_names_of_columns(library, estimator, iris):
    module = pytest.importorskip(library, reason=f"{library} is not installed")
    X, y = iris
    names = ["a", "b", "c", "d"]
    frame = module.DataFrame({name: X[:, i] for i, name in enumerate(names)})
    fitted = clone(estimator).fit(frame, y)
    np.testing.assert_array_equal(fitted.predict(frame), clone(estimator).fit(X, y).predict(X))
    if not hasattr(StandardScaler().fit(frame), "feature_names_in_"):
        pytest.skip(f"scikit-learn {sklearn.__version__} finds no names in {library}'s DataFrames")
    assert list(fitted.feature_names_in_) == names
    with pytest.raises(ValueError, match="feature names should match"):
        fitted.predict(frame[names[::-1]])
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        fitted.predict(X)


def test_a_column_may_have_any_name(iris):
    """Columns are attributes of a DataFrame, and are not mistaken for those of an array."""
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    X, y = iris
    frame = pandas.DataFrame(X, columns=["layout", "device", "dtype", "is_sparse"])
    fitted = MLPClassifier(**SHORT).fit(frame, y)
    np.testing.assert_array_equal(
        fitted.predict(frame), MLPClassifier(**SHORT).fit(X, y).predict(X)
    )


def test_a_table_with_categories():
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    rng = np.random.default_rng(0)
    table = pandas.DataFrame({"x": rng.normal(size=200), "kind": rng.choice(["a", "b"], 200)})
    y = np.where((table["x"] > 0) == (table["kind"] == "a"), "yes", "no")
    columns = ColumnTransformer(
        [("number", StandardScaler(), ["x"]), ("category", OneHotEncoder(), ["kind"])]
    ).set_output(transform="default")
    model = make_pipeline(columns, MLPClassifier(20, solver="lbfgs", random_state=0))
    assert model.fit(table, y).score(table, y) > 0.9


def test_transformers_before_it_may_return_dataframes(iris):
    pytest.importorskip("pandas", reason="pandas is not installed")
    pipeline = make_pipeline(StandardScaler(), MLPClassifier(**SHORT)).set_output(
        transform="pandas"
    )
    pipeline.fit(*iris)
    assert len(pipeline[-1].feature_names_in_) == 4


# --- sparse matrices ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["csr", "csc", "coo"])
@pytest.mark.parametrize("estimator", ALL, ids=str)
def test_sparse_matrices_are_made_dense_if_that_is_wanted(kind, estimator, iris):
    X, y = iris
    X = np.where(X > 1.5, X, 0.0)
    sparse = scipy.sparse.csr_array(X).asformat(kind)
    with pytest.raises(TypeError, match=r"expected dense data, got a sparse matrix.*densify=True"):
        clone(estimator).fit(sparse, y)
    willing = clone(estimator).set_params(densify=True).fit(sparse, y)
    expected = clone(estimator).fit(X, y)
    np.testing.assert_allclose(willing.predict(sparse), expected.predict(X))
    with pytest.raises(TypeError, match="densify=True"):
        expected.predict(sparse)


# --- copies and files -----------------------------------------------------------------------------


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
@pytest.mark.parametrize("estimator", ALL, ids=str)
def test_copies_predict_the_same_and_go_on_the_same(copied, estimator, iris):
    """The state of the optimizer is copied too."""
    X, y = iris
    options = {"classes": np.unique(y)} if hasattr(estimator, "predict_proba") else {}
    first = clone(estimator).partial_fit(X, y, **options).partial_fit(X, y)
    before = dict(vars(first))
    second = copied(first)
    assert vars(first).keys() == before.keys()
    assert all(vars(first)[name] is x for name, x in before.items())
    np.testing.assert_array_equal(first.predict(X), second.predict(X))
    np.testing.assert_array_equal(
        first.partial_fit(X, y).loss_curve_, second.partial_fit(X, y).loss_curve_
    )
    np.testing.assert_array_equal(first.predict(X), second.predict(X))


def test_clones_are_not_fitted(iris):
    fitted = MLPClassifier(**SHORT).fit(*iris)
    check_is_fitted(fitted)
    with pytest.raises(NotFittedError):
        check_is_fitted(clone(fitted))


@pytest.mark.parametrize("estimator", ALL, ids=str)
def test_skops(estimator, iris, tmp_path):
    """Only the class itself has to be trusted: the state consists of numbers, strings and NumPy's arrays."""
    skops = pytest.importorskip("skops.io", reason="skops is not installed")
    fitted = clone(estimator).fit(*iris)
    skops.dump(fitted, tmp_path / "model.skops")
    unknown = skops.get_untrusted_types(file=tmp_path / "model.skops")
    assert unknown == [f"{type(estimator).__module__}.{type(estimator).__name__}"]
    loaded = skops.load(tmp_path / "model.skops", trusted=unknown)
    np.testing.assert_array_equal(loaded.predict(iris[0]), fitted.predict(iris[0]))


def small(input_shape, outputs, width=4):
    return xpnet.Sequential(
        xpnet.Affine(input_shape[0], width), xpnet.BatchNorm1d(width), xpnet.Affine(width, outputs)
    )


def test_skops_stores_a_network_of_a_function(iris, tmp_path):
    """The function is named, and has to be trusted too; weights and buffers are those of the fit."""
    skops = pytest.importorskip("skops.io", reason="skops is not installed")
    X, y = iris
    fitted = NetworkClassifier(small, model_options={"width": 6}, **SHORT).fit(X, y)
    fitted.set_params(model="mlp", model_options=None)  # of the next fit
    skops.dump(fitted, tmp_path / "model.skops")
    unknown = skops.get_untrusted_types(file=tmp_path / "model.skops")
    assert f"{small.__module__}.small" in unknown
    xpnet.manual_seed(0)
    expected = xpnet.random.default_rng().normal()
    xpnet.manual_seed(0)
    loaded = skops.load(tmp_path / "model.skops", trusted=unknown)
    assert xpnet.random.default_rng().normal() == expected  # nothing was drawn
    np.testing.assert_array_equal(loaded.predict_proba(X), fitted.predict_proba(X))


def test_skops_stores_a_network_that_was_given(iris, tmp_path, backend, array):
    """The classes of its layers have to be trusted too. What is not NumPy's becomes NumPy's."""
    skops = pytest.importorskip("skops.io", reason="skops is not installed")
    X, y = iris
    X = X.astype("float32")  # some devices have no float64
    model = small(X.shape[1:], 3)
    fitted = NetworkClassifier(model, **SHORT).fit(array(X), y)
    skops.dump(fitted, tmp_path / "model.skops")
    unknown = skops.get_untrusted_types(file=tmp_path / "model.skops")
    assert {x.rpartition(".")[2] for x in unknown} == {
        *("NetworkClassifier", "Sequential", "Affine", "BatchNorm1d", "Parameter", "Buffer")
    }
    loaded = skops.load(tmp_path / "model.skops", trusted=unknown)
    for name, x in fitted.model_.state_dict().items():
        np.testing.assert_array_equal(
            loaded.model_.state_dict()[name], xpnet.to_numpy(x), strict=True
        )
    again = skops.load(tmp_path / "model.skops", trusted=unknown).fit(X, y)
    np.testing.assert_array_equal(again.predict(X), xpnet.to_numpy(fitted.predict(array(X))))


def test_a_pickle_has_the_weights_in_their_dtype(iris):
    X, y = iris
    for dtype in ("float32", "float64"):
        fitted = NetworkClassifier(small, **SHORT).fit(X.astype(dtype), y)
        loaded = pickle.loads(pickle.dumps(fitted))
        for name, x in fitted.model_.state_dict().items():
            np.testing.assert_array_equal(loaded.model_.state_dict()[name], x, strict=True)


# --- beyond scikit-learn's perceptron ---------------------------------------------------------------


@pytest.mark.parametrize("estimator", ALL, ids=str)
def test_a_weight_of_two_is_the_sample_twice(estimator, iris):
    X, y = iris
    options = {"max_iter": 3, "batch_size": 1000}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        weighted = clone(estimator).set_params(**options)
        weighted.fit(X, y, sample_weight=np.where(y == 1, 2.0, 1.0))
        X = np.concatenate([X, X[y == 1]])
        y = np.concatenate([y, y[y == 1]])
        repeated = clone(estimator).set_params(**options).fit(X, y)
    assert weighted.loss_ == pytest.approx(repeated.loss_, rel=1e-10)


def test_batches_of_weight_zero_change_nothing(iris):
    X, y = iris
    found = MLPClassifier(**SHORT, batch_size=10, alpha=0.0, shuffle=False)
    found.fit(X, y, sample_weight=np.where(np.arange(150) < 20, 0.0, 1.0))
    assert np.isfinite(found.coefs_[0]).all()


@pytest.mark.parametrize("estimator", CLASSIFIERS, ids=str)
def test_class_weights(estimator, iris):
    X, y = iris
    by_class = clone(estimator).set_params(class_weight={0: 1.0, 1: 3.0, 2: 0.5}).fit(X, y)
    by_sample = clone(estimator).fit(X, y, sample_weight=np.array([1.0, 3.0, 0.5])[y])
    assert by_class.loss_curve_ == by_sample.loss_curve_
    clone(estimator).set_params(class_weight="balanced").fit(X, y)


@pytest.mark.parametrize("estimator", CLASSIFIERS, ids=str)
def test_balanced_classes_have_equal_sums_of_weights(estimator, iris):
    """A sample of weight 2 counts twice here too."""
    X, y = iris
    given = np.where(np.arange(150) % 4 == 0, 2.0, 1.0)
    balanced = (
        clone(estimator).set_params(class_weight="balanced").fit(X[:120], y[:120], given[:120])
    )
    sums = np.bincount(y[:120], weights=given[:120])
    factors = sums.sum() / (3 * sums)
    by_hand = clone(estimator).fit(X[:120], y[:120], given[:120] * factors[y[:120]])
    np.testing.assert_allclose(balanced.loss_curve_, by_hand.loss_curve_, rtol=1e-12)


def test_class_weights_of_several_labels(iris):
    X, y = iris
    Y = np.eye(3, dtype=int)[y]
    weights = [{0: 1.0, 1: 3.0}, {0: 1.0, 1: 1.0}, {0: 1.0, 1: 0.5}]
    by_label = MLPClassifier(class_weight=weights, **SHORT).fit(X, Y)
    by_sample = MLPClassifier(**SHORT).fit(X, Y, np.array([3.0, 1.0, 0.5])[y])
    assert by_label.loss_curve_ == by_sample.loss_curve_


@pytest.mark.parametrize("estimator", CLASSIFIERS, ids=str)
def test_class_weights_of_a_part_that_lacks_the_class(estimator, iris):
    """A weight is for one of all classes, not for one of this call's."""
    X, y = iris
    found = clone(estimator).set_params(class_weight={2: 5.0})
    found.partial_fit(X[:100], y[:100], classes=[0, 1, 2]).partial_fit(X[100:], y[100:])
    by_sample = clone(estimator).partial_fit(X[:100], y[:100], np.ones(100), classes=[0, 1, 2])
    by_sample.partial_fit(X[100:], y[100:], np.full(50, 5.0))
    np.testing.assert_allclose(found.loss_curve_, by_sample.loss_curve_, rtol=1e-12)


def test_parts_of_the_data_cannot_be_balanced(iris):
    with pytest.raises(XpnetError, match="partial_fit expected class_weight to be a dict or None"):
        MLPClassifier(class_weight="balanced").partial_fit(*iris, classes=[0, 1, 2])


@pytest.mark.parametrize("loss", ["absolute_error", "huber"])
@pytest.mark.parametrize("weighted", [False, True])
def test_losses_of_regression(loss, weighted, iris):
    """The loss of the first batch is that of NumPy, for the initial weights."""
    X, _ = iris
    y = 5.0 * X[:, :2]
    weight = np.linspace(0.1, 2.0, 150) if weighted else None
    found = MLPRegressor(loss, batch_size=150, learning_rate_init=1e-12, **SHORT)
    found.fit(X, y, sample_weight=weight)
    d = np.abs(found.predict(X) - y)
    each = d if loss == "absolute_error" else np.where(d < 1.0, 0.5 * d * d, d - 0.5)
    squares = sum((W**2).sum() for W in found.coefs_)
    total = 150 if weight is None else weight.sum()
    expected = np.average(each.mean(axis=1), weights=weight) + 0.5 * found.alpha * squares / total
    assert found.loss_ == pytest.approx(expected, rel=1e-8)


def test_an_own_loss(iris):
    own = MLPRegressor(F.mean_squared_error, alpha=0.0, **SHORT).fit(*iris)
    named = MLPRegressor("squared_error", alpha=0.0, **SHORT).fit(*iris)
    assert own.loss_curve_[0] == pytest.approx(2.0 * named.loss_curve_[0], rel=1e-12)
    smoothed = partial(F.softmax_cross_entropy, label_smoothing=0.1)
    assert MLPClassifier(loss=smoothed, **SHORT).fit(*iris).loss_ > 0.0


def test_an_own_loss_has_no_weights(iris):
    with pytest.raises(XpnetError, match="loss is a function"):
        MLPClassifier(loss=F.softmax_cross_entropy).fit(*iris, sample_weight=np.ones(150))


def test_dropout(iris):
    """The masks follow from random_state, and change nothing in prediction."""
    X, y = iris
    found = [MLPClassifier(dropout=0.5, **SHORT).fit(X, y) for _ in range(2)]
    without = MLPClassifier(**SHORT).fit(X, y)
    assert found[0].loss_curve_ == found[1].loss_curve_ != without.loss_curve_
    np.testing.assert_array_equal(found[0].predict_proba(X), found[0].predict_proba(X))


def test_masks_differ_in_each_partial_fit(iris):
    """Also with a fixed random_state, from which each call starts anew."""
    options = {"shuffle": False, "learning_rate_init": 1e-12, "random_state": 0}
    for dropout, losses in ((0.0, 1), (0.5, 4)):
        found = MLPRegressor(dropout=dropout, **options)
        for _ in range(4):
            found.partial_fit(*iris)
        assert len(set(np.round(found.loss_curve_, 6))) == losses


def test_random_numbers_of_others_stay_as_they_are(iris):
    xpnet.manual_seed(0)
    before = xpnet.random.state()
    NetworkClassifier(network, **SHORT).fit(*iris)
    MLPClassifier(dropout=0.5, **SHORT).fit(*iris)
    assert xpnet.random.state() == before


class Epochs(Callback):
    """Counts epochs, and ends the training after the second."""

    def __init__(self):
        self.count = 0

    def on_epoch(self, trainer):
        self.count += 1
        if self.count == 2:
            trainer.stop("enough")


@pytest.mark.parametrize("estimator", ALL, ids=str)
def test_callbacks(estimator, iris):
    callback = Epochs()
    fitted = clone(estimator).set_params(callbacks=[callback], max_iter=50)
    fitted.callbacks = [callback]  # `set_params` keeps it, and clones have copies
    assert fitted.fit(*iris).n_iter_ == 2


@pytest.mark.parametrize("estimator", ALL, ids=str)
def test_a_schedule(estimator, iris):
    """A factor of 0 leaves the initial weights; a factor of 1 changes nothing."""
    X, y = iris
    expected = clone(estimator).fit(X, y)
    same = clone(estimator).set_params(schedule=lambda step: 1.0).fit(X, y)
    still = clone(estimator).set_params(schedule=lambda step: 0.0, shuffle=False).fit(X, y)
    assert same.loss_curve_ == expected.loss_curve_
    assert len(set(np.round(still.loss_curve_, 10))) == 1


def test_partial_fit_goes_on_with_the_schedule(iris):
    steps = []
    found = MLPClassifier(
        schedule=lambda step: steps.append(step) or 1.0, compile=False, batch_size=50
    )
    for _ in range(2):
        found.partial_fit(*iris, classes=[0, 1, 2])
    assert steps == [0, 1, 2, 3, 4, 5]


def test_partial_fit_reads_parameters_anew(iris):
    """As scikit-learn's."""
    changed, fresh = MLPClassifier(random_state=0), MLPClassifier(random_state=0)
    for found in (changed, fresh):
        found.partial_fit(*iris, classes=[0, 1, 2])
    changed.set_params(alpha=100.0)
    for found in (changed, fresh):
        found.partial_fit(*iris)
    assert changed.loss_ > 2.0 * fresh.loss_


def test_without_compilation(iris):
    found = [MLPClassifier(compile=compile, **SHORT).fit(*iris) for compile in (False, True, None)]
    for other in found[1:]:
        np.testing.assert_allclose(other.coefs_[0], found[0].coefs_[0], atol=1e-12)


def test_coefficients_may_be_changed(iris):
    X, y = iris
    found = MLPRegressor(**SHORT).fit(X, y)
    found.coefs_[-1] = found.coefs_[-1] * 0.0
    found.intercepts_[-1][:] = 7.0
    np.testing.assert_array_equal(found.predict(X), 7.0)


def test_one_class_is_predicted(iris):
    X, _ = iris
    for estimator in CLASSIFIERS:
        found = clone(estimator).fit(X, np.full(150, "only"))
        assert set(found.predict(X)) == {"only"}
        np.testing.assert_array_equal(found.predict_proba(X), np.ones((150, 1)))


def test_several_labels(iris):
    X, y = iris
    Y = np.stack([y == 0, y > 0, X[:, 0] > 5.8], axis=1).astype(int)
    for estimator in CLASSIFIERS:
        options = {"max_iter": 200, "tol": 0.0, "n_iter_no_change": math.inf}
        with pytest.warns(ConvergenceWarning):
            found = clone(estimator).set_params(**options, learning_rate_init=0.02).fit(X, Y)
        assert found.score(X, Y) > 0.8
        assert found.predict_proba(X).shape == (150, 3)


# --- any model ------------------------------------------------------------------------------------


def test_a_model_is_a_name_a_function_or_a_layer(iris):
    X, y = iris
    for model in ("mlp", network, lambda shape: network(shape, 3), network((4,), 3)):
        found = NetworkClassifier(model, **SHORT).fit(X, y)
        assert found.predict_proba(X).shape == (150, 3)
        assert isinstance(found.model_, xpnet.Layer)


def test_a_layer_is_copied_for_each_fit(iris):
    layer = network((4,), 3)
    before = xpnet.to_numpy(layer[0].weight.data).copy()
    found = NetworkClassifier(layer, **SHORT)
    losses = [found.fit(*iris).loss_curve_ for _ in range(2)]
    assert losses[0] == losses[1]
    np.testing.assert_array_equal(xpnet.to_numpy(layer[0].weight.data), before)


def test_images_of_rows_and_of_arrays():
    X, y = load_digits(return_X_y=True)
    X, y = X[:200] / 16.0, y[:200]
    rows = NetworkClassifier(convolution, input_shape=(1, 8, 8), **SHORT).fit(X, y)
    images = NetworkClassifier(convolution, **SHORT).fit(X.reshape(-1, 1, 8, 8), y)
    np.testing.assert_array_equal(rows.predict(X), images.predict(X.reshape(-1, 1, 8, 8)))


def test_options_of_a_model_are_searched(iris):
    grid = {"model_options": [{"hidden": 4}, {"hidden": 16}]}
    search = GridSearchCV(NetworkClassifier(network, **SHORT), grid, cv=2, error_score="raise")
    assert search.fit(*iris).best_params_["model_options"]["hidden"] in (4, 16)


def test_optimizers(iris):
    named = NetworkClassifier(network, optimizer="adamw", **SHORT).fit(*iris)
    made = NetworkClassifier(network, optimizer=xpnet.AdamW, **SHORT).fit(*iris)
    other = NetworkClassifier(network, optimizer=partial(xpnet.AdamW, weight_decay=0.5), **SHORT)
    assert named.loss_curve_ == made.loss_curve_ != other.fit(*iris).loss_curve_


def test_early_stopping_restores_the_best_weights(iris):
    X, y = iris
    found = NetworkClassifier(
        network, early_stopping=True, learning_rate_init=0.3, n_iter_no_change=3, random_state=0
    ).fit(X, y)
    assert found.best_validation_score_ == max(found.validation_scores_)
    assert len(found.validation_scores_) == found.n_iter_


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"hidden_layer_sizes": (4, 0)}, r"hidden_layer_sizes to be whole numbers.*got \(4, 0\)"),
        ({"activation": "relue"}, "activation to be one of 'identity', 'logistic'"),
        ({"solver": "adamw"}, "solver to be one of"),
        ({"alpha": -1.0}, "alpha to be a number >= 0, got -1.0"),
        ({"batch_size": 0}, "batch_size to be 'auto' or a whole number"),
        ({"learning_rate_init": 0}, "learning_rate_init to be a number > 0"),
        ({"max_iter": 0.5}, "max_iter to be a whole number"),
        ({"momentum": 1.5}, "momentum to be a number from 0 to 1"),
        ({"beta_1": 1.0}, "beta_1"),
        ({"loss": "hinge"}, "loss to be one of 'log_loss', or a function"),
        ({"dropout": 1.0}, "dropout to be a probability"),
        ({"early_stopping": "yes"}, "early_stopping to be True or False"),
        ({"early_stopping": True, "validation_fraction": 0.005}, "validation set is too small"),
        ({"callbacks": [len]}, "Expected callbacks"),
        ({"callbacks": len}, "callbacks to be a list of callbacks, or None"),
        ({"hidden_layer_sizes": (x for x in (4, 4))}, "hidden_layer_sizes to be whole numbers"),
        ({"verbose": "yes"}, "verbose to be True, False or a whole number >= 0, got 'yes'"),
        ({"random_state": -1}, "random_state to be a whole number from 0 to below"),
        ({"random_state": np.random.default_rng(0)}, "random_state to be .*got Generator"),
        ({"class_weight": "even"}, "class_weight to be a dict, 'balanced' or None"),
        ({"class_weight": [1.0, 2.0, 3.0]}, "class_weight to be a dict"),
        ({"compile": "yes"}, "compile to be True, False or None"),
        ({"schedule": 3}, "Expected a function as schedule, got 3"),
        ({"backend": "nowhere"}, "Unknown backend 'nowhere'"),
        ({"solver": "lbfgs", "dropout": 0.5}, "no dropout with solver='lbfgs'.*got 0.5"),
        ({"solver": "lbfgs", "callbacks": [Callback()]}, "no callbacks with solver='lbfgs'"),
        ({"solver": "lbfgs", "schedule": float}, "no schedule with solver='lbfgs'"),
    ],
)  # fmt: skip
def test_invalid_parameters(parameters, message, iris):
    with pytest.raises(XpnetError, match=message) as error:
        MLPClassifier(**parameters).fit(*iris)
    assert isinstance(error.value, (ValueError, TypeError, RuntimeError))


def test_models_that_do_not_fit(iris):
    X, y = iris
    with pytest.raises(
        XpnetError, match=r"expected a model with 3 outputs.*returned shape \(1, 5\)"
    ):
        NetworkClassifier(network((4,), 5)).fit(X, y)
    with pytest.raises(XpnetError, match="name, a function or a Layer, got 3"):
        NetworkClassifier(3).fit(X, y)
    with pytest.raises(XpnetError, match="a model that is a Layer, got 7"):
        NetworkClassifier(lambda shape: 7).fit(X, y)
    with pytest.raises(XpnetError, match="model_options"):
        NetworkClassifier(network((4,), 3), model_options={"hidden": 3}).fit(X, y)
    with pytest.raises(XpnetError, match=r"input_shape=\(2, 3\), 6 numbers"):
        NetworkClassifier(network, input_shape=(2, 3)).fit(X, y)
    with pytest.raises(XpnetError, match="Unknown model 'perceptron'"):
        NetworkClassifier("perceptron").fit(X, y)
    with pytest.raises(XpnetError, match="model_options to be a dict, or None, got 3"):
        NetworkClassifier(model_options=3).fit(X, y)
    for shape in (4, (-1, 4), "4"):
        with pytest.raises(XpnetError, match="input_shape to be a sequence of whole numbers"):
            NetworkClassifier(input_shape=shape).fit(X, y)
    with pytest.raises(XpnetError, match=r"function that returns an Optimizer.*returned \[\]"):
        NetworkClassifier(optimizer=lambda parameters, lr: []).fit(X, y)


def test_no_partial_fit_with_lbfgs_or_early_stopping(iris):
    assert not hasattr(MLPClassifier(solver="lbfgs"), "partial_fit")
    with pytest.raises(AttributeError, match="partial_fit"):
        MLPRegressor(solver="lbfgs").partial_fit  # noqa: B018
    with pytest.raises(ValueError, match="early_stopping"):
        MLPClassifier(early_stopping=True).partial_fit(*iris, classes=[0, 1, 2])


def test_classes_of_partial_fit_and_of_warm_starts(iris):
    X, y = iris
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        MLPClassifier().partial_fit(X, y)
    found = MLPClassifier().partial_fit(X, y, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="classes not in"):
        found.partial_fit(X, y + 1)
    with pytest.raises(ValueError, match="is not the same as on last call"):
        found.partial_fit(X, y, classes=[0, 1])
    warm = MLPClassifier(warm_start=True, **SHORT).fit(X, y)
    for other in (y[:100] % 2, y[:100] + 1):
        with pytest.raises(ValueError, match="warm_start can only be used where"):
            warm.fit(X[:100], other)


def test_a_matrix_of_labels_does_not_continue_one_label_per_sample(iris):
    """Its columns have the numbers of the classes, but its zeros and ones are no class numbers."""
    X, y = iris
    found = MLPClassifier(warm_start=True, **SHORT).fit(X, y)
    for learn in (found.fit, found.partial_fit):
        with pytest.raises(XpnetError, match=r"one label per sample, as before.*\(150, 3\)"):
            learn(X, np.eye(3, dtype=int)[y])
    several = MLPClassifier(warm_start=True, **SHORT).fit(X, np.eye(3, dtype=int)[y])
    with pytest.raises(XpnetError, match=r"targets of shape \(n, 3\), as before, got \(150,\)"):
        several.fit(X, y)


def test_a_warm_start_has_the_same_hidden_layers(iris):
    found = MLPRegressor(hidden_layer_sizes=(8,), warm_start=True, **SHORT).fit(*iris)
    found.set_params(hidden_layer_sizes=8).fit(*iris)
    for sizes in (9, (8, 8)):
        found.set_params(hidden_layer_sizes=sizes)
        for learn in (found.fit, found.partial_fit):
            with pytest.raises(XpnetError, match=r"as in the last fit, \[8\].*got"):
                learn(*iris)
    assert found.set_params(warm_start=False).fit(*iris).coefs_[1].shape == (8, 8)


@pytest.mark.parametrize("before", [{"solver": "lbfgs", "max_iter": 200}, {"early_stopping": True}])
def test_training_goes_on_without_early_stopping(before, iris):
    """After a fit that has no training losses to compare."""
    found = MLPRegressor(**SHORT | before).fit(*iris)
    found.set_params(**SHORT, solver="adam", early_stopping=False)
    found.partial_fit(*iris).partial_fit(*iris)
    assert found.best_loss_ == min(found.loss_curve_[-2:])
    assert found.validation_scores_ is found.best_validation_score_ is None
    found.set_params(warm_start=True).fit(*iris)
    assert len(found.loss_curve_) >= 3


def test_training_goes_on_with_early_stopping(iris):
    found = MLPRegressor(warm_start=True, **SHORT).fit(*iris)
    epochs = len(found.loss_curve_)
    found.set_params(early_stopping=True).fit(*iris)
    assert found.best_loss_ is None
    assert found.best_validation_score_ == max(found.validation_scores_)
    assert len(found.loss_curve_) == epochs + len(found.validation_scores_)


def test_targets_of_several_classes_each_are_refused(iris):
    X, y = iris
    with pytest.raises(ValueError, match="MultiOutputClassifier|Multioutput|multioutput"):
        MLPClassifier().fit(X, np.stack([y, y], axis=1))


def test_a_loss_that_becomes_nan_is_an_error(iris):
    X, _ = iris
    with pytest.raises(XpnetError, match="became|non-finite"), np.errstate(all="ignore"):
        MLPRegressor(solver="sgd", learning_rate_init=1e6, max_iter=50).fit(X * 1e6, X[:, 0] * 1e9)


class Pressed(Callback):
    """Ctrl-C in the second epoch."""

    def on_epoch(self, trainer):
        if len(trainer.history) == 2:
            raise KeyboardInterrupt


class PressedAtOnce(Callback):
    """Ctrl-C after the first step."""

    def on_step(self, trainer):
        raise KeyboardInterrupt


def test_ctrl_c_keeps_what_was_learned(iris):
    found = MLPClassifier(callbacks=[Pressed()], random_state=0)
    with pytest.warns(UserWarning, match="Training interrupted by user"):
        found.fit(*iris)
    assert found.n_iter_ == 2
    assert found.predict(iris[0]).shape == (150,)


def test_ctrl_c_in_the_first_epoch(iris):
    found = NetworkClassifier(network, callbacks=[PressedAtOnce()], random_state=0)
    with pytest.warns(UserWarning, match="Training interrupted by user"):
        found.fit(*iris)
    assert found.n_iter_ == len(found.loss_curve_) == 0
    assert found.predict(iris[0]).shape == (150,)


@pytest.mark.parametrize("estimator", CLASSIFIERS, ids=str)
def test_ctrl_c_in_partial_fit_is_reported(estimator, iris):
    found = clone(estimator).partial_fit(*iris, classes=[0, 1, 2])
    found.callbacks = [PressedAtOnce()]
    with pytest.warns(UserWarning, match="Training interrupted by user") as caught:
        found.partial_fit(*iris)
    assert caught[0].filename == __file__
    assert len(found.loss_curve_) == 1


class Failing(Callback):
    def on_epoch(self, trainer):
        raise RuntimeError("no more")


@pytest.mark.parametrize("estimator", CLASSIFIERS, ids=str)
def test_a_second_fit_that_fails_leaves_no_old_weights_with_new_classes(estimator, iris):
    X, y = iris
    found = clone(estimator).fit(X, y)
    found.callbacks = [Failing()]
    with pytest.raises(RuntimeError, match="no more"):
        found.fit(X, np.array(["a", "b", "c"])[y])
    with pytest.raises(NotFittedError):
        found.predict(X)


def test_a_fit_that_fails_leaves_nothing_fitted(iris):
    X, y = iris
    found = MLPRegressor(solver="sgd", learning_rate_init=1e6, warm_start=True)
    with pytest.raises(XpnetError), np.errstate(all="ignore"):
        found.fit(X * 1e6, y * 1e9)
    with pytest.raises(NotFittedError):
        found.predict(X)
    found.set_params(learning_rate_init=0.001, **SHORT).fit(X, y)
    assert np.isfinite(found.predict(X)).all()


def test_verbose_prints_each_epoch(iris, capsys):
    MLPClassifier(verbose=True, **SHORT).fit(*iris)
    MLPRegressor(verbose=True, solver="lbfgs", max_iter=2000, random_state=0).fit(*iris)
    printed = capsys.readouterr().out
    assert "Iteration 1, loss = " in printed
    assert "consecutive epochs. Stopping." in printed
