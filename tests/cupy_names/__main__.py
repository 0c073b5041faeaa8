"""Every name and keyword of CuPy that xpnet reaches is one that the installed CuPy has.

    python -m tests.cupy_names [--list]

Nothing is run on a device: CuPy imports without a driver, and can be asked. `--list` prints what was
looked up. Exit code 1: something is missing, or the check does not understand an expression that may
reach CuPy; such an expression belongs, with the reason, into a table of `assumed.py`.
"""

import argparse
import sys
import time
from importlib import import_module

from tests.cupy_names.check import Check, sources
from tests.cupy_names.declared import undeclared


def main() -> None:
    """Print what was found; exit with 1 if anything was."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--list", action="store_true", help="print the names that were looked up")
    arguments = parser.parse_args()
    begin = time.perf_counter()
    check = Check(sources())
    named, missing = undeclared()
    if arguments.list:
        print("\n".join(f"{name:50} {count:4}" for name, count in sorted(check.reached.items())))
    lines = [
        *map(str, check.missing),
        *missing,
        *(f"{finding} (see tests/cupy_names/assumed.py)" for finding in check.unresolved),
        *(f"tests/cupy_names/assumed.py: nothing needs the row {row}" for row in check.stale),
    ]
    print("\n".join(lines), end="\n" if lines else "")
    version = import_module("cupy").__version__
    print(
        f"CuPy {version}: {len(check.reached)} names, reached {sum(check.reached.values())} times, and "
        f"{named} functions of xpnet.functions; {len(lines)} findings, in "
        f"{time.perf_counter() - begin:.1f} s."
    )
    sys.exit(bool(lines))


if __name__ == "__main__":
    main()
