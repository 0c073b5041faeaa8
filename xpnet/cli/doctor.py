"""`xpnet doctor`: which backends can be used here, and what the others lack."""

import sys
from importlib.metadata import PackageNotFoundError, version

from xpnet.cli.screen import echo

LIBRARIES = ("numpy", "cupy", "torch", "jax", "array_api_strict")  # those that backend.py opens
PACKAGES = {  # what the extras bring, and what for
    "matplotlib": "curves.png of xpnet train, the page of xpnet evaluate, and xpnet.plots",
    "pillow": "xpnet predict",
    "pooch": "fashion-mnist, kmnist and cifar10, when they are fetched",
    "tensorboard": "xpnet train --tensorboard",
}


def doctor() -> None:
    """Tell what each backend needs, what is there, and what to install."""
    from xpnet import __version__
    from xpnet._libraries.diagnosis import cupy_conflict
    from xpnet.backend import resolve
    from xpnet.errors import BackendError

    echo(f"xpnet {__version__}, Python {sys.version.split()[0]}\n")
    notes: list[str] = []
    echo("backend           usable  version       device")
    for library in LIBRARIES:
        try:
            backend = resolve(library)
        except BackendError as error:
            _row(library, "no", _version_of(library), "-")
            notes.append(str(error))
        else:
            _row(library, "yes", _version_of(library), backend.details() or str(backend.device))
            if library == "cupy" and (conflict := cupy_conflict()):
                notes.append(f"The backend 'cupy' computes, but {conflict}")
    echo("\npackage           there   version       for")
    for package, purpose in PACKAGES.items():
        try:
            _row(package, "yes", version(package), purpose)
        except PackageNotFoundError:
            _row(package, "no", "-", purpose)
            notes.append(f"{package} is not installed. Install it with: pip install {package}")
    echo(f"\n--backend auto takes {resolve('auto').name}.")
    for note in notes:
        echo(f"\n{note}")


def _row(name: str, answer: str, found: str, what: str) -> None:
    echo(f"{name:16}  {answer:6}  {found:12}  {what}")


def _version_of(library: str) -> str:
    """The version of a library that was imported, or that tried to be; "-" without one."""
    return str(getattr(sys.modules.get(library), "__version__", "-"))
