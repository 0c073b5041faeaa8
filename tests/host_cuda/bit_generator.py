"""Stands in for CuPy's ``_bit_generator``, whose states are filled by compiled device code.

``cupy.random.default_rng`` and ``cupy.random.Generator`` run kernels that NVIDIA's compiler has made:
they cannot run on the host, and where they fail, CuPy does not notice. So the states that they need
are refused here. ``cupy.random.RandomState``, and the functions of ``cupy.random``, use cuRAND's host
interface, which is emulated.
"""


class BitGenerator:
    """Refuses to be created.

    Raises
    ------
    NotImplementedError
        Always.
    """

    def __init__(self, seed: object = None, *, size: int = -1) -> None:
        raise NotImplementedError(
            f"cupy.random.{type(self).__name__} runs compiled device code, which the emulated CUDA "
            "device cannot run: use cupy.random.RandomState, or a generator of NumPy"
        )


class XORWOW(BitGenerator):
    """The generator of ``cupy.random.default_rng``."""


class MRG32k3a(BitGenerator):
    """The combined multiple recursive generator of cuRAND."""


class Philox4x3210(BitGenerator):
    """The counter-based generator of cuRAND."""
