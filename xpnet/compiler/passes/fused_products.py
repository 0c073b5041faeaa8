"""Products with what follows them, as one operation: bias, ReLU, ReLU's gradient, sums of the columns.

The C library does these while a tile of the product is in registers, so they need no pass over memory.

    operation.name       "product"
    operation.args       (a, b, bias or None, mask or None)
    operation.options    {"relu": bool, "sums": bool}
    operation.outputs    y = a @ b, plus the bias, at least 0, 0 where the mask is not above 0; and, if
                         "sums", the sums of y over all axes but the last
"""

from typing import Any

from xpnet._typing import Array
from xpnet.compiler.passes.identities import is_number
from xpnet.compiler.passes.rewriting import Replacement, readers, with_replacements
from xpnet.compiler.record import Operation, Program, Value

__all__ = ["fused_product", "with_fused_products"]


def with_fused_products(program: Program) -> Program:
    """The program with a "product" for each "matmul" and the operations that only finish its result.

    It goes before `with_chains`, which would put these operations into chains.
    """
    fusions = _Fusions(program)
    for operation in program.operations:
        if operation.name == "matmul" and not operation.options:
            fusions.add(operation)
    made = {last: fusion.replacement() for last, fusion in fusions.last.items()}
    return with_replacements(program, made, fusions.absorbed)


class _Fusion:
    """A product, and what is known of what follows it."""

    def __init__(self, product: Operation) -> None:
        self.args: list[Any] = [*product.args, None, None]
        self.relu = False
        self.y = product.outputs[0]
        self.sums: Value | None = None

    def replacement(self) -> Replacement:
        """The fused operation, which takes the place of the last one that it replaces."""
        options = {"relu": self.relu, "sums": self.sums is not None}
        outputs = [self.y] if self.sums is None else [self.y, self.sums]
        return Replacement("product", fused_product, tuple(self.args), options, outputs)


class _Fusions:
    """The products of a program that are fused with others of its operations."""

    def __init__(self, program: Program) -> None:
        self._readers = readers(program)
        self._kept = {*program.outputs, *program.updates.values()}
        self.absorbed: set[Operation] = set()
        self.last: dict[Operation, _Fusion] = {}

    def _only_reader(self, x: Value, name: str) -> Operation | None:
        """The one operation that reads x, if it has this name."""
        found = self._readers.get(x, [])
        if len(found) != 1 or x in self._kept or found[0].name != name or found[0].options:
            return None
        return found[0]

    def add(self, product: Operation) -> None:
        """Find what follows a product."""
        fusion = _Fusion(product)
        members = [product]
        for step in (self._bias, self._relu, self._mask):
            member = step(fusion)
            if member is not None:
                members.append(member)
                fusion.y = member.outputs[0]
        for reader in self._readers.get(fusion.y, []):
            if reader.name == "column_sums" and fusion.sums is None:
                fusion.sums = reader.outputs[0]
                self.absorbed.add(reader)
        if len(members) == 1 and fusion.sums is None:
            return
        self.absorbed.update(members[:-1])
        self.last[members[-1]] = fusion

    def _bias(self, fusion: _Fusion) -> Operation | None:
        """The operation y + bias."""
        member = self._only_reader(fusion.y, "add")
        if member is None:
            return None
        others = [x for x in member.args if x is not fusion.y]
        bias = others[0] if len(others) == 1 else None
        columns = fusion.y.shape[-1:]
        if not isinstance(bias, Value) or bias.shape != columns or bias.dtype != fusion.y.dtype:
            return None
        fusion.args[2] = bias
        return member

    def _relu(self, fusion: _Fusion) -> Operation | None:
        """The operation maximum(y, 0)."""
        member = self._only_reader(fusion.y, "maximum")
        if member is None or member.args[0] is not fusion.y or not is_number(member.args[1], 0):
            return None
        fusion.relu = True
        return member

    def _mask(self, fusion: _Fusion) -> Operation | None:
        """The operation relu_gradient(y, mask)."""
        member = self._only_reader(fusion.y, "relu_gradient")
        if member is None or member.args[0] is not fusion.y:
            return None
        mask = member.args[1]
        if not isinstance(mask, Value) or mask.dtype != fusion.y.dtype:
            return None
        fusion.args[3] = mask
        return member


def fused_product(
    a: Array, b: Array, bias: Array | None, mask: Array | None, relu: bool, sums: bool
) -> Array | tuple[Array, Array]:
    """What a "product" computes, by NumPy."""
    import numpy as np

    y = a @ b
    if bias is not None:
        y = y + bias
    if relu:
        y = np.maximum(y, 0.0)
    if mask is not None:
        y = np.where(mask > 0, y, 0).astype(y.dtype)
    return (y, y.sum(axis=tuple(range(y.ndim - 1)))) if sums else y
