"""What the namespace can do, on which devices, in which dtypes."""

from typing import Any

from xpnet._typing import Device
from xpnet.backend import Backend, current
from xpnet.functions._registry import structural


class Info:
    """The answers of the library, and where arrays are born."""

    def __init__(self, home: Backend) -> None:
        self._home, self._info = home, home.xp.__array_namespace_info__()

    def capabilities(self) -> dict[str, Any]:
        """What depends on the library: boolean indexing, shapes that depend on data, most axes."""
        capabilities: dict[str, Any] = self._info.capabilities()
        return capabilities

    def default_device(self) -> Any:
        """Where a new array is born."""
        return self._home.device

    def default_dtypes(self, *, device: Device | None = None) -> dict[str, Any]:
        """What a new array is born in, by kind; floating-point numbers as the switch says."""
        xp, wanted = self._home.xp, self._home.dtype
        dtypes = dict(self._info.default_dtypes(device=device))
        if wanted is not None:
            dtypes["real floating"] = wanted
            dtypes["complex floating"] = xp.result_type(wanted, xp.complex64)
        return dtypes

    def devices(self) -> tuple[Any, ...]:
        """The devices that the library can use here."""
        return tuple(self._info.devices())

    def dtypes(self, *, device: Device | None = None, kind: Any = None) -> dict[str, Any]:
        """The dtypes of a kind, by name."""
        dtypes: dict[str, Any] = self._info.dtypes(device=device, kind=kind)
        return dtypes


@structural
def __array_namespace_info__() -> Info:  # noqa: N807 - the standard's name
    """What the namespace can do: capabilities(), default_device(), default_dtypes(), ..."""
    return Info(current())
