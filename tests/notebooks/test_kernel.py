"""What somebody finds who uses xpnet in a notebook: each test runs its cells in a kernel of its own."""

import base64
import re

import pytest

from docs.builder import gallery
from tests.docs.test_gallery import QUICK, differences

MISSING = "it is not installed: nox -s notebooks"
nbformat = pytest.importorskip("nbformat", reason=MISSING)
pytest.importorskip("nbclient", reason=MISSING)
pytest.importorskip("ipykernel", reason=MISSING)
from tests.notebooks.kernel import (  # noqa: E402 - after the check that Jupyter is there
    BEGUN,
    cells_of,
    displayed,
    errors_of,
    executed,
    printed,
    readme,
)

SETUP = f"""
import threading
from pathlib import Path

import numpy as np
import xpnet
from xpnet import functions as F, plots
from xpnet.data import DataLoader, load_mnist
from xpnet.metrics import accuracy
from xpnet.summary import summary
from xpnet.training import Callback, Checkpoint, ProgressBar, Trainer

(images, labels), (pictures, answers) = load_mnist()
train, test = (images[:2000], labels[:2000]), (pictures[:500], answers[:500])
x, t = test


class Begun(Callback):
    def on_epoch(self, trainer):
        Path("{BEGUN}").touch()


def new_model():
    return xpnet.MLP(784, [20], 10, rng=0)


def trainer_of(model, *callbacks):
    optimizer = xpnet.Adam(model.parameters())
    return Trainer(model, F.softmax_cross_entropy, optimizer, [accuracy], list(callbacks), rng=0)


def close(a, b):
    return np.allclose(a.data, b.data, rtol=1e-4, atol=1e-5)
"""


def run(program, folder, **options):
    """The cells of a program that runs after `SETUP`, without that."""
    _, *cells = executed([SETUP, *cells_of(program)], folder, **options)
    return cells


# --- stored programs ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def readme_cells(tmp_path_factory):
    pytest.importorskip("matplotlib", reason="the README's report draws with it")
    pytest.importorskip("sklearn", reason="a block of the README needs scikit-learn")
    folder = tmp_path_factory.mktemp("readme")
    return executed(readme(), folder)


def test_the_readmes_blocks_run_as_they_stand(readme_cells):
    """Only the accuracies are printed; nothing is a warning."""
    first, *others = readme_cells
    accuracies = [float(x) for x in re.findall(r"0\.\d+", printed(first))]
    assert len(accuracies) == 3
    assert accuracies[-1] > 0.95
    assert [printed(cell) for cell in others] == [""] * len(others)
    assert [printed(cell, "stderr") for cell in readme_cells] == [""] * len(readme_cells)


def test_each_training_of_the_readme_has_one_output(readme_cells):
    """The second one continues after the second epoch; no bar is left."""
    tables = [table for cell in readme_cells for table in displayed(cell)]
    assert [[line.split()[0] for line in table.splitlines()] for table in tables] == [
        ["epoch", "1", "2"],
        ["epoch", "1", "2", "3"],
    ]
    assert [len(cell.outputs) for cell in readme_cells].count(2) == 1


def test_a_command_in_a_cell_prints_lines(tmp_path):
    """As `!xpnet train mnist`: its terminal understands few control characters. The picture is in a file."""
    pytest.importorskip("matplotlib", reason="the command line draws with it")
    command = "{sys.executable} -m xpnet train mnist --hidden 20 --epochs 1 --out run"
    show = "from IPython.display import Image\n\nImage('run/curves.png')"
    training, picture = executed([f"import sys\n\n!{command}", show], tmp_path)
    lines = printed(training).splitlines()
    assert [line for line in lines if not line.isprintable()] == []
    assert lines[-1].startswith("Test accuracy 9")
    assert len(displayed(picture, "image/png")) == 1


@pytest.mark.parametrize("name", gallery.names())
def test_a_notebook_of_the_gallery_is_valid(name):
    path = gallery.PAGES / f"{name}.ipynb"
    nbformat.validate(nbformat.read(path, as_version=nbformat.NO_CONVERT))


@pytest.mark.parametrize("name", gallery.names())
def test_a_notebook_of_the_gallery_has_the_results_of_its_page(name, tmp_path):
    """The quick ones: what they print, and one picture at the end."""
    pytest.importorskip("matplotlib", reason="the gallery draws with it")
    _, results, seconds = gallery.results_of(name)
    if seconds > QUICK:
        pytest.skip(f"it takes {seconds} s, and is the program of nox -s gallery")
    path = gallery.PAGES / f"{name}.ipynb"
    cells = executed(nbformat.read(path, as_version=nbformat.NO_CONVERT), tmp_path)
    cells = [cell for cell in cells if cell.cell_type == "code"]
    found = zip(results, map(printed, cells), strict=True)
    assert [pair for pair in found if differences(*pair)] == []
    assert [len(displayed(cell, "image/png")) for cell in cells] == [0] * (len(cells) - 1) + [1]
    assert [printed(cell, "stderr") for cell in cells] == [""] * len(cells)


# --- what is displayed ----------------------------------------------------------------------------


def test_the_last_expression_of_a_cell_is_displayed(tmp_path):
    program = """
        model = new_model()
        model
        # %%
        xpnet.Variable([1.0, 2.0])
        # %%
        summary(model, (784,))
        # %%
        trainer = trainer_of(model)
        history = trainer.fit(train, test, epochs=2)
        history
        # %%
        trainer
        # %%
        xpnet.use("numpy", "float64")
    """
    model, number, table, history, trainer, backend = run(program, tmp_path)
    assert displayed(model) == ["MLP(\n  Affine(784 -> 20)\n  ReLU()\n  Affine(20 -> 10)\n)"]
    assert displayed(number) == ["Variable(array([1., 2.], dtype=float32))"]
    assert displayed(trainer) == ["Trainer(MLP, Adam(lr=0.001), History(2 epochs))"]
    assert displayed(backend) == ["Backend('numpy', 'float64')"]
    assert displayed(table)[0].startswith("Layer ")
    assert displayed(history) == ["History(2 epochs)"]
    for cell, rows in ((table, 5), (history, 3)):
        (html,) = displayed(cell, "text/html")
        assert html.count("<tr>") == rows


FIGURES = {
    "the last expression": ("plots.curves(history)", 1),
    "after pyplot was imported": ("import matplotlib.pyplot\n\nplots.curves(history)", 1),
    "written to a file too": ("plots.curves(history, 'curves.png')", 1),
    "by display": ("display(plots.curves(history))\nNone", 1),
    "beside a figure of pyplot's": ("from matplotlib import pyplot\n\npyplot.plot([1])\nplots.curves(history)", 2),
    "kept in a variable": ("figure = plots.curves(history)", 0),
    "with a semicolon": ("plots.curves(history);", 0),
}  # fmt: skip


@pytest.fixture(scope="module")
def figure_cells(tmp_path_factory):
    pytest.importorskip("matplotlib", reason="xpnet.plots draws with it")
    train = "history = trainer_of(new_model()).fit(train, test, epochs=1)"
    cells = [SETUP, train, *(code for code, _ in FIGURES.values())]
    _, _, *figures = executed(cells, tmp_path_factory.mktemp("figures"))
    return dict(zip(FIGURES, figures, strict=True))


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_displayed_once(figure_cells, name):
    cell = figure_cells[name]
    pictures = displayed(cell, "image/png")
    assert len(pictures) == FIGURES[name][1]
    assert [base64.b64decode(x)[:4] for x in pictures] == [b"\x89PNG"] * len(pictures)
    assert printed(cell, "stderr") == ""


def test_a_warning_is_not_repeated(tmp_path):
    """Letters that no font has: the figure does not repeat it when it is displayed, and displayed again."""
    pytest.importorskip("matplotlib", reason="xpnet.plots draws with it")
    program = r"""
        figure = plots.confusion_matrix(np.eye(2, dtype=int), ["\U00012000", "\U00012001"])
        display(figure)
        figure
    """
    (cell,) = run(program, tmp_path)
    assert printed(cell, "stderr").count("Warning: ") == 1
    assert len(displayed(cell, "image/png")) == 2


# --- interrupt, run again -------------------------------------------------------------------------

MUCH = "1_000_000"  # epochs, which nobody waits for


@pytest.mark.parametrize("data", ["train", "DataLoader(*train, batch_size=50, prefetch=2)"])
def test_a_training_is_interrupted_and_resumed(tmp_path, data):
    """`fit` ends as by Ctrl-C, and what follows it in the cell runs; no thread of the loader is left."""
    program = f"""
        data = {data}
        trainer = trainer_of(new_model(), ProgressBar(), Begun(), Checkpoint("run"))
        threads = threading.active_count()
        # %%
        history = trainer.fit(data, test, epochs={MUCH})
        print(history.interrupted)
        # %%
        epochs = len(history)
        print(trainer.between_steps, np.isfinite(trainer.evaluate(test)["loss"]))
        print(threading.active_count() - threads)
        # %%
        history = trainer.fit(data, test, epochs=epochs + 2, resume="run/last.safetensors")
        print(len(history) - epochs, history.interrupted)
        # %%
        print(len(trainer_of(trainer.model).fit(train, epochs=1)))
    """
    _, begun, state, resumed, again = run(program, tmp_path, interrupt=2)
    assert printed(begun) == "True\n"
    (table,) = displayed(begun)
    assert re.fullmatch(r"Interrupted in epoch \d+ of 1000000\.", table.splitlines()[-1])
    assert printed(state) == "True True\n0\n"
    assert printed(resumed) == "2 False\n"
    assert printed(again) == "1\n"


def test_a_training_without_a_checkpoint_is_saved_once_it_is_interrupted(tmp_path):
    program = f"""
        trainer = trainer_of(new_model(), Begun())
        # %%
        epochs = len(trainer.fit(train, epochs={MUCH}))
        trainer.save("pause.safetensors")
        # %%
        history = trainer.fit(train, epochs=epochs + 2, resume="pause.safetensors")
        print(len(history) - epochs)
    """
    assert printed(run(program, tmp_path, interrupt=2)[-1]) == "2\n"


@pytest.mark.parametrize("around", ["", "xpnet.compile"])
def test_a_loop_of_ones_own_is_interrupted(tmp_path, around):
    """KeyboardInterrupt, wherever it comes; after it, the step computes what it would have computed."""
    program = f"""
        model = new_model()
        optimizer = xpnet.SGD(model.parameters(), lr=0.01)


        def step(x, t):
            loss = F.softmax_cross_entropy(model(x), t)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss


        run = {around}(step)
        for _ in range(5):
            run(x, t)
        # %%
        Path("{BEGUN}").touch()
        while True:
            run(x, t)
        # %%
        before = {{name: w.copy() for name, w in model.state_dict().items()}}
        loss = run(x, t)
        after = {{name: w.copy() for name, w in model.state_dict().items()}}
        model.load_state_dict(before)
        print(close(loss, step(x, t)))
        print(all(close(w, after[name]) for name, w in model.state_dict().items()))
    """
    cells = run(program, tmp_path, interrupt=2, errors=True)
    assert errors_of(cells) == ["KeyboardInterrupt"]
    assert printed(cells[-1]) == "True\nTrue\n"


def test_cells_are_run_again(tmp_path):
    """With the same results, also after the dtype of new parameters was another one."""
    train = "trainer_of(new_model(), ProgressBar()).fit(train, test, epochs=2)['test_loss']"
    program = f"""
        {train}
        # %%
        {train}
        # %%
        xpnet.use("numpy", "float64")
        # %%
        print(new_model().layers[0].weight.dtype)
        # %%
        xpnet.use("numpy")
        # %%
        {train}
    """
    first, second, _, dtype, _, third = run(program, tmp_path)
    assert printed(dtype) == "float64\n"
    assert displayed(first)[-1] == displayed(second)[-1] == displayed(third)[-1]


def test_a_cell_with_a_checkpoint_is_run_again(tmp_path):
    """In the form of docs/notebooks.md it resumes, in a new kernel too; otherwise an error says what to do."""
    cell = """
        last = Path("run/last.safetensors")
        resume = last if last.exists() else None
        trainer = trainer_of(new_model(), Checkpoint("run"))
        print(len(trainer.fit(train, epochs={}, resume=resume)))
        # %%
    """
    refused = """
        trainer_of(new_model(), Checkpoint("run")).fit(train, epochs=1)
    """
    cells = run(f"{cell.format(2)}{cell.format(2)}{cell.format(3)}{refused}", tmp_path, errors=True)
    assert [printed(cell) for cell in cells] == ["2\n", "2\n", "3\n", ""]
    assert errors_of(cells) == ["StateError"]


# --- layers that are defined in cells -------------------------------------------------------------

NET = """
class Net(xpnet.Layer):
    def __init__(self):
        self.hidden = xpnet.Affine(784, 20, rng=0)
        self.out = xpnet.Affine(20, 10, rng=1)

    def forward(self, x):
        return self.out(F.{}(self.hidden(x)))
"""
REPLAY = """
for _ in range(4):
    y = fast(x)
print(close(y, net.out(F.{}(net.hidden(x)))), close(y, net(x)), bool(fast.replays))
"""


def test_a_layer_is_defined_again(tmp_path):
    """A compiled function computes with what its names mean now."""
    forward = "Net.forward = lambda self, x: self.out(F.exp(self.hidden(x)))"
    cells = [
        NET.format("relu"),
        "net = Net()\nfast = xpnet.compile(lambda x: net(x))",
        REPLAY.format("relu"),
        NET.format("tanh"),
        REPLAY.format("relu"),  # net is still of the first class
        "net = Net()",
        REPLAY.format("tanh"),
        forward,
        REPLAY.format("exp"),
    ]
    assert [printed(cell) for cell in executed([SETUP, *cells], tmp_path)[3::2]] == [
        "True True True\n"
    ] * 4


@pytest.mark.parametrize("options", ["2", "2 --full"])
def test_a_module_is_reloaded(tmp_path, options):
    """By IPython's autoreload, which patches functions and classes; compiled functions notice."""
    head = "import xpnet\nfrom xpnet import functions as F\n"
    write = "import os\n\nPath('net.py').write_text({!r})\nos.utime('net.py', ({}, {}))"
    cells = [
        f"%load_ext autoreload\n%autoreload {options}",
        write.format(head + NET.format("relu"), 1e9, 1e9),
        "import net as module\n\nnet = module.Net()\nfast = xpnet.compile(lambda x: net(x))",
        REPLAY.format("relu"),
        write.format(head + NET.format("tanh"), 2e9, 2e9),
        REPLAY.format("tanh"),
    ]
    done = executed([SETUP, *cells], tmp_path)
    assert [printed(done[i]) for i in (4, 6)] == ["True True True\n"] * 2


def test_what_a_cell_defines_is_saved_copied_and_sent_to_other_processes(tmp_path):
    """It is in `__main__`, which other processes do not import: joblib sends it by value."""
    pytest.importorskip("joblib", reason="it comes with scikit-learn")
    program = """
        import copy
        import pickle

        from joblib import Parallel, delayed
        from xpnet.saving import load, save

        net, other = Net(), Net()
        other.out.weight.data = 0 * other.out.weight.data
        save(net, "net.safetensors")
        load(other, "net.safetensors")
        copies = [other, copy.deepcopy(net), pickle.loads(pickle.dumps(net))]
        print([close(copied(x), net(x)) for copied in copies])


        @xpnet.gradient_checkpoint
        def output(net, x):
            return net(x)


        def gradient(net, x):
            F.sum(output(net, x) ** 2).backward()
            return net.forward(x).sum(), net.hidden.weight.grad


        # %%
        here = gradient(net, x)
        net.zero_grad()
        (there,) = Parallel(2)([delayed(gradient)(net, x)])
        print(*(close(a, b) for a, b in zip(here, there)))
    """
    cells = executed([SETUP, NET.format("relu"), *cells_of(program)], tmp_path)
    assert printed(cells[2]) == "[True, True, True]\n"
    assert printed(cells[3]) == "True True\n"


def test_errors_and_plans_name_the_cell(tmp_path):
    """Not the temporary file that the kernel makes of it."""
    program = """
        @xpnet.compile
        def step(x):
            y = F.exp(x)
            return y if float(F.sum(y)) > 0 else x
        # %%
        for _ in range(3):
            step(np.ones(3))
        # %%
        fast = xpnet.compile(lambda x: F.exp(x))
        for _ in range(3):
            fast(np.ones(3))
        print(fast)
    """
    _, failed, plan = run(program, tmp_path, errors=True)
    (error,) = (x for x in failed.outputs if x.output_type == "error")
    assert error.evalue.startswith("step cannot be compiled: Cell In[2]:4: the step reads a value")
    assert "\nCell In[4]:1\n" in printed(plan)
