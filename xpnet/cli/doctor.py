"""`xpnet doctor`: which backends can be used here, and what the others lack."""

import sys
from importlib.metadata import PackageNotFoundError, version

from xpnet.cli.screen import echo

PACKAGES = {  # the optional packages, and what each is needed for
    "matplotlib": "curves.png of xpnet train, the page of xpnet evaluate, and xpnet.plots",
    "pillow": "pictures: folders of them, and xpnet predict",
    "pooch": "fashion-mnist, kmnist and cifar10, when they are fetched",
    "tensorboard": "xpnet train --tensorboard",
    "scikit-learn": "xpnet.estimators",
    "onnx": "xpnet export, and load_onnx",
    "pyfive": "Keras's files",
    "mpi4py": "mpiexec -n 2 xpnet train",
    "zarr": "open_samples of a zarr store",
    "pyarrow": "open_samples of Parquet and Arrow files, and tables in Parquet files",
    "pandas": "tables in Parquet and Excel files",
    "openpyxl": "tables in Excel files",
}


def doctor() -> None:
    """Print which backends and packages can be used here, and what to install for the others."""
    from xpnet import __version__
    from xpnet._libraries import LIBRARIES
    from xpnet.backend import resolve
    from xpnet.errors import BackendError

    echo(f"xpnet {__version__}, Python {sys.version.split()[0]}\n")
    notes: list[str] = []
    echo("backend           usable     version       device")
    for name, library in LIBRARIES.items():
        try:
            backend = resolve(name)
        except BackendError as error:
            _row(name, "no", library.version() or "-", "-")
            notes.append(str(error))
            continue
        _row(name, "yes", library.version() or "-", backend.details() or str(backend.device))
        conflict = library.conflict()
        if conflict is not None:
            notes.append(f"The backend {name!r} computes, but {conflict}")
    echo("\npackage           installed  version       needed for")
    missing: list[str] = []
    for package, purpose in PACKAGES.items():
        try:
            _row(package, "yes", version(package), purpose)
        except PackageNotFoundError:
            _row(package, "no", "-", purpose)
            missing.append(package)
    if missing:
        notes.append(f"To install what is missing: pip install {' '.join(missing)}")
    echo(f"\nC library for compiled steps: {_c_library()}")
    echo(f"\n--backend auto selects {resolve('auto').name}.")
    for note in notes:
        echo(f"\n{note}")


def _c_library() -> str:
    """Which library runs compiled steps on NumPy's arrays, or why NumPy itself does."""
    from xpnet.cli.setup import tell_about_compiler
    from xpnet.compiler.c import load

    if load.forced() == "numpy":
        return "not used, since XPNET_EXECUTOR is numpy"
    load.find(waiting=tell_about_compiler)
    return load.status()


def _row(name: str, answer: str, release: str, note: str) -> None:
    """Print a row of either table; the answer is "yes" or "no", and the release a version."""
    echo(f"{name:16}  {answer:9}  {release:12}  {note}")
