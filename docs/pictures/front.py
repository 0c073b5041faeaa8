"""The picture of the front page: its program is run, and the plane is coloured as the network divides it.

python docs/pictures/front.py
"""

import re
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.colors import LinearSegmentedColormap

mpl.use("Agg")
from matplotlib import pyplot as plt

DOCS = Path(__file__).parents[1]
COLOURS = ("#0072b2", "#f4f4f2", "#d55e00")  # blue and orange, which colour-blind people tell apart


def program() -> dict:
    """The names that the program of the page defines."""
    page = (DOCS / "index.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", page, re.DOTALL)[1]
    scope: dict = {}
    exec(code, scope)  # noqa: S102 - the page's own program
    return scope


def draw(path: Path) -> None:
    """Write the picture."""
    scope = program()
    x, t = (scope["x"], scope["t"])
    side = np.linspace(-1.1, 1.1, 300)
    points = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    softmax = scope["F"].softmax(scope["model"](points), axis=-1)
    share = np.asarray(softmax.data)[:, 1].reshape(300, 300)
    figure = plt.figure(figsize=(4.0, 4.0), dpi=160)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    colours = LinearSegmentedColormap.from_list("classes", COLOURS)
    axes.imshow(share, extent=(-1.1, 1.1, -1.1, 1.1), origin="lower", cmap=colours, alpha=0.45)
    edges = [COLOURS[0], COLOURS[2]]
    axes.scatter(*x.T, c=[edges[k] for k in t], s=22.0, edgecolors="white", linewidths=0.7)
    axes.set_axis_off()
    figure.savefig(path)


if __name__ == "__main__":
    draw(DOCS / "front.png")
