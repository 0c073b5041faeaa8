"""Checks of the parameters of an estimator, which scikit-learn wants to happen in `fit`."""

import math
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np

from xpnet.errors import ArgumentError

__all__ = ["CHECKS", "one_of", "require_valid"]

Check = tuple[Callable[[Any], bool], str]  # whether a value is valid, and what is expected


def require_valid(estimator: Any, own: Mapping[str, Check]) -> None:
    """Raise an ArgumentError if a parameter has no valid value; `own` are the checks of this estimator alone."""
    checks = {**CHECKS, **own}
    for name, value in estimator.get_params(deep=False).items():
        if name not in checks:
            continue
        is_valid, expected = checks[name]
        if not is_valid(value):
            kind = type(estimator).__name__
            raise ArgumentError(f"{kind} expected {name} to be {expected}, got {value!r}.")


def one_of(*names: str, or_function: bool = False) -> Check:
    """One of several names."""
    listed = ", ".join(map(repr, names))
    if or_function:
        return lambda x: callable(x) or x in names, f"one of {listed}, or a function"
    return lambda x: isinstance(x, str) and x in names, f"one of {listed}"


def _is_whole(x: Any) -> bool:
    return isinstance(x, Integral) and not isinstance(x, bool)


def _is_number(x: Any) -> bool:
    return isinstance(x, Real) and not isinstance(x, (bool, np.bool_))


def _positive_whole(x: Any) -> bool:
    return _is_whole(x) and x >= 1


def _not_negative(x: Any) -> bool:
    return _is_number(x) and 0 <= x < math.inf


def _positive(x: Any) -> bool:
    return _is_number(x) and 0 < x < math.inf


def _below_one(x: Any) -> bool:
    return _is_number(x) and 0 <= x < 1


def _truth(x: Any) -> bool:
    return isinstance(x, (bool, np.bool_))


def _sizes(x: Any) -> bool:
    if isinstance(x, str):
        return False
    if not hasattr(x, "__iter__"):
        return _positive_whole(x)
    # A generator would be empty after this look at it.
    return hasattr(x, "__len__") and all(map(_positive_whole, x))


def _shape(x: Any) -> bool:
    return x is None or (isinstance(x, Sequence) and _sizes(x))


def _class_weight(x: Any) -> bool:
    if isinstance(x, list):
        return all(isinstance(each, Mapping) for each in x)
    return x is None or x == "balanced" or isinstance(x, Mapping)


def _random_state(x: Any) -> bool:
    if x is None or isinstance(x, np.random.RandomState) or x is np.random:
        return True
    return _is_whole(x) and 0 <= x < 2**32


CHECKS: dict[str, Check] = {
    "hidden_layer_sizes": (_sizes, "whole numbers of at least 1"),
    "alpha": (_not_negative, "a number >= 0"),
    "batch_size": (lambda x: x == "auto" or _positive_whole(x), "'auto' or a whole number >= 1"),
    "learning_rate_init": (_positive, "a number > 0"),
    "power_t": (_not_negative, "a number >= 0"),
    "max_iter": (_positive_whole, "a whole number >= 1"),
    "max_fun": (_positive_whole, "a whole number >= 1"),
    "shuffle": (_truth, "True or False"),
    "random_state": (
        _random_state,
        "a whole number from 0 to below 2**32, a numpy.random.RandomState, or None",
    ),
    "tol": (_not_negative, "a number >= 0"),
    "verbose": (
        lambda x: _truth(x) or (_is_whole(x) and x >= 0),
        "True, False or a whole number >= 0",
    ),
    "warm_start": (_truth, "True or False"),
    "momentum": (lambda x: _is_number(x) and 0 <= x <= 1, "a number from 0 to 1"),
    "nesterovs_momentum": (_truth, "True or False"),
    "early_stopping": (_truth, "True or False"),
    "validation_fraction": (_below_one, "a number from 0 to below 1"),
    "beta_1": (_below_one, "a number from 0 to below 1"),
    "beta_2": (_below_one, "a number from 0 to below 1"),
    "epsilon": (_positive, "a number > 0"),
    "n_iter_no_change": (
        lambda x: _positive_whole(x) or x == math.inf,
        "a whole number >= 1, or infinity",
    ),
    "dropout": (_below_one, "a probability from 0 to below 1"),
    "class_weight": (
        _class_weight,
        "a dict, 'balanced' or None, or for several labels per sample a list of dicts",
    ),
    "callbacks": (
        lambda x: x is None or isinstance(x, (list, tuple)),
        "a list of callbacks, or None",
    ),
    "compile": (lambda x: x is None or _truth(x), "True, False or None"),
    "densify": (_truth, "True or False"),
    "model_options": (lambda x: x is None or isinstance(x, Mapping), "a dict, or None"),
    "input_shape": (_shape, "a sequence of whole numbers of at least 1, or None"),
}
"""The checks of parameters that mean the same in all estimators, or are in one of them."""
