"""Passes: each makes a Program shorter, and leaves its results as they are.

A pass is a function from Program to Program; it changes nothing of the Program that it is given.
"""

from xpnet.compiler.passes.chains import with_chains
from xpnet.compiler.passes.common import without_repetitions
from xpnet.compiler.passes.constants import with_constants_folded
from xpnet.compiler.passes.dead import without_dead_operations
from xpnet.compiler.passes.fused_products import with_fused_products
from xpnet.compiler.passes.fused_windows import with_fused_windows
from xpnet.compiler.passes.identities import without_identities
from xpnet.compiler.passes.numpy_names import with_names_of_the_standard
from xpnet.compiler.passes.products import with_outer_products_as_matmul, with_product_updates
from xpnet.compiler.record import Program

__all__ = ["cleaned"]

WITH_CHAINS = ("c", "cupy", "numpy")
WITH_PRODUCT_UPDATES = ("c",)
OF_NUMPY = ("c", "numpy")


def cleaned(program: Program, executor_kind: str) -> Program:
    """A Program with the same results and fewer operations.

    The results are the same bit for bit if an executor computes each operation as the library does;
    except that "c" has product updates, which round once where two operations round twice.

    Parameters
    ----------
    program : Program
        As recorded; it stays as it is.
    executor_kind : str
        The `name` of an executor: it decides which fused operations the Program may have. "c",
        "cupy" and "numpy": each elementwise operation is in a chain, also a single one, see
        `xpnet.compiler.passes.chain`. "c": also product updates, see `xpnet.compiler.passes.products`.
        Others: none.
    """
    program = without_dead_operations(program)
    program = without_repetitions(program)  # of constants too, while they are still operations
    program = with_constants_folded(program, of_numpy=executor_kind in OF_NUMPY)
    program = without_identities(program)
    program = without_repetitions(program)
    program = without_dead_operations(program)
    if executor_kind in WITH_PRODUCT_UPDATES:
        program = with_names_of_the_standard(program)
        program = with_outer_products_as_matmul(program)
        program = with_product_updates(program)
        program = with_fused_products(program)
        program = with_fused_windows(program)
    if executor_kind in WITH_CHAINS:
        program = with_chains(program, of_one_dtype=executor_kind == "c")
    return program
