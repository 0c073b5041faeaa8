"""Callback: the base class of objects that a trainer notifies; xpnet's own are in `callbacks/`."""

from types import FunctionType
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

if TYPE_CHECKING:
    from xpnet.training.trainer import Trainer


class Progress(NamedTuple):
    """The state of a training at a log line, a few times per second.

    Attributes
    ----------
    epoch, epochs : int
        The current epoch, counted from 1, and the number of epochs of the training.
    seen, samples : int
        The number of samples that were learned from in this epoch, and the number that it has; the
        latter is 0 if the number is unknown, as for a stream.
    figures : dict of str to float
        The loss, under "loss", and the metrics that are means: each over the epoch so far.
    samples_per_s : float
        The speed of this epoch so far.

    Examples
    --------
    The seconds that are left:

    >>> from xpnet.training import Progress
    >>> here = Progress(2, 10, 300, samples=600, figures={"loss": 0.5}, samples_per_s=1000.0)
    >>> samples_left = (here.epochs - here.epoch + 1) * here.samples - here.seen
    >>> samples_left / here.samples_per_s
    5.1
    """

    epoch: int
    epochs: int
    seen: int
    samples: int
    figures: dict[str, float]
    samples_per_s: float


class Callback:
    """The base class of callbacks. Its methods do nothing; a subclass overrides those it needs.

    Each method receives the trainer, whose `model`, `optimizer`, `epochs`, `history` and other
    attributes it may read. `trainer.stop()` ends the training after the current epoch.

    Attributes
    ----------
    order : int
        Callbacks are called in the order of this number, and those with equal numbers in the order
        of the trainer's list: -1 for those that decide something, 0 for those that only observe, 1
        for those that save what the others have decided.
    reads_gradients : bool
        Whether the callback reads the gradients of parameters. If no callback does, a compiled step
        need not keep them; otherwise a step takes longer, and C rounds it differently. A False is not
        inherited by a subclass with methods of its own, which may read gradients: it states its own.
        After a step that a hook observes there are gradients in any case: see
        `xpnet.layers.hooks.watching`.
    only_on_root : bool
        Whether only rank 0 of a distributed training calls it, because it prints or writes files. The
        others are called on all ranks, and decide the same: figures and weights are equal there.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> from xpnet.training import Callback, Trainer
    >>> data = F.asarray([[1.0]]), F.asarray([[2.0]])
    >>> model = xpnet.Affine(1, 1, weight="zeros")
    >>> class StopBelow(Callback):
    ...     def on_epoch(self, trainer):
    ...         loss = trainer.history["train_loss"][-1]
    ...         print(f"epoch {len(trainer.history)}: {loss:.2f}")
    ...         if loss < 0.5:
    ...             trainer.stop("it is good enough")
    >>> optimizer = xpnet.SGD(model.parameters(), lr=0.125)
    >>> trainer = Trainer(model, F.mean_squared_error, optimizer, callbacks=[StopBelow()])
    >>> history = trainer.fit(data, epochs=100, batch_size=1)
    epoch 1: 4.00
    epoch 2: 1.00
    epoch 3: 0.25
    """

    order: ClassVar[int] = 0
    reads_gradients: ClassVar[bool] = True
    only_on_root: ClassVar[bool] = False

    def on_start(self, trainer: "Trainer") -> None:
        """The data are checked; the first epoch begins, or is resumed (`trainer.resumed`)."""

    def on_step(self, trainer: "Trainer") -> None:
        """A batch has been learned from. Unless a callback overrides this method, it costs nothing."""

    def on_log(self, trainer: "Trainer", progress: Progress) -> None:
        """It is time for a log line: see `Trainer(log_every=)`."""

    def on_epoch(self, trainer: "Trainer") -> None:
        """An epoch is finished; `trainer.history` has its row."""

    def on_end(self, trainer: "Trainer") -> None:
        """The training is complete or interrupted (`trainer.history.interrupted`).

        It is not called after an error.
        """

    def on_error(self, trainer: "Trainer", error: BaseException) -> None:
        """The training ends with this error: close what is open."""

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint stores for this callback: numbers, strings and arrays, by name."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from what `state_dict` returned; arrays are NumPy's."""


def reads_gradients(callback: Callback) -> bool:
    """Whether a callback may read gradients: what is stated nearest to its methods counts."""
    if "reads_gradients" in vars(callback):
        return callback.reads_gradients
    for kind in type(callback).__mro__:
        if "reads_gradients" in vars(kind):
            return callback.reads_gradients
        if any(isinstance(x, _METHODS) for x in vars(kind).values()):
            return True
    return True


_METHODS = (FunctionType, property, staticmethod, classmethod)
