"""What somebody finds who uses xpnet in a notebook: each test runs its cells in a kernel of its own."""

import base64
import re

import pytest

from docs.builder import gallery
from tests.docs.test_gallery import QUICK, words
from tests.notebooks.kernel import (
    BEGUN,
    displayed,
    errors_of,
    executed,
    nbformat,
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

(images, labels), test = load_mnist()
train = images[:2000], labels[:2000]
test = test[0][:500], test[1][:500]


class Begun(Callback):
    def on_epoch(self, trainer):
        Path("{BEGUN}").touch()


def trainer_of(model, *callbacks):
    optimizer = xpnet.Adam(model.parameters())
    return Trainer(model, F.softmax_cross_entropy, optimizer, [accuracy], list(callbacks), rng=0)
"""
MODEL = "model = xpnet.MLP(784, [20], 10, rng=0)"


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
    assert [words(printed(cell)) for cell in cells] == [words(text) for text in results]
    assert [len(displayed(cell, "image/png")) for cell in cells] == [0] * (len(cells) - 1) + [1]
    assert [printed(cell, "stderr") for cell in cells] == [""] * len(cells)


# --- what is displayed ----------------------------------------------------------------------------


def test_the_last_expression_of_a_cell_is_displayed(tmp_path):
    _, model, number, table, _, history, trainer, backend = executed(
        [
            SETUP,
            f"{MODEL}\nmodel",
            "xpnet.Variable([1.0, 2.0])",
            "summary(model, (784,))",
            "trainer = trainer_of(model)\nhistory = trainer.fit(train, test, epochs=2)",
            "history",
            "trainer",
            "xpnet.use('numpy', 'float64')",
        ],
        tmp_path,
    )
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
    train = f"{MODEL}\nhistory = trainer_of(model).fit(train, test, epochs=1)"
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
    """Letters that no font has, which a cell draws twice: the figures do not repeat it as they are displayed."""
    pytest.importorskip("matplotlib", reason="xpnet.plots draws with it")
    draw = (
        "for _ in range(2):\n"
        "    display(plots.confusion_matrix(np.eye(2, dtype=int), ['\U00012000', '\U00012001']))"
    )
    _, cell = executed([SETUP, draw], tmp_path)
    assert printed(cell, "stderr").count("Warning: ") == 1
    assert len(displayed(cell, "image/png")) == 2


# --- interrupt, run again -------------------------------------------------------------------------

MUCH = "1_000_000"  # epochs, which nobody waits for


@pytest.mark.parametrize("data", ["train", "DataLoader(*train, batch_size=50, prefetch=2)"])
def test_a_training_is_interrupted_and_resumed(tmp_path, data):
    """`fit` ends as by Ctrl-C, and what follows it in the cell runs; no thread of the loader is left."""
    _, _, run, state, resumed, again = executed(
        [
            SETUP,
            f"{MODEL}\ntrainer = trainer_of(model, ProgressBar(), Begun(), Checkpoint('run'))\n"
            "threads = threading.active_count()",
            f"history = trainer.fit({data}, test, epochs={MUCH})\nprint(history.interrupted)",
            "epochs = len(history)\nprint(trainer.between_steps, np.isfinite(trainer.evaluate(test)['loss']), "
            "threading.active_count() - threads)",
            f"history = trainer.fit({data}, test, epochs=epochs + 2, resume='run/last.safetensors')\n"
            "print(len(history) - epochs, history.interrupted)",
            "print(len(trainer_of(model).fit(train, epochs=1)))",
        ],
        tmp_path,
        interrupt=2,
    )
    assert printed(run) == "True\n"
    (table,) = displayed(run)
    assert re.fullmatch(r"Interrupted in epoch \d+ of 1000000\.", table.splitlines()[-1])
    assert printed(state) == "True True 0\n"
    assert printed(resumed) == "2 False\n"
    assert printed(again) == "1\n"


def test_a_training_without_a_checkpoint_is_saved_once_it_is_interrupted(tmp_path):
    cells = executed(
        [
            SETUP,
            f"{MODEL}\ntrainer = trainer_of(model, Begun())",
            f"epochs = len(trainer.fit(train, epochs={MUCH}))\ntrainer.save('pause.safetensors')",
            "history = trainer.fit(train, epochs=epochs + 2, resume='pause.safetensors')\n"
            "print(len(history) - epochs)",
        ],
        tmp_path,
        interrupt=2,
    )
    assert printed(cells[-1]) == "2\n"


@pytest.mark.parametrize("around", ["", "xpnet.compile"])
def test_a_loop_of_ones_own_is_interrupted(tmp_path, around):
    """KeyboardInterrupt, wherever it comes; after it, the step computes what it would have computed."""
    cells = executed(
        [
            SETUP,
            f"{MODEL}\noptimizer = xpnet.SGD(model.parameters(), lr=0.01)",
            "def step(x, t):\n    loss = F.softmax_cross_entropy(model(x), t)\n    optimizer.zero_grad()\n"
            "    loss.backward()\n    optimizer.step()\n    return loss\n\n\n"
            f"run = {around}(step)\nfor _ in range(5):\n    run(*test)",
            f"Path('{BEGUN}').touch()\nwhile True:\n    run(*test)",
            "weights = {name: x.copy() for name, x in model.state_dict().items()}\n"
            "first = run(*test), model.state_dict()['layers.0.weight'].copy()\n"
            "model.load_state_dict(weights)\n"
            "second = step(*test), model.state_dict()['layers.0.weight']\n"
            "print(np.allclose(first[0].data, second[0].data, rtol=1e-4), "
            "np.allclose(first[1], second[1], rtol=1e-4, atol=1e-6))",
        ],
        tmp_path,
        interrupt=3,
        errors=True,
    )
    assert errors_of(cells) == ["KeyboardInterrupt"]
    assert printed(cells[-1]) == "True True\n"


def test_cells_are_run_again(tmp_path):
    """The same results, also if a cell is run several times, or changes the library's dtype in between."""
    train = f"{MODEL}\ntrainer_of(model, ProgressBar()).fit(train, test, epochs=2)['test_loss']"
    other = "xpnet.use('numpy', 'float64')\nprint(xpnet.MLP(2, [2], 1).layers[0].weight.dtype)"
    back = "xpnet.use('numpy')\nprint(xpnet.MLP(2, [2], 1).layers[0].weight.dtype)"
    first, *others = (
        cell for cell in executed([SETUP, train, train, other, back, train], tmp_path)[1:]
    )
    second, in_float64, in_float32, third = others
    assert (printed(in_float64), printed(in_float32)) == ("float64\n", "float32\n")
    assert displayed(first)[-1] == displayed(second)[-1] == displayed(third)[-1]


def test_a_folder_of_checkpoints_is_resumed_where_the_cell_is_run_again(tmp_path):
    """The form of docs/notebooks.md, which also continues in a new kernel; otherwise an error says what to do."""
    cell = (
        f"{MODEL}\ntrainer = trainer_of(model, Checkpoint('run'))\nlast = Path('run/last.safetensors')\n"
        "resume = last if last.exists() else None\n"
        "print(len(trainer.fit(train, epochs={}, resume=resume)))"
    )
    refused = f"{MODEL}\ntrainer_of(model, Checkpoint('run')).fit(train, epochs=1)"
    cells = executed(
        [SETUP, cell.format(2), cell.format(2), cell.format(3), refused], tmp_path, errors=True
    )
    assert [printed(cell) for cell in cells[1:4]] == ["2\n", "2\n", "3\n"]
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


def test_a_layer_is_defined_again(tmp_path):
    """A compiled function computes with what its names mean now."""
    compare = (
        "for _ in range(4):\n    y = fast(test[0])\n"
        "print(np.allclose(y.data, net(test[0]).data, rtol=1e-4, atol=1e-5), bool(fast.replays))"
    )
    cells = executed(
        [
            SETUP,
            NET.format("relu"),
            "net = Net()\nfast = xpnet.compile(lambda x: net(x))",
            compare,
            NET.format("tanh"),
            compare,  # net is still of the first class
            "net = Net()",
            compare,
            "def forward(self, x):\n    return self.out(F.exp(self.hidden(x)))\n\n\nNet.forward = forward",
            compare,
            "trainer_of(net).fit(train, epochs=1)['train_loss'][0] < 3",
        ],
        tmp_path,
    )
    assert [printed(cells[i]) for i in (3, 5, 7, 9)] == ["True True\n"] * 4
    assert displayed(cells[-1]) == ["True"]


@pytest.mark.parametrize("options", ["2", "2 --full"])
def test_a_module_is_reloaded(tmp_path, options):
    """By IPython's autoreload, which patches functions and classes; compiled functions notice."""
    compare = (
        "for _ in range(4):\n    y = fast(test[0])\n"
        "direct = net.out({}(net.hidden(test[0])))\n"
        "print(*(np.allclose(x.data, direct.data, rtol=1e-4, atol=1e-5) for x in (y, net(test[0]))))"
    )
    head = "import xpnet\nfrom xpnet import functions as F\n"
    write = "Path('net.py').write_text({!r})\nimport os\n\nos.utime('net.py', ({}, {}))"
    cells = executed(
        [
            SETUP,
            f"%load_ext autoreload\n%autoreload {options}",
            write.format(head + NET.format("relu"), 1e9, 1e9),
            "import net as module\n\nnet = module.Net()\nfast = xpnet.compile(lambda x: net(x))",
            compare.format("F.relu"),
            write.format(head + NET.format("tanh"), 2e9, 2e9),
            compare.format("F.tanh"),
        ],
        tmp_path,
    )
    assert [printed(cells[i]) for i in (4, 6)] == ["True True\n"] * 2


def test_a_layer_of_a_cell_is_saved_copied_and_sent_to_other_processes(tmp_path):
    """Its class is in `__main__`, which other processes cannot import: joblib sends it by value."""
    pytest.importorskip("sklearn", reason="joblib comes with scikit-learn")
    cells = executed(
        [
            SETUP,
            NET.format("relu"),
            "import copy\nimport pickle\n\nfrom xpnet.saving import load, save\n\nnet, other = Net(), Net()\n"
            "other.out.weight.data = 0 * other.out.weight.data\n"
            "save(net, 'net.safetensors')\nload(other, 'net.safetensors')\n"
            "copies = [other, copy.deepcopy(net), pickle.loads(pickle.dumps(net))]\n"
            "print([np.array_equal(x(test[0]).data, net(test[0]).data) for x in copies])",
            "from joblib import Parallel, delayed\n\n\ndef norm(net, x):\n    return float(F.sum(net(x) ** 2))\n\n\n"
            "sums = Parallel(2)(delayed(norm)(net, test[0][i : i + 100]) for i in (0, 100))\n"
            "print(np.isclose(sum(sums), norm(net, test[0][:200]), rtol=1e-4))",
            "@xpnet.gradient_checkpoint\ndef squares(net, x):\n    return F.sum(net(x) ** 2)\n\n\n"
            "sums = Parallel(2)(delayed(squares)(net, test[0][i : i + 100]) for i in (0, 100))\n"
            "print(np.isclose(float(sums[0] + sums[1]), norm(net, test[0][:200]), rtol=1e-4))",
        ],
        tmp_path,
    )
    assert printed(cells[2]) == "[True, True, True]\n"
    assert [printed(cell) for cell in cells[3:]] == ["True\n", "True\n"]


def test_errors_and_plans_name_the_cell(tmp_path):
    """Not the temporary file that the kernel makes of it."""
    cells = executed(
        [
            SETUP,
            "@xpnet.compile\ndef step(x):\n    y = F.exp(x)\n    return y if float(F.sum(y)) > 0 else x",
            "for _ in range(3):\n    step(np.ones(3))",
            "fast = xpnet.compile(lambda x: F.exp(x))\nfor _ in range(3):\n    fast(np.ones(3))\nprint(fast)",
        ],
        tmp_path,
        errors=True,
    )
    (error,) = (x for x in cells[2].outputs if x.output_type == "error")
    assert error.evalue.startswith("step cannot be compiled: Cell In[2]:4: the step reads a value")
    assert "\nCell In[4]:1\n" in printed(cells[3])
