"""The computational graph in DOT, the language of Graphviz, with each value and each gradient."""

import math
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from copy import copy
from html import escape
from pathlib import Path
from typing import Any, TypeAlias

from xpnet._printable import printable
from xpnet._typing import Array, PathLike
from xpnet.autodiff._traced_call import NoData
from xpnet.autodiff.function import FunctionNode
from xpnet.autodiff.gradient_checkpoint import GradientCheckpoint
from xpnet.autodiff.tape import Output, seed, walk
from xpnet.autodiff.variable import Variable, data_of, node_of
from xpnet.backend import to_numpy
from xpnet.errors import ArgumentError, GradientError, MissingPackageError
from xpnet.functions.elementwise import PowScalar
from xpnet.saving.safetensors import replacing

_SIGNS = {  # functions that are drawn as a sign; all others show their name
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
RED = "#c4314b"
BLUE = "#2f6db3"
GREY = "#8a8a8a"
_TEXT_SUFFIXES = ("", ".dot", ".gv")


def dot(output: Variable, names: Mapping[str, Variable], path: PathLike | None = None) -> str:
    """The graph from which `output` was computed, in DOT, the language of Graphviz.

    Functions are circles, leaves are boxes, and a constant, which has no gradient, is a grey box.
    Each edge is labelled with a value, in black, and with the gradient of `output` with respect to
    it, in red. An array with several elements is labelled with its shape and with the norm of its
    gradient. No `grad` is changed.

    Parameters
    ----------
    output : Variable with one element
    names : mapping of str to Variable
        Names for leaves and for intermediate Variables; Variables outside the graph are ignored.
        The value of an intermediate result without a name is shown if the graph has kept it, or if
        it is one number that can be computed again from known ones.
    path : str or path-like, optional
        Where to write the graph. With the suffix .dot or .gv (or none) the file has the DOT code.
        With any other, such as .svg, .png or .pdf, it is a picture, drawn by Graphviz's program
        `dot`, which must be installed.

    Returns
    -------
    str
        The DOT code. Without Graphviz, paste it into one of its viewers for the browser.

    Raises
    ------
    GradientError
        `output` has several elements, or no graph.
    ModuleNotFoundError
        `path` asks for a picture, and Graphviz is not installed.
    ValueError
        Graphviz does not know the format of the picture.

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
    code = _code(_Graph(output, names))
    if path is not None:
        path = Path(path)
        if path.suffix.lower() in _TEXT_SUFFIXES:
            path.write_text(code, encoding="utf-8")
        else:
            _draw(code, path)
    return code


def _code(graph: "_Graph") -> str:
    """The graph in DOT."""
    identifiers = {node: f"n{i}" for i, node in enumerate(graph.nodes)}
    lines = ['rankdir=LR; node [fontname="Helvetica"]; edge [fontname="Helvetica"];']
    for node, identifier in identifiers.items():
        title = printable(graph.title(node)).replace("\\", r"\\").replace('"', r"\"")
        color = GREY if isinstance(node, _Constant) else BLUE
        if not node.parents:
            shape = "box"
        elif len(title) <= 3:
            shape = "circle"
        else:
            shape = "ellipse"
        lines.append(f'{identifier} [label="{title}", shape={shape}, color="{color}"];')
    lines.append('end [label="", shape=none];')
    for node in graph.nodes:
        for source in graph.inputs[node]:
            edge = f"{identifiers[source]} -> {identifiers[node]}"
            lines.append(f"{edge}{_label(graph, source)};")
    lines.append(f"{identifiers[graph.root]} -> end{_label(graph, graph.root)};")
    return "digraph {\n" + "".join(f"  {line}\n" for line in lines) + "}\n"


def _label(graph: "_Graph", source: "_AnyNode") -> str:
    """The label of the edges that leave a node: its name, value and gradient."""
    texts = []
    if source.parents and source in graph.names:
        texts.append(f"<b>{escape(printable(graph.names[source]))}</b>")
    if (value := graph.value(source)) is not None:
        texts.append(value)
    if source in graph.gradients:
        texts.append(f'<font color="{RED}">{_gradient(graph.gradients[source])}</font>')
    if not texts:
        return ""  # Graphviz rejects an empty label, `label=<>`
    return f" [label=<{'<br/>'.join(texts)}>]"


def _draw(code: str, path: Path) -> None:
    """Have Graphviz draw DOT code, in the format that the suffix of `path` names."""
    program = shutil.which("dot")
    if program is None:
        raise MissingPackageError(
            f"{path}: expected Graphviz's program dot, which draws the picture; it is not installed. "
            "Get it with apt, dnf, brew, conda or winget install graphviz, or write the graph to a "
            ".dot file and paste that into a viewer in the browser.",
            name="graphviz",
        )
    command = [program, f"-T{path.suffix.removeprefix('.').lower()}"]
    drawn = subprocess.run(  # noqa: S603 - Graphviz reads the code as data; there is no shell
        command, input=code.encode(), capture_output=True, check=False
    )
    if drawn.returncode != 0:
        reason = drawn.stderr.decode(errors="replace").strip()
        raise ArgumentError(f"{path}: Graphviz cannot draw this picture: {reason}")
    with replacing(path) as temporary:
        temporary.write_bytes(drawn.stdout)


class _Constant:
    """A number or an array in a formula that has no gradient."""

    parents = ()


_AnyNode: TypeAlias = Any
"""A node of the tape, a leaf Variable or a `_Constant`."""


class _Graph:
    """The nodes of a graph, and what is known about each.

    Attributes
    ----------
    root : node
    nodes : list of node
        Inputs come before the functions that take them.
    inputs : dict of node to list of node
    names : dict of node to str
    values : dict of node to array or number
        Those that are known: the tape keeps only what a rule needs.
    gradients : dict of node to array
    """

    def __init__(self, output: Variable, names: Mapping[str, Variable]) -> None:
        if not getattr(output, "requires_grad", False):
            raise GradientError(f"Expected a Variable that was recorded, got {output!r}.")
        if output.size != 1:
            raise GradientError(f"Expected one number, got shape {tuple(output.shape)}; see F.sum.")
        self.root: _AnyNode = node_of(output)
        self.names: dict[_AnyNode, str] = {node_of(v): name for name, v in names.items()}
        # The tape keeps the array of a constant, not its Variable: find its name by the array.
        self._names_of_arrays = {id(v.data): name for name, v in names.items()}
        self.values: dict[_AnyNode, Array] = {node_of(v): v.data for v in names.values()}
        self.values[self.root] = output.data
        self.inputs: dict[_AnyNode, list[_AnyNode]] = {}
        self.nodes = self._visit()
        self._compute_missing_values()
        with_gradient = [node for node in self.nodes if hasattr(node, "shape")]
        start = [(self.root, seed(output.data, 1.0))]
        self.gradients: dict[_AnyNode, Array] = dict(walk(start, with_gradient, False))

    def _visit(self) -> list[_AnyNode]:
        """All nodes, inputs first, from left to right; without recursion, since graphs are deep."""
        stack = [self.root]
        # A dict, since `node in list` would compare Variables, which is elementwise.
        visited: dict[_AnyNode, None] = {}
        while stack:
            node = stack[-1]
            if node not in self.inputs:
                self.inputs[node] = list(self._inputs_of(node))
            waiting = [p for p in reversed(self.inputs[node]) if p not in self.inputs]
            if waiting:
                stack += waiting
            else:
                visited[stack.pop()] = None
        return list(visited)

    def _inputs_of(self, node: _AnyNode) -> Iterator[_AnyNode]:
        """The inputs of `node`, constants included; stores every value that the tape has kept."""
        kept: dict[int, Array] = {}
        y = getattr(node, "data", None)
        if isinstance(node, Output):
            ys = node.parents[0].y
            y = None if ys is None else ys[node.index]
        elif isinstance(node, FunctionNode):
            y = node.y
            kept = {i: x for i, x in node.inputs().items() if not isinstance(x, NoData)}
        if y is not None and not isinstance(y, tuple):
            self.values[node] = y
        for i, parent in enumerate(node.parents):
            value = kept.get(i)
            if parent is not None:
                source = parent
            elif value is not None or len(node.parents) == 2:
                source = self._constant(value)
            else:
                continue  # an optional argument that was left out, such as the bias of `linear`
            if value is not None:
                self.values.setdefault(source, data_of(value))
            yield source

    def _constant(self, value: Array | None) -> _Constant:
        node = _Constant()
        if id(value) in self._names_of_arrays:
            self.names[node] = self._names_of_arrays[id(value)]
        return node

    def _compute_missing_values(self) -> None:
        """Compute again single numbers that no rule has kept, where all inputs are known."""
        for node in self.nodes:
            known = [self.values[p] for p in self.inputs[node] if p in self.values]
            is_number = math.prod(getattr(node, "shape", (0,))) == 1
            if not is_number or node in self.values or len(known) < len(node.parents):
                continue
            if isinstance(node.function, GradientCheckpoint):  # it would run the user's code again
                continue
            # On a copy: forward may store attributes that backward needs.
            self.values[node] = copy(node.function).forward(*known)

    def title(self, node: _AnyNode) -> str:
        """What is written in a node."""
        if not node.parents and node in self.names:
            return self.names[node]
        if isinstance(node, _Constant):
            x = self.values.get(node)
            is_scalar = x is not None and not hasattr(x, "shape")
            return _number(x) if is_scalar else "constant"
        if isinstance(node, Output):
            return f"[{node.index}]"
        if not isinstance(node, FunctionNode):
            return type(node).__name__
        if isinstance(node.function, PowScalar):  # its exponent is not an input, but an attribute
            return f"^{node.function.n:g}"
        name = type(node.function).__name__
        return _SIGNS.get(name, name.strip("_"))

    def value(self, node: _AnyNode) -> str | None:
        """A number, or an array's shape; None if unknown, or if it is the title already."""
        x = self.values.get(node, node)
        shape = tuple(getattr(x, "shape", ()))
        if math.prod(shape) != 1:
            return str(shape)
        if node in self.values and hasattr(x, "shape"):
            return _number(x)
        return None


def _gradient(g: Array) -> str:
    """The gradient itself if it is one number; otherwise its norm."""
    g = to_numpy(g)
    if g.size == 1:
        return _number(g)
    return f"‖g‖ = {(abs(g) ** 2).sum() ** 0.5:.3g}"


def _number(x: Array) -> str:
    return f"{to_numpy(x).item():.6g}"
