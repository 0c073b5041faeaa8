"""Convolution and pooling for the C library: images with the batch innermost in memory."""

import ctypes
from math import prod
from typing import Any

import numpy as np

from xpnet.compiler.c.lowering import LOWERINGS, Instruction, Lowering, suffix
from xpnet.compiler.c.memory import View
from xpnet.compiler.c.windows import WindowStructure, window_structure
from xpnet.compiler.passes.fused_windows import MOST_NUMBERS, suits
from xpnet.compiler.record import Operation, Value
from xpnet.errors import CompileError
from xpnet.kernels.window import Window

__all__: list[str] = []


class _Images:
    """Where a result with the batch innermost is written, and copied to if it belongs elsewhere."""

    def __init__(self, lowering: Lowering, x: Value) -> None:
        self._lowering = lowering
        self._place: View | None = None
        if not lowering.is_placed(x):
            lowering.place(x, lowering.temporary(x.shape, x.dtype, batch_last=True))
        self.view = lowering.view(x)
        if not self.view.is_batch_last:
            self._place = self.view
            self.view = lowering.temporary(x.shape, x.dtype, batch_last=True)

    def finish(self) -> None:
        """Append the copy, if there is one."""
        if self._place is not None:
            self._lowering.copy(self._place, self.view)


def _emit(lowering: Lowering, name: str, operands: list[View | None], **more: Any) -> None:
    dtype = next(x.dtype for x in operands if x is not None)
    lowering.emit(Instruction(f"{name}{suffix(dtype)}", operands, **more))


def _scratch(lowering: Lowering, name: str, dtype: Any, *windows: WindowStructure) -> int:
    """The bytes of scratch memory that a function needs for its windows."""
    function = getattr(lowering.library.c, f"{name}_scratch{suffix(dtype)}")
    return lowering.for_each_thread(int(function(*(ctypes.byref(x) for x in windows))))


def _row_major(lowering: Lowering, x: Value | None) -> View | None:
    return None if x is None else lowering.contiguous(lowering.view(x))


def _check_index(window: Window) -> None:
    """Check that an index of one byte can tell the numbers of a window apart.

    Raises
    ------
    CompileError
        If the window has too many: `with_fused_windows` leaves such maxima without an index.
    """
    if window.numbers > MOST_NUMBERS:
        raise CompileError(
            f"Maxima with an index expected a window of at most {MOST_NUMBERS} numbers, "
            f"got {window.numbers}."
        )


def _lower_convolution(lowering: Lowering, operation: Operation) -> bool:
    """See `xpnet.compiler.passes.fused_windows`."""
    x, W, b = operation.args
    options = operation.options
    y = operation.outputs[0]
    shape = window_structure(
        options["window"], x.shape[0], x.shape[1], W.shape[0], options["groups"]
    )
    operands = [lowering.batch_last(x), _row_major(lowering, W), _row_major(lowering, b)]
    result = _Images(lowering, y)
    relu = [int(options["relu"])]
    if options["pool"] is None:
        wanted = _scratch(lowering, "correlate", x.dtype, shape)
        operands.append(result.view)
        _emit(lowering, "correlate", operands, sizes=relu, detail=shape, scratch=wanted)
    else:
        _check_index(options["pool"])
        pool = window_structure(options["pool"], x.shape[0], W.shape[0])
        wanted = _scratch(lowering, "correlate_maxima", x.dtype, shape, pool)
        both = (WindowStructure * 2)(shape, pool)
        index = _Images(lowering, operation.outputs[1])
        operands += [result.view, index.view]
        _emit(lowering, "correlate_maxima", operands, sizes=relu, detail=both, scratch=wanted)
    result.finish()
    return True


def _lower_pooling(lowering: Lowering, operation: Operation) -> bool:
    """See `xpnet.compiler.passes.fused_windows`."""
    [x] = operation.args
    _check_index(operation.options["window"])
    y, index = (_Images(lowering, v) for v in operation.outputs)
    shape = window_structure(operation.options["window"], *x.shape[:2])
    _emit(lowering, "maxima", [lowering.batch_last(x), y.view, index.view], detail=shape)
    y.finish()
    return True


def _lower_unpooling(lowering: Lowering, operation: Operation) -> bool:
    """See `xpnet.compiler.passes.fused_windows`."""
    gy, index = operation.args
    gx = _Images(lowering, operation.outputs[0])
    sums = lowering.view(operation.outputs[1]) if operation.options["sums"] else None
    shape = window_structure(operation.options["window"], *gy.shape[:2])
    operands = [lowering.batch_last(gy), lowering.batch_last(index), gx.view, sums]
    wanted = lowering.for_each_thread(gy.shape[1] * np.dtype(gy.dtype).itemsize)
    _emit(lowering, "place", operands, detail=shape, scratch=wanted)
    gx.finish()
    return True


def _lower_weighing(lowering: Lowering, operation: Operation) -> bool:
    """See `xpnet.compiler.passes.fused_windows`."""
    x, gy = operation.args
    options = operation.options
    shape = window_structure(
        options["window"], x.shape[0], x.shape[1], gy.shape[1], options["groups"]
    )
    sums = lowering.view(operation.outputs[1]) if options["sums"] else None
    target = lowering.view(operation.outputs[0])
    gW = target if target.is_contiguous else lowering.temporary(target.shape, target.dtype)
    operands = [lowering.batch_last(x), lowering.batch_last(gy), gW, sums]
    size = prod(gW.shape)
    wanted = _scratch(lowering, "weigh", x.dtype, shape)
    wanted += lowering.for_each_thread((size + gy.shape[1]) * np.dtype(x.dtype).itemsize)
    _emit(lowering, "weigh", operands, detail=shape, scratch=wanted)
    if gW is not target:
        lowering.copy(target, gW)
    return True


def _lower_spread(lowering: Lowering, operation: Operation) -> bool:
    """x[n, c, p under k] += gy[n, o, p] W[o, c, k], beginning with b[c]."""
    gy, W, b, window, groups = operation.args
    if operation.options or not suits(window, gy, W, b):
        return False
    gx = _Images(lowering, operation.outputs[0])
    channels = operation.outputs[0].shape[1]
    shape = window_structure(window, gy.shape[0], channels, gy.shape[1], groups)
    operands = [lowering.batch_last(gy), _row_major(lowering, W), _row_major(lowering, b), gx.view]
    wanted = _scratch(lowering, "spread", gy.dtype, shape)
    _emit(lowering, "spread", operands, detail=shape, scratch=wanted)
    gx.finish()
    return True


def _lower_maxima(lowering: Lowering, operation: Operation) -> bool:
    """The maxima of a window with more numbers than an index can tell apart."""
    x, window = operation.args
    if operation.options or not suits(window, x):
        return False
    y = _Images(lowering, operation.outputs[0])
    shape = window_structure(window, *x.shape[:2])
    _emit(lowering, "maxima", [lowering.batch_last(x), y.view, None], detail=shape)
    y.finish()
    return True


def _lower_place(lowering: Lowering, operation: Operation) -> bool:
    """The gradient of such maxima."""
    gy, x, y, window = operation.args
    if operation.options or not suits(window, gy, x, y):
        return False
    gx = _Images(lowering, operation.outputs[0])
    shape = window_structure(window, *x.shape[:2])
    operands: list[View | None] = [lowering.batch_last(v) for v in (gy, x, y)]
    operands.append(gx.view)
    _emit(lowering, "place_by_values", operands, detail=shape)
    gx.finish()
    return True


def _lower_sums(lowering: Lowering, operation: Operation) -> bool:
    """The sums under a window, or (`shares`) their transpose."""
    x, window = operation.args
    if operation.options or not suits(window, x):
        return False
    y = _Images(lowering, operation.outputs[0])
    shape = window_structure(window, *x.shape[:2])
    _emit(lowering, operation.name, [lowering.batch_last(x), y.view], detail=shape)
    y.finish()
    return True


LOWERINGS["convolution"] = _lower_convolution
LOWERINGS["pooling"] = _lower_pooling
LOWERINGS["unpooling"] = _lower_unpooling
LOWERINGS["weighing"] = _lower_weighing
LOWERINGS["spread"] = _lower_spread
LOWERINGS["maxima"] = _lower_maxima
LOWERINGS["place"] = _lower_place
LOWERINGS["sums"] = _lower_sums
LOWERINGS["shares"] = _lower_sums
