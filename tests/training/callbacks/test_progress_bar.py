"""The progress bar: lines anywhere, and a bar on a terminal and in a notebook."""

import io
import re
import sys
from types import SimpleNamespace

import pytest
from rich.cells import cell_len
from rich.console import Console

import xpnet
from xpnet import functions as F
from xpnet.metrics import accuracy
from xpnet.training import Callback, Checkpoint, EarlyStopping, ProgressBar, Trainer


def make(bar, *callbacks, lr=0.1, metrics=(accuracy,)):
    model = xpnet.MLP(4, 8, 3, rng=0)
    optimizer = xpnet.SGD(model.parameters(), lr)
    return Trainer(
        model, F.softmax_cross_entropy, optimizer, metrics, [bar, *callbacks], 0, log_every=0.0
    )


def screen(width=100, **options):
    return Console(file=io.StringIO(), width=width, highlight=False, soft_wrap=True, **options)


def shown(console):
    return re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", console.file.getvalue())


def test_without_a_terminal_only_lines_are_printed(clusters, capsys):
    """On the standard output of the moment when the bar is created."""
    history = make(ProgressBar()).fit(clusters, clusters, 2, 20)
    out = capsys.readouterr().out
    assert "\x1b" not in out
    head, *lines = out.splitlines()
    assert head == "epoch  train loss  accuracy   test loss  accuracy   seconds  samples/s"
    for row, line in zip(history.rows, lines, strict=True):
        epoch, loss, share, test_loss, test_share, _seconds, _speed = line.split()
        assert (int(epoch), len(line)) == (row["epoch"], len(head))
        assert (loss, test_loss) == (f"{row['train_loss']:.4f}", f"{row['test_loss']:.4f}")
        assert (share, test_share) == (
            f"{row['train_accuracy']:.2%}",
            f"{row['test_accuracy']:.2%}",
        )


def test_the_columns_are_those_of_the_training(clusters):
    """Without test data and with other metrics; an error is not shown in per cent."""

    def mean_absolute_error(y, t):
        return xpnet.current().asarray(0.25)

    console = screen()
    make(ProgressBar(console), metrics=[mean_absolute_error]).fit(clusters, None, 1, 20)
    head, line = console.file.getvalue().splitlines()
    assert head == "epoch  train loss  mean absolute error   seconds  samples/s"
    assert line.split()[2] == "0.2500"


def test_on_a_terminal_a_bar_moves_and_is_removed_at_the_end(clusters):
    console = screen(force_terminal=True)
    bar = ProgressBar(console)
    make(bar).fit(clusters, clusters, 2, 20)
    text = shown(console)
    assert re.search(
        r"epoch 2/2 ━+ 0:00:00 left  loss \d\.\d{4}  accuracy \d+\.\d\d%  [\d,]+ sam", text
    )
    assert bar.bar is None
    assert console.file.getvalue().rindex("\x1b[?25h") > console.file.getvalue().rindex("\x1b[?25l")


@pytest.fixture
def outputs(monkeypatch):
    """What a notebook shows: the states of each output, in order."""
    shown = []

    def display(bundle, *, raw, display_id):
        assert (raw, display_id) == (True, True)
        shown.append([bundle])
        return SimpleNamespace(update=lambda bundle, *, raw: raw and shown[-1].append(bundle))

    module = SimpleNamespace(display=display)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(display=module))
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    return shown


def test_a_notebook_has_one_output_that_is_updated(clusters, outputs):
    """The bar is below the lines and removed at the end; nothing is printed."""

    class Look(Callback):
        def on_log(self, trainer, progress):
            bar.cell.show(bar.bar)

    console = screen(force_jupyter=True)
    bar = ProgressBar(console)
    history = make(bar, Look()).fit(clusters, clusters, 2, 20)
    ((_, begun, *states, end),) = outputs
    assert begun["text/plain"].splitlines()[1].startswith("epoch 1/2 ━")
    *lines, line = states[-1]["text/plain"].splitlines()
    assert (lines[0], len(lines)) == (end["text/plain"].splitlines()[0], 2)
    assert re.match(r"epoch 2/2 ━+ 0:00:00 left  loss \d\.\d{4}  accuracy ", line)
    assert [line.split()[0] for line in end["text/plain"].splitlines()] == ["epoch", "1", "2"]
    assert f"{history.rows[1]['test_loss']:.4f}" in end["text/plain"]
    assert "font-weight: bold" in end["text/html"]
    assert (console.file.getvalue(), bar.bar, bar.cell) == ("", None, None)


def test_a_notebook_output_is_updated_a_few_times_per_second(clusters, outputs):
    """Even if an epoch takes a millisecond."""
    make(ProgressBar(screen(force_jupyter=True))).fit(clusters, None, 60, 20)
    ((*states, end),) = outputs
    assert len(states) < 30
    assert len(end["text/plain"].splitlines()) == 61


def test_a_notebook_output_does_not_grow_without_limit(clusters, outputs):
    """Of more than 60 epochs, the first five and the last 55: the history has all of them."""
    make(ProgressBar(screen(force_jupyter=True))).fit(clusters, None, 100, 20)
    ((*_, end),) = outputs
    numbers = [line.split()[0] for line in end["text/plain"].splitlines()]
    assert numbers == ["epoch", *"12345", "...", *(str(i) for i in range(46, 101))]


def test_a_notebook_shows_that_a_training_was_interrupted(clusters, outputs):
    """Where ^C is not shown: `fit` raises nothing, and the cell continues."""

    class Interrupt(Callback):
        def on_epoch(self, trainer):
            if len(trainer.history) == 2:
                raise KeyboardInterrupt

    make(ProgressBar(screen(force_jupyter=True)), Interrupt()).fit(clusters, None, 9, 20)
    ((*_, end),) = outputs
    assert end["text/plain"].splitlines()[-1] == "Interrupted in epoch 3 of 9."


def test_for_a_stream_the_bar_counts_epochs(clusters):
    console = screen(force_terminal=True)
    make(ProgressBar(console)).fit([clusters], None, 3)
    assert "epoch 3/3 ━" in shown(console)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_an_error_removes_the_bar(clusters):
    """The cursor is visible again."""
    console = screen(force_terminal=True)
    bar = ProgressBar(console)
    with pytest.raises(xpnet.TrainingError):
        make(bar, lr=1e30).fit(clusters, None, 2, 20)
    assert bar.bar is None
    assert console.file.getvalue().rindex("\x1b[?25h") > console.file.getvalue().rindex("\x1b[?25l")


def test_a_resumed_training_prints_its_earlier_epochs(clusters, tmp_path):
    """The table is complete."""

    class Stop(Callback):
        def on_log(self, trainer, progress):
            if progress.epoch == 3:
                raise KeyboardInterrupt

    make(Checkpoint(tmp_path), Stop()).fit(clusters, clusters, 4, 20)
    console = screen()
    trainer = make(ProgressBar(console))
    trainer.fit(clusters, clusters, 4, 20, resume=tmp_path / Checkpoint.LAST)
    assert [line.split()[0] for line in console.file.getvalue().splitlines()[1:]] == list("1234")


def test_a_stopped_training_prints_the_epoch_and_the_reason(clusters):
    """Stopped by EarlyStopping, which names the best epoch, and by a callback without a reason."""
    stopping = EarlyStopping("test_accuracy", patience=2)
    console = screen()
    history = make(ProgressBar(console), stopping, lr=1e-30).fit(clusters, clusters, 9, 20)
    assert len(history) == 3
    assert console.file.getvalue().splitlines()[-1] == (
        "Stopped after epoch 3 of 9: test accuracy was best in epoch 1, whose weights are kept."
    )
    stopping = EarlyStopping(patience=1, min_delta=1e-3, restore_best=False)
    make(ProgressBar(console), stopping, lr=1e-30).fit(clusters, None, 9, 20)
    assert console.file.getvalue().splitlines()[-1] == (
        "Stopped after epoch 2 of 9: train loss was best in epoch 1."
    )

    class Enough(Callback):
        def on_epoch(self, trainer):
            trainer.stop()

    make(ProgressBar(console), Enough()).fit(clusters, None, 9, 20)
    assert console.file.getvalue().splitlines()[-1] == "Stopped after epoch 1 of 9."
    make(ProgressBar(console), Enough()).fit(clusters, None, 1, 20)  # the last one, by chance
    assert console.file.getvalue().splitlines()[-1].split()[0] == "1"


def test_a_bar_leaves_room_for_the_echo_of_ctrl_c(clusters):
    """A terminal prints ^C at the cursor; at the end of a full line this would start another line."""
    console = screen(force_terminal=True, width=60)
    make(ProgressBar(console)).fit(clusters, clusters, 2, 20)
    bars = [line for line in re.split(r"[\r\n]+", shown(console)) if "━" in line]
    assert bars
    assert max(map(len, bars)) == 60 - len("^C")


@pytest.mark.parametrize("name", ["[red]x", "사과", "a\x1b[2Jb", ":smile:", "[/]"])
def test_a_metrics_name_is_shown_literally(clusters, name):
    """Without markup, emoji or escapes; and the columns are aligned."""

    def metric(y, t):
        return xpnet.current().asarray(0.25)

    metric.__name__ = name
    console = Console(file=io.StringIO(), width=100, force_terminal=True, soft_wrap=True)
    make(ProgressBar(console), metrics=[metric]).fit(clusters, clusters, 1, 20)
    text = shown(console)
    said = name.replace("\x1b", "\\x1b")
    assert f"{said} 0.2500" in text
    head, line = (
        row
        for row in text.replace("\r", "\n").splitlines()
        if row.startswith(("epoch  ", "    1  "))
    )
    assert said in head
    assert cell_len(head) == cell_len(line)
