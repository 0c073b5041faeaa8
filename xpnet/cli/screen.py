"""What a command shows: lines, and on a terminal a bar that moves."""

import sys
from datetime import timedelta
from typing import Any, Self

from rich.console import Console

from xpnet.training import Callback, Progress, Trainer


def console() -> Console:
    """Lines to standard output; no control characters in them unless it is a terminal."""
    terminal = sys.stdout.isatty()
    return Console(force_terminal=terminal, highlight=False, markup=False, soft_wrap=True)


class Screen(Callback):
    """A line an epoch and, on a terminal, a bar below them: time left, loss, accuracy, speed.

    A terminal that is too narrow for all of these figures shows the first ones alone.

    Use it as a block, so that the bar is taken down whatever ends the training.
    """

    HEAD = "epoch  train loss  accuracy   test loss  accuracy   seconds  samples/s"

    def __init__(self, console: Console) -> None:
        self.console = console
        self.bar: Any = None

    def __enter__(self) -> Self:
        if self.console.is_terminal and not self.console.is_dumb_terminal:
            from rich import progress

            self.bar = progress.Progress(
                progress.TextColumn("{task.description}"),
                progress.BarColumn(bar_width=None),
                progress.TextColumn("{task.fields[figures]}"),
                console=self.console,
                transient=True,
                expand=True,
                refresh_per_second=5,
            )
            self.bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self.bar:
            self.bar.stop()

    def on_start(self, trainer: Trainer) -> None:
        self.console.print(self.HEAD, style="bold")
        if self.bar:
            self.task = self.bar.add_task(f"epoch 1/{trainer.epochs}", total=None, figures="")

    def on_log(self, trainer: Trainer, progress: Progress) -> None:
        if self.bar:
            self.bar.update(
                self.task,
                description=f"epoch {progress.epoch}/{progress.epochs}",
                total=progress.epochs * progress.samples,
                completed=(progress.epoch - 1) * progress.samples + progress.seen,
            )
            self.bar.update(self.task, figures=self._figures(progress))

    def _figures(self, progress: Progress) -> str:
        """As many as the line has room for, beside what was done and a bar of four."""
        task = self.bar.tasks[self.task]
        left = task.time_remaining
        figures = [
            *([] if left is None else [f"{timedelta(seconds=round(left))} left"]),
            f"loss {progress.figures['loss']:.4f}",
            f"accuracy {progress.figures['accuracy']:.2%}",
            f"{progress.samples_per_s:,.0f} samples/s",
        ]
        room = self.console.width - len(task.description) - len(" ━━━━ ")
        while figures and len("  ".join(figures)) > room:
            figures.pop()
        return "  ".join(figures)

    def on_epoch(self, trainer: Trainer) -> None:
        row = trainer.history.rows[-1]
        self.console.print(
            f"{row['epoch']:5}  {row['train_loss']:10.4f}  {row['train_accuracy']:8.2%}  "
            f"{row['test_loss']:10.4f}  {row['test_accuracy']:8.2%}  {row['seconds']:8.1f}  "
            f"{row['samples_per_s']:9,.0f}"
        )
