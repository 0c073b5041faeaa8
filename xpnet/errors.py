"""The errors that xpnet raises on purpose: `except XpnetError` catches them all.

    XpnetError
    ├── ArgumentError          an argument has a value that is not allowed       ValueError
    ├── ArgumentTypeError      an argument is of the wrong type                  TypeError
    ├── BackendError           a backend is unknown or cannot be used here       RuntimeError
    ├── CheckError             a check of `xpnet.testing` failed                 AssertionError
    ├── CompileError           a step cannot be recorded and replayed            RuntimeError
    ├── DataError              a data file is missing, truncated or corrupt      ValueError
    ├── DistributedError       another rank of a training is missing or differs  RuntimeError
    ├── GradientError          a derivative does not exist                       RuntimeError
    │   └── ExportError        an array with a gradient leaves its graph         BufferError
    ├── IndexingError          an index or an axis is invalid or out of range    IndexError
    ├── MissingAttributeError  an object or a module has no such attribute       AttributeError
    ├── MissingImportError     a module has no such name to import               ImportError
    ├── MissingKeyError        a mapping has no such key                         KeyError
    ├── MissingMethodError     a subclass does not define a required method      NotImplementedError
    ├── MissingPackageError    an optional package is not installed              ModuleNotFoundError
    ├── ShapeError             an array has a shape that does not fit            ValueError
    ├── StateError             saved weights do not fit their model or file      ValueError
    └── TrainingError          the loss became NaN or infinite                   ArithmeticError

Each is also the built-in error on the right, which a caller who does not know xpnet would catch.
A message states what was expected, what was given, where, and what to try. It often contains a name
from a file, so `printable` escapes characters that would act on a terminal.
"""

from xpnet._printable import printable

__all__ = [
    "ArgumentError",
    "ArgumentTypeError",
    "BackendError",
    "CheckError",
    "CompileError",
    "DataError",
    "DistributedError",
    "ExportError",
    "GradientError",
    "IndexingError",
    "MissingAttributeError",
    "MissingImportError",
    "MissingKeyError",
    "MissingMethodError",
    "MissingPackageError",
    "ShapeError",
    "StateError",
    "TrainingError",
    "XpnetError",
]


class XpnetError(Exception):
    """The base class of all errors that xpnet raises on purpose.

    Examples
    --------
    >>> import xpnet
    >>> try:
    ...     xpnet.Dropout(1.5)
    ... except xpnet.XpnetError as error:
    ...     print(f"{type(error).__name__}: {error}")
    ArgumentError: Dropout expected a probability p from 0 to 1, got 1.5.
    """

    def __str__(self) -> str:
        # The method of Exception, because KeyError would show the message in quotation marks.
        return printable(Exception.__str__(self), keep="\n\t")


class ArgumentError(XpnetError, ValueError):
    """An argument has a value that is not allowed.

    Examples
    --------
    >>> import xpnet
    >>> xpnet.Dropout(1.5)
    Traceback (most recent call last):
        ...
    xpnet.errors.ArgumentError: Dropout expected a probability p from 0 to 1, got 1.5.
    """


class ArgumentTypeError(XpnetError, TypeError):
    """An argument is of the wrong type, or is missing.

    Examples
    --------
    >>> import numpy as np
    >>> import xpnet
    >>> np.asarray(xpnet.Parameter([1.0]))
    Traceback (most recent call last):
        ...
    xpnet.errors.ArgumentTypeError: A Parameter does not become a NumPy array on its own: ...
    For the numbers without the gradient, call xpnet.to_numpy(x).
    """


class BackendError(XpnetError, RuntimeError):
    """A backend is unknown, or this machine cannot run it; the message names what is missing.

    Examples
    --------
    >>> import xpnet
    >>> xpnet.use("tensorflow")
    Traceback (most recent call last):
        ...
    xpnet.errors.BackendError: Unknown backend 'tensorflow'. Expected library[:device] with one of: ...
    """


class CheckError(XpnetError, AssertionError):
    """A check of `xpnet.testing` failed: two arrays differ, or a derivative is wrong.

    Examples
    --------
    >>> import numpy as np
    >>> from xpnet.testing import assert_close
    >>> assert_close(np.asarray([1.0, 2.0]), np.asarray([1.0, 2.5]))
    Traceback (most recent call last):
        ...
    xpnet.errors.CheckError: ...
    """


class CompileError(XpnetError, RuntimeError):
    """A step cannot be recorded and replayed; the message names the line, and what to do instead.

    Examples
    --------
    The sum is known when the step runs, and not when it is recorded.

    >>> import xpnet
    >>> from xpnet import functions as F
    >>> step = xpnet.compile(lambda x: x if float(F.sum(x)) > 0.0 else -x)
    >>> step(xpnet.current().asarray([1.0, 2.0]))
    Traceback (most recent call last):
        ...
    xpnet.errors.CompileError: <lambda> cannot be compiled: ... the step reads a value: ...
    """


class DataError(XpnetError, ValueError):
    """A data file is missing, truncated, corrupt or inconsistent; the message names the file.

    Examples
    --------
    >>> import xpnet
    >>> xpnet.data.read_npz("missing.npz")
    Traceback (most recent call last):
        ...
    xpnet.errors.DataError: missing.npz: no such file; expected an NPZ archive
    """


class DistributedError(XpnetError, RuntimeError):
    """Another rank of a distributed training failed, is missing, or has other weights.

    Attributes
    ----------
    is_told : bool
        Whether another rank has this error too, and has reported it.

    Examples
    --------
    >>> from xpnet import distributed
    >>> def check(communicator):
    ...     distributed.require_equal(communicator, {"weight": communicator.rank}, "after epoch 1")
    >>> distributed.run(2, check)
    Traceback (most recent call last):
        ...
    xpnet.errors.DistributedError: The ranks differ after epoch 1: weight on rank 1 is not that on rank 0. ...
    """

    is_told: bool = False


class GradientError(XpnetError, RuntimeError):
    """A derivative does not exist, or nothing was recorded for it.

    Examples
    --------
    >>> import xpnet
    >>> weight = xpnet.Parameter([1.0, 2.0])
    >>> (weight * weight).backward()
    Traceback (most recent call last):
        ...
    xpnet.errors.GradientError: For a Variable of shape (2,), pass gy of that shape, the gradient to start from;
    or reduce it to one number first, for example with F.sum.
    """


class ExportError(GradientError, BufferError):
    """Another library asks for an array that requires a gradient, and would not record its use.

    Examples
    --------
    >>> import numpy as np
    >>> import xpnet
    >>> np.from_dlpack(xpnet.Parameter([1.0]))
    Traceback (most recent call last):
        ...
    xpnet.errors.ExportError: DLPack would export a Parameter that requires a gradient, ...
    Pass x.data to export it without the gradient.
    """


class IndexingError(XpnetError, IndexError):
    """An index or an axis is invalid or out of range.

    Examples
    --------
    >>> from xpnet import functions as F
    >>> try:
    ...     F.sum(F.asarray([1.0, 2.0]), axis=1)
    ... except IndexError as error:
    ...     print(error)
    sum expected an axis from -1 to 0, got axis 1: it is out of range.
    """


class MissingAttributeError(XpnetError, AttributeError):
    """An object or a module has no such attribute; the message names what to use instead.

    Examples
    --------
    >>> import xpnet
    >>> xpnet.Variable([1.0, 2.0]).exp()
    Traceback (most recent call last):
        ...
    xpnet.errors.MissingAttributeError: A Variable has no 'exp'. Write F.exp(x), with F = xpnet.functions.
    """


class MissingImportError(XpnetError, ImportError):
    """`from module import name`, where the module has no such name; the message names what to use instead.

    Examples
    --------
    >>> from xpnet import Linear
    Traceback (most recent call last):
        ...
    xpnet.errors.MissingImportError: xpnet has no 'Linear'. Write xpnet.Affine(in_features, out_features).
    """


class MissingKeyError(XpnetError, KeyError):
    """A mapping has no such key; the message lists those that it has.

    Examples
    --------
    >>> from xpnet.training import History
    >>> history = History()
    >>> history.append({"epoch": 1, "loss": 0.5})
    >>> history["los"]
    Traceback (most recent call last):
        ...
    xpnet.errors.MissingKeyError: 'los'; there are epoch, loss
    """


class MissingMethodError(XpnetError, NotImplementedError):
    """A subclass does not define a method that its base class requires.

    Examples
    --------
    >>> import xpnet
    >>> class Square(xpnet.Layer):
    ...     pass
    >>> try:
    ...     Square()(xpnet.Variable([2.0]))
    ... except NotImplementedError as error:
    ...     print(error)
    Square defines no forward.
    """


class MissingPackageError(XpnetError, ModuleNotFoundError):
    """An optional package is not installed; the message has the command that installs it.

    Examples
    --------
    As if mpi4py were not installed:

    >>> import sys
    >>> from unittest import mock
    >>> from xpnet.distributed import MPICommunicator
    >>> with mock.patch.dict(sys.modules, {"mpi4py.MPI": None}):
    ...     MPICommunicator()
    Traceback (most recent call last):
        ...
    xpnet.errors.MissingPackageError: Several processes were to be started by MPI, ...
    Install it with an MPI: pip install "xpnet[mpi]".
    """


class ShapeError(XpnetError, ValueError):
    """An array has a shape that does not fit; the message states the expected and the given one.

    Examples
    --------
    >>> import xpnet
    >>> try:
    ...     xpnet.Affine(3, 2)(xpnet.Variable([[1.0, 2.0]]))
    ... except ValueError as error:
    ...     print(error)
    Affine(3 -> 2) expected x of shape (batch, 3), got (1, 2).
    """


class StateError(XpnetError, ValueError):
    """Saved weights do not fit the model they are loaded into, or the file cannot be read.

    Examples
    --------
    >>> import xpnet
    >>> xpnet.Affine(3, 2).load_state_dict(xpnet.Affine(4, 2).state_dict())
    Traceback (most recent call last):
        ...
    xpnet.errors.StateError: Affine(3 -> 2): expected weight of shape (3, 2), got (4, 2).
    """


class TrainingError(XpnetError, ArithmeticError):
    """The loss of a training became NaN or infinite.

    Examples
    --------
    >>> import numpy as np
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> model = xpnet.Affine(1, 1)
    >>> optimizer = xpnet.SGD(model.parameters(), lr=1e30)
    >>> trainer = xpnet.training.Trainer(model, F.mean_squared_error, optimizer)
    >>> with np.errstate(over="ignore"):  # NumPy would warn
    ...     trainer.fit(([[1.0]], [[5.0]]), batch_size=1)
    Traceback (most recent call last):
        ...
    xpnet.errors.TrainingError: The loss became inf ... Try a smaller learning rate than 1e+30, or ...
    """
