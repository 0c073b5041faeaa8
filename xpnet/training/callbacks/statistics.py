"""Statistics: the size of weights, gradients and outputs, layer by layer."""

import os
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from xpnet._saved import rows as rows_of
from xpnet._typing import Array
from xpnet.autodiff.namespace import array_namespace
from xpnet.autodiff.variable import data_of
from xpnet.backend import to_numpy
from xpnet.layers import Layer
from xpnet.training.callback import Callback, Progress
from xpnet.training.callbacks.probe import probing
from xpnet.training.history import write_rows

if TYPE_CHECKING:
    from xpnet.training.trainer import Trainer


class Statistics(Callback):
    """Watches the first batch of each epoch and one after each log line: a row of figures for each.

    Vanishing and exploding gradients and dead layers are visible here first. The figures of a row
    are transferred to the host together, and no other step is slowed down.

        layers.1/output_mean         the mean of the layer's output for the batch
        layers.1/output_std          its standard deviation
        layers.1/output_zeros        its share of zeros; a ReLU with a share of 1 is dead
        layers.1/gradient_std        the root mean square of the gradient of the loss with respect to
                                     that output
        layers.0.weight/norm         the Euclidean norm of the parameter
        layers.0.weight/grad_norm    the norm of its gradient, after clipping

    Parameters
    ----------
    path : str or path-like, optional
        A CSV file of all rows, written at the end of each epoch.
    history : bool
        Whether to add the last figures of each epoch to its row of the history.

    Attributes
    ----------
    rows : list of dict of str to float
        The figures by the names above, and "epoch" and "step", the number of the step.

    Notes
    -----
    Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks",
    AISTATS 2010.

    Examples
    --------
    A layer of ReLUs that are dead, since the weights before it are zeros:

    >>> import xpnet
    >>> from xpnet import functions as F
    >>> from xpnet.training import Statistics, Trainer
    >>> model = xpnet.MLP(3, 4, 1, weight="zeros")
    >>> optimizer = xpnet.SGD(model.parameters(), lr=0.1)
    >>> statistics = Statistics()
    >>> trainer = Trainer(model, F.mean_squared_error, optimizer, callbacks=[statistics])
    >>> history = trainer.fit((F.ones((2, 3)), F.ones((2, 1))), epochs=1, batch_size=2)
    >>> row = statistics.rows[0]
    >>> row["layers.1/output_zeros"], row["layers.0.weight/grad_norm"]
    (1.0, 0.0)
    """

    reads_gradients: ClassVar[bool] = False  # apart from those of steps that it observes
    only_on_root: ClassVar[bool] = True

    def __init__(self, path: str | os.PathLike[str] | None = None, history: bool = False) -> None:
        self.path = None if path is None else Path(path)
        self.history = history
        self.rows: list[dict[str, float]] = []
        self._found: dict[str, Array] = {}  # the figures of the step that is watched
        self._open: ExitStack | None = None  # the open block of `probing`; None between such steps
        self._due = False  # whether to watch the next step

    def on_start(self, trainer: "Trainer") -> None:
        if not trainer.resumed:
            self.rows = []
        self._watch(trainer)  # the first step too, although no log line comes before it

    def on_log(self, trainer: "Trainer", progress: Progress) -> None:
        self._due = True

    def _watch(self, trainer: "Trainer") -> None:
        """Watch the layers until the end of the next step."""
        self._close()
        self._found = {}
        self._due = False
        self._open = ExitStack()
        self._open.enter_context(probing(trainer.model, self._note_output, self._note_gradient))

    def _close(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None

    def _note_output(self, name: str, layer: Layer, y: Array) -> None:
        xp = array_namespace(y)
        if f"{name}/output_mean" in self._found or 0 in y.shape:
            return  # only the first of several outputs, or calls, of a layer counts
        self._found[f"{name}/output_mean"] = xp.mean(y)
        self._found[f"{name}/output_std"] = xp.std(y)
        self._found[f"{name}/output_zeros"] = xp.mean(xp.astype(y == 0.0, y.dtype))

    def _note_gradient(self, name: str, layer: Layer, g: Array) -> None:
        xp = array_namespace(g)
        self._found[f"{name}/gradient_std"] = xp.sqrt(xp.mean(g * g))

    def on_step(self, trainer: "Trainer") -> None:
        if self._open is not None:
            self._close()
            self._append_row(trainer)
        if self._due:
            self._watch(trainer)

    def _append_row(self, trainer: "Trainer") -> None:
        """Transfer the figures to the host, with those of the parameters, as a row."""
        for name, p in trainer.model.named_parameters():
            xp = array_namespace(p.data)
            self._found[f"{name}/norm"] = xp.linalg.vector_norm(p.data)
            if p.raw_grad is not None:
                self._found[f"{name}/grad_norm"] = xp.linalg.vector_norm(data_of(p.raw_grad))
        figures = list(self._found.values())
        xp = array_namespace(*figures)
        # `stack` needs one dtype; the widest one keeps all bits.
        widest = max((f.dtype for f in figures), key=lambda dtype: xp.finfo(dtype).bits)
        values = to_numpy(xp.stack([xp.astype(f, widest) for f in figures])).tolist()
        row = {"epoch": len(trainer.history) + 1.0, "step": float(trainer.steps)}
        self.rows.append(row | dict(zip(self._found, values, strict=True)))

    def on_epoch(self, trainer: "Trainer") -> None:
        if self.history and self.rows:
            new = {k: v for k, v in self.rows[-1].items() if k not in ("epoch", "step")}
            trainer.history.rows[-1].update(new)
        self._write()
        self._watch(trainer)

    def on_end(self, trainer: "Trainer") -> None:
        self._close()
        self._write()

    def on_error(self, trainer: "Trainer", error: BaseException) -> None:
        self._close()
        self._write()

    def _write(self) -> None:
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        columns = list(dict.fromkeys(name for row in self.rows for name in row))
        write_rows(self.path, self.rows, columns or ["epoch", "step"])

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rows = rows_of(state)
