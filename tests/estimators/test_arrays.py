"""Everything follows X: where an estimator computes, and what its predictions are."""

import os
import pickle

import numpy as np
import pytest
import sklearn
from sklearn.datasets import load_digits
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler
from sklearn.utils.fixes import parse_version

import xpnet
from xpnet.estimators import MLPClassifier, MLPRegressor, NetworkClassifier, NetworkRegressor

ALL = [
    MLPClassifier(max_iter=3, tol=10.0, n_iter_no_change=1),
    MLPClassifier(solver="lbfgs", hidden_layer_sizes=5, max_iter=200, tol=10.0),
    MLPRegressor(max_iter=3, tol=10.0, n_iter_no_change=1),
    NetworkClassifier(model_options={"hidden": 8}, max_iter=3, tol=10.0, n_iter_no_change=1),
    NetworkRegressor(model_options={"hidden": 8}, max_iter=3, tol=10.0, n_iter_no_change=1),
]
CLASSIFIERS = [x for x in ALL if hasattr(x, "predict_proba")]


def data(dtype="float32"):
    X, y = load_digits(return_X_y=True)
    return (X[:90] / 16.0).astype(dtype), y[:90]


def fresh(estimator):
    return type(estimator)(**estimator.get_params()).set_params(random_state=0)


def is_like(x, model):
    return type(x) is type(model) and getattr(x, "device", None) == getattr(model, "device", None)


@pytest.mark.parametrize("estimator", ALL, ids=str)
def test_predictions_are_of_the_library_and_on_the_device_of_x(backend, estimator):
    """They are the same numbers as on NumPy."""
    X, y = data()
    x = backend.asarray(X)
    fitted = fresh(estimator).fit(x, backend.asarray(y))
    found = fitted.predict(x)
    assert is_like(found, x)
    on_numpy = fresh(estimator).fit(X, y)
    np.testing.assert_allclose(xpnet.to_numpy(found), on_numpy.predict(X), rtol=1e-4, atol=1e-4)
    assert fitted.score(x, backend.asarray(y)) == pytest.approx(on_numpy.score(X, y), abs=1e-4)


@pytest.mark.parametrize("estimator", CLASSIFIERS, ids=str)
def test_probabilities_follow_x(backend, estimator):
    X, y = data()
    x = backend.asarray(X)
    fitted = fresh(estimator).fit(x, y)
    p = fitted.predict_proba(x)
    assert is_like(p, x)
    assert is_like(fitted.predict_log_proba(x), x)
    host = xpnet.to_numpy(p)
    np.testing.assert_allclose(host.sum(axis=1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(np.exp(xpnet.to_numpy(fitted.predict_log_proba(x))), host, rtol=1e-4)


@pytest.mark.parametrize("estimator", ALL, ids=str)
def test_a_fitted_estimator_takes_arrays_of_another_library(backend, estimator):
    X, y = data()
    fitted = fresh(estimator).fit(backend.asarray(X), y)
    expected = xpnet.to_numpy(fitted.predict(backend.asarray(X)))
    found = fitted.predict(X)
    assert type(found) is np.ndarray
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("estimator", ALL, ids=str)
def test_a_pickle_has_numpys_arrays(backend, estimator):
    X, y = data()
    x = backend.asarray(X)
    fitted = fresh(estimator).fit(x, y)
    expected = xpnet.to_numpy(fitted.predict(x))
    stored = pickle.dumps(fitted)
    if not backend.name.startswith("numpy"):
        assert backend.library.name.encode() not in stored
    np.testing.assert_allclose(pickle.loads(stored).predict(X), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("estimator", ALL, ids=str)
def test_backend_overrides_x(backend, estimator):
    """The weights are there; predictions still follow X."""
    X, y = data()
    fitted = fresh(estimator).set_params(backend=backend.name).fit(X, y)
    weight = (
        fitted.coefs_[0] if hasattr(fitted, "coefs_") else next(fitted.model_.parameters()).data
    )
    assert type(weight) is type(backend.asarray(X))
    assert type(fitted.predict(X)) is np.ndarray


@pytest.mark.parametrize("estimator", ALL, ids=str)
def test_the_current_backend_does_not_decide_and_is_left(backend, estimator):
    X, y = data()
    with xpnet.using(backend):
        fitted = fresh(estimator).fit(X, y)
        assert type(fitted.predict(X)) is np.ndarray
        assert xpnet.backend.current() == backend
    np.testing.assert_array_equal(fitted.predict(X), fresh(estimator).fit(X, y).predict(X))


@pytest.fixture
def dispatched(backend):
    """scikit-learn's transformers compute on this backend; it sets the strict library's version for good."""
    if "SCIPY_ARRAY_API" not in os.environ:
        pytest.skip("scikit-learn computes on other libraries with SCIPY_ARRAY_API=1 only")
    if backend.library.name == "jax":
        pytest.skip("scikit-learn's scalers write into arrays, which JAX forbids")
    if backend.library.name != "array_api_strict":
        with sklearn.config_context(array_api_dispatch=True):
            yield
        return
    if parse_version(sklearn.__version__) < parse_version("1.7"):
        pytest.skip(
            "scikit-learn 1.6 sets the strict library to the standard of 2023, xpnet's is newer"
        )
    import array_api_strict

    version = array_api_strict.get_array_api_strict_flags()["api_version"]
    with sklearn.config_context(array_api_dispatch=True):
        yield
    array_api_strict.set_array_api_strict_flags(api_version=version)


@pytest.mark.usefixtures("dispatched")
def test_pipelines_follow_x_where_scikit_learn_does(backend):
    X, y = data()
    x = backend.asarray(X)
    pipeline = make_pipeline(MaxAbsScaler(), fresh(ALL[0]))
    found = pipeline.fit(x, y).predict_proba(x)
    assert is_like(found, x)
    expected = make_pipeline(MaxAbsScaler(), fresh(ALL[0])).fit(X, y).predict_proba(X)
    np.testing.assert_allclose(xpnet.to_numpy(found), expected, atol=1e-4)


def test_the_dtype_is_that_of_x(backend64):
    X, y = data("float64")
    for dtype in ("float32", "float64"):
        x = backend64.xp.astype(backend64.asarray(X), getattr(backend64.xp, dtype))
        fitted = MLPClassifier(solver="lbfgs", max_iter=200, tol=10.0).fit(x, y)
        assert str(fitted.coefs_[0].dtype).endswith(dtype)
        assert str(fitted.predict_proba(x).dtype).endswith(dtype)


def test_whole_numbers_are_learned_in_float64(backend64):
    X, y = data()
    x = backend64.asarray((X * 16).astype(np.int64))
    fitted = MLPClassifier(solver="lbfgs", max_iter=200, tol=10.0).fit(x, y)
    assert str(fitted.coefs_[0].dtype).endswith("float64")


def test_strings_stay_in_numpys_arrays(backend):
    X, y = data()
    names = np.array(["even", "odd"])[y % 2]
    fitted = fresh(ALL[0]).fit(backend.asarray(X), names)
    found = fitted.predict(backend.asarray(X))
    assert type(found) is np.ndarray
    assert set(found) <= {"even", "odd"}


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_found_on_the_device(backend, value):
    X, y = data()
    X[3, 4] = value
    with pytest.raises(ValueError, match="NaN|infinity"):
        fresh(ALL[0]).fit(backend.asarray(X), y)
    X[3, 4] = 0.0
    fitted = fresh(ALL[0]).fit(backend.asarray(X), y)
    X[3, 4] = value
    with pytest.raises(ValueError, match="NaN|infinity"):
        fitted.predict(backend.asarray(X))


def test_arrays_with_wrong_shapes_raise_scikit_learns_errors(backend):
    X, y = data()
    with pytest.raises(ValueError, match="Expected 2D array, got 1D array"):
        fresh(ALL[0]).fit(backend.asarray(X[:, 0]), y)
    fitted = fresh(ALL[0]).fit(backend.asarray(X), y)
    with pytest.raises(ValueError, match="X has 5 features, but MLPClassifier is expecting 64"):
        fitted.predict(backend.asarray(X[:, :5]))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        fresh(ALL[0]).fit(backend.asarray(X), y[:-1])


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")  # PyTorch's own words
def test_sparse_tensors_are_refused_or_made_dense():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    X, y = data()
    dense = torch.asarray(X)
    expected = fresh(ALL[0]).fit(dense, y)
    for sparse in (dense.to_sparse(), dense.to_sparse_csr()):
        with pytest.raises(
            TypeError, match=r"got a sparse matrix of shape \(90, 64\).*densify=True"
        ):
            fresh(ALL[0]).fit(sparse, y)
        with pytest.raises(TypeError, match="densify=True"):
            expected.predict(sparse)
        willing = fresh(ALL[0]).set_params(densify=True).fit(sparse, y)
        assert torch.equal(willing.predict(sparse), expected.predict(dense))


def test_partial_fit_keeps_the_device(backend):
    X, y = data()
    x = backend.asarray(X)
    fitted = MLPClassifier(random_state=0)
    for _ in range(3):
        fitted.partial_fit(x, y, classes=np.arange(10))
    assert is_like(fitted.coefs_[0], x)
    on_numpy = MLPClassifier(random_state=0)
    for _ in range(3):
        on_numpy.partial_fit(X, y, classes=np.arange(10))
    np.testing.assert_allclose(xpnet.to_numpy(fitted.coefs_[0]), on_numpy.coefs_[0], atol=1e-5)


def test_x_is_not_written_to(backend):
    X, y = data()
    before = X.copy()
    x = backend.asarray(X)
    fresh(ALL[0]).fit(x, y)
    np.testing.assert_array_equal(xpnet.to_numpy(x), before)
