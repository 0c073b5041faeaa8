"""What the examples have in common: flags, checks for missing packages, and pictures."""

import os
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import xpnet

PACKAGES = {
    "matplotlib": "matplotlib",
    "scipy": "scipy",
    "sklearn": "scikit-learn",
}  # the name to import: the name to install


def begin(
    doc: str, dtype: str = "float32", needs: tuple[str, ...] = ("matplotlib",), **flags: Any
) -> tuple[Namespace, xpnet.Backend, Any]:
    """Read the flags, switch to the backend, seed the random numbers; exit if a package is missing.

    Parameters
    ----------
    doc : str
        The example's docstring, for --help.
    dtype : str
        The floating-point type of the example.
    needs : tuple of str
        The packages that it imports besides xpnet.
    **flags : (type, default, help)
        Its own flags, besides --backend and --out.

    Returns
    -------
    args, backend, rng
    """
    parser = ArgumentParser(description=doc, formatter_class=RawDescriptionHelpFormatter)
    default_backend = os.environ.get("XPNET_BACKEND") or "numpy"
    parser.add_argument(
        "--backend",
        default=default_backend,
        help=f"numpy, cupy, torch, jax, ... ({default_backend})",
    )
    out = Path(__file__).with_name("out")
    parser.add_argument("--out", type=Path, default=out, help="folder for the picture")
    for name, (kind, default, what) in flags.items():
        parser.add_argument(f"--{name}", type=kind, default=default, help=f"{what} ({default})")
    args = parser.parse_args()
    missing = [pip for name, pip in PACKAGES.items() if name in needs and not find_spec(name)]
    if missing:
        parser.exit(2, f"{parser.prog}: install first: pip install {' '.join(missing)}\n")
    try:
        backend = xpnet.use(args.backend, dtype)
        args.out.mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=args.out).close()  # an error now is better than one after the training
    except (xpnet.BackendError, OSError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    xpnet.manual_seed(0)
    return args, backend, xpnet.random.default_rng()


def positive(text: str) -> int:
    """The type of a flag that counts something."""
    number = int(text)
    if number < 1:
        raise ValueError("less than 1")
    return number


def canvas(columns: int = 1, width: float = 6.0, height: float = 3.6) -> tuple[Any, Any]:
    """A figure, and its axes (an array of them if there are several columns)."""
    from matplotlib.figure import Figure  # begin() has checked that it is installed

    figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
    return figure, figure.subplots(1, columns)


def save(figure: Any, path: Path) -> None:
    """Write the figure, with a legend wherever something has a label, and print its path."""
    for ax in figure.axes:
        ax.grid(color="#e6e6e6", linewidth=0.8)
        ax.set_axisbelow(True)
        ax.spines[["top", "right"]].set_visible(False)
        if ax.get_legend_handles_labels()[1]:
            ax.legend(frameon=False)
    figure.savefig(path)
    print(f"\npicture: {path}")
