"""Every name and keyword of CuPy that xpnet reaches is one that the installed CuPy has.

    python tests/cupy_names.py

It needs no GPU and no driver: CuPy imports without them, and its objects can be asked. Looked up are

- in the syntax trees of xpnet/, the names that follow CuPy, as in `cupy().cuda.Stream`, or an `xp`,
  and the arguments of their calls;
- names of NumPy's array that CuPy's has not, such as `to_device`, wherever xpnet/ has them;
- the functions that xpnet.functions declares, which it hands to the library's of the same name.

Files are read from top to bottom: a name stands for an object of CuPy's after its assignment. What
functions take and give is not followed, but for the conventions in the tables below. So this check
does not replace the tests on CuPy: it finds what these do not run, and what other versions lack.
Exit code 1: something is missing, or is neither understood nor in a table.
"""

import ast
import inspect
import re
import sys
from collections import ChainMap
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import array_api_compat.cupy
import cupy
import numpy

ROOT = Path(__file__).parent.parent
KERNELS = "xpnet/kernels/"


class Known(NamedTuple):
    """An object of CuPy's, by its name; or any instance of a class, or a method of one."""

    name: str
    obj: Any
    instance: bool = False
    method: bool = False

    def has(self, name: str) -> bool:
        return hasattr(self.obj, name)

    def get(self, name: str) -> "Known":
        obj = getattr(self.obj, name, None)
        return Known(f"{self.name}.{name}", obj, method=self.instance and callable(obj))


def instance(cls: type) -> Known:
    """Any instance of a class."""
    return Known(cls.__name__, cls, instance=True)


# --- what a look at one file does not show --------------------------------------------------------

CUPY = Known("cupy", cupy)
XP = Known("xp", array_api_compat.cupy)

NAMES = {"xp": XP, "_xp": XP}  # names, and attributes as in `backend.xp`, of all files
OF_KERNELS = {  # attributes, in kernels/
    "data": instance(cupy.cuda.MemoryPointer),  # of an array
    "staging": instance(cupy.ndarray),  # of a Buffer
    "full": instance(cupy.cuda.Event),  # of a Slot
    "free": instance(cupy.cuda.Event),
}
GIVES = {  # what functions give, xpnet's and CuPy's
    "array_namespace": XP,
    "cupy": CUPY,
    "current_device": Known("cupy.cuda.runtime.getDevice", cupy.cuda.runtime.getDevice),
    "compiled": instance(cupy.RawKernel),
    "get_function": instance(cupy.RawKernel),
    "get_current_stream": instance(cupy.cuda.Stream),
}

DECLARED = ()  # a function, dtype or constant that xpnet.functions declares: see `declared`
COMPUTED = {  # what getattr(xp, name) asks for, by the code of the name; all take what the first does
    ("xpnet/backend.py", "dtype"): DECLARED,
    ("xpnet/namespace.py", "name"): DECLARED,
    ("xpnet/summary.py", "dtype"): DECLARED,
    ("xpnet/functions/__init__.py", "name"): DECLARED,
    ("xpnet/functions/creation.py", "name"): ("full_like", "empty_like", "ones_like", "zeros_like"),
    ("xpnet/functions/declare.py", "name"): DECLARED,
    ("xpnet/functions/declare.py", "within"): ("linalg", "fft"),
    ("xpnet/functions/elementwise.py", "name"): DECLARED,
    ("xpnet/functions/fft.py", "self.name"): ("fftn", "ifftn", "fftshift", "ifftshift"),
    ("xpnet/functions/fft.py", "self.back"): ("fftshift", "ifftshift"),
    ("xpnet/functions/fft.py", "type(self).__name__.lower()"): ("rfft", "irfft"),
    ("xpnet/functions/manipulation.py", "self.name"): ("tril", "triu"),
    ("xpnet/functions/statistical.py", "name"): ("sum", "mean", "prod", "max"),
    ("xpnet/functions/statistical.py", "self.name"): ("cumulative_sum", "cumulative_prod"),
}
KEYWORDS = {  # what **options holds
    ("xpnet/functions/creation.py", "where"): ("dtype", "device"),
    ("xpnet/functions/creation.py", "given"): ("device", "copy"),
    ("xpnet/functions/creation.py", "options"): ("dtype", "device"),
    ("xpnet/functions/inverses.py", "self.options"): ("rtol",),
    ("xpnet/functions/manipulation.py", "self.options"): ("copy",),
    ("xpnet/functions/statistical.py", "self.options"): ("dtype", "include_initial"),
}
SIGNATURES = {  # where CuPy's own are (*args, **kwargs): as its reference states them
    "cupy.ndarray": "ndarray(shape, dtype=float, memptr=None, strides=None, order='C')",
}
EXPLAINED = {  # what is reported, and right
    ("xpnet/backend.py", "xp.Device"): "xp is array_api_strict",
    ("xpnet/backend.py", "x.to_device"): "x is an array of array_api_strict",
    ("xpnet/functions/data_type.py", "compat.to_device"): "a function of array_api_compat",
    ("xpnet.functions", "no xp.bfloat16"): "NumPy, and so CuPy, has no such dtype",
}


# --- signatures -----------------------------------------------------------------------------------


def signature(of: Known) -> inspect.Signature:
    """What a callable accepts; ValueError where nothing states it."""
    name, f = of.name, of.obj
    if of.instance:
        name, f = f"{name}.__call__", f.__call__
    if name in SIGNATURES:
        return documented(SIGNATURES[name])
    if isinstance(f, cupy.ufunc):
        return documented(f.__doc__)
    try:
        return inspect.signature(f)
    except ValueError:  # compiled by Cython, which puts it at the head of the docstring
        return documented(f.__doc__)


def documented(doc: str | None) -> inspect.Signature:
    """The signature at the head of a docstring, such as `f(self, int stream=None, *, out=None)`."""
    head = re.match(r"\s*[\w.]+\((.*)\)( -> .*)?$", (doc or "").partition("\n")[0])
    if head is None:
        raise ValueError("no signature is documented")
    text = head[1].replace("\\", "").replace(" not None", "")
    text = re.sub(r"(^|,) *([\w.\[\]]+ +)+(?=\w)", r"\1", text)  # types of C, before the names
    function = ast.parse(f"lambda {text}: 0", mode="eval")
    arguments = function.body.args
    arguments.defaults = [ast.Constant(None) for _ in arguments.defaults]
    arguments.kw_defaults = [d and ast.Constant(None) for d in arguments.kw_defaults]
    code = compile(ast.fix_missing_locations(function), "<signature>", "eval")
    return inspect.signature(eval(code))  # noqa: PLW0123 - a lambda, of constants


def refusal(of: Known, positional: int | None, keywords: list[str]) -> str:
    """Why CuPy's function refuses arguments; empty if it does not. None: any number of them."""
    try:
        accepted = signature(of)
        if positional is None:
            bound = accepted.bind_partial(**dict.fromkeys(keywords))
        else:
            given = [None] * (positional + (of.instance or of.method))
            bound = accepted.bind(*given, **dict.fromkeys(keywords))
    except (TypeError, ValueError) as error:
        return str(error)
    rest = [p.name for p in accepted.parameters.values() if p.kind is p.VAR_KEYWORD]
    others = [name for parameter in rest for name in bound.arguments.get(parameter, ())]
    if others and of.name.startswith("xp."):  # array_api_compat hands them to CuPy's function
        beneath = signature(Known(of.name, getattr(cupy, of.name[3:], None))).parameters
        others = [name for name in others if name not in beneath]
    return f"nothing states the keywords {', '.join(others)}" if others else ""


# --- the code -------------------------------------------------------------------------------------


def module(name: str) -> Known | None:
    """A module of CuPy, if it is one."""
    if name == "array_api_compat.cupy":
        return XP
    return Known(name, import_module(name)) if re.match(r"cupyx?(\.|$)", name) else None


class Reader(ast.NodeVisitor):
    """Reads the code of one file, and keeps what is missing in `findings`: line, code, reason."""

    missing = set(dir(numpy.ndarray)) - set(dir(cupy.ndarray))
    methods = set(dir(cupy.ndarray)) - set(dir(object)) - {*dir(dict), *dir(list), *dir(str)}

    def __init__(self, path: str, code: str) -> None:
        self.path = path
        self.attributes = NAMES | OF_KERNELS if path.startswith(KERNELS) else NAMES
        self.of_file: dict[str, Known | None] = {}
        self.scope = ChainMap(self.of_file, NAMES)
        self.reached: list[str] = []
        self.used: set[tuple[str, str]] = set()  # rows of the tables
        self.findings: list[tuple[int, str, str]] = []
        self.visit(ast.parse(code))

    def find(self, node: ast.expr, reason: str) -> None:
        key = (self.path, ast.unparse(node))
        if key in EXPLAINED:
            self.used.add(key)
        else:
            self.findings.append((node.lineno, key[1], reason))

    # --- which object an expression stands for ---

    def known(self, node: ast.expr | None) -> Known | None:
        """The object of CuPy's; None if it is of another library, or its name is missing."""
        match node:
            case ast.Name() | ast.Attribute() if (text := ast.unparse(node)) in self.scope:
                return self.scope[text]
            case ast.Attribute(attr=name) if name in self.attributes:
                return self.attributes[name]
            case ast.Attribute(value, name):
                owner, names = self.known(value), (name,)
            case ast.Call(ast.Name("getattr"), [value, name]):
                owner, names = self.known(value), self.names(name)
            case ast.Call(ast.Name("import_module"), [ast.Constant(str(name))]):
                return module(name)
            case ast.Call(ast.Name(name) | ast.Attribute(attr=name)) if name in GIVES:
                return GIVES[name]
            case ast.Call(f):
                of = self.known(f)
                return instance(of.obj) if of and isinstance(of.obj, type) else None
            case _:
                return None
        return owner.get(names[0]) if owner and names and owner.has(names[0]) else None

    def names(self, name: ast.expr) -> tuple[str, ...] | None:
        """The names that getattr(x, name) asks for; None if no table has them."""
        if isinstance(name, ast.Constant):
            return (name.value,)
        key = (self.path, ast.unparse(name))
        self.used.add(key)
        return COMPUTED.get(key)

    # --- what gives names ---

    def bind(self, target: ast.expr, value: ast.expr | None) -> None:
        if isinstance(target, ast.Tuple):
            values = getattr(value, "elts", [])
            if len(values) != len(target.elts):
                values = [None] * len(target.elts)
            for one, its in zip(target.elts, values, strict=True):
                self.bind(one, its)
        elif isinstance(target, ast.Name | ast.Attribute):
            name, found = ast.unparse(target), self.known(value)
            if found or name not in NAMES:
                scope = self.of_file if "." in name else self.scope  # self.x is of all methods
                scope[name] = found

    def visit_Assign(self, node: ast.Assign) -> None:
        self.generic_visit(node)
        for target in node.targets:
            self.bind(target, node.value)

    def assigned(self, node: ast.AnnAssign | ast.NamedExpr) -> None:
        self.generic_visit(node)
        self.bind(node.target, node.value)

    visit_AnnAssign = visit_NamedExpr = assigned

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            if found := module(alias.name):
                self.scope[alias.asname or alias.name] = found

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if of := module(node.module or ""):
            for alias in node.names:
                self.reach(node, of, alias.name)
                self.scope[alias.asname or alias.name] = of.get(alias.name)

    def function(self, node: ast.FunctionDef | ast.Lambda) -> None:
        outside = self.scope
        self.scope = outside.new_child()
        for argument in ast.walk(node.args):
            if isinstance(argument, ast.arg) and argument.arg not in NAMES:
                self.scope[argument.arg] = None
        self.generic_visit(node)
        self.scope = outside

    visit_FunctionDef = visit_Lambda = function

    # --- what asks CuPy for them ---

    def reach(self, node: ast.expr, of: Known | None, name: str) -> None:
        if of is None and name in self.missing:
            self.find(node, f"no ndarray.{name}")
        elif of and of.has(name):
            self.reached.append(f"{of.name}.{name}")
        elif of:
            self.find(node, f"no {of.name}.{name}")

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self.reach(node, self.known(node.value), node.attr)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        match node:
            case ast.Call(ast.Name("getattr"), [owner, name]):
                self.asked(node, self.known(owner), name)
        of = self.known(node.func)
        if of is None and self.path.startswith(KERNELS):  # whose arrays are CuPy's
            name = getattr(node.func, "attr", "")
            of = instance(cupy.ndarray).get(name) if name in self.methods else None
        if of and callable(of.obj):
            whole = not any(isinstance(a, ast.Starred) for a in node.args)
            reason = refusal(of, len(node.args) if whole else None, self.keywords(node))
            if reason:
                self.find(node, f"{of.name}: {reason}")
        self.generic_visit(node)

    def asked(self, node: ast.Call, of: Known | None, name: ast.expr) -> None:
        """A call of getattr(x, name)."""
        if of is None and not isinstance(name, ast.Constant):
            return  # of objects of xpnet's
        names = self.names(name)
        if names is None:
            self.find(node, "the name is computed, and not in COMPUTED")
        for one in names or ():
            self.reach(node, of, one)

    def keywords(self, node: ast.Call) -> list[str]:
        """The names of the keywords of a call; where no table has them, `**options` itself."""
        names = []
        for keyword in node.keywords:
            key = (self.path, ast.unparse(keyword.value))
            if keyword.arg:
                names.append(keyword.arg)
            elif key in KEYWORDS:
                names += KEYWORDS[key]
                self.used.add(key)
            else:
                names.append(f"**{key[1]}, not in KEYWORDS")
        return names


def declared() -> list[str]:
    """What CuPy's namespace lacks of the functions, dtypes and constants of xpnet.functions.

    Functions without a derivative are CuPy's own: their arguments are looked up too.
    """
    import_module("xpnet.functions")
    table = import_module("xpnet.namespace")
    lines = []
    for name in sorted({*table.functions, *table.DTYPES, *table.CONSTANTS}):
        of = XP
        for part in name.split("."):
            of = of.get(part)
        if of.obj is None and name != "newaxis":  # which is None
            lines.append(f"no {of.name}")
        elif table.kinds.get(name) == "constant":
            parameters = inspect.signature(table.functions[name]).parameters.values()
            keywords = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
            if reason := refusal(of, len(parameters) - len(keywords), keywords):
                lines.append(f"{of.name}: {reason}")
    return lines


def findings() -> tuple[list[str], list[str]]:
    """A line for each thing that is missing in xpnet, and the names that were reached."""
    lines, reached, used = [], [], set()
    for path in sorted((ROOT / "xpnet").rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        if name.startswith("xpnet/data/"):  # on the host, with NumPy
            continue
        reader = Reader(name, path.read_text("utf-8"))
        lines += [f"{name}:{line}: {code}: {reason}" for line, code, reason in reader.findings]
        reached += reader.reached
        used |= reader.used
    for reason in declared():
        key = ("xpnet.functions", reason)
        used.add(key)
        if key not in EXPLAINED:
            lines.append(f"xpnet.functions: {reason}")
    rows = {**COMPUTED, **KEYWORDS, **EXPLAINED}.keys() - used
    lines += [f"{path}: {code}: nothing needs this row of the tables" for path, code in rows]
    return lines, reached


def main() -> None:
    """Print what is missing; exit with 1 if anything is."""
    lines, reached = findings()
    print("".join(f"{line}\n" for line in lines), end="")
    print(
        f"{len(lines)} findings; xpnet reaches {len(set(reached))} names of CuPy "
        f"{cupy.__version__}, in {len(reached)} places."
    )
    sys.exit(bool(lines))


if __name__ == "__main__":
    main()
