"""A picture of the tape: how a number was computed, with each value and each gradient.

The layout is a small one of the layered kind: a node stands in the column of its depth, a leaf just
before its first use, and a wire that passes a column has a place of its own in it. So no wire runs
through a node.
"""

import math
from collections.abc import Iterator, Mapping
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xpnet.autodiff import Variable, data_of, gradients
from xpnet.backend import to_numpy
from xpnet.tape import Output, walk

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIGNS = {  # of the functions that have one; the others show their name
    "add": "+",
    "subtract": "\N{MINUS SIGN}",
    "negative": "\N{MINUS SIGN}",
    "multiply": "\N{MULTIPLICATION SIGN}",
    "divide": "÷",
    "matmul": "@",
    "_power": "^",
    "_powerofscalar": "^",
    "sqrt": "√",
    "sum": "Σ",
}
INK, RED, BLUE, GREY = "#222222", "#c4314b", "#2f6db3", "#8a8a8a"
HEIGHT, ROW, CURVE = 0.5, 0.95, 0.6  # inches: of a node, between rows, for the bends of the wires


def computational_graph(
    output: Variable, names: Mapping[str, Variable], path: str | Path | None = None
) -> "Figure":
    """Draw the graph that `output` was computed by, from left to right.

    Functions are circles, leaves are boxes. Each wire has the value above it, in black, and the
    gradient of `output` below it, in red. Of arrays with several numbers it has the shape, and
    the gradient's norm.

    Parameters
    ----------
    output : Variable, a single number
    names : mapping of str to Variable
        Names for leaves, and for Variables on the way. A value that has no name, and that no rule
        has kept, is not known any more; its wire has only the gradient.
    path : str or Path, optional
        Where to write the picture; the ending says how: .png, .svg, .pdf.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    GradientError
        `output` is not a single number, or was not recorded.
    """
    from matplotlib.figure import Figure

    graph = _Graph(output, names)
    width, top, bottom = graph.place()
    size = (width + 0.2, top - bottom + 1.3)
    figure = Figure(figsize=size, dpi=150, facecolor="white")
    ax = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    ax.set(xlim=(-0.1, width + 0.1), ylim=(bottom - 0.5, top + 0.8))
    ax.set_axis_off()
    ax.text(0.05, top + 0.6, "value →", color=INK, fontsize=10, va="center")
    ax.text(0.8, top + 0.6, "← gradient", color=RED, fontsize=10, va="center")
    for node in graph.nodes:
        _draw_node(ax, graph, node)
        _draw_wires(ax, graph, node)
    if path is not None:
        figure.savefig(path)
    return figure


class _Constant:
    """A number or an array that stood in a formula and has no gradient."""

    parents, depth = (), 0


class _Graph:
    """What there is to draw, and where."""

    def __init__(self, output: Variable, names: Mapping[str, Variable]) -> None:
        (one,) = gradients(output, [output])  # the error for what cannot be differentiated
        self.root: Any = output.creator or output
        self.inputs: dict[Any, list[Any]] = {}
        self.values: dict[Any, Any] = {v.creator or v: v.data for v in names.values()}
        self.values[self.root] = output.data
        self.names: dict[Any, str] = {v.creator or v: name for name, v in names.items()}
        self._visit(self.root)
        sources = [n for n in self.nodes if hasattr(n, "shape")]
        self.grads: dict[Any, Any] = dict(walk(self.root, sources, one, False))

    def _visit(self, root: Any) -> None:
        """Collect the nodes, in the order in which a reader would: inputs first, left to right."""
        stack = [root]
        order: dict[Any, None] = {}  # a list would compare: == of Variables is elementwise
        while stack:
            node = stack[-1]
            if node not in self.inputs:
                self.inputs[node] = list(self._inputs_of(node))
            waiting = [p for p in reversed(self.inputs[node]) if p not in self.inputs]
            if not waiting:
                order[stack.pop()] = None
            stack += waiting
        self.nodes = list(order)
        for node in self.nodes:  # numbers that nobody kept are computed again, on a copy
            known = [self.values[p] for p in self.inputs[node] if p in self.values]
            single = math.prod(getattr(node, "shape", (0,))) == 1
            if single and node not in self.values and len(known) == len(node.parents):
                self.values[node] = copy(node).forward(*known)

    def _inputs_of(self, node: Any) -> Iterator[Any]:
        kept = dict(zip(getattr(node, "takes", ()), getattr(node, "_inputs", ()), strict=False))
        if isinstance(node, Variable):
            self.values[node] = node.data
        for i, p in enumerate(node.parents):
            value = kept.get(i)
            if p is not None:
                if value is not None:
                    self.values.setdefault(p, data_of(value))
                y = getattr(p, "_y", None)
                if y is not None and not isinstance(y, tuple):
                    self.values.setdefault(p, y)
                yield p
            elif value is not None or len(node.parents) == 2:  # else an argument that was left out
                constant = _Constant()
                self.values[constant] = data_of(value)
                named = value if isinstance(value, Variable) else constant
                self.names[constant] = self.names.get(named, "constant")
                yield constant

    # --- texts ------------------------------------------------------------------------------

    def is_leaf(self, node: Any) -> bool:
        return not node.parents

    def title(self, node: Any) -> str:
        """What stands in the node."""
        if self.is_leaf(node):
            return self.names.get(node, type(node).__name__)
        if isinstance(node, Output):
            return f"[{node.index}]"
        name = type(node).__name__
        return SIGNS.get(name.lower(), name.lower() if name.isupper() else name)

    def value(self, node: Any) -> str:
        value = self.values.get(node)
        shape = getattr(node if value is None else value, "shape", None)
        if shape and max(shape) > 1:
            return str(tuple(shape))
        return "" if value is None else _number(value)

    def gradient(self, node: Any) -> str:
        if node not in self.grads:
            return ""
        g = to_numpy(self.grads[node])
        return _number(g) if g.size == 1 else f"‖g‖ = {(abs(g) ** 2).sum() ** 0.5:.3g}"

    # --- places -----------------------------------------------------------------------------

    def half_width(self, node: Any) -> float:
        title = self.title(node)
        short = not self.is_leaf(node) and len(title) <= 3
        return HEIGHT / 2 if short else max(HEIGHT / 2, 0.13 + 0.043 * len(title))

    def label_width(self, node: Any) -> float:
        name = "" if self.is_leaf(node) else self.names.get(node, "")
        return 0.25 + 0.085 * max(len(self.value(node)), len(self.gradient(node)), len(name))

    def place(self) -> tuple[float, float, float]:
        """Set columns, heights and the ends of the columns; return the picture's bounds."""
        self.users: dict[Any, list[Any]] = {n: [] for n in self.nodes}
        for node, inputs in self.inputs.items():
            for p in inputs:
                self.users[p].append(node)
        self.column = {n: n.depth for n in self.nodes}
        for n in self.nodes:
            if self.is_leaf(n) and self.users[n]:
                self.column[n] = min(u.depth for u in self.users[n]) - 1
        last = {n: max((self.column[u] for u in self.users[n]), default=0) for n in self.nodes}
        rows = {n: -i * ROW for i, n in enumerate(filter(self.is_leaf, self.nodes))}
        self.y: dict[tuple[Any, int], float] = {}  # of a node in its column, of its wire beyond
        self.left, self.right, self.labelled, x = [], [], [], 0.0
        for c in range(self.column[self.root] + 1):
            here = [n for n in self.nodes if self.column[n] == c]
            wanted = {n: rows[n] for n in here if n in rows}
            for n in here:
                if n not in rows:
                    ys = [self.y[p, c - 1] for p in self.inputs[n]]
                    wanted[n] = sum(ys) / len(ys)
            wanted |= {n: self.y[n, c - 1] for n in self.nodes if self.column[n] < c < last[n]}
            for n, y in _apart(wanted).items():
                self.y[n, c] = y
            self.left.append(x)
            self.right.append(x + 2 * max(map(self.half_width, here)))
            self.labelled.append(self.right[-1] + max(map(self.label_width, here)))
            x = self.labelled[-1] + CURVE
        return self.labelled[-1] + 0.2, max(self.y.values()), min(self.y.values())

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


def _number(x: Any) -> str:
    return f"{to_numpy(x).reshape(-1)[0].item():.6g}"


def _draw_node(ax: Any, graph: _Graph, node: Any) -> None:
    from matplotlib.patches import Circle, FancyBboxPatch

    (x, y), w, r = graph.center(node), graph.half_width(node), HEIGHT / 2
    title, leaf = graph.title(node), graph.is_leaf(node)
    color = GREY if isinstance(node, _Constant) else BLUE
    style: dict[str, Any] = {
        "facecolor": "#eff4fa" if color == BLUE and leaf else "white",
        "edgecolor": color,
    }
    if w == r and not leaf:
        ax.add_patch(Circle((x, y), r, linewidth=1.6, **style))
    else:
        box = f"round,pad=0,rounding_size={0.06 if leaf else r}"
        ax.add_patch(FancyBboxPatch((x - w, y - r), 2 * w, HEIGHT, boxstyle=box, **style))
    size = 16 if not leaf and len(title) == 1 else 10
    ax.text(x, y, title, ha="center", va="center_baseline", color=INK, fontsize=size)


def _draw_wires(ax: Any, graph: _Graph, node: Any) -> None:
    """The wire out of a node: straight under its labels, then a bend to each that uses it."""
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path as Curve

    c = graph.column[node]
    x, y = graph.center(node)
    start = x + graph.half_width(node)
    middle = (start + graph.labelled[c]) / 2
    name = "" if graph.is_leaf(node) else graph.names.get(node, "")
    ax.text(middle, y + 0.05, graph.value(node), ha="center", va="bottom", color=INK, fontsize=11)
    ax.text(middle, y - 0.06, graph.gradient(node), ha="center", va="top", color=RED, fontsize=11)
    ax.text(middle, y + 0.24, name, ha="center", va="bottom", color=BLUE, fontsize=9)
    style: dict[str, Any] = {
        "arrowstyle": "-|>",
        "mutation_scale": 11,
        "color": INK,
        "capstyle": "butt",
    }
    if not graph.users[node]:
        ax.add_patch(FancyArrowPatch((start, y), (graph.labelled[c], y), shrinkA=0, **style))
    for user in set(graph.users[node]):
        for end in _ports(graph, user, node):
            points, codes = [(start, y)], [Curve.MOVETO]
            for column in range(c, graph.column[user]):
                y0, x0, x1 = graph.y[node, column], graph.labelled[column], graph.left[column + 1]
                last = column + 1 == graph.column[user]
                xy = end if last else (x1, graph.y[node, column + 1])
                points += [(x0, y0), (x0 + 0.55 * CURVE, y0), (x1 - 0.45 * CURVE, xy[1]), xy]
                codes += [Curve.LINETO, Curve.CURVE4, Curve.CURVE4, Curve.CURVE4]
            curve = Curve(points, codes)
            ax.add_patch(FancyArrowPatch(path=curve, shrinkA=0, shrinkB=0, **style))


def _ports(graph: _Graph, user: Any, node: Any) -> Iterator[tuple[float, float]]:
    """Where the wires of `node` enter `user`: on its round left side, the first input highest."""
    (x, y), w, r = graph.center(user), graph.half_width(user), HEIGHT / 2
    inputs = graph.inputs[user]
    for i, p in enumerate(inputs):
        if p is node:
            dy = max(-r, min(r, 0.17 * ((len(inputs) - 1) / 2 - i)))
            yield x - (w - r) - (r * r - dy * dy) ** 0.5, y + dy
