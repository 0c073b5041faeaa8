"""Arrays on their way into an estimator and out of it: everything follows X."""

from typing import Any

import array_api_compat as compat
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.utils.validation import validate_data

from xpnet._libraries import ANY_OTHER, library_of
from xpnet._typing import Array
from xpnet.backend import Backend, resolve, to_numpy
from xpnet.errors import ArgumentTypeError, DataError

__all__ = [
    "backend_for",
    "checked",
    "checked_pair",
    "dense",
    "dtype_for",
    "is_foreign",
    "like",
    "on_host",
    "placed",
]


def is_foreign(x: object) -> bool:
    """Whether x is an array of a library that xpnet knows, other than NumPy."""
    library = library_of(x)
    return library is not ANY_OTHER and library.name != "numpy"


def on_host(x: Any) -> Any:
    """An array of any library as NumPy's; everything else (lists, DataFrames) as it is."""
    return to_numpy(x) if is_foreign(x) else x


def dense(x: Any) -> Any:
    """A sparse matrix or tensor as an array; anything else as it is."""
    if issparse(x):
        return x.toarray()
    return x.to_dense() if _is_sparse(x) else x


def _is_sparse(x: Any) -> bool:
    """Whether x is a sparse matrix of SciPy, or a sparse tensor of PyTorch, which has a layout."""
    return issparse(x) or (is_foreign(x) and "sparse" in str(getattr(x, "layout", "")))


# --- checks ---------------------------------------------------------------------------------------


def checked(estimator: Any, X: Any, **options: Any) -> Array:
    """X after scikit-learn's checks: an array of its own library, or of NumPy.

    Parameters
    ----------
    estimator : estimator
        With a parameter `densify`; its `n_features_in_` is set or compared.
    X : array of any library, DataFrame, list, or sparse matrix or tensor
    **options
        Of scikit-learn's `validate_data`.

    Raises
    ------
    ArgumentTypeError
        X is sparse, and `densify` is not set.
    ValueError, TypeError
        scikit-learn's own errors, or a DataError for NaN and infinity on a device.
    """
    _require_dense(estimator, X)
    if not is_foreign(X):
        return dense(validate_data(estimator, X, accept_sparse=["csr", "csc"], **options))
    X = dense(X)
    validate_data(estimator, _stand_in(X), **(options | {"ensure_all_finite": False}))
    _require_numbers(estimator, X)
    return X


def checked_pair(estimator: Any, X: Any, y: Any, **options: Any) -> tuple[Array, NDArray[Any]]:
    """The same for X and its targets, of any library; they are returned as NumPy's."""
    y = on_host(y)
    options["multi_output"] = True
    _require_dense(estimator, X)
    if not is_foreign(X):
        X, y = validate_data(estimator, X, y, accept_sparse=["csr", "csc"], **options)
        return dense(X), dense(y)
    X = dense(X)
    options["ensure_all_finite"] = False  # of X
    _, y = validate_data(estimator, _stand_in(X), y, **options)
    _require_numbers(estimator, X)
    return X, dense(y)


def _stand_in(X: Array) -> NDArray[np.float64]:
    """An array of X's shape for checks on the host, which takes the memory of one number."""
    return np.broadcast_to(np.float64(0.0), tuple(X.shape))


def _require_dense(estimator: Any, X: Any) -> None:
    """Refuse a sparse matrix, unless the estimator is to make it dense."""
    if _is_sparse(X) and not estimator.densify:
        name = type(estimator).__name__
        raise ArgumentTypeError(
            f"{name} expected dense data, got a sparse matrix of shape {tuple(X.shape)}. If its rows "
            f"fit into memory as arrays, let them be made dense: {name}(densify=True)."
        )


def _require_numbers(estimator: Any, X: Array) -> None:
    """Refuse complex numbers, NaN and infinity, where X is: only the answer is sent to the host."""
    xp = compat.array_namespace(X)
    name = type(estimator).__name__
    if xp.isdtype(X.dtype, "complex floating"):
        raise DataError(f"{name} expected real numbers, got {X.dtype}. Complex data not supported.")
    if not xp.isdtype(X.dtype, "real floating"):
        return
    if not bool(xp.all(xp.isfinite(X))):
        raise DataError(
            f"{name} expected finite numbers, got an input X that contains NaN or infinity. Fill them "
            "in, for example with the column's mean, or leave these samples out."
        )


# --- where to compute -----------------------------------------------------------------------------


def dtype_for(X: Any) -> str:
    """The dtype to learn in: "float32" for X of that width or less, else "float64"."""
    name = str(X.dtype).rpartition(".")[2]
    return "float32" if name in ("float16", "bfloat16", "float32") else "float64"


def backend_for(X: Any, spec: str | Backend | None, dtype: str) -> Backend:
    """Where to compute with X, in "float32" or "float64": on `spec`, or (None) where X is."""
    if spec is None:
        spec = _spec_of(X)
    elif isinstance(spec, Backend):
        spec = spec.name
    return resolve(spec, dtype)


def _spec_of(X: Any) -> str:
    """The backend of an array's library and device; "numpy" for anything else."""
    if not is_foreign(X):
        return "numpy"
    name = library_of(X).name
    device: Any = compat.device(X)
    if name == "cupy":
        return f"cupy:{device.id}"
    if name == "jax":
        return f"jax:{device.platform}:{device.id}"
    if (
        name == "array_api_strict"
    ):  # its devices have no other name than their repr, Device('device1')
        return f"{name}:{repr(device).split(chr(39))[1]}"
    return f"{name}:{device}"


def placed(x: Array, backend: Backend) -> Array:
    """x on a backend, in its dtype; x itself if it is there."""
    if getattr(x, "requires_grad", False):
        x = x.detach()  # PyTorch would record what is computed with it
    on_backend = compat.array_namespace(x) is backend.xp and compat.device(x) == backend.device
    if on_backend and is_foreign(x):
        return backend.xp.astype(x, backend.dtype, copy=False)
    return backend.asarray(x, dtype=backend.dtype)


def like(result: Array, X: Any) -> Array:
    """`result`, of any library, on X's device, if X is an array; else as NumPy's array.

    Strings stay in NumPy's arrays: no other library has them.
    """
    if not is_foreign(X):
        return to_numpy(result)
    if isinstance(result, np.ndarray) and result.dtype.kind not in "biuf":
        return result
    xp = compat.array_namespace(X)
    device = compat.device(X)
    if type(result) is type(X) and compat.device(result) == device:
        return result
    with library_of(X).selected(device):
        return xp.asarray(to_numpy(result).copy(), device=device)
