"""What the check takes as given, each with its reason: what no look at the code finds out.

The check reports a row of `EXPLAINED` or `UNDECLARED` that nothing needs any more.
"""

from importlib import import_module

from tests.cupy_names.values import ELSEWHERE, UNKNOWN, Instance, Real, Values

# Parameters of these names are this, in every function of xpnet.
PARAMETERS = {
    "xp": "namespace",
    "dtype": "elsewhere",
    # Called through tables, by the name of the library.
    "xpnet.diagnosis._of_cupy.device": "cupy.cuda.Device",
    "xpnet.diagnosis._of_torch.device": "elsewhere",
    "xpnet.diagnosis._of_jax.device": "elsewhere",
}

# Attributes of xpnet's objects that stand for what CuPy gives, where CuPy is the backend.
FIELDS = {
    "xpnet.backend.Backend.xp": "namespace",
    "xpnet.backend.Backend.device": "cupy.cuda.Device",
    "xpnet.backend.Backend.dtype": "elsewhere",
    "xpnet.namespace.Namespace._xp": "namespace",
}

# What functions give, whose own code does not show it: by their full names.
RESULTS = {
    "xpnet.namespace.array_namespace": "namespace",
    "array_api_compat.array_namespace": "namespace",
    "array_api_compat.device": "cupy.cuda.Device",
    "array_api_compat.size": "elsewhere",
    "xpnet.backend.to_numpy": "elsewhere",
}

# Likewise functions of CuPy: those that give no array. (Functions that are annotated say so.)
OF_CUPY = {
    "cupy.cuda.get_current_stream": "cupy.cuda.Stream",
    "cupy.get_default_memory_pool": "cupy.cuda.MemoryPool",
    "cupyx.empty_pinned": "elsewhere",  # an array of NumPy's
    **dict.fromkeys(
        [
            *("broadcast_shapes", "can_cast", "dtype", "finfo", "iinfo", "isdtype"),
            *("may_share_memory", "ndim", "result_type", "shape", "shares_memory", "size"),
        ],
        "elsewhere",
    ),
    # Tuples of arrays.
    **dict.fromkeys(["broadcast_arrays", "meshgrid", "nonzero", "unstack", "split"], "several"),
}

# Methods that give no array, and attributes that are of a class of CuPy's: by class and name.
METHODS = {
    **dict.fromkeys(
        [f"ndarray.{name}" for name in ("get", "item", "tolist", "tobytes", "nonzero")], "elsewhere"
    ),
    "RawModule.get_function": "cupy.RawKernel",
    "ElementwiseKernel.__call__": "array",
    "ReductionKernel.__call__": "array",
    "RawKernel.__call__": "elsewhere",
}
ATTRIBUTES = {
    "ndarray.device": "cupy.cuda.Device",
    "ndarray.data": "cupy.cuda.MemoryPointer",
    "ndarray.flags": "cupy._core.flags.Flags",
    **dict.fromkeys([f"ndarray.{name}" for name in ("T", "mT", "real", "imag", "base")], "array"),
}

PLAIN_TYPES = {"DType", "Path", "Lengths", "Sizes", "Key"}  # of annotations: no arrays

# What is right although the check reports it: by file, and by code or message.
DTYPES = "a dtype or a constant, by the names of xpnet.namespace: see `undeclared`"
TABLE = "the functions that xpnet.functions declares: see `undeclared`"
WINDOW = "of the arguments that follow the arrays, one is the Window"
STATISTICS = "a NamedTuple, RunningStatistics"
EXPLAINED: dict[tuple[str, str], str] = {
    ("xpnet/backend.py", "getattr(self.xp, dtype)"): DTYPES,
    ("xpnet/functions/__init__.py", "getattr(current().xp, name)"): DTYPES,
    ("xpnet/namespace.py", "getattr(self._xp, name)"): DTYPES,
    ("xpnet/summary.py", "getattr(xp, dtype)"): DTYPES,
    ("xpnet/functions/declare.py", "getattr(xp, within)"): TABLE,
    (
        "xpnet/functions/declare.py",
        "getattr(getattr(xp, within) if within else xp, name)",
    ): TABLE,
    ("xpnet/backend.py", "import_module(library).__version__"): "each library has one",
    ("xpnet/testing.py", "CuPy has no ndarray.requires_grad"): "xp is a Variable's: z is one",
    ("xpnet/devices.py", "function(*args, **options)"): "`there` has the same call, which is known",
    ("xpnet/kernels/cuda_source.py", "(folder / file).read_text"): "a file in a folder",
    ("xpnet/kernels/lookup.py", "import_module(f'xpnet.kernels.{module}').KERNELS"): "xpnet's own",
    ("xpnet/kernels/normalization.py", "running.seen"): STATISTICS,
    ("xpnet/kernels/normalization.py", "running.momentum"): STATISTICS,
    ("xpnet/kernels/normalization.py", "running._replace"): STATISTICS,
    ("xpnet/functions/statistical.py", "xp.max accepts no dtype="): "Max hands over no options",
    ("xpnet/kernels/strided.py", "window.out"): WINDOW,
    ("xpnet/kernels/strided.py", "window.padded"): WINDOW,
    ("xpnet/kernels/strided.py", "window.dilation"): WINDOW,
    ("xpnet/kernels/strided.py", "window.lifted"): WINDOW,
}

# The names that getattr(x, name) asks for, where they are computed.
NAMES: dict[tuple[str, str], tuple[str, ...]] = {
    # The names of the classes that inherit from the one that asks.
    ("xpnet/functions/statistical.py", "getattr(xp, name)"): ("sum", "mean", "prod", "max"),
    ("xpnet/functions/statistical.py", "getattr(array_namespace(x), self.name)"): (
        "cumulative_sum",
        "cumulative_prod",
    ),
    (
        "xpnet/functions/fft.py",
        "getattr(array_namespace(x).fft, type(self).__name__.lower())",
    ): ("rfft", "irfft"),
}

# Names of xpnet.functions that CuPy's namespace does not have.
UNDECLARED = {"bfloat16": "NumPy, and so CuPy, has no such dtype"}


class Assumptions:
    """The tables above, with CuPy's own objects in the place of their names."""

    def __init__(self) -> None:
        self.array = import_module("cupy").ndarray
        self.parameters, self.fields, self.results = PARAMETERS, FIELDS, RESULTS
        self.plain_types, self.names = PLAIN_TYPES, NAMES

    def values(self, what: str) -> Values:
        """A word of the tables: "array", "several", "namespace", "elsewhere", or a class of CuPy's."""
        match what:
            case "array":
                return Values([Instance(self.array)])
            case "several":
                from tests.cupy_names.values import Several

                return Values([Several(Values([Instance(self.array)]))])
            case "elsewhere":
                return ELSEWHERE
            case "namespace":
                return Values([Real(import_module("array_api_compat.cupy"), "xp")])
        owner, _, name = what.rpartition(".")
        return Values([Instance(getattr(import_module(owner), name))])

    def result(self, f: Real) -> Values:
        """What a call of CuPy's function or class gives."""
        obj = f.obj
        if isinstance(obj, type):
            return Values([Instance(obj)])
        if f.name.startswith("cupy.cuda.runtime."):  # numbers, dicts
            return ELSEWHERE
        short = f.name.rpartition(".")[2]
        for name in (f.name, short if not f.name.startswith("cupy.cuda.") else ""):
            if name in OF_CUPY:
                return self.values(OF_CUPY[name])
        declared = getattr(obj, "__annotations__", {}).get("return")
        if isinstance(declared, str) and declared not in ("Array", "NDArray[Any]"):
            kind = getattr(import_module(obj.__module__), declared, None)
            return Values([Instance(kind)]) if isinstance(kind, type) else UNKNOWN
        return UNKNOWN if f.name.startswith("cupy.cuda.") else self.values("array")

    def result_of_method(self, cls: type, name: str) -> Values:
        full = f"{cls.__name__}.{name}"
        if full in METHODS:
            return self.values(METHODS[full])
        return self.values("array") if cls is self.array else UNKNOWN

    def attribute(self, cls: type, name: str) -> Values:
        full = f"{cls.__name__}.{name}"
        if full in ATTRIBUTES:
            return self.values(ATTRIBUTES[full])
        return ELSEWHERE if cls is self.array else UNKNOWN
