"""ProgressBar: print a line per epoch and, below the lines, a progress bar."""

import io
import os
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Self

from xpnet._printable import cells, padded, printable, spoken
from xpnet.training.callback import Callback, Progress
from xpnet.training.meter import name_of

if TYPE_CHECKING:
    from rich.console import Console

    from xpnet.training.trainer import Trainer

ECHO = len("^C")  # the width of what a terminal prints when Ctrl-C is pressed
MOST = 60  # lines of epochs in a notebook: of more, the first ones and the last ones
HEAD = 6  # lines before those that are left out, with the header
PERCENTAGES = ("accuracy", "precision", "recall", "f1")  # the ends of such columns' names


class ProgressBar(Callback):
    """Prints a line per epoch and, below the lines, a bar with time left, loss, metrics and speed.

    A terminal that is too narrow for all of these figures shows only the first ones. In a notebook,
    lines and bar are one output of the cell, which changes in place; of more than 60 epochs, it has
    the first five and the last 55. To a file or a pipe only the
    lines are written, without control characters.

    If a callback ends the training early, a last line has the epoch and the reason; and in a notebook, if the
    kernel was interrupted.

    The bar is removed at the end of the training, also after an error. As a block,
    `with ProgressBar() as bar:`, it is shown before the training starts.

    Parameters
    ----------
    console : rich.console.Console, optional
        Where to print; by default standard output. A console with `force_jupyter=False` prints plain
        lines in a notebook too, for programs that cannot show an output that changes.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> from xpnet.training import ProgressBar, Trainer
    >>> data = F.asarray([[1.0]]), F.asarray([[2.0]])
    >>> model = xpnet.Affine(1, 1, weight="zeros")
    >>> optimizer = xpnet.SGD(model.parameters(), lr=0.125)
    >>> trainer = Trainer(model, F.mean_squared_error, optimizer, callbacks=[ProgressBar()])
    >>> history = trainer.fit(data, epochs=2, batch_size=1)
    epoch  train loss   seconds  samples/s
        1      4.0000       ...
        2      1.0000       ...
    """

    reads_gradients: ClassVar[bool] = False
    only_on_root: ClassVar[bool] = True

    def __init__(self, console: "Console | None" = None) -> None:
        self.console = console or standard()
        self.bar: Any = None  # rich's; None where it is not shown
        self.task = 0  # the number of the bar's only task
        self.cell: _Cell | None = None  # in a notebook
        self.columns: list[tuple[str, str, int]] = []  # of the history: name, header, width
        self.reported = False  # whether it was printed why the steps are not compiled

    def __enter__(self) -> Self:
        self._show_bar()
        return self

    def __exit__(self, *error: object) -> None:
        self._remove_bar()

    def _show_bar(self) -> None:
        """Show the bar if the console is a terminal or a notebook, and does not show it already."""
        notebook = self.console.is_jupyter
        terminal = self.console.is_terminal and not self.console.is_dumb_terminal
        if self.bar is None and (notebook or terminal):
            self.bar = _bar(self.console)
            if notebook:
                self.cell = _Cell(self.console.width)
            else:
                self.bar.start()

    def _remove_bar(self) -> None:
        if self.cell is not None:
            self.cell.show()
        elif self.bar is not None:
            self.bar.stop()
        self.bar = None
        self.cell = None

    def on_start(self, trainer: "Trainer") -> None:
        self.reported = False
        self._show_bar()
        self.columns = _columns(trainer)
        self._print(
            "  ".join(padded(header, width, right=True) for _, header, width in self.columns),
            style="bold",
        )
        for row in trainer.history.rows:  # epochs before a training was resumed
            self._print_row(row)
        if self.bar is not None:
            epoch = min(len(trainer.history) + 1, trainer.epochs)
            self.task = self.bar.add_task(f"epoch {epoch}/{trainer.epochs}", total=None, figures="")
        if self.cell is not None:
            self.cell.show(self.bar)

    def _report(self, trainer: "Trainer") -> None:
        """Print why the steps are not compiled, if they were to be, once for each training."""
        reason = trainer.learner.reason
        if reason and trainer.learner.compile is None and not self.reported:
            self.reported = True
            self._print(printable(f"The steps run without compilation: {reason}"))

    def on_log(self, trainer: "Trainer", progress: Progress) -> None:
        self._report(trainer)
        if self.bar is None:
            return
        # The bar's unit is the sample, or the epoch if the number of samples is unknown.
        total = progress.epochs
        completed = progress.epoch - 1
        if progress.samples:
            total = total * progress.samples
            completed = completed * progress.samples + progress.seen
        self.bar.update(
            self.task,
            description=f"epoch {progress.epoch}/{progress.epochs}",
            total=total,
            completed=completed,
        )
        self.bar.update(self.task, figures=self._figures(progress))
        if self.cell is not None:
            self.cell.show(self.bar, throttled=True)

    def _figures(self, progress: Progress) -> str:
        """As many figures as fit into the line, with the description and a bar of four characters."""
        task = self.bar.tasks[self.task]
        figures = []
        remaining = task.time_remaining
        if remaining is not None:
            figures.append(f"{timedelta(seconds=round(remaining))} left")
        for name, value in progress.figures.items():
            figures.append(f"{_header(name)} {_formatted(name, value)}")
        figures.append(f"{progress.samples_per_s:,.0f} samples/s")
        room = self.console.width - ECHO - len(task.description) - len(" ━━━━ ")
        while figures and cells("  ".join(figures)) > room:
            figures.pop()
        return "  ".join(figures)

    def on_epoch(self, trainer: "Trainer") -> None:
        self._report(trainer)
        self._print_row(trainer.history.rows[-1])

    def _print_row(self, row: dict[str, float]) -> None:
        entries = []
        for name, _, width in self.columns:
            entry = _formatted(name, row[name]) if name in row else ""
            entries.append(entry.rjust(width))
        self._print("  ".join(entries))

    def _print(self, line: str, style: str | None = None) -> None:
        if self.cell is None:
            self.console.print(line, style=style, markup=False, emoji=False)
        else:
            self.cell.lines.append(line)

    def on_end(self, trainer: "Trainer") -> None:
        done = len(trainer.history)
        if trainer.history.interrupted and self.cell is not None:  # where no ^C is shown
            self._print(f"Interrupted in epoch {done + 1} of {trainer.epochs}.")
        elif trainer.stopped and done < trainer.epochs:
            line = f"Stopped after epoch {done} of {trainer.epochs}"
            if trainer.reason:
                line = f"{line}: {trainer.reason}"
            self._print(printable(f"{line}."))
        self._remove_bar()

    def on_error(self, trainer: "Trainer", error: BaseException) -> None:
        self._remove_bar()


def _bar(console: "Console") -> Any:
    """A bar for one task, narrower than the terminal, so that a ^C does not wrap the line."""
    from rich import progress
    from rich.constrain import Constrain

    class Bar(progress.Progress):
        def get_renderables(self) -> Iterator[Any]:
            tasks = self.make_tasks_table(self.tasks)
            yield Constrain(tasks, max(console.width - ECHO, 1))

    return Bar(
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(bar_width=None),
        progress.TextColumn("{task.fields[figures]}", markup=False),
        console=console,
        transient=True,
        expand=True,
        refresh_per_second=5,
    )


class _Cell:
    """The output of a notebook's cell: a header, lines, and the bar below them, without widgets."""

    def __init__(self, width: int) -> None:
        from IPython.display import display

        self.width = width
        self.lines: list[str] = []  # the first is the header
        self.shown = time.monotonic()  # the time of the last change
        self.output = display({"text/plain": ""}, raw=True, display_id=True)

    def show(self, *below: Any, throttled: bool = False) -> None:
        """Replace the output by the lines, and `below`, what rich can print, under them.

        If `throttled`, it is replaced at most five times per second.
        """
        if throttled and time.monotonic() - self.shown < 0.2:
            return
        lines = self.lines
        if len(lines) > MOST + 1:  # besides the header
            lines = [*lines[:HEAD], "...", *lines[HEAD - MOST - 1 :]]
        page = _console(file=io.StringIO(), record=True, width=self.width, force_jupyter=False)
        for style, part in (("bold", lines[:1]), (None, lines[1:])):
            page.print("\n".join([*part, ""]), style=style, end="")
        for part in below:
            page.print(part)
        html = page.export_html(code_format=_HTML, inline_styles=True, clear=False)
        self.output.update({"text/html": html, "text/plain": page.export_text()}, raw=True)
        self.shown = time.monotonic()


_HTML = (
    '<pre style="white-space: pre; overflow-x: auto; line-height: normal; '
    "font-family: Menlo, 'DejaVu Sans Mono', Consolas, monospace\">{code}</pre>"
)


def standard() -> "Console":
    """A console for standard output, without control characters unless that is a terminal.

    A command in a cell, `!xpnet train mnist`, has a terminal that understands only some of them: Jupyter
    names its kernels' parent in an environment variable.
    """
    return _console(force_terminal=sys.stdout.isatty() and "JPY_PARENT_PID" not in os.environ)


def _console(**options: Any) -> "Console":
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False, soft_wrap=True, **options)


def _columns(trainer: "Trainer") -> list[tuple[str, str, int]]:
    """The name, header and width of each column."""
    parts = ["train"]
    if trainer.validated:  # by which one decides; the test is for the end
        parts.append("validation")
    elif trainer.tested:
        parts.append("test")
    headers = {name: _header(name) for name in map(name_of, trainer.metrics)}
    columns = [("epoch", "epoch", 5)]
    for part in parts:
        loss = f"{part} loss"
        columns.append((f"{part}_loss", loss, max(len(loss), 10)))
        for name, header in headers.items():
            columns.append((f"{part}_{name}", header, max(cells(header), 8)))
    return [*columns, ("seconds", "seconds", 8), ("samples_per_s", "samples/s", 9)]


def _header(name: str) -> str:
    """A name as the header of its column; `printable` escapes control characters."""
    return printable(spoken(name, plain=True))


def _formatted(column: str, value: float) -> str:
    """A value with the digits and the unit of its column."""
    if column == "epoch":
        return f"{value:.0f}"
    if column == "seconds":
        return f"{value:.1f}"
    if column == "samples_per_s":
        return f"{value:,.0f}"
    return f"{value:.2%}" if column.endswith(PERCENTAGES) else f"{value:.4f}"
