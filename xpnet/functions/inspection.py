"""The standard's inspection functions: capabilities, devices and dtypes of the namespace."""

from typing import Any

from xpnet._typing import Device, DType
from xpnet.backend import Backend, current
from xpnet.functions._registry import structural


class Info:
    """The answers of the current backend and of its library."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._info = backend.xp.__array_namespace_info__()

    def capabilities(self) -> dict[str, Any]:
        """Whether the library has boolean masks and data-dependent shapes, and its limit of axes."""
        capabilities: dict[str, Any] = self._info.capabilities()
        return capabilities

    def default_device(self) -> Device:
        """The device on which new arrays are created."""
        return self._backend.device

    def default_dtypes(self, *, device: Device | None = None) -> dict[str, DType]:
        """The dtypes of new arrays by kind; the backend chooses those of floating-point numbers."""
        xp = self._backend.xp
        floating = self._backend.dtype
        dtypes = dict(self._info.default_dtypes(device=device))
        if floating is not None:
            dtypes["real floating"] = floating
            dtypes["complex floating"] = xp.result_type(floating, xp.complex64)
        return dtypes

    def devices(self) -> tuple[Device, ...]:
        """The devices that the library can use on this machine."""
        return tuple(self._info.devices())

    def dtypes(
        self, *, device: Device | None = None, kind: str | tuple[str, ...] | None = None
    ) -> dict[str, DType]:
        """The dtypes of a kind, or of several kinds, by name."""
        dtypes: dict[str, DType] = self._info.dtypes(device=device, kind=kind)
        return dtypes


@structural
def __array_namespace_info__() -> Info:  # noqa: N807 - the standard's name
    """The inspection functions: capabilities(), default_device(), default_dtypes(), ..."""
    return Info(current())
