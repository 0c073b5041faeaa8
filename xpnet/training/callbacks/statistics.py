"""Statistics: how large weights, gradients and outputs are, layer by layer."""

import csv
import os
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xpnet._saved import rows as rows_of
from xpnet._typing import Array
from xpnet.autodiff.namespace import array_namespace
from xpnet.autodiff.variable import data_of
from xpnet.backend import to_numpy
from xpnet.layers import Layer
from xpnet.saving.safetensors import replacing
from xpnet.training.callback import Callback, Progress
from xpnet.training.callbacks.probe import probing

if TYPE_CHECKING:
    from xpnet.training.trainer import Trainer


class Statistics(Callback):
    """Looks at one step after each log line, and remembers a row of figures.

    Gradients that vanish or explode, and layers that are dead, are seen here first. The figures of
    a step come to the host together, in one transfer, and no other step is slowed down.

        layers.1/output_mean       the mean of what the layer gave for the batch
        layers.1/output_std        and its standard deviation
        layers.1/output_zeros      the share of zeros: of 1, a ReLU is dead
        layers.1/gradient_std      the root of the mean square of the loss's gradient by that
        layers.0.weight/norm       the Euclidean norm of the parameter
        layers.0.weight/grad_norm  and of its gradient, after clipping

    Parameters
    ----------
    path : str or path-like, optional
        A CSV file of all rows, written at the end of each epoch.
    history : bool
        Whether the history's rows have these figures too: of an epoch, the last ones.

    Attributes
    ----------
    rows : list of dict of str to float
        With "epoch" and "step".

    Notes
    -----
    Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks",
    AISTATS 2010.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None, history: bool = False) -> None:
        self.path, self.history = None if path is None else Path(path), history
        self.rows: list[dict[str, float]] = []
        self._found: dict[str, Array] = {}
        self._open: ExitStack | None = None
        self._due = False

    def on_start(self, trainer: "Trainer") -> None:
        if not trainer.resumed:
            self.rows = []
        self._look(trainer)  # at the first step, before which there is no line

    def on_log(self, trainer: "Trainer", progress: Progress) -> None:
        self._due = True

    def _look(self, trainer: "Trainer") -> None:
        """From here to the end of the next step."""
        self._close()
        self._found, self._open, self._due = {}, ExitStack(), False
        self._open.enter_context(probing(trainer.model, self._output, self._gradient))

    def _close(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None

    def _output(self, name: str, layer: Layer, y: Array) -> None:
        xp = array_namespace(y)
        if f"{name}/output_mean" in self._found or 0 in y.shape:
            return  # another of several outputs, or batches
        self._found[f"{name}/output_mean"] = xp.mean(y)
        self._found[f"{name}/output_std"] = xp.std(y)
        self._found[f"{name}/output_zeros"] = xp.mean(xp.astype(y == 0.0, y.dtype))

    def _gradient(self, name: str, layer: Layer, g: Array) -> None:
        xp = array_namespace(g)
        self._found[f"{name}/gradient_std"] = xp.sqrt(xp.mean(g * g))

    def on_step(self, trainer: "Trainer") -> None:
        if self._open is not None:
            self._close()
            self._row(trainer)
        if self._due:
            self._look(trainer)

    def _row(self, trainer: "Trainer") -> None:
        for name, p in trainer.model.named_parameters():
            xp = array_namespace(p.data)
            self._found[f"{name}/norm"] = xp.linalg.vector_norm(p.data)
            if p.raw_grad is not None:
                self._found[f"{name}/grad_norm"] = xp.linalg.vector_norm(data_of(p.raw_grad))
        figures = list(self._found.values())
        xp = array_namespace(*figures)
        wide = max((f.dtype for f in figures), key=lambda dtype: xp.finfo(dtype).bits)
        values = to_numpy(xp.stack([xp.astype(f, wide) for f in figures])).tolist()
        row = {"epoch": len(trainer.history) + 1.0, "step": float(trainer.steps)}
        self.rows.append(row | dict(zip(self._found, values, strict=True)))

    def on_epoch(self, trainer: "Trainer") -> None:
        if self.history and self.rows:
            new = {k: v for k, v in self.rows[-1].items() if k not in ("epoch", "step")}
            trainer.history.rows[-1].update(new)
        self._write()
        self._look(trainer)

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
        with replacing(self.path) as temporary, temporary.open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(columns or ["epoch", "step"])
            for row in self.rows:
                cells = (row.get(name) for name in columns)
                writer.writerow(["" if cell is None else f"{cell:.6g}" for cell in cells])

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rows = rows_of(state)
