"""Convolution and pooling with what belongs to them, as one operation each.

    operation.name     "convolution": correlate, then perhaps ReLU, then perhaps the maxima of a window
    operation.args     (x, W, bias or None)
    operation.options  {"window": Window, "groups": int, "relu": bool, "pool": Window or None}
    operation.outputs  y; with a pool also `index`: for each maximum, which number of the window it was

    operation.name     "pooling": the maxima of a window
    operation.args     (x,)
    operation.options  {"window": Window}
    operation.outputs  y and index

    operation.name     "unpooling": the gradient of the maxima, and of the ReLU before them
    operation.args     (gy, index)
    operation.options  {"window": Window, "sums": bool}
    operation.outputs  gx; with "sums" also the sums of gx over all axes but the channels

    operation.name     "weighing": the gradient of a convolution with respect to its kernel
    operation.args     (x, gy)
    operation.options  {"window": Window, "groups": int, "sums": bool}
    operation.outputs  gW; with "sums" also the sums of gy over all axes but the channels

The maxima know where they were found, so their gradient needs no look at x; and as ReLU leaves the
order of numbers as it is, it can be done after them, on fewer numbers.
"""

from typing import Any

import numpy as np

from xpnet.compiler.passes.identities import is_number
from xpnet.compiler.passes.rewriting import Replacement, readers, with_replacements
from xpnet.compiler.record import Operation, Program, Value
from xpnet.errors import CompileError
from xpnet.kernels.window import Window

__all__ = ["MOST_NUMBERS", "suits", "with_fused_windows"]

MOST_NUMBERS = 127  # of a window whose maxima have an index, which is an int8


def suits(window: Window, *values: Value | None) -> bool:
    """Whether C has the window: over one or two axes, on float32 or float64."""
    dtypes = {np.dtype(x.dtype) for x in values if x is not None}
    known = dtypes in ({np.dtype(np.float32)}, {np.dtype(np.float64)})
    return known and 1 <= len(window.size) <= 2 and all(0 not in x.shape for x in values if x)


def with_fused_windows(program: Program) -> Program:
    """The program with these operations where it has their parts."""
    return _Fusions(program).program()


def _in_c(
    name: str, args: tuple[Any, ...], options: dict[str, Any], outputs: list[Value]
) -> Replacement:
    return Replacement(name, _only_in_c, args, options, outputs)


def _only_in_c(*args: Any, **options: Any) -> Any:
    raise CompileError("This operation is one of the C executor; no other one has it.")


class _Fusions:
    """What replaces the operations of a program."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._place = {operation: n for n, operation in enumerate(program.operations)}
        self._readers = readers(program)
        self._kept = {*program.outputs, *program.updates.values()}
        self._absorbed: set[Operation] = set()
        self._new: dict[Operation, Replacement] = {}

    def program(self) -> Program:
        """The new program."""
        for operation in self._program.operations:
            if operation.name == "maxima":
                self._add_maxima(operation)
        for operation in self._program.operations:
            if operation.name == "correlate" and operation not in self._absorbed:
                self._add_correlate(operation)
            if operation.name == "weigh":
                self._add_weigh(operation)
        return with_replacements(self._program, self._new, self._absorbed)

    def _only_reader(self, x: Value) -> Operation | None:
        found = self._readers.get(x, [])
        return found[0] if len(found) == 1 and x not in self._kept else None

    # ---- maxima ----------------------------------------------------------------------------------

    def _add_maxima(self, operation: Operation) -> None:
        """The maxima of a window with their index, and their gradients with respect to it."""
        x, window = operation.args
        y = operation.outputs[0]
        if not suits(window, x) or window.numbers > MOST_NUMBERS:
            return
        places = [r for r in self._readers[x] if r.name == "place" and r.args[1:] == (x, y, window)]
        index = Value(y.shape, np.dtype(np.int8), "operation", 1)
        relu = self._relu_before(operation, places)
        if relu is not None and not self._is_alone(relu.args[0], {relu}):
            relu = None  # only a convolution does the ReLU with its maxima
        for place in places:
            self._add_place(place, index, relu)
        source = x if relu is None else relu.args[0]
        if relu is not None:
            self._absorbed.add(relu)
        if relu is not None or self._is_alone(x, {operation, *places}):
            self._add_pooled(source.operation, operation, relu is not None, index)
            return
        self._new[operation] = _in_c("pooling", (source,), {"window": window}, [y, index])

    def _is_alone(self, y: Value, members: set[Operation]) -> bool:
        """Whether y is computed by a convolution for these operations alone."""
        correlation = y.operation
        if correlation is None or correlation.name != "correlate" or y in self._kept:
            return False
        x, W, b, window, _ = correlation.args
        return set(self._readers[y]) <= members and suits(window, x, W, b)

    def _add_pooled(
        self, correlation: Operation, maxima: Operation, relu: bool, index: Value
    ) -> None:
        x, W, b, window, groups = correlation.args
        pool = maxima.args[1]
        options = {"window": window, "groups": groups, "relu": relu, "pool": pool}
        self._absorbed.add(correlation)
        self._new[maxima] = _in_c("convolution", (x, W, b), options, [maxima.outputs[0], index])

    def _relu_before(self, maxima: Operation, places: list[Operation]) -> Operation | None:
        """The ReLU whose result nothing else needs than the maxima and their gradients."""
        x: Value = maxima.args[0]
        relu = x.operation
        if not _is_relu(relu) or x in self._kept:
            return None
        gradients = [self._only_reader(place.outputs[0]) for place in places]
        for place, gradient in zip(places, gradients, strict=True):
            if gradient is None or gradient.name != "relu_gradient":
                return None
            if gradient.args != (place.outputs[0], x):
                return None
        if set(self._readers[x]) != {maxima, *places, *gradients}:
            return None
        return relu

    def _add_place(self, place: Operation, index: Value, relu: Operation | None) -> None:
        """The gradient of maxima by their index, in place of the last of its parts."""
        last = place
        if relu is not None:
            found = self._only_reader(place.outputs[0])
            if found is not None:
                self._absorbed.add(place)
                last = found
        gx = last.outputs[0]
        total = self._channel_sums(gx, last)
        options = {"window": place.args[3], "sums": total is not None}
        outputs = [gx] if total is None else [gx, total]
        self._new[last] = _in_c("unpooling", (place.args[0], index), options, outputs)

    def _channel_sums(self, gx: Value, computed_by: Operation) -> Value | None:
        """The sums of an array over all axes but the channels, if the program needs them.

        Nobody may need them before the operation that will compute them.
        """
        axes = (0, *range(2, len(gx.shape)))
        for reader in self._readers.get(gx, []):
            if reader.name != "sum" or reader in self._absorbed or reader.args[0] is not gx:
                continue
            if not self._are_all_after(computed_by, reader.outputs[0]):
                continue
            if len(reader.args) == 1 and reader.options in (
                {"axis": axes},
                {"axis": axes, "keepdims": False},
            ):
                self._absorbed.add(reader)
                return reader.outputs[0]
        return None

    def _are_all_after(self, operation: Operation, x: Value) -> bool:
        """Whether all operations that read x come after an operation."""
        first = self._place[operation]
        return all(self._place[reader] > first for reader in self._readers.get(x, []))

    # ---- convolution -----------------------------------------------------------------------------

    def _add_correlate(self, operation: Operation) -> None:
        x, W, b, window, groups = operation.args
        if not suits(window, x, W, b):
            return
        y = operation.outputs[0]
        options = {"window": window, "groups": groups, "relu": False, "pool": None}
        relu = self._only_reader(y)
        if relu is not None and _is_relu(relu) and relu not in self._absorbed:
            self._absorbed.add(operation)
            options["relu"] = True
            self._new[relu] = _in_c("convolution", (x, W, b), options, relu.outputs)
            return
        self._new[operation] = _in_c("convolution", (x, W, b), options, [y])

    def _add_weigh(self, operation: Operation) -> None:
        x, gy, window, groups = operation.args
        if not suits(window, x, gy):
            return
        total = self._channel_sums(gy, operation)
        options = {"window": window, "groups": groups, "sums": total is not None}
        outputs = [operation.outputs[0]] if total is None else [operation.outputs[0], total]
        self._new[operation] = _in_c("weighing", (x, gy), options, outputs)


def _is_relu(operation: Operation | None) -> bool:
    """Whether it computes maximum(x, 0)."""
    if operation is None or operation.name != "maximum" or len(operation.args) != 2:
        return False
    x, zero = operation.args
    return isinstance(x, Value) and not operation.options and is_number(zero, 0)
