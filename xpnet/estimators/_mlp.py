"""MLPClassifier and MLPRegressor: the parameters and attributes of scikit-learn's, and its formulas."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, ClassVar, Self

from numpy.typing import NDArray
from sklearn.utils.metaestimators import available_if

from xpnet._typing import Array
from xpnet.autodiff.namespace import array_namespace
from xpnet.autodiff.variable import Parameter
from xpnet.backend import Backend, current, to_numpy
from xpnet.errors import ArgumentError, MissingAttributeError, TrainingError
from xpnet.estimators._base import NetworkEstimator, Seeds, Weights
from xpnet.estimators._lbfgs import minimized
from xpnet.estimators._losses import Objective
from xpnet.estimators._optimizers import AdamByEpsilon, MomentumOfSteps
from xpnet.estimators._parameters import Check, one_of
from xpnet.estimators._tasks import Classifier, Regressor
from xpnet.layers import Affine, Dropout, Layer, ReLU, Sequential, Sigmoid, Tanh
from xpnet.optimizers import Optimizer
from xpnet.training import Callback, Trainer

__all__ = ["MLPClassifier", "MLPRegressor"]

ACTIVATIONS: dict[str, type[Layer] | None] = {
    "identity": None,
    "logistic": Sigmoid,
    "tanh": Tanh,
    "relu": ReLU,
}


CHECKS = {
    "activation": one_of(*ACTIVATIONS),
    "solver": one_of("adam", "sgd", "lbfgs"),
    "learning_rate": one_of("constant", "invscaling", "adaptive"),
}


class Perceptron(NetworkEstimator):
    """What the two multi-layer perceptrons have in common: all but the meaning of their outputs."""

    _fitted = "coefs_"

    # --- the model ------------------------------------------------------------------------------

    def _new_model(self, input_shape: tuple[int, ...], source: Seeds) -> Layer:
        units = [*input_shape, *self._hidden_sizes(), self.n_outputs_]
        self.n_layers_ = len(units)
        factor = 2.0 if self.activation == "logistic" else 6.0
        coefs = []
        intercepts = []
        for fan_in, fan_out in pairwise(units):
            bound = math.sqrt(factor / (fan_in + fan_out))
            coefs.append(source.uniform(-bound, bound, (fan_in, fan_out)))
            intercepts.append(source.uniform(-bound, bound, fan_out))
        return self._model_of(coefs, intercepts)

    def _hidden_sizes(self) -> list[int]:
        sizes = self.hidden_layer_sizes
        return list(sizes) if hasattr(sizes, "__iter__") else [sizes]

    def _fitted_model(self) -> Layer:
        return self._model_of(self.coefs_, self.intercepts_)

    def _model_of(self, coefs: Sequence[Array], intercepts: Sequence[Array]) -> Sequential:
        """A network with these weights, copied to the current backend."""
        layers: list[Layer] = []
        kind = ACTIVATIONS[self.activation]
        for W, b in zip(coefs, intercepts, strict=True):
            if layers:
                if kind is not None:
                    layers.append(kind())
                if self.dropout:
                    layers.append(Dropout(self.dropout))
            fan_in, fan_out = W.shape
            affine = Affine(fan_in, fan_out, weight=_Given(W), bias=False)
            affine.bias = Parameter(_Given(b)())
            layers.append(affine)
        return Sequential(*layers)

    def _forget(self) -> None:
        super()._forget()
        if self.solver == "lbfgs":  # as in scikit-learn, it has no epochs to note
            del self.loss_curve_, self.best_loss_
            del self.validation_scores_, self.best_validation_score_

    def _resume(self) -> None:
        fitted = [W.shape[1] for W in self.coefs_[:-1]]
        if fitted != self._hidden_sizes():
            raise ArgumentError(
                f"{type(self).__name__} expected hidden_layer_sizes as in the last fit, {fitted}, whose "
                f"weights are trained further, got {self.hidden_layer_sizes!r}. For a new network, call "
                "fit with warm_start=False."
            )
        if self.solver != "lbfgs":
            super()._resume()

    def _keep(self, model: Layer) -> None:
        affines = [layer for layer in model.sublayers() if isinstance(layer, Affine)]
        coefs = [_copy(layer.weight.data) for layer in affines]
        intercepts = [_copy(layer.bias.data) for layer in affines if layer.bias is not None]
        for x in [*coefs, *intercepts]:
            if not bool(array_namespace(x).all(array_namespace(x).isfinite(x))):
                raise TrainingError(
                    f"{type(self).__name__}: Solver produced non-finite parameter weights. The input "
                    "data may contain large values and need to be preprocessed."
                )
        self.intercepts_ = intercepts
        self.coefs_ = coefs

    def _dtype_of_model(self) -> str:
        return str(self.coefs_[0].dtype).rpartition(".")[2]

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        for name in ("coefs_", "intercepts_"):
            if name in state:
                state[name] = [to_numpy(x) for x in state[name]]
        return state

    # --- training -------------------------------------------------------------------------------

    def _objective(self, model: Layer) -> Objective:
        matrices = [p for p in model.parameters() if p.data.ndim == 2]
        loss = self.loss
        is_own = callable(loss)
        return Objective(
            loss if is_own else self._mean_loss(),
            is_own=is_own,
            matrices=matrices,
            alpha=float(self.alpha),
            divisor=1.0 if is_own else self._divisor(),
        )

    def _new_optimizer(self, model: Layer) -> Optimizer:
        rate = float(self.learning_rate_init)
        if self.solver == "sgd":
            momentum = float(self.momentum)
            return MomentumOfSteps(model.parameters(), rate, momentum, self.nesterovs_momentum)
        betas = (float(self.beta_1), float(self.beta_2))
        return AdamByEpsilon(model.parameters(), rate, betas, float(self.epsilon))

    def _rate_policy(self) -> dict[str, Any]:
        if self.solver != "sgd" or self.learning_rate == "constant":
            return {}
        if self.learning_rate == "adaptive":
            return {"reduce_rate": _reduce_rate}
        return {"after_epoch": self._scale_rate}

    def _scale_rate(self, trainer: Trainer) -> None:
        """The rate falls with a power of the number of samples that were learned from."""
        first = float(self.learning_rate_init)
        trainer.optimizer.lr = first / (self.t_ + 1) ** float(self.power_t)

    def _draws_more(self) -> bool:
        return bool(self.dropout)

    def _solve(
        self, model: Layer, x: Array, y: NDArray[Any], weight: Weights, source: Seeds
    ) -> None:
        if self.solver != "lbfgs":
            self._train(model, x, y, weight, source)
            return
        self._require_no_steps()
        t = self._for_loss(y, weight, current())
        objective = self._objective(model)
        self.loss_, self.n_iter_ = minimized(
            model, objective, x, t, self.max_iter, self.max_fun, self.tol, bool(self.verbose)
        )

    def _require_no_steps(self) -> None:
        """Refuse what "lbfgs" would ignore, or what would make its loss random."""
        for name in ("dropout", "callbacks", "schedule"):
            value = getattr(self, name)
            if value:
                raise ArgumentError(
                    f"{type(self).__name__} expected no {name} with solver='lbfgs', which takes all "
                    f"samples at once, got {value!r}. Use solver='adam' or 'sgd'."
                )

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Learn from samples.

        Parameters
        ----------
        X : array of any library, DataFrame, list or sparse matrix, shape (n_samples, n_features)
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
            A parameter or the data are invalid.
        TrainingError
            The loss became NaN or infinite.
        """
        return self._fit(X, y, sample_weight)


def _can_stream(estimator: Perceptron) -> bool:
    """Whether there is a `partial_fit`; the error says why there is none."""
    if estimator.solver == "lbfgs":
        raise MissingAttributeError(
            "partial_fit is only available for stochastic optimizers. lbfgs is not stochastic."
        )
    return True


class MLPClassifier(Classifier, Perceptron):
    """A multi-layer perceptron that predicts classes: scikit-learn's, on any array library.

    With the parameters of scikit-learn's `MLPClassifier`, and one `random_state`, it has the same
    initial weights, batches, updates and losses, up to rounding. In addition, it computes on CuPy,
    PyTorch and JAX, compiles its steps, and has the parameters from `loss` on.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int
        The number of units of each hidden layer.
    activation : {"relu", "tanh", "logistic", "identity"}
        The function of the hidden units.
    solver : {"adam", "sgd", "lbfgs"}
        Adam; steps along the gradient with momentum; or SciPy's L-BFGS-B, which takes all samples at
        once and suits small data.
    alpha : float
        The factor of the penalty, alpha / 2 times the sum of all squared weights (not biases), divided
        by the number of samples in the batch.
    batch_size : int or "auto"
        "auto": 200, or all samples if there are fewer.
    learning_rate : {"constant", "invscaling", "adaptive"}
        For "sgd": `learning_rate_init` throughout; divided by t ** power_t, where t counts samples; or
        divided by 5 whenever the loss has not improved by `tol` for `n_iter_no_change` epochs.
    learning_rate_init : float
        The learning rate of "adam" and "sgd".
    power_t : float
        The exponent of "invscaling".
    max_iter : int
        The largest number of epochs; for "lbfgs", of iterations.
    shuffle : bool
        Whether the samples have a new order in each epoch.
    random_state : int, numpy.random.RandomState or None
        The source of initial weights, orders, and the choice of validation data. None: NumPy's global
        one.
    tol : float
        An epoch improves if its loss is lower by `tol`, or its validation score higher. For "lbfgs",
        the largest gradient at the end.
    verbose : bool or int
        Whether to print the loss of each epoch.
    warm_start : bool
        Whether `fit` begins with the weights of the last one. Classes and hidden layers must be the same.
    momentum : float
        For "sgd", the share of the velocity that remains in the next step, from 0 to 1.
    nesterovs_momentum : bool
        For "sgd", whether it is Nesterov's.
    early_stopping : bool
        Whether to leave out a part of the samples, and to stop when their score no longer improves; the
        weights are then those of the best score.
    validation_fraction : float
        The share of samples that are left out.
    beta_1, beta_2 : float
        Of "adam": the shares of the two running means that remain in the next step.
    epsilon : float
        Of "adam": it is added to the root of the running mean of squared gradients.
    n_iter_no_change : int or infinity
        For how many epochs in a row there may be no improvement.
    max_fun : int
        For "lbfgs", the largest number of times that the loss is computed.
    loss : "log_loss", or function (y, t) -> mean over the batch
        Its y are the outputs before the last activation. Its t are the numbers of the classes, shape
        (n,); or, for two classes (which have one output) and for labels, zeros and ones of y's shape.
    dropout : float
        The probability with which a hidden unit is left out in training. Not for "lbfgs".
    class_weight : dict, "balanced" or None
        The weight of each class, by which those of its samples are multiplied; 1 for classes that the
        dict lacks. "balanced": inverse to the number of its samples, or to the sum of their weights;
        not for `partial_fit`. For several labels per sample, "balanced" or a list of dicts, one for each
        label, with the weights of 0 and 1.
    backend : str, Backend or None
        Where to compute, such as "cupy" or "torch:cuda"; by default where X is.
    callbacks : sequence of Callback
        Of `xpnet.training`; they are notified of each epoch, and may end the training. Not for "lbfgs".
    schedule : function `step -> factor`, optional
        Multiplies the learning rate of each step, counted from 0: see `xpnet.schedules`. Not for "lbfgs".
    compile : bool, optional
        Whether to compile the steps; by default, where that is possible: see `Trainer`. "lbfgs" has none.
    densify : bool
        Whether to accept sparse matrices, and to make them dense, which takes memory for all zeros. By
        default, they raise an error.

    Attributes
    ----------
    classes_ : numpy.ndarray, shape (n_classes,)
        The classes in the order of probabilities.
    coefs_, intercepts_ : list of array
        The weight matrix, shape (inputs, outputs), and the biases of each layer, in the library and
        dtype of the training. They may be changed.
    loss_ : float
        The loss of the last epoch.
    loss_curve_ : list of float
        The loss of each epoch, with its penalty.
    best_loss_ : float or None
        The lowest loss; None with `early_stopping`.
    validation_scores_ : list of float, or None
        With `early_stopping`, the accuracy of the validation data after each epoch.
    best_validation_score_ : float or None
        The highest of them.
    n_iter_, t_ : int
        How many epochs the last fit took, and how many samples have been learned from.
    n_layers_, n_outputs_ : int
        The number of layers, with that of the inputs; and of outputs.
    out_activation_ : {"softmax", "logistic"}
        What makes probabilities of outputs.
    n_features_in_ : int
        The number of columns of X.
    feature_names_in_ : numpy.ndarray, shape (n_features,)
        Their names, if X was a DataFrame.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> classifier = MLPClassifier(16, solver="lbfgs", random_state=0).fit(X, y)
    >>> classifier.score(X, y) > 0.95
    True
    """

    _outputs_for_two = 1
    _checks: ClassVar[dict[str, Check]] = {
        **CHECKS,
        "loss": one_of("log_loss", or_function=True),
    }

    def __init__(
        self,
        hidden_layer_sizes: int | Sequence[int] = (100,),
        activation: str = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: int | Seeds | None = None,
        tol: float = 1e-4,
        verbose: bool = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        loss: str | Callable[[Any, Any], Any] = "log_loss",
        dropout: float = 0.0,
        class_weight: dict[Any, float] | str | None = None,
        backend: str | Backend | None = None,
        callbacks: Sequence[Callback] | None = None,
        schedule: Callable[[int], float] | None = None,
        compile: bool | None = None,
        densify: bool = False,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.loss = loss
        self.dropout = dropout
        self.class_weight = class_weight
        self.backend = backend
        self.callbacks = callbacks
        self.schedule = schedule
        self.compile = compile
        self.densify = densify

    partial_fit = available_if(_can_stream)(Classifier.partial_fit)


class MLPRegressor(Regressor, Perceptron):
    """A multi-layer perceptron that predicts numbers: scikit-learn's, on any array library.

    With the parameters of scikit-learn's `MLPRegressor`, and one `random_state`, it has the same
    initial weights, batches, updates and losses, up to rounding.

    Parameters
    ----------
    loss : {"squared_error", "poisson", "absolute_error", "huber"}, or function (y, t) -> mean
        Half the squared error; half the Poisson deviance, for counts; the absolute error; or squares
        of small and absolute values of large errors, from 1 on. The gradient is that of their sum over
        the outputs, and what is reported is their mean; for "poisson", their sum. A function is given
        the outputs and targets of a batch, shapes (n, n_outputs).
    hidden_layer_sizes, activation, solver, alpha, batch_size, learning_rate, learning_rate_init
    power_t, max_iter, shuffle, random_state, tol, verbose, warm_start, momentum
    nesterovs_momentum, early_stopping, validation_fraction, beta_1, beta_2, epsilon
    n_iter_no_change, max_fun, dropout, backend, callbacks, schedule, compile, densify
        These are as for `MLPClassifier`.

    Attributes
    ----------
    out_activation_ : {"identity", "exp"}
        What makes predictions of outputs; "exp" for the loss "poisson".
    validation_scores_ : list of float, or None
        With `early_stopping`, the R^2 of the validation data after each epoch.
    coefs_, intercepts_, loss_, loss_curve_, best_loss_, best_validation_score_, n_iter_, t_, n_layers_
        As for `MLPClassifier`; likewise n_outputs_, n_features_in_, feature_names_in_.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> X, y = load_diabetes(return_X_y=True)
    >>> y = (y - y.mean()) / y.std()
    >>> regressor = MLPRegressor(early_stopping=True, learning_rate_init=0.01, random_state=0)
    >>> regressor.fit(X, y).score(X, y) > 0.45
    True
    """

    _checks: ClassVar[dict[str, Check]] = {
        **CHECKS,
        "loss": one_of("squared_error", "poisson", "absolute_error", "huber", or_function=True),
    }

    def __init__(
        self,
        loss: str | Callable[[Any, Any], Any] = "squared_error",
        hidden_layer_sizes: int | Sequence[int] = (100,),
        activation: str = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: int | Seeds | None = None,
        tol: float = 1e-4,
        verbose: bool = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        dropout: float = 0.0,
        backend: str | Backend | None = None,
        callbacks: Sequence[Callback] | None = None,
        schedule: Callable[[int], float] | None = None,
        compile: bool | None = None,
        densify: bool = False,
    ) -> None:
        self.loss = loss
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.dropout = dropout
        self.backend = backend
        self.callbacks = callbacks
        self.schedule = schedule
        self.compile = compile
        self.densify = densify

    partial_fit = available_if(_can_stream)(Regressor.partial_fit)


class _Given:
    """The initializer of a weight that is there already: a copy of it, on the current backend.

    Parameters
    ----------
    x : array of any library
    """

    def __init__(self, x: Array) -> None:
        self.x = x

    def __call__(self, shape: tuple[int, ...] = (), rng: Any = None) -> Array:
        backend = current()
        return backend.asarray(to_numpy(self.x).copy(), dtype=backend.dtype)


def _copy(x: Array) -> Array:
    """A copy of its own: compiled steps keep the weights in one block of memory."""
    return array_namespace(x).asarray(x, copy=True)


def _reduce_rate(trainer: Trainer) -> bool:
    """Divide the rate by 5; False if it is too low for that."""
    optimizer = trainer.optimizer
    if optimizer.lr <= 1e-6:
        return False
    optimizer.lr /= 5.0
    return True
