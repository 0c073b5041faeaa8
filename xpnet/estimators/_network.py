"""NetworkClassifier and NetworkRegressor: any model as an estimator."""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from itertools import chain
from typing import Any, ClassVar, Self

from xpnet import models
from xpnet._printable import counted
from xpnet._typing import Array
from xpnet.autodiff.variable import Parameter
from xpnet.backend import Backend, current, to_numpy, using
from xpnet.errors import ArgumentTypeError, ShapeError
from xpnet.estimators._arrays import is_foreign
from xpnet.estimators._base import NetworkEstimator, Seeds, evaluated, is_on
from xpnet.estimators._losses import Objective
from xpnet.estimators._parameters import Check, one_of
from xpnet.estimators._tasks import Classifier, Regressor
from xpnet.layers import Layer
from xpnet.layers._contents import Buffer
from xpnet.optimizers import BY_NAME as OPTIMIZERS, Optimizer
from xpnet.random import aside
from xpnet.training import Callback

__all__ = ["NetworkClassifier", "NetworkRegressor"]

Shape = tuple[int, ...]
Model = str | Layer | Callable[..., Layer]


CHECKS = {"optimizer": one_of(*OPTIMIZERS, or_function=True)}


class Network(NetworkEstimator):
    """What the two estimators of any model have in common."""

    _fitted = "model_"
    _takes_images = True
    _origin: list[Any] | None = (
        None  # the model, shape, outputs and options that `model_` was built from
    )

    # --- the model ------------------------------------------------------------------------------

    def _shaped(self, x: Array) -> Array:
        if self.input_shape is None:
            return x
        shape = tuple(self.input_shape)
        if math.prod(shape) != math.prod(x.shape[1:]):
            raise ShapeError(
                f"{type(self).__name__} expected samples of input_shape={shape}, {math.prod(shape)} "
                f"numbers each, got X of shape {tuple(x.shape)}."
            )
        return current().xp.reshape(x, (int(x.shape[0]), *shape))

    def _new_model(self, input_shape: Shape, source: Seeds) -> Layer:
        options = dict(self.model_options or {})
        model = self._built(self.model, input_shape, self.n_outputs_, options)
        if not isinstance(model, Layer):
            raise ArgumentTypeError(
                f"{type(self).__name__} expected a model that is a Layer, got {model!r}."
            )
        self._origin = None
        if not isinstance(self.model, Layer):
            self._origin = [self.model, list(input_shape), self.n_outputs_, options]
        return model

    def _built(
        self, model: Model, input_shape: Shape, outputs: int, options: dict[str, Any]
    ) -> Any:
        """A new model: by name, from a function, or a copy of a Layer."""
        if isinstance(model, str):
            return models.build(model, input_shape, outputs, **options)
        if isinstance(model, Layer):
            if options:
                raise ArgumentTypeError(
                    f"{type(self).__name__} expected no model_options for a model that is a Layer, got "
                    f"{options}. Give the function that creates it."
                )
            return _moved(model, current())
        if not callable(model):
            raise ArgumentTypeError(
                f"{type(self).__name__} expected as model a name, a function or a Layer, got {model!r}."
            )
        if _takes_two(model):
            return model(input_shape, outputs, **options)
        return model(input_shape, **options)

    def _require_fitting(self, model: Layer, x: Array) -> None:
        y = evaluated(model, x[:1, ...])
        if tuple(y.shape) != (1, self.n_outputs_):
            outputs = "one for each class"
            if isinstance(self, Regressor):
                outputs = "one for each target"
            raise ShapeError(
                f"{type(self).__name__} expected a model with {counted(self.n_outputs_, 'output')}, {outputs}: of "
                f"shape (n, {self.n_outputs_}) for n samples. For 1 sample it returned shape "
                f"{tuple(y.shape)}. A function of (input_shape, outputs) is given their number."
            )

    def _fitted_model(self) -> Layer:
        model: Layer = self.model_
        return model if is_on(model, current()) else _moved(model, current())

    def _keep(self, model: Layer) -> None:
        self.model_ = model

    def _dtype_of_model(self) -> str:
        return str(next(self.model_.parameters()).dtype).rpartition(".")[2]

    # --- training -------------------------------------------------------------------------------

    def _objective(self, model: Layer) -> Objective:
        is_own = callable(self.loss)
        return Objective(
            self.loss if is_own else self._mean_loss(),
            is_own=is_own,
            divisor=1.0 if is_own else self._divisor(),
        )

    def _new_optimizer(self, model: Layer) -> Optimizer:
        optimizer = self.optimizer
        kind = OPTIMIZERS[optimizer] if isinstance(optimizer, str) else optimizer
        made = kind(model.parameters(), lr=float(self.learning_rate_init))
        if not isinstance(made, Optimizer):
            raise ArgumentTypeError(
                f"{type(self).__name__} expected as optimizer a name, or a function that returns an "
                f"Optimizer, got {optimizer!r}, which returned {made!r}."
            )
        return made

    def _draws_more(self) -> bool:
        return True  # initial weights, and masks of dropout

    def __getstate__(self) -> dict[str, Any]:
        """Of a model that was built, how, and its weights; a model that was given, as a whole.

        So skops asks for no more trust than is needed: for the layers of a model that was given.
        """
        state = super().__getstate__()
        model = state.get("model_")
        if model is None or self._origin is None:
            for name in ("model", "model_"):
                given = state.get(name)
                if isinstance(given, Layer) and not is_on_host(given):
                    state[name] = deepcopy(given).to("numpy")
            return state
        del state["model_"]
        weights = {name: to_numpy(x) for name, x in model.state_dict().items()}
        state["_saved_model"] = {"dtype": self._dtype_of_model(), "weights": weights}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        saved = state.get("_saved_model")
        super().__setstate__({name: x for name, x in state.items() if name != "_saved_model"})
        if saved is None or self._origin is None:
            return
        model, shape, outputs, options = self._origin
        with aside(), using("numpy", saved["dtype"]):  # new weights are drawn, and replaced
            self.model_ = self._built(model, tuple(shape), outputs, options)
            self.model_.load_state_dict(saved["weights"])

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Learn from samples.

        Parameters
        ----------
        X : array of any library, DataFrame, list or sparse matrix, shape (n_samples, ...)
        y : array of any library, or list, shape (n_samples,) or (n_samples, n_outputs)
            Classes, or numbers; for several labels per sample, a matrix of zeros and ones.
        sample_weight : array of any library, shape (n_samples,), optional
            How much each sample counts: 2 is as if it were there twice.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            A parameter or the data are invalid, or the model does not fit them.
        TrainingError
            The loss became NaN or infinite.
        """
        return self._fit(X, y, sample_weight)


def _moved(model: Layer, backend: Backend) -> Layer:
    """A copy of a model on a backend, in its dtype."""
    model = deepcopy(model).to(backend)
    xp = backend.xp
    buffers = (buffer for _, buffer in model.named_buffers())
    for holder in chain[Parameter | Buffer](model.parameters(), buffers):
        if xp.isdtype(holder.data.dtype, "real floating"):
            holder.data = xp.astype(holder.data, backend.dtype)
    return model


def is_on_host(model: Layer) -> bool:
    """Whether the weights of a model are NumPy's arrays."""
    return not any(is_foreign(x) for x in model.state_dict().values())


def _takes_two(function: Callable[..., Any]) -> bool:
    """Whether a function of the input shape takes the number of outputs too."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(function).parameters.values()
    required = [p for p in parameters if p.kind in kinds and p.default is p.empty]
    return len(required) > 1


class NetworkClassifier(Classifier, Network):
    """Any model as a classifier: its last layer has an output for each class.

    Parameters
    ----------
    model : str, Layer or function (input_shape, outputs) -> Layer
        A name of `xpnet.models`, such as "lenet"; a Layer, which is copied for each fit; or a function
        that creates one for samples of a shape, such as (64,), and a number of outputs, if it takes two
        arguments. Two classes have two outputs, and a softmax follows in any case but that of several
        labels per sample, which has a sigmoid.
    model_options : dict, optional
        Further arguments of the function: `{"hidden": (64, 32)}` for "mlp".
    input_shape : tuple of int, optional
        The shape of one sample, such as (1, 28, 28) for images whose pixels are in the rows of X. By
        default it is X's own, which may have more than two axes.
    loss : "log_loss", or function (y, t) -> mean over the batch
        Its y are the model's outputs. Its t are the numbers of the classes, shape (n,); for several labels
        per sample, zeros and ones of y's shape.
    optimizer : str, or function (parameters, lr=...) -> Optimizer
        A name, such as "adamw", or a class of xpnet's optimizers, or one with other options:
        `functools.partial(xpnet.AdamW, weight_decay=0.1)`.
    learning_rate_init : float
        The learning rate.
    batch_size, max_iter, shuffle, tol, verbose, warm_start, early_stopping, validation_fraction
    n_iter_no_change, class_weight, backend, callbacks, schedule, compile, densify
        These are as for `MLPClassifier`. A warm start trains `model_` further, and does not look at
        `model`.
    random_state : int, numpy.random.RandomState or None
        The source of all random numbers: what a model draws from xpnet's own generator (initial weights,
        masks of dropout), orders, and the choice of validation data.

    Attributes
    ----------
    model_ : Layer
        The trained model.
    classes_, loss_, loss_curve_, best_loss_, validation_scores_, best_validation_score_, n_iter_, t_
        As for `MLPClassifier`; likewise n_outputs_, out_activation_, n_features_in_, feature_names_in_.

    Notes
    -----
    A pickle holds a reference to the function of the model, and so needs one with a name in a module.

    Examples
    --------
    >>> import xpnet
    >>> from sklearn.datasets import load_digits
    >>> def network(input_shape, outputs):
    ...     return xpnet.Sequential(
    ...         xpnet.Conv2d(1, 8, 3), xpnet.ReLU(), xpnet.Flatten(), xpnet.Affine(288, outputs)
    ...     )
    >>> X, y = load_digits(return_X_y=True)
    >>> classifier = NetworkClassifier(network, input_shape=(1, 8, 8), early_stopping=True)
    >>> classifier.set_params(random_state=0, learning_rate_init=0.01).fit(X, y).score(X, y) > 0.95
    True
    """

    _checks: ClassVar[dict[str, Check]] = {
        **CHECKS,
        "loss": one_of("log_loss", or_function=True),
    }

    def __init__(
        self,
        model: Model = "mlp",
        *,
        model_options: Mapping[str, Any] | None = None,
        input_shape: Shape | None = None,
        loss: str | Callable[[Any, Any], Any] = "log_loss",
        optimizer: str | Callable[..., Optimizer] = "adam",
        learning_rate_init: float = 0.001,
        batch_size: int | str = "auto",
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: int | Seeds | None = None,
        tol: float = 1e-4,
        verbose: bool = False,
        warm_start: bool = False,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: float = 10,
        class_weight: dict[Any, float] | str | None = None,
        backend: str | Backend | None = None,
        callbacks: Sequence[Callback] | None = None,
        schedule: Callable[[int], float] | None = None,
        compile: bool | None = None,
        densify: bool = False,
    ) -> None:
        self.model = model
        self.model_options = model_options
        self.input_shape = input_shape
        self.loss = loss
        self.optimizer = optimizer
        self.learning_rate_init = learning_rate_init
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.class_weight = class_weight
        self.backend = backend
        self.callbacks = callbacks
        self.schedule = schedule
        self.compile = compile
        self.densify = densify


class NetworkRegressor(Regressor, Network):
    """Any model as a regressor: its last layer has an output for each target.

    Parameters
    ----------
    model : str, Layer or function (input_shape, outputs) -> Layer
        As for `NetworkClassifier`.
    loss : {"squared_error", "poisson", "absolute_error", "huber"}, or function (y, t) -> mean
        As for `MLPRegressor`.
    model_options, input_shape, optimizer, learning_rate_init, batch_size, max_iter, shuffle
    random_state, tol, verbose, warm_start, early_stopping, validation_fraction
    n_iter_no_change, backend, callbacks, schedule, compile, densify
        These are as for `NetworkClassifier`.

    Attributes
    ----------
    model_ : Layer
        The trained model.
    loss_, loss_curve_, best_loss_, validation_scores_, best_validation_score_, n_iter_, t_
        As for `MLPRegressor`; likewise n_outputs_, out_activation_, n_features_in_, feature_names_in_.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> X, y = load_diabetes(return_X_y=True)
    >>> regressor = NetworkRegressor(early_stopping=True, learning_rate_init=0.01, random_state=0)
    >>> regressor.fit(X, y / y.std()).score(X, y / y.std()) > 0.4
    True
    """

    _checks: ClassVar[dict[str, Check]] = {
        **CHECKS,
        "loss": one_of("squared_error", "poisson", "absolute_error", "huber", or_function=True),
    }

    def __init__(
        self,
        model: Model = "mlp",
        *,
        model_options: Mapping[str, Any] | None = None,
        input_shape: Shape | None = None,
        loss: str | Callable[[Any, Any], Any] = "squared_error",
        optimizer: str | Callable[..., Optimizer] = "adam",
        learning_rate_init: float = 0.001,
        batch_size: int | str = "auto",
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: int | Seeds | None = None,
        tol: float = 1e-4,
        verbose: bool = False,
        warm_start: bool = False,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: float = 10,
        backend: str | Backend | None = None,
        callbacks: Sequence[Callback] | None = None,
        schedule: Callable[[int], float] | None = None,
        compile: bool | None = None,
        densify: bool = False,
    ) -> None:
        self.model = model
        self.model_options = model_options
        self.input_shape = input_shape
        self.loss = loss
        self.optimizer = optimizer
        self.learning_rate_init = learning_rate_init
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.backend = backend
        self.callbacks = callbacks
        self.schedule = schedule
        self.compile = compile
        self.densify = densify
