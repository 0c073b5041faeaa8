"""Run array-api-extra's own tests on recorded Variables.

    python tests/extra.py CHECKOUT

CHECKOUT is a clone of data-apis/array-api-extra; nothing of it is copied here. Its tests get their
namespace and arrays from fixtures. Here the arrays are Variables over NumPy that are computed from
others, so that everything that the tested functions do is recorded, including item assignment.
`test_third_party.py` tests a sample of the functions, with their derivatives.

The tests that fail expect that NumPy converts an array (`lazy_apply(as_numpy=True)`), or that
assigning floating-point numbers to integers truncates them, or they name libraries.
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
CREATION_FUNCTIONS = (
    *("asarray", "zeros", "ones", "full", "empty", "arange", "linspace", "eye", "astype"),
    *("zeros_like", "ones_like", "full_like", "empty_like", "from_dlpack"),
)


def recorded_namespace():
    """The namespace of Variables, whose creation functions return Variables with a history."""
    import numpy as np

    from xpnet import Variable
    from xpnet.autodiff.namespace import DifferentiableNamespace, array_namespace

    xp = array_namespace(Variable(np.zeros(1)))

    def recorded(y):
        """The result y of a function, in which all floating-point Variables have a history."""
        if isinstance(y, (tuple, list)):
            return type(y)(map(recorded, y))
        if not isinstance(y, Variable) or y.requires_grad:
            return y
        if xp.isdtype(y.dtype, ("real floating", "complex floating")):
            return +Variable(y.data)
        return y

    class Recorded:
        def __getattr__(self, name):
            f = getattr(xp, name)
            if name not in CREATION_FUNCTIONS:
                return f

            @functools.wraps(f)
            def create(*args, **options):
                return recorded(f(*args, **options))

            return create

        def __eq__(self, other):
            return isinstance(other, DifferentiableNamespace | Recorded)

        def __hash__(self):
            return hash(xp)

    return Recorded()


def convert_variables_for_comparisons():
    """Let array-api-extra's comparisons convert Variables to arrays of NumPy."""
    from array_api_extra.testing import _testing

    from xpnet import Variable, to_numpy

    as_numpy = _testing._as_numpy_array

    def converted(x, **options):
        if isinstance(x, Variable):
            return to_numpy(x)
        return as_numpy(x, **options)

    _testing._as_numpy_array = converted


def fixtures():
    """The fixtures for a conftest.py that replaces array-api-extra's."""
    import array_api_compat as compat
    import numpy as np
    import pytest
    from array_api_extra._lib._backends import Backend

    def library(request):
        for marker in request.node.iter_markers("skip_xp_backend"):
            if marker.args[0] == Backend.NUMPY:
                pytest.skip("skipped on NumPy")
        return Backend.NUMPY

    def other():
        pytest.skip("a test of another library")

    convert_variables_for_comparisons()
    xp = recorded_namespace()
    functions = {
        "xp": lambda: xp,
        "device": lambda: "cpu",
        "infinity": lambda: sys.float_info.max,
        "library": library,
        "da": other,
        "jnp": other,
        "torch": other,
    }
    found = {name: pytest.fixture(f, name=name) for name, f in functions.items()}
    return found | {"np_compat": compat.array_namespace(np.empty(0))}


def main():
    """Run the tests, and return pytest's exit code."""
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
