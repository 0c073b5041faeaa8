"""Check that the installed CuPy has every name and keyword that xpnet uses.

    python tests/cupy_names.py

It needs no GPU and no driver, because CuPy can be imported and inspected without them. It looks up

- the attributes of CuPy or of an `xp` in the syntax trees of xpnet/, as in `cupy().cuda.Stream`, and
  the arguments of calls to them;
- names of NumPy's array that CuPy's array lacks, such as `to_device`, wherever xpnet/ uses them;
- the functions that xpnet.functions declares: CuPy must have their names and arguments as well.

A file is read from top to bottom, and a name stands for an object of CuPy from one assignment to
the next; `import cupy as cp`, which ruff forbids in xpnet/, is not supported. Arguments and results of
functions are not followed, except for the conventions in the tables below. Therefore this check does
not replace the tests on CuPy: it checks code that these do not run, and other versions of CuPy.

The exit code is 1 if something is missing, or cannot be looked up and is in no table.
"""

import ast
import inspect
import re
import sys
from pathlib import Path
from typing import Any, NamedTuple

import array_api_compat.cupy
import cupy
import cupyx
import cupyx.scipy.special
import numpy as np

from xpnet.autodiff import namespace
from xpnet.functions import fft, linalg, special  # noqa: F401 - they declare their functions

ROOT = Path(__file__).parent.parent


class Known(NamedTuple):
    """An object of CuPy and its name; or any instance of a class, or a method of an instance."""

    name: str
    obj: Any
    instance: bool = False
    method: bool = False

    def get(self, name: str) -> "Known | None":
        """The attribute with that name, if there is one."""
        if not hasattr(self.obj, name):
            return None
        obj = getattr(self.obj, name)
        return Known(f"{self.name}.{name}", obj, method=self.instance and callable(obj))


def instance(cls: type) -> Known:
    """Any instance of a class."""
    return Known(cls.__name__, cls, instance=True)


# --- conventions that the code does not show ------------------------------------------------------

CUPY = Known("cupy", cupy)
XP = Known("xp", array_api_compat.cupy)
SPECIAL = Known("cupyx.scipy.special", cupyx.scipy.special)

# Names, and attributes as in `backend.xp`. In xpnet/ they always stand for these objects.
NAMES = {"cupy": CUPY, "cupyx": Known("cupyx", cupyx), "xp": XP, "_xp": XP}
ON_CUPY = ("xpnet/kernels/", "xpnet/data/_transfer.py")  # in these files all arrays are CuPy's
ON_NUMPY = (  # in these files all arrays are NumPy's
    "xpnet/data/",
    "xpnet/compiler/c/",
    "xpnet/compiler/executors/_numpy_",
    "xpnet/compiler/executors/_overlap.py",
    "xpnet/compiler/executors/c.py",
    "xpnet/compiler/executors/numpy.py",
)
ATTRIBUTES_ON_CUPY = {  # attributes in these files
    "data": instance(cupy.cuda.MemoryPointer),  # of an array
    "staging": instance(cupy.ndarray),  # of a Buffer
    "full": instance(cupy.cuda.Event),  # of a Slot
    "free": instance(cupy.cuda.Event),
}
RETURNS = {  # what functions of xpnet and of CuPy return
    "array_namespace": XP,
    "cupy": CUPY,
    "linalg_of": Known("xp.linalg", array_api_compat.cupy.linalg),
    "_runtime": Known("cupy.cuda.runtime", cupy.cuda.runtime),
    "current_device": Known("cupy.cuda.runtime.getDevice", cupy.cuda.runtime.getDevice),
    "compiled": instance(cupy.RawKernel),
    "get_function": instance(cupy.RawKernel),
    "get_current_stream": instance(cupy.cuda.Stream),
}
# In these files, getattr(xp, name) and f(x, **options) use only names and keywords of the functions,
# dtypes and constants that `declared` looks up. In other files they are reported.
COMPUTED = (
    "xpnet/_interoperability/numpy/",
    "xpnet/backend.py",
    "xpnet/functions/",
    "xpnet/autodiff/namespace.py",
    "xpnet/compiler/recording_namespace.py",
    "xpnet/summary.py",
)
HANDLE = "an attribute that each stream is given when it is created"
EXPLAINED = {  # what would be reported, but is correct
    ("xpnet/autodiff/tape.py", "useful.__contains__"): "a method of a set",
    ("xpnet/_libraries/array_api_strict.py", "x.to_device"): "x is an array of array_api_strict",
    ("xpnet/_libraries/_base.py", "compat.to_device"): "a function of array_api_compat",
    ("xpnet/_libraries/_base.py", "xp.from_dlpack(x, **given)"): "cupy.py has its own",
    ("xpnet/_libraries/cupy.py", "compat.to_device"): "a function of array_api_compat",
    ("xpnet/_libraries/cupy.py", "self.to_device"): "a method of xpnet's object",
    ("xpnet/autodiff/namespace.py", "xp._xp"): "xp is a namespace that records",
    ("xpnet/compiler/buffers.py", "memory.ctypes"): "memory of NumPy",
    ("xpnet/compiler/executors/cuda/graph.py", "self._stream.ptr"): HANDLE,
    ("xpnet/compiler/executors/cuda/graph.py", "stream.ptr"): HANDLE,
    ("xpnet/compiler/executors/cupy.py", "stream.ptr"): HANDLE,
    ("xpnet/distributed/nccl.py", "self._cupy.cuda.get_current_stream().ptr"): HANDLE,
    ("xpnet/distributed/nccl.py", "self._stream.ptr"): HANDLE,
    ("xpnet/compiler/plan.py", "calls.__contains__"): "a method of a set",
    (
        "xpnet/saving/onnx/_load_operators.py",
        "getattr(array_namespace(data_of(x)), DTYPES[kind])",
    ): "names of the standard's dtypes",
    ("xpnet/compiler/recorded_array.py", "compat.to_device"): "a function of array_api_compat",
    ("xpnet/compiler/recorded_library.py", "self.inner.to_device"): "a method of xpnet's object",
    ("xpnet/compiler/sharing.py", "x.__array_interface__"): "x is an array of NumPy",
    ("xpnet/kernels/special.py", "xp.with_record"): "xp is a namespace that records",
    ("xpnet/functions/data_type.py", "library_of(x).to_device"): "a method of xpnet's object",
    ("xpnet/autodiff/namespace.py", "'bfloat16'"): "NumPy, and so CuPy, has no such dtype",
}
SIGNATURES = {  # from CuPy's reference, where the signature itself ends with **kwargs
    "cupy.ElementwiseKernel": "ElementwiseKernel(in_params, out_params, operation, name='kernel', "
    "reduce_dims=True, preamble='', no_return=False, return_tuple=False, *, options=(), loop_prep='', "
    "after_loop='')",
    "cupy.ndarray": "ndarray(shape, dtype=float, memptr=None, strides=None, order='C')",
}


# --- signatures -----------------------------------------------------------------------------------


def signature(of: Known) -> inspect.Signature:
    """The signature of a callable.

    Raises
    ------
    ValueError
        Neither the callable nor its docstring states a signature.
    """
    if of.name in SIGNATURES:
        return documented(SIGNATURES[of.name])
    try:
        return inspect.signature(of.obj)
    except ValueError:  # a ufunc, or compiled by Cython
        return documented(of.obj.__doc__ or "")


def documented(doc: str) -> inspect.Signature:
    """The signature in the first line of a docstring, such as `f(self, int stream=None, *, out=None)`.

    Types are removed, and all defaults become None.
    """
    head = re.match(r"\s*[\w.]+\((.*)\)( -> .*)?(\n|$)", doc)
    if head is None:
        raise ValueError("its signature is stated nowhere")
    names = head[1].replace("\\", "").replace(" not None", "")
    names = re.sub(r"(^|,) *([\w.\[\]]+ +)+(?=\w)", r"\1", names)  # remove the types of C
    function = ast.parse(f"lambda {names}: 0", mode="eval")
    arguments = function.body.args
    arguments.defaults = [ast.Constant(None) for _ in arguments.defaults]
    arguments.kw_defaults = [d and ast.Constant(None) for d in arguments.kw_defaults]
    code = compile(ast.fix_missing_locations(function), "<signature>", "eval")
    return inspect.signature(eval(code))


def mismatch(of: Known, positional: int, keywords: list[str], whole: bool = True) -> str:
    """Why CuPy's function does not accept arguments; empty if it does.

    If `whole` is false, the call has further arguments that are not known.
    """
    try:
        accepted = signature(of)
        bind = accepted.bind if whole else accepted.bind_partial  # partial: the rest is not known
        bound = bind(*[None] * (positional + of.method), **dict.fromkeys(keywords)).arguments
    except (TypeError, ValueError) as error:
        return f"{of.name}: {error}"
    rest = [p.name for p in accepted.parameters.values() if p.kind is p.VAR_KEYWORD]
    unstated = {name for parameter in rest for name in bound.get(parameter, ())}
    wrapped = CUPY.get(of.name.removeprefix("xp."))
    if unstated and wrapped:  # array_api_compat passes them on to CuPy's function
        unstated -= signature(wrapped).parameters.keys()
    if not unstated:
        return ""
    return f"{of.name}: no keyword {', '.join(sorted(unstated))} is stated"


# --- the code -------------------------------------------------------------------------------------


class Reader(ast.NodeVisitor):
    """Reads the code of a file: `missing` lists what CuPy lacks, as line, code and reason."""

    of_numpy = set(dir(np.ndarray)) - set(dir(cupy.ndarray))
    of_arrays = set(dir(cupy.ndarray)) - set(dir(object))

    def __init__(self, path: str, code: str) -> None:
        self.path = path
        self.on_cupy = path.startswith(ON_CUPY)
        self.attributes = NAMES | ATTRIBUTES_ON_CUPY if self.on_cupy else NAMES
        self.assigned: dict[str, Known | None] = {}
        self.reached: list[str] = []
        self.missing: list[tuple[int, str, str]] = []
        self.visit(ast.parse(code))

    def report(self, node: ast.expr, reason: str) -> None:
        """Add a finding, unless it is explained."""
        code = ast.unparse(node)
        if (self.path, code) not in EXPLAINED:
            self.missing.append((node.lineno, code, reason))

    def report_computed(self, node: ast.expr, reason: str) -> None:
        """Add a finding about a computed name, unless the file may compute names."""
        if not self.path.startswith(COMPUTED):
            self.report(node, reason)

    def known(self, node: ast.expr | None) -> Known | None:
        """The object of CuPy that an expression stands for, or None."""
        of = None
        match node:
            case ast.Name(name) if name in NAMES:
                of = NAMES[name]
            case ast.Attribute(attr=name) if name in self.attributes:
                of = self.attributes[name]
            case ast.Name() | ast.Attribute() if (code := ast.unparse(node)) in self.assigned:
                of = self.assigned[code]
            case ast.Attribute(x, name) | ast.Call(ast.Name("getattr"), [x, ast.Constant(name)]):
                owner = self.known(x)
                of = owner.get(name) if owner else None
            case ast.Call(ast.Name("import_module"), [ast.Constant(str(name))]):
                of = {"cupy": CUPY, "cupyx": NAMES["cupyx"], "array_api_compat.cupy": XP}.get(name)
            case ast.Call(ast.Name(name) | ast.Attribute(attr=name)) if name in RETURNS:
                of = RETURNS[name]
            case ast.Call(f):
                cls = self.known(f)
                of = instance(cls.obj) if cls and isinstance(cls.obj, type) else None
        return of

    def bind(self, target: ast.expr, value: ast.expr | None) -> None:
        """Keep what the target of an assignment stands for from here on."""
        if isinstance(target, ast.Tuple):
            values = getattr(value, "elts", [None] * len(target.elts))
            for name, part in zip(target.elts, values, strict=False):
                self.bind(name, part)
        elif isinstance(target, ast.Name | ast.Attribute):
            self.assigned[ast.unparse(target)] = self.known(value)

    def visit_Assign(self, node: ast.Assign | ast.AnnAssign | ast.NamedExpr) -> None:
        self.generic_visit(node)
        for target in getattr(node, "targets", None) or [node.target]:
            self.bind(target, node.value)

    visit_AnnAssign = visit_NamedExpr = visit_Assign

    def reach(self, node: ast.expr, of: Known | None, name: str) -> None:
        """Record an attribute that the code reads, or report that CuPy lacks it."""
        if of and of.get(name):
            self.reached.append(f"{of.name}.{name}")
        elif of:
            self.report(node, f"no {of.name}.{name}")
        elif name in self.of_numpy and not is_super(node):
            self.report(node, f"no ndarray.{name}")

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self.reach(node, self.known(node.value), node.attr)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        match node:
            case ast.Call(ast.Name("getattr"), [x, ast.Constant(name)]):
                self.reach(node, self.known(x), name)
            case ast.Call(ast.Name("getattr"), [x, _]) if self.known(x):
                self.report_computed(node, "the name is computed")
        if of := self.called(node.func):
            given = [a for a in node.args if not isinstance(a, ast.Starred)]
            keywords = [k.arg for k in node.keywords if k.arg]
            whole = len(given) == len(node.args) and len(keywords) == len(node.keywords)
            if len(keywords) < len(node.keywords):
                self.report_computed(node, f"{of.name}: its keywords are computed")
            if reason := mismatch(of, len(given), keywords, whole):
                self.report(node, reason)
        self.generic_visit(node)

    def called(self, f: ast.expr) -> Known | None:
        """The function of CuPy that is called; where arrays are CuPy's, also their methods."""
        of = self.known(f)
        if of is None and self.on_cupy and getattr(f, "attr", "") in self.of_arrays:
            of = instance(cupy.ndarray).get(f.attr)
        elif of and of.instance:
            of = of.get("__call__")
        return of if of and callable(of.obj) else None


def is_super(node: ast.expr) -> bool:
    """Whether an attribute is one of `super()`: a method of a base class, not of an array."""
    of = node.value if isinstance(node, ast.Attribute) else None
    return isinstance(of, ast.Call) and isinstance(of.func, ast.Name) and of.func.id == "super"


def declared() -> list[str]:
    """A line for each function, argument, dtype and constant that xpnet declares and CuPy lacks."""
    lines = []
    for name in sorted({*namespace.functions, *namespace.DTYPES, *namespace.CONSTANTS}):
        extension, _, last = name.rpartition(".")
        if extension == "special":  # ufuncs without a stated signature
            if SPECIAL.get(last) is None:
                lines.append(f"xpnet.functions.{name}: no {SPECIAL.name}.{last}")
            continue
        of: Known | None = XP
        for part in name.split("."):
            of = of and of.get(part)
        if of is None and ("xpnet/autodiff/namespace.py", repr(name)) not in EXPLAINED:
            lines.append(f"xpnet.functions.{name}: no xp.{name}")
        if of and name in namespace.functions:
            parameters = inspect.signature(namespace.functions[name]).parameters.values()
            keywords = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
            if reason := mismatch(of, len(parameters) - len(keywords), keywords):
                lines.append(f"xpnet.functions.{name}: {reason}")
    return lines


def findings() -> tuple[list[str], list[str]]:
    """A line for each thing that is missing, and the names of CuPy that xpnet uses."""
    lines = declared()
    reached = []
    for file in sorted((ROOT / "xpnet").rglob("*.py")):
        path = file.relative_to(ROOT).as_posix()
        code = file.read_text("utf-8")
        if path.startswith(ON_NUMPY) and not path.startswith(ON_CUPY):
            continue
        reader = Reader(path, code)
        lines += [f"{path}:{line}: {found}: {reason}" for line, found, reason in reader.missing]
        reached += reader.reached
        unparsed = ast.unparse(ast.parse(code))
        stale = [row for home, row in EXPLAINED if home == path and row not in unparsed]
        lines += [f"{path}: {row}: a row of the tables, but not in the code" for row in stale]
    return lines, reached


def main() -> None:
    """Print what is missing; exit with 1 if there is a finding."""
    lines, reached = findings()
    print(
        *lines,
        f"{len(lines)} findings: xpnet reaches {len(set(reached))} names of CuPy "
        f"{cupy.__version__}, in {len(reached)} places, and declares {len(namespace.functions)}.",
        sep="\n",
    )
    sys.exit(bool(lines))


if __name__ == "__main__":
    main()
