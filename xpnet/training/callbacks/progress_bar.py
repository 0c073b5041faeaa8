"""ProgressBar: a line per epoch and a progress bar."""

import io
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self

from xpnet._printable import cells, padded, printable
from xpnet.training.callback import Callback, Progress
from xpnet.training.meter import name_of

if TYPE_CHECKING:
    from rich.console import Console

    from xpnet.training.trainer import Trainer

ECHO = len("^C")  # what a terminal prints when Ctrl-C is pressed
SHARES = ("accuracy", "precision", "recall", "f1")  # figures that are shown in per cent


class ProgressBar(Callback):
    """Prints a line per epoch and, below the lines, a bar with time left, loss, metrics and speed.

    A terminal that is too narrow for all of these figures shows only the first ones. In a notebook,
    lines and bar are one output of the cell, which changes in place. In a file or a pipe there
    are only the lines, without control characters.

    If a callback ends the training early, a last line has the epoch and the reason.

    The bar is removed whatever ends the training. Used as a block (`with ProgressBar() as bar:`), it is
    also shown before and after the training.

    Parameters
    ----------
    console : rich.console.Console, optional
        Where to print; by default standard output. With `force_jupyter=False` a console prints
        lines in a notebook too: for programs that cannot show an output that changes.
    """

    def __init__(self, console: "Console | None" = None) -> None:
        self.console = console or standard()
        self.bar: Any = None
        self.cell: Any = None  # of a notebook
        self.columns: list[tuple[str, str, int]] = []

    def __enter__(self) -> Self:
        notebook = self.console.is_jupyter
        terminal = self.console.is_terminal and not self.console.is_dumb_terminal
        if self.bar is None and (notebook or terminal):
            self.bar = _bar(self.console)
            if notebook:
                self.cell = _Cell(self.console.width)
            else:
                self.bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self.cell is not None:
            self.cell.show()
        elif self.bar is not None:
            self.bar.stop()
        self.bar = self.cell = None

    def on_start(self, trainer: "Trainer") -> None:
        self.__enter__()
        self.columns = _columns(trainer)
        self._print(
            "  ".join(padded(head, width, right=True) for _, head, width in self.columns),
            style="bold",
        )
        for row in trainer.history.rows:  # epochs before a training was resumed
            self._print_row(row)
        if self.bar is not None:
            epoch = min(len(trainer.history) + 1, trainer.epochs)
            self.task = self.bar.add_task(f"epoch {epoch}/{trainer.epochs}", total=None, figures="")
        if self.cell is not None:
            self.cell.show(self.bar)

    def on_log(self, trainer: "Trainer", progress: Progress) -> None:
        if self.bar is None:
            return
        # The bar counts samples, or epochs if the number of samples is unknown.
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
        """As many figures as fit into the line, beside the description and a bar of four characters."""
        task = self.bar.tasks[self.task]
        figures = []
        left = task.time_remaining
        if left is not None:
            figures.append(f"{timedelta(seconds=round(left))} left")
        for name, value in progress.figures.items():
            figures.append(f"{_head(name)} {_text(name, value)}")
        figures.append(f"{progress.samples_per_s:,.0f} samples/s")
        room = self.console.width - ECHO - len(task.description) - len(" ━━━━ ")
        while figures and cells("  ".join(figures)) > room:
            figures.pop()
        return "  ".join(figures)

    def on_epoch(self, trainer: "Trainer") -> None:
        self._print_row(trainer.history.rows[-1])

    def _print_row(self, row: dict[str, float]) -> None:
        texts = []
        for name, _, width in self.columns:
            text = _text(name, row[name]) if name in row else ""
            texts.append(text.rjust(width))
        self._print("  ".join(texts))

    def _print(self, line: str, style: str | None = None) -> None:
        if self.cell is None:
            self.console.print(line, style=style, markup=False, emoji=False)
        else:
            self.cell.lines.append(line)

    def on_end(self, trainer: "Trainer") -> None:
        done = len(trainer.history)
        if trainer.stopped and done < trainer.epochs:
            line = f"Stopped after epoch {done} of {trainer.epochs}"
            if trainer.reason:
                line = f"{line}: {trainer.reason}"
            self._print(printable(f"{line}."))
        self.__exit__()

    def on_error(self, trainer: "Trainer", error: BaseException) -> None:
        self.__exit__()


def _bar(console: "Console") -> Any:
    """A bar for one task. It leaves room for the ^C of a terminal, which would wrap the line."""
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
        self.lines: list[str] = []
        self.shown = time.monotonic()
        self.output = display({"text/plain": ""}, raw=True, display_id=True)

    def show(self, *below: Any, throttled: bool = False) -> None:
        """Replace the output; if `throttled`, at most five times per second, and less if it is long."""
        if throttled and time.monotonic() - self.shown < 0.2 + len(self.lines) / 2500:
            return
        page = _console(file=io.StringIO(), record=True, width=self.width, force_jupyter=False)
        for style, lines in (("bold", self.lines[:1]), (None, self.lines[1:])):
            page.print("\n".join([*lines, ""]), style=style, end="")
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
    """A console for standard output, without control characters unless that is a terminal."""
    return _console(force_terminal=sys.stdout.isatty())


def _console(**options: Any) -> "Console":
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False, soft_wrap=True, **options)


def _columns(trainer: "Trainer") -> list[tuple[str, str, int]]:
    """The name, header and width of each column."""
    parts = ["train"]
    if trainer.tested:
        parts.append("test")
    heads = {name: _head(name) for name in map(name_of, trainer.metrics)}
    columns = [("epoch", "epoch", 5)]
    for part in parts:
        columns.append((f"{part}_loss", f"{part} loss", 10))
        for name, head in heads.items():
            columns.append((f"{part}_{name}", head, max(cells(head), 8)))
    return [*columns, ("seconds", "seconds", 8), ("samples_per_s", "samples/s", 9)]


def _head(name: str) -> str:
    return printable(name.replace("_", " "))


def _text(column: str, value: float) -> str:
    if column == "epoch":
        return f"{value:.0f}"
    if column == "seconds":
        return f"{value:.1f}"
    if column == "samples_per_s":
        return f"{value:,.0f}"
    return f"{value:.2%}" if column.endswith(SHARES) else f"{value:.4f}"
