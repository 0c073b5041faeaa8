"""A picture of the tape: how a number was computed, with each value and each gradient.

The layout is of the layered kind: a node stands in the column of its depth, a leaf just before its
first use, and a wire that passes a column has a place of its own in it, clear of the nodes.
"""

import math
from collections.abc import Iterator, Mapping
from copy import copy
from functools import cache, partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xpnet._printable import printable
from xpnet._typing import Array
from xpnet.autodiff.function import FunctionNode
from xpnet.autodiff.tape import Output, seed, walk
from xpnet.autodiff.variable import Variable, data_of, node_of
from xpnet.backend import to_numpy
from xpnet.errors import GradientError
from xpnet.plots._names import drawn
from xpnet.plots.style import figure_of, finished

__all__ = [
    "computational_graph",
    "dot",
]

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIGNS = {  # of the functions that have one; the others show their name
    "add": "+",
    "subtract": "\N{MINUS SIGN}",
    "negative": "\N{MINUS SIGN}",
    "multiply": "\N{MULTIPLICATION SIGN}",
    "divide": "÷",
    "Matmul": "@",
    "Pow": "^",
    "sqrt": "√",
    "Sum": "Σ",
}
INK, RED, BLUE, GREY = "#222222", "#c4314b", "#2f6db3", "#8a8a8a"
HEIGHT, ROW, CURVE = 0.5, 0.95, 0.6  # inches: of a node, between rows, for the bends of the wires
LABEL, TITLE, NAME, SIGN = 11, 10, 9, 16  # points: on a wire, in a node, above a wire, in a circle


def computational_graph(
    output: Variable, names: Mapping[str, Variable], path: str | Path | None = None
) -> "Figure":
    """Draw the graph that `output` was computed by, from left to right.

    Functions are circles, leaves are boxes; what has no gradient is a grey box. Each wire has the
    value above it, in black, and the gradient of `output` below it, in red. Of arrays with several
    numbers it has the shape, and the gradient's norm. No `grad` is touched.

    Parameters
    ----------
    output : Variable, a single number
    names : mapping of str to Variable
        Names for leaves, and for Variables on the way; others do not matter. A value that has no
        name, that no rule has kept, and that is no number made of known ones, is not known any
        more: its wire has only the gradient.
    path : str or Path, optional
        Where to write the picture; the ending says how: .png, .svg, .pdf. (DOT: see `dot`.)

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    GradientError
        `output` is not a single number, or was not recorded.
    ModuleNotFoundError
        matplotlib is not installed.
    """
    graph, figure = _Graph(output, names), figure_of(1.0, 1.0, layout=None)
    graph.choose_fonts()
    width, top, bottom = graph.place()
    figure.set_size_inches(width + 0.2, top - bottom + 1.3)
    ax = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    ax.set(xlim=(-0.1, width + 0.1), ylim=(bottom - 0.5, top + 0.8))
    ax.set_axis_off()
    for x, words, color in ((0.05, "value →", INK), (0.8, "← gradient", RED)):
        ax.text(x, top + 0.6, words, color=color, fontsize=TITLE, va="center")
    for node in graph.nodes:
        _draw_node(ax, graph, node)
        _draw_wires(ax, graph, node)
    return finished(figure, path)


def dot(output: Variable, names: Mapping[str, Variable], path: str | Path | None = None) -> str:
    """The same graph in the language of Graphviz, which lays it out by itself. It needs no library.

    Parameters
    ----------
    output : Variable, a single number
    names : mapping of str to Variable
    path : str or Path, optional
        Where to write the text; `dot -Tsvg graph.dot -o graph.svg` draws it.

    Returns
    -------
    str
        Values are black, gradients red, as in `computational_graph`.

    Raises
    ------
    GradientError
        `output` is not a single number, or was not recorded.

    Examples
    --------
    >>> x = Variable(3.0)
    >>> print(dot(x * x, {"x": x}))
    digraph {
      rankdir=LR; node [fontname="Helvetica"]; edge [fontname="Helvetica"];
      n0 [label="x", shape=box, color="#2f6db3"];
      n1 [label="×", shape=circle, color="#2f6db3"];
      end [label="", shape=none];
      n0 -> n1 [label=<3<br/><font color="#c4314b">6</font>>];
      n0 -> n1 [label=<3<br/><font color="#c4314b">6</font>>];
      n1 -> end [label=<9<br/><font color="#c4314b">1</font>>];
    }
    """
    graph = _Graph(output, names)
    number = {node: f"n{i}" for i, node in enumerate(graph.nodes)}
    lines = ['rankdir=LR; node [fontname="Helvetica"]; edge [fontname="Helvetica"];']
    for node, name in number.items():
        title = printable(graph.title(node)).replace("\\", r"\\").replace('"', r"\"")
        leaf, color = not node.parents, GREY if isinstance(node, _Constant) else BLUE
        shape = "box" if leaf else "circle" if len(title) <= 3 else "ellipse"
        lines.append(f'{name} [label="{title}", shape={shape}, color="{color}"];')
    lines.append('end [label="", shape=none];')
    wires = [(p, number[n]) for n in graph.nodes for p in graph.inputs[n]]
    for node, end in [*wires, (graph.root, "end")]:
        colors = {INK: "{}", RED: f'<font color="{RED}">{{}}</font>', BLUE: "<b>{}</b>"}
        texts = [colors[c].format(escape(printable(text))) for text, *_, c in graph.labels(node)]
        label = f" [label=<{'<br/>'.join(texts)}>]" if texts else ""  # empty, it were an error
        lines.append(f"{number[node]} -> {end}{label};")
    text = "digraph {\n" + "".join(f"  {line}\n" for line in lines) + "}\n"
    if path is not None:
        Path(path).write_text(text, encoding="utf-8")
    return text


class _Constant:
    """A number or an array that stood in a formula and has no gradient."""

    parents = ()


class _Graph:
    """What there is to draw, and where."""

    def __init__(self, output: Variable, names: Mapping[str, Variable]) -> None:
        if not getattr(output, "requires_grad", False):
            raise GradientError(f"Expected a Variable that was recorded, got {output!r}.")
        if output.size != 1:
            raise GradientError(f"Expected one number, got shape {tuple(output.shape)}; see F.sum.")
        self.root: Any = node_of(output)
        self.names: dict[Any, str] = {node_of(v): name for name, v in names.items()}
        self.named_data = {id(v.data): name for name, v in names.items()}  # of constants
        self.values: dict[Any, Any] = {node_of(v): v.data for v in (output, *names.values())}
        self.inputs: dict[Any, list[Any]] = {}
        self._visit()
        arrays = [n for n in self.nodes if hasattr(n, "shape")]
        self.shown: dict[str, str] = {}  # each text, as it is drawn
        self.style: dict[str, Any] = {}  # properties of these texts
        one = seed(output.data, 1.0)
        self.grads: dict[Any, Any] = dict(walk([(self.root, one)], arrays, False))

    def _visit(self) -> None:
        """Collect the nodes, in the order in which a reader would: inputs first, left to right."""
        stack, order = [self.root], {}  # a list would compare: == of Variables is elementwise
        while stack:
            node = stack[-1]
            if node not in self.inputs:
                self.inputs[node] = list(self._inputs_of(node))
            waiting = [p for p in reversed(self.inputs[node]) if p not in self.inputs]
            if not waiting:
                order[stack.pop()] = True
            stack += waiting
        self.nodes = list(order)
        for node in self.nodes:  # single numbers that nobody kept are computed again, on a copy
            known = [self.values[p] for p in self.inputs[node] if p in self.values]
            single = math.prod(getattr(node, "shape", (0,))) == 1
            if single and node not in self.values and len(known) == len(node.parents):
                self.values[node] = copy(node.function).forward(*known)

    def _inputs_of(self, node: Any) -> Iterator[Any]:
        """What went into `node`, constants too; notes every value that the tape has kept."""
        y, kept = getattr(node, "data", None), {}
        if isinstance(node, Output):
            ys = node.parents[0].y
            y = None if ys is None else ys[node.index]
        elif isinstance(node, FunctionNode):
            y = node.y
            kept = node.inputs()
        if y is not None and not isinstance(y, tuple):
            self.values[node] = y
        for i, p in enumerate(node.parents):
            value = kept.get(i)
            if p is None and value is None and len(node.parents) != 2:
                continue  # an argument that was left out, as the bias of `linear` may be
            if p is None:
                p = _Constant()
                if id(value) in self.named_data:
                    self.names[p] = self.named_data[id(value)]
            if value is not None:
                self.values.setdefault(p, data_of(value))
            yield p

    def title(self, node: Any) -> str:
        if not node.parents and node in self.names:
            return self.names[node]
        if isinstance(node, _Constant):
            x = self.values.get(node)
            return "constant" if x is None or hasattr(x, "shape") else _number(x)
        if isinstance(node, Output):
            return f"[{node.index}]"
        kind = type(getattr(node, "function", node)).__name__
        if kind == "PowScalar":  # the exponent is no input, but a part of the function
            return f"^{node.function.n:g}"
        return SIGNS.get(kind, kind.strip("_"))

    def labels(self, node: Any) -> Iterator[tuple[str, int, float, str, str]]:
        """What stands at the wire: text, points, height over the wire, which end of it, color."""
        x = self.values.get(node, node)
        shape = tuple(getattr(x, "shape", ()))
        if node.parents and node in self.names:
            yield self.names[node], NAME, 0.24, "bottom", BLUE
        if math.prod(shape) != 1:
            yield str(shape), LABEL, 0.05, "bottom", INK
        elif node in self.values and hasattr(x, "shape"):  # a Python number stands in its box
            yield _number(x), LABEL, 0.05, "bottom", INK
        if node in self.grads:
            g = to_numpy(self.grads[node])
            text = _number(g) if g.size == 1 else f"‖g‖ = {(abs(g) ** 2).sum() ** 0.5:.3g}"
            yield text, LABEL, -0.06, "top", RED

    def choose_fonts(self) -> None:
        """Settle how each text is drawn; some are names, in which anything may stand."""
        texts = {self.title(node): None for node in self.nodes}  # in order, each once
        texts |= {text: None for node in self.nodes for text, *_ in self.labels(node)}
        shown, self.style = drawn(texts)
        self.shown = dict(zip(texts, shown, strict=True))

    def width(self, text: str, points: float) -> float:
        """How wide a text is drawn, in inches."""
        return _width(self.shown[text], points, tuple(self.style.get("fontfamily", ())))

    def half_width(self, node: Any) -> float:
        title = self.title(node)
        wide = len(title) > 3 or not node.parents
        return max(HEIGHT / 2, wide * (0.13 + self.width(title, TITLE) / 2))

    def label_width(self, node: Any) -> float:
        return 0.25 + max((self.width(t, size) for t, size, *_ in self.labels(node)), default=0.0)

    def place(self) -> tuple[float, float, float]:
        """Set columns, heights and the ends of the columns; return the picture's bounds."""
        self.users: dict[Any, list[Any]] = {n: [] for n in self.nodes}
        for node, inputs in self.inputs.items():
            for p in inputs:
                self.users[p].append(node)
        self.column: dict[Any, int] = {}
        for n in self.nodes:  # inputs come first
            self.column[n] = 1 + max((self.column[p] for p in self.inputs[n]), default=-1)
        rows = {n: -i * ROW for i, n in enumerate(n for n in self.nodes if not n.parents)}
        self.column |= {n: min([self.column[u] for u in self.users[n]] or [1]) - 1 for n in rows}
        last = {n: max((self.column[u] for u in self.users[n]), default=0) for n in self.nodes}
        self.y: dict[tuple[Any, int], float] = {}  # of a node in its column, of its wire beyond
        self.left, self.right, self.labelled, x = [], [], [], 0.0
        for c in range(self.column[self.root] + 1):
            here = [n for n in self.nodes if self.column[n] == c]
            wanted = {}  # a node comes before a wire that wants the same place
            for n in here:
                ys = [rows[n]] if n in rows else [self.y[p, c - 1] for p in self.inputs[n]]
                wanted[n] = sum(ys) / len(ys)
            wanted |= {n: self.y[n, c - 1] for n in self.nodes if self.column[n] < c < last[n]}
            self.y |= {(n, c): y for n, y in _apart(wanted).items()}
            self.left.append(x)
            self.right.append(x + 2 * max(map(self.half_width, here)))
            self.labelled.append(self.right[-1] + max(map(self.label_width, here)))
            x = self.labelled[-1] + CURVE
        heights = self.y.values()
        return max(self.labelled[-1] + 0.2, 1.7), max(heights), min(heights)  # 1.7: the legend

    def center(self, node: Any) -> tuple[float, float]:
        c = self.column[node]
        return (self.left[c] + self.right[c]) / 2, self.y[node, c]


def _apart(wanted: dict[Any, float]) -> dict[Any, float]:
    """The heights nearest to the wanted ones, in their order, that are at least a row apart."""
    placed: dict[Any, float] = {}
    groups: list[list[Any]] = []  # nodes that touch; each group stands around its middle
    for node in sorted(wanted, key=lambda n: -wanted[n]):
        groups.append([node])
        while True:
            group = groups[-1]
            middle = sum(wanted[n] for n in group) / len(group)
            for i, n in enumerate(group):
                placed[n] = middle + ((len(group) - 1) / 2 - i) * ROW
            if len(groups) == 1 or placed[groups[-2][-1]] - placed[group[0]] >= ROW - 1e-9:
                break
            groups[-2:] = [groups[-2] + group]
    return placed


def _number(x: Array) -> str:
    return f"{to_numpy(x).item():.6g}"


@cache
def _width(text: str, points: float, families: tuple[str, ...]) -> float:
    """How wide a text is drawn, in inches."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(family=list(families) or None, size=points)
    # The point: it cannot measure nothing.
    width, _, _ = text_to_path.get_text_width_height_descent(f"{text}.", font, ismath=False)
    return float(width) / 72


def _draw_node(ax: Any, graph: _Graph, node: Any) -> None:
    from matplotlib.patches import Circle, FancyBboxPatch

    (x, y), w, r = graph.center(node), graph.half_width(node), HEIGHT / 2
    title, leaf = graph.title(node), not node.parents
    color = GREY if isinstance(node, _Constant) else BLUE
    face = "#eff4fa" if color == BLUE and leaf else "white"
    if w == r and not leaf:
        ax.add_patch(Circle((x, y), r, linewidth=1.6, facecolor=face, edgecolor=color))
    else:
        box = FancyBboxPatch((x - w, y - r), 2 * w, HEIGHT, facecolor=face, edgecolor=color)
        box.set_boxstyle("round", pad=0, rounding_size=0.06 if leaf else r)
        ax.add_patch(box)
    size = SIGN if not leaf and len(title) == 1 else TITLE
    ax.text(
        x, y, graph.shown[title], ha="center", va="center_baseline", color=INK, fontsize=size,
        **graph.style,
    )  # fmt: skip


def _draw_wires(ax: Any, graph: _Graph, node: Any) -> None:
    """The wire out of a node: straight under its labels, then a bend to each that uses it."""
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path as Curve

    c, (x, y) = graph.column[node], graph.center(node)
    start = x + graph.half_width(node)
    middle = (start + graph.labelled[c]) / 2
    for text, points, dy, va, color in graph.labels(node):
        shown = graph.shown[text]
        ax.text(
            middle, y + dy, shown, ha="center", va=va, color=color, fontsize=points, **graph.style
        )
    arrow = partial(FancyArrowPatch, arrowstyle="-|>", mutation_scale=11, color=INK, shrinkA=0)
    if not graph.users[node]:
        ax.add_patch(arrow((start, y), (graph.labelled[c], y)))
    for user in dict.fromkeys(graph.users[node]):
        for end in _ports(graph, user, node):
            bends, codes = [(start, y)], [Curve.MOVETO]
            for column in range(c, graph.column[user]):
                y0, x0, x1 = graph.y[node, column], graph.labelled[column], graph.left[column + 1]
                xy = (x1, graph.y[node, column + 1]) if column + 1 < graph.column[user] else end
                bends += [(x0, y0), (x0 + 0.55 * CURVE, y0), (x1 - 0.45 * CURVE, xy[1]), xy]
                codes += [Curve.LINETO, Curve.CURVE4, Curve.CURVE4, Curve.CURVE4]
            ax.add_patch(arrow(path=Curve(bends, codes), shrinkB=0))


def _ports(graph: _Graph, user: Any, node: Any) -> Iterator[tuple[float, float]]:
    """Where the wires of `node` enter `user`: on its round left side, the first input highest."""
    (x, y), w, r = graph.center(user), graph.half_width(user), HEIGHT / 2
    middle = (len(graph.inputs[user]) - 1) / 2
    for i, p in enumerate(graph.inputs[user]):
        if p is node:
            dy = max(-r, min(r, 0.17 * (middle - i)))
            yield x - (w - r) - (r * r - dy * dy) ** 0.5, y + dy
