"""Check that the installed CuPy has every name and keyword that xpnet uses.

    python tests/cupy_names.py

It needs no GPU and no driver: CuPy can be imported without them, and its objects inspected. It looks up

- in the syntax trees of xpnet/, the attributes of CuPy, as in `cupy().cuda.Stream`, or of an `xp`, and
  the arguments of calls to them;
- names of NumPy's array that CuPy's array lacks, such as `to_device`, wherever xpnet/ uses them;
- the functions that xpnet.functions declares, whose names and arguments CuPy must have as well.

A file is read from top to bottom, and a name stands for an object of CuPy's from one assignment to
the next; `import cupy as cp`, which ruff forbids in xpnet/, is not supported. Arguments and results of
functions are not followed, except for the conventions in the tables below. So this check does not
replace the tests on CuPy: it finds what these do not run, and what other versions lack.

Exit code 1: something is missing, or cannot be looked up and is in no table.
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

ROOT = Path(__file__).parent.parent


class Known(NamedTuple):
    """An object of CuPy's and its name; or any instance of a class, or a method of an instance."""

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


# --- what the code does not show ------------------------------------------------------------------

CUPY = Known("cupy", cupy)
XP = Known("xp", array_api_compat.cupy)
SPECIAL = Known("cupyx.scipy.special", cupyx.scipy.special)

# Names, and attributes as in `backend.xp`: nothing else in xpnet/ has these names.
NAMES = {"cupy": CUPY, "cupyx": Known("cupyx", cupyx), "xp": XP, "_xp": XP}
FOR_CUPY = ("xpnet/kernels/", "xpnet/data/_transfer.py")  # here arrays are CuPy's
OF_KERNELS = {  # attributes, in these files
    "data": instance(cupy.cuda.MemoryPointer),  # of an array
    "staging": instance(cupy.ndarray),  # of a Buffer
    "full": instance(cupy.cuda.Event),  # of a Slot
    "free": instance(cupy.cuda.Event),
}
GIVES = {  # what functions return, xpnet's and CuPy's
    "array_namespace": XP,
    "cupy": CUPY,
    "linalg_of": Known("xp.linalg", array_api_compat.cupy.linalg),
    "_runtime": Known("cupy.cuda.runtime", cupy.cuda.runtime),
    "current_device": Known("cupy.cuda.runtime.getDevice", cupy.cuda.runtime.getDevice),
    "compiled": instance(cupy.RawKernel),
    "get_function": instance(cupy.RawKernel),
    "get_current_stream": instance(cupy.cuda.Stream),
}
# Where getattr(xp, name) and f(x, **options) ask for names and keywords of the functions, dtypes and
# constants that `declared` looks up. Elsewhere they are reported.
COMPUTED = (
    "xpnet/_interoperability/numpy/",
    "xpnet/backend.py",
    "xpnet/functions/",
    "xpnet/autodiff/namespace.py",
    "xpnet/summary.py",
)
EXPLAINED = {  # what would be reported, but is not a fault
    ("xpnet/_libraries/array_api_strict.py", "x.to_device"): "x is an array of array_api_strict",
    ("xpnet/_libraries/_base.py", "compat.to_device"): "a function of array_api_compat",
    ("xpnet/_libraries/_base.py", "xp.from_dlpack(x, **given)"): "cupy.py has its own",
    ("xpnet/_libraries/cupy.py", "compat.to_device"): "a function of array_api_compat",
    ("xpnet/_libraries/cupy.py", "self.to_device"): "a method of xpnet's object",
    ("xpnet/functions/data_type.py", "library_of(x).to_device"): "a method of xpnet's object",
    ("xpnet/autodiff/tape.py", "useful.__contains__"): "a set",
    ("xpnet/autodiff/namespace.py", "'bfloat16'"): "NumPy, and so CuPy, has no such dtype",
}
SIGNATURES = {  # from CuPy's reference, where the signature itself is (*args, **kwargs)
    "cupy.ndarray": "ndarray(shape, dtype=float, memptr=None, strides=None, order='C')",
}


# --- signatures -----------------------------------------------------------------------------------


def signature(of: Known) -> inspect.Signature:
    """The signature of a callable.

    Raises
    ------
    ValueError
        Neither the callable nor its docstring has a signature.
    """
    stated = SIGNATURES.get(of.name)
    try:
        return documented(stated) if stated else inspect.signature(of.obj)
    except ValueError:  # a ufunc, or compiled by Cython
        return documented(of.obj.__doc__ or "")


def documented(doc: str) -> inspect.Signature:
    """The signature at the head of a docstring, such as `f(self, int stream=None, *, out=None)`."""
    head = re.match(r"\s*[\w.]+\((.*)\)( -> .*)?(\n|$)", doc)
    if head is None:
        raise ValueError("its signature is stated nowhere")
    names = head[1].replace("\\", "").replace(" not None", "")
    names = re.sub(r"(^|,) *([\w.\[\]]+ +)+(?=\w)", r"\1", names)  # without the types of C
    function = ast.parse(f"lambda {names}: 0", mode="eval")
    arguments = function.body.args
    arguments.defaults = [ast.Constant(None) for _ in arguments.defaults]
    arguments.kw_defaults = [d and ast.Constant(None) for d in arguments.kw_defaults]
    code = compile(ast.fix_missing_locations(function), "<signature>", "eval")
    return inspect.signature(eval(code))


def refusal(of: Known, positional: int, keywords: list[str], whole: bool = True) -> str:
    """Why CuPy's function refuses arguments; empty if it does not. `whole`: there are no others."""
    try:
        accepted = signature(of)
        bind = accepted.bind if whole else accepted.bind_partial
        bound = bind(*[None] * (positional + of.method), **dict.fromkeys(keywords)).arguments
    except (TypeError, ValueError) as error:
        return f"{of.name}: {error}"
    rest = [p.name for p in accepted.parameters.values() if p.kind is p.VAR_KEYWORD]
    unstated = {name for parameter in rest for name in bound.get(parameter, ())}
    beneath = CUPY.get(of.name.removeprefix("xp."))
    if unstated and beneath:  # array_api_compat passes them on to CuPy's function
        unstated -= signature(beneath).parameters.keys()
    return f"{of.name}: no keyword {', '.join(sorted(unstated))} is stated" if unstated else ""


# --- the code -------------------------------------------------------------------------------------


class Reader(ast.NodeVisitor):
    """Reads the code of a file: `missing` lists what CuPy lacks, as line, code and reason."""

    of_numpy = set(dir(np.ndarray)) - set(dir(cupy.ndarray))
    of_arrays = set(dir(cupy.ndarray)) - set(dir(object))

    def __init__(self, path: str, code: str) -> None:
        self.path = path
        self.kernels = path.startswith(FOR_CUPY)
        self.attributes = NAMES | OF_KERNELS if self.kernels else NAMES
        self.assigned: dict[str, Known | None] = {}
        self.reached: list[str] = []
        self.missing: list[tuple[int, str, str]] = []
        self.visit(ast.parse(code))

    def report(self, node: ast.expr, reason: str) -> None:
        code = ast.unparse(node)
        if (self.path, code) not in EXPLAINED:
            self.missing.append((node.lineno, code, reason))

    def unclear(self, node: ast.expr, reason: str) -> None:
        if not self.path.startswith(COMPUTED):
            self.report(node, reason)

    def known(self, node: ast.expr | None) -> Known | None:
        """The object of CuPy's that an expression stands for; None if it stands for none."""
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
            case ast.Call(ast.Name(name) | ast.Attribute(attr=name)) if name in GIVES:
                of = GIVES[name]
            case ast.Call(f):
                cls = self.known(f)
                of = instance(cls.obj) if cls and isinstance(cls.obj, type) else None
        return of

    def bind(self, target: ast.expr, value: ast.expr | None) -> None:
        if isinstance(target, ast.Tuple):
            values = getattr(value, "elts", [None] * len(target.elts))
            for one, its in zip(target.elts, values, strict=False):
                self.bind(one, its)
        elif isinstance(target, ast.Name | ast.Attribute):
            self.assigned[ast.unparse(target)] = self.known(value)

    def visit_Assign(self, node: ast.Assign | ast.AnnAssign | ast.NamedExpr) -> None:
        self.generic_visit(node)
        for target in getattr(node, "targets", None) or [node.target]:
            self.bind(target, node.value)

    visit_AnnAssign = visit_NamedExpr = visit_Assign

    def reach(self, node: ast.expr, of: Known | None, name: str) -> None:
        if of and of.get(name):
            self.reached.append(f"{of.name}.{name}")
        elif of:
            self.report(node, f"no {of.name}.{name}")
        elif name in self.of_numpy:
            self.report(node, f"no ndarray.{name}")

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self.reach(node, self.known(node.value), node.attr)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        match node:
            case ast.Call(ast.Name("getattr"), [x, ast.Constant(name)]):
                self.reach(node, self.known(x), name)
            case ast.Call(ast.Name("getattr"), [x, _]) if self.known(x):
                self.unclear(node, "the name is computed")
        if of := self.called(node.func):
            given = [a for a in node.args if not isinstance(a, ast.Starred)]
            keywords = [k.arg for k in node.keywords if k.arg]
            whole = len(given) == len(node.args) and len(keywords) == len(node.keywords)
            if len(keywords) < len(node.keywords):
                self.unclear(node, f"{of.name}: its keywords are computed")
            if reason := refusal(of, len(given), keywords, whole):
                self.report(node, reason)
        self.generic_visit(node)

    def called(self, f: ast.expr) -> Known | None:
        """CuPy's function that is called; in kernels/, where arrays are CuPy's, also their methods."""
        of = self.known(f)
        if of is None and self.kernels and getattr(f, "attr", "") in self.of_arrays:
            of = instance(cupy.ndarray).get(f.attr)
        elif of and of.instance:
            of = of.get("__call__")
        return of if of and callable(of.obj) else None


def declared() -> list[str]:
    """What xpnet declares and CuPy lacks: functions, their arguments, dtypes and constants."""
    lines = []
    for name in sorted({*namespace.functions, *namespace.DTYPES, *namespace.CONSTANTS}):
        extension, _, last = name.rpartition(".")
        if extension == "special":  # ufuncs, whose arguments are stated nowhere
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
            if reason := refusal(of, len(parameters) - len(keywords), keywords):
                lines.append(f"xpnet.functions.{name}: {reason}")
    return lines


def findings() -> tuple[list[str], list[str]]:
    """A line for each thing that is missing; and the names of CuPy that xpnet uses."""
    lines = declared()
    reached = []
    for file in sorted((ROOT / "xpnet").rglob("*.py")):
        path, code = file.relative_to(ROOT).as_posix(), file.read_text("utf-8")
        if path.startswith("xpnet/data/") and not path.startswith(FOR_CUPY):  # NumPy, on the host
            continue
        reader = Reader(path, code)
        lines += [f"{path}:{line}: {found}: {reason}" for line, found, reason in reader.missing]
        reached += reader.reached
        unparsed = ast.unparse(ast.parse(code))
        stale = [row for home, row in EXPLAINED if home == path and row not in unparsed]
        lines += [f"{path}: {row}: a row of the tables, but not in the code" for row in stale]
    return lines, reached


def main() -> None:
    """Print what is missing; exit with 1 if anything is."""
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
