"""array-api-extra's own tests, on recorded Variables.

    python tests/extra.py CHECKOUT

CHECKOUT is a clone of data-apis/array-api-extra; nothing of it is copied here. Its tests get their
namespace and arrays from fixtures. Here these are Variables over NumPy that are computed from others,
so that whatever the tested functions do to them is recorded, item assignment too. `test_third_party.py`
holds a sample of the functions, with their derivatives.

What fails expects that NumPy converts an array (`lazy_apply(as_numpy=True)`), that integers take
floating-point numbers by truncation, or names libraries.
"""

import argparse
import functools
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
MAKERS = (
    *("asarray", "zeros", "ones", "full", "empty", "arange", "linspace", "eye", "astype"),
    *("zeros_like", "ones_like", "full_like", "empty_like", "from_dlpack"),
)


def fixtures():
    """The fixtures of a conftest.py that takes the place of theirs."""
    import array_api_compat as compat
    import numpy as np
    import pytest
    from array_api_extra._lib._backends import Backend
    from array_api_extra.testing import _testing

    from xpnet import Variable, to_numpy
    from xpnet.autodiff.namespace import DifferentiableNamespace, array_namespace

    ours = array_namespace(Variable(np.zeros(1)))
    as_numpy = _testing._as_numpy_array

    def recorded(y):
        if isinstance(y, (tuple, list)):
            return type(y)(map(recorded, y))
        floating = isinstance(y, Variable) and ours.isdtype(
            y.dtype, ("real floating", "complex floating")
        )
        return +Variable(y.data) if floating and not y.requires_grad else y

    class Recorded:
        """The namespace of Variables; what it makes has a history."""

        def __getattr__(self, name):
            f = getattr(ours, name)
            return (
                functools.wraps(f)(lambda *xs, **k: recorded(f(*xs, **k))) if name in MAKERS else f
            )

        def __eq__(self, other):
            return isinstance(other, DifferentiableNamespace | Recorded)

        def __hash__(self):
            return hash(ours)

    def library(request):
        for marker in request.node.iter_markers("skip_xp_backend"):
            if marker.args[0] == Backend.NUMPY:
                pytest.skip("skipped on NumPy")
        return Backend.NUMPY

    def namespace():
        return Recorded()

    def other():
        pytest.skip("a library of its own")

    _testing._as_numpy_array = lambda x, **k: (
        to_numpy(x) if isinstance(x, Variable) else as_numpy(x, **k)
    )
    made = {
        "xp": namespace,
        "device": lambda: "cpu",
        "infinity": lambda: sys.float_info.max,
    }
    made |= {"library": library, "da": other, "jnp": other, "torch": other}
    np_compat = compat.array_namespace(np.empty(0))
    return {name: pytest.fixture(f, name=name) for name, f in made.items()} | {
        "np_compat": np_compat
    }


def main():
    """Run them; pytest's exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkout", type=Path)
    checkout = parser.parse_args().checkout.resolve()
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(checkout / "tests", Path(folder) / "tests")
        conftest = "from extra import fixtures\n\nglobals().update(fixtures())\n"
        (Path(folder) / "tests" / "main" / "conftest.py").write_text(conftest, encoding="utf-8")
        paths = [ROOT, ROOT / "tests", checkout / "src"]
        marks = "markers=skip_xp_backend\nxfail_xp_backend"
        command = [sys.executable, "-m", "pytest", "tests/main", "-q", "-W", "ignore", "-o", marks]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, paths))}
        done = subprocess.run(
            [*command, "-p", "no:cacheprovider"], cwd=folder, env=environment, check=False
        )
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
