"""The ways by which an array leaves the graph that recorded it.

np.asarray(v), np.array([v, w])      always an error: v may be on a GPU
np.from_dlpack(v), torch.asarray(v)  an error if v requires a gradient
copy.deepcopy(v), pickle.dumps(v)    an error if v was computed; a leaf is copied
copy.copy(v)                         the same history
array[i] = v, math.sin(v)            an error in a function that is differentiated
v.data, xpnet.to_numpy(v), float(v)  the numbers without the gradient, on purpose

NumPy calls `v.__float__` for `array[i] = v`, as Python does for `float(v)`, and so do `math.sin(v)`,
`array.fill(v)` and `scipy.integrate.quad`. In a function that is differentiated, `require_explicit`
tells these apart by the code of the caller. Elsewhere all of them give the number, as in PyTorch:
`losses[i] = loss` in a training loop is as common as `float(loss)`.
"""

import copy
import dis
import opcode
import sys
from contextvars import ContextVar
from functools import lru_cache
from types import CodeType
from typing import Any, ClassVar, NoReturn, SupportsIndex

from xpnet._typing import Array
from xpnet.errors import ArgumentTypeError, ExportError, GradientError

differentiating: ContextVar[bool] = ContextVar("differentiating", default=False)
"""Whether a function runs whose derivative is to be computed, as `grad` and `jacobian` do."""

STORES = "STORE_"
"""How the instructions begin whose target keeps the number: STORE_SUBSCR, STORE_SLICE, STORE_ATTR."""

TEXT = "BINARY_OP"
"""The instruction of `"%.3f" % v`, the one operator that takes a float of what is not one."""

EXPLICIT = frozenset(["float", "complex", "ceil", "floor", "isclose", "isfinite", "isinf", "isnan"])
"""The functions that may take the number: two are for that; the others have no gradient to lose."""


class Exported:
    """The methods by which other code asks an array object for its data: a base class of Variables."""

    __slots__ = ()

    class_of_copies: ClassVar[type | None] = None  # by default, the class of the object itself

    data: Array
    raw_grad: Array | None
    node: Any
    requires_grad: bool

    def __array__(self, *args: Any, **kwargs: Any) -> NoReturn:
        name = type(self).__name__
        raise ArgumentTypeError(
            f"A {name} does not become a NumPy array on its own: it may be on a GPU, and its "
            "gradient would be lost. Call NumPy's functions on it (np.mean(x)), or xpnet's "
            "(F.mean(x)); they keep the gradient, and so do np.stack([x, y]) and "
            "np.array([x, y], like=x) for a list. A function of another package gets a rule, by "
            "xpnet.custom_rule. For the numbers without the gradient, call xpnet.to_numpy(x)."
        )

    def require_explicit(self) -> None:
        """Raise if code that is differentiated takes the number, but not by `float(v)`.

        Raises
        ------
        GradientError
            The gradient would be lost.
        """
        if not (differentiating.get() and self.requires_grad):
            return
        frame = sys._getframe(2)  # noqa: SLF001 - the one way to the caller of __float__
        code = frame.f_code
        place = frame.f_lasti
        instruction = opcode.opname[code.co_code[place]]
        if instruction == TEXT or _is_explicit(code, place):
            return
        if instruction.startswith(STORES):
            raise GradientError(
                "array[i] = x stores the number of a Variable x in an array, which has no gradient. "
                "Create the array with np.zeros(n, like=x), which records what is written into it; "
                "or write float(x), which has no gradient."
            )
        raise GradientError(
            "A function takes the number of a Variable x, and the gradient would be lost, as in "
            "math.sin(x), array.fill(x) or scipy.integrate.quad. Write np.sin(x), or xpnet's "
            "function; an array of numbers is np.full(n, x, like=x) or np.stack([x, y]); a function "
            "of another package gets a rule, by xpnet.custom_rule. For the number without the "
            "gradient, write float(x)."
        )

    def __dlpack__(
        self,
        *,
        stream: Any = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[Any, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        """The data of a Variable that requires no gradient, for another library.

        Raises
        ------
        ExportError
            It requires a gradient, and the other library would not record what it computes.
        """
        if self.requires_grad:
            raise export_error(self)
        options = {"max_version": max_version, "dl_device": dl_device, "copy": copy}
        asked = {name: value for name, value in options.items() if value is not None}
        return self.data.__dlpack__(stream=stream, **asked)

    def __dlpack_device__(self) -> tuple[Any, int]:
        device: tuple[Any, int] = self.data.__dlpack_device__()
        return device

    def __copy__(self) -> Any:
        """The same data and history, in another object."""
        other = _restored(
            self.class_of_copies or type(self), self.data, self.raw_grad, self.requires_grad
        )
        other.node = self.node
        return _with_attributes(other, getattr(self, "__dict__", {}))

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        """A leaf of its own, with a copy of the data and of the gradient."""
        self._require_leaf("copy.deepcopy")
        data = copy.deepcopy(self.data, memo)
        grad = copy.deepcopy(self.raw_grad, memo)
        other = memo[id(self)] = _restored(
            self.class_of_copies or type(self), data, grad, self.requires_grad
        )
        return _with_attributes(other, copy.deepcopy(getattr(self, "__dict__", {}), memo))

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        """For `pickle`: a leaf is saved; a computed Variable raises."""
        return _new, (self.class_of_copies or type(self),), self.__getstate__()

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled of a leaf, also by libraries that call no `__reduce_ex__`, such as skops."""
        self._require_leaf("pickle")
        own = {"data": self.data, "raw_grad": self.raw_grad, "requires_grad": self.requires_grad}
        return getattr(self, "__dict__", {}) | own

    def __setstate__(self, state: dict[str, Any]) -> None:
        _restore(self, state["data"], state["raw_grad"], state["requires_grad"])
        own = ("data", "raw_grad", "requires_grad")
        _with_attributes(self, {name: x for name, x in state.items() if name not in own})

    def _require_leaf(self, name: str) -> None:
        if self.node is not None:
            raise GradientError(
                f"{name} expected a leaf, got a {type(self).__name__} that was computed: a copy of "
                "it would lead to copies of the leaves, and yours would get no gradient. Copy x.data."
            )


@lru_cache(maxsize=256)  # f may be called a thousand times
def _is_explicit(code: CodeType, place: int) -> bool:
    """Whether the instruction at `place` calls a function named in `EXPLICIT`.

    In `float(x)`, the name begins where the call does, in the source. That holds in all versions of
    Python; what they differ in is the instructions of a call. Without columns, as by
    `python -X no_debug_ranges`, it is enough that the name is in the line.
    """
    instructions = list(dis.get_instructions(code))
    begins = {
        i.offset: i.positions and (i.positions.lineno, i.positions.col_offset) for i in instructions
    }
    return any(
        isinstance(i.argval, str) and i.argval in EXPLICIT and begins[i.offset] == begins[place]
        for i in instructions
    )


def export_error(x: Array) -> ExportError:
    """The error for a Variable that requires a gradient and is exported by DLPack."""
    return ExportError(
        f"DLPack would export a {type(x).__name__} that requires a gradient, and what the other "
        "library computes is not recorded. Pass x.data to export it without the gradient."
    )


def _new(kind: type) -> Any:
    return object.__new__(kind)


def _restored(kind: type, data: Array, grad: Array | None, requires_grad: bool) -> Any:
    """A leaf with these data; in the order of creation it comes before everything recorded."""
    x = _new(kind)
    _restore(x, data, grad, requires_grad)
    return x


def _restore(x: Any, data: Array, grad: Array | None, requires_grad: bool) -> None:
    x.data = data
    x.raw_grad = grad
    x.requires_grad = requires_grad
    x.node = None
    x.created = x.changed = 0


def _with_attributes(x: Array, attributes: dict[str, Any]) -> Array:
    """x with these attributes, which a Variable of a subclass without `__slots__` may have."""
    for name, value in attributes.items():
        setattr(x, name, value)
    return x
