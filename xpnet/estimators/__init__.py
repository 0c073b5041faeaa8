"""Estimators: networks with the interface of scikit-learn, on any array library.

    MLPClassifier, MLPRegressor            scikit-learn's own, by its names, defaults and formulas
    NetworkClassifier, NetworkRegressor    the same for any model: a function, a Layer, a name

They go wherever scikit-learn's estimators go: pipelines, searches, cross-validation, calibration.

>>> from sklearn.datasets import load_digits
>>> from sklearn.model_selection import train_test_split
>>> from sklearn.pipeline import make_pipeline
>>> from sklearn.preprocessing import StandardScaler
>>> from xpnet.estimators import MLPClassifier
>>> X, Z, y, t = train_test_split(*load_digits(return_X_y=True), random_state=0)
>>> classifier = make_pipeline(StandardScaler(), MLPClassifier(early_stopping=True, random_state=0))
>>> classifier.fit(X, y).score(Z, t) > 0.95
True

**Where they compute.** Everything follows X. For arrays of CuPy, PyTorch, JAX or array-api-strict the
network is on their device, and predictions are arrays of that library, on that device. For NumPy's
arrays, DataFrames and lists it is NumPy that computes. `backend="cupy"` overrides this: then the network
is on the GPU, and predictions are still arrays of X's library. The dtype is X's, float32 or float64;
other numbers become float64, as in scikit-learn; those in half precision on a device, float32. Labels
may be of any library.

This package needs scikit-learn: pip install "xpnet[sklearn]". `import xpnet` does not import it.
"""

try:
    import sklearn as _sklearn  # noqa: F401 - only to see whether it is installed
except ModuleNotFoundError as error:
    from xpnet.errors import MissingPackageError

    raise MissingPackageError(
        'xpnet.estimators needs scikit-learn: pip install "xpnet[sklearn]"', name=error.name
    ) from error

from xpnet.estimators._mlp import MLPClassifier, MLPRegressor
from xpnet.estimators._network import NetworkClassifier, NetworkRegressor

__all__ = ["MLPClassifier", "MLPRegressor", "NetworkClassifier", "NetworkRegressor"]
