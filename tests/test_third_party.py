"""The code of others, unmodified, differentiated: it asks its arrays for their namespace.

Each row of the tables is a function of SciPy, array-api-extra or einops, or one as users write
them. None of them knows of xpnet. Given Variables it answers with a Variable, of the value that it
has for NumPy's arrays; its first and second derivatives agree with central differences.

SciPy asks its arrays only if SCIPY_ARRAY_API=1 was in the environment before its first import, and
in a run of all tests that was long ago. So a process of its own runs SciPy's table; or this one:

    SCIPY_ARRAY_API=1 python -m pytest tests/test_third_party.py
"""

import os
import pkgutil
import re
import subprocess
import sys

import array_api_compat as compat
import numpy as np
import pytest

from xpnet import GradientError, Variable, functions as F
from xpnet.autodiff.namespace import array_namespace
from xpnet.testing import assert_close, check_gradients

SCIPY_ASKS = os.environ.get("SCIPY_ARRAY_API") == "1"

rng = np.random.default_rng(0)
X, Y = rng.normal(size=(2, 2, 4))
V, W = rng.normal(size=(2, 5))
POSITIVE, WEIGHTS = rng.uniform(0.3, 2.0, (2, 2, 4))
VECTORS = rng.normal(size=(2, 3))
QUATERNIONS = rng.normal(size=(5, 4))
TIMES = np.asarray([0.0, 0.3, 1.0, 1.4, 2.0])

# --- SciPy, in its array-API mode: name -> (how it is called, its arguments) ----------------------
# The word after a blank distinguishes two rows of one function.

SCIPY = {
    "scipy.special.softmax": (lambda f, x: f(x, axis=1), X),
    "scipy.special.xlogy": (lambda f, x, y: f(x, y), POSITIVE, WEIGHTS),
    "scipy.special.logsumexp": (lambda f, x: f(x, axis=1), X),
    "scipy.special.expit": (lambda f, x: f(x), X),
    "scipy.special.log_ndtr": (lambda f, x: f(x), X),
    "scipy.stats.entropy": (lambda f, p: f(p, axis=1), POSITIVE),
    "scipy.stats.entropy relative": (lambda f, p, q: f(p, q, axis=1), POSITIVE, WEIGHTS),
    "scipy.stats.gmean": (lambda f, x: f(x, axis=1), POSITIVE),
    "scipy.stats.gmean weighted": (lambda f, x, w: f(x, axis=1, weights=w), POSITIVE, WEIGHTS),
    "scipy.stats.hmean": (lambda f, x: f(x, axis=1), POSITIVE),
    "scipy.stats.pmean": (lambda f, x, w: f(x, 3, axis=1, weights=w), POSITIVE, WEIGHTS),
    "scipy.stats.moment": (lambda f, x: f(x, order=3, axis=1), X),
    "scipy.stats.skew": (lambda f, x: f(x, axis=1), X),
    "scipy.stats.kurtosis": (lambda f, x: f(x, axis=1), X),
    "scipy.stats.sem": (lambda f, x: f(x, axis=1), X),
    "scipy.stats.tvar": (lambda f, x: f(x, axis=1), X),
    "scipy.stats.tstd": (lambda f, x: f(x, axis=1), X),
    "scipy.stats.tmax": (lambda f, x: f(x, axis=1), X),
    "scipy.stats.gstd": (lambda f, x: f(x, axis=1), POSITIVE),
    "scipy.stats.kstat": (lambda f, x: f(x, 3, axis=1), X),
    "scipy.stats.kstatvar": (lambda f, x: f(x, 2, axis=1), X),
    "scipy.stats.trim_mean": (lambda f, x: f(x, 0.3, axis=1), X),
    "scipy.stats.describe": (lambda f, x: f(x, axis=1).kurtosis, X),
    "scipy.stats.zmap": (lambda f, x, y: f(x, y, axis=1), X, Y),
    "scipy.stats.circmean": (lambda f, x: f(x, axis=1), POSITIVE),
    "scipy.stats.circvar": (lambda f, x: f(x, axis=1), X),
    "scipy.stats.circstd": (lambda f, x: f(x, axis=1), X),
    "scipy.stats.directional_stats": (lambda f, x: f(x).mean_direction, VECTORS),
    "scipy.integrate.trapezoid": (lambda f, y, x: f(y, x=x), V, TIMES),
    "scipy.integrate.cumulative_trapezoid": (lambda f, y, x: f(y, x=x), V, TIMES),
    "scipy.integrate.romb": (lambda f, y: f(y, dx=0.5), V),
    "scipy.integrate.cubature": (
        lambda f, a, b: f(lambda x: x[:, 0] ** 3, a, b).estimate,
        V[:1],
        W[:1],
    ),
    "scipy.optimize.rosen": (lambda f, x: f(x), V),
    "scipy.signal.fftconvolve": (lambda f, x, y: f(x, y), V, W),
    "scipy.signal.resample": (lambda f, x: f(x, 3), V),
    "scipy.signal.freqz": (lambda f, x: f(x, worN=4)[1], V),
    "scipy.linalg.fiedler": (lambda f, x: f(x), V),
    "scipy.fft.rfft": (lambda f, x: f(x), V),
    "scipy.fft.fht": (lambda f, x: f(x, 0.1, 0.2), V),
    "scipy.spatial.transform.Rotation.from_rotvec": (lambda f, v: f(v).as_matrix(), VECTORS),
    "scipy.spatial.transform.Rotation.from_quat": (lambda f, q: f(q).as_rotvec(), QUATERNIONS[:2]),
    "scipy.spatial.transform.Rotation apply": (
        lambda R, q, v: R.from_quat(q).apply(v),
        QUATERNIONS[:2],
        VECTORS,
    ),
    "scipy.spatial.transform.Rotation power": (
        lambda R, q: (R.from_quat(q) ** 0.5).as_mrp(),
        QUATERNIONS[:2],
    ),
    "scipy.spatial.transform.Rotation mean": (
        lambda R, q: R.from_quat(q).mean().as_quat(),
        QUATERNIONS,
    ),
    "scipy.constants.convert_temperature": (lambda f, t: f(t, "C", "K"), V),
    "scipy.special.log_softmax": (lambda f, x: f(x, axis=1), X),
    "scipy.stats.zscore": (lambda f, x: f(x, axis=1), X),
    "scipy.stats.gzscore": (lambda f, x: f(x, axis=1), POSITIVE),
    "scipy.stats.quantile": (lambda f, x: f(x, 0.3, axis=1), X),
    "scipy.stats.iqr": (lambda f, x: f(x, axis=1), X),
    "scipy.stats.boxcox_llf": (lambda f, x: f(0.4, x), POSITIVE[0]),
    "scipy.differentiate.derivative": (
        lambda f, a: f(lambda x, a: x**3 * a, 1.0 + 0.0 * a, args=(a,)).df,
        POSITIVE[0],
    ),
    "scipy.optimize.elementwise.find_root": (
        lambda f, a: f(lambda x, a: x**3 - a, (0.0 * a, 0.0 * a + 3.0), args=(a,)).x,
        POSITIVE[0],
    ),
    "scipy.cluster.vq.whiten": (lambda f, x: f(x), X.T),
    "scipy.linalg.block_diag": (lambda f, x, y: f(x, y), X, VECTORS),
    "scipy.spatial.transform.Rotation.from_euler": (
        lambda f, v: f("xyz", v).as_matrix(),
        VECTORS,
    ),
    "scipy.spatial.transform.Rotation inverse": (
        lambda R, q: (R.from_quat(q).inv() * R.from_quat(q[::-1, ...])).as_quat(),
        QUATERNIONS[:2],
    ),
    "scipy.constants.lambda2nu": (lambda f, x: f(1e4 * x), POSITIVE),
}

# --- array-api-extra and einops -------------------------------------------------------------------

OTHERS = {
    "array_api_extra.sinc": (lambda f, x: f(x), V),
    "array_api_extra.kron": (lambda f, x, y: f(x, y), X, VECTORS),
    "array_api_extra.cov": (lambda f, x: f(x), X),
    "array_api_extra.atleast_nd": (lambda f, x: f(x, ndim=3), X),
    "array_api_extra.one_hot": (
        lambda f, x: f(compat.array_namespace(x).asarray([1, 0, 1]), 2, dtype=x.dtype) @ x,
        X,
    ),
    "array_api_extra.isclose": (
        lambda f, x, y: compat.array_namespace(x).where(f(x, y, atol=0.5), x * y, x),
        X,
        Y,
    ),
    "array_api_extra.nan_to_num": (lambda f, x: f(x), X),
    "array_api_extra.angle": (lambda f, x, y: f(x + 1j * y), V, W),
    "array_api_extra.partition": (lambda f, x: f(x, 2), V),
    "array_api_extra.argpartition": (lambda f, x: x[f(x, 2)], V),
    "array_api_extra.union1d": (lambda f, x, y: f(x, y), V, W),
    "array_api_extra.isin": (
        lambda f, x: compat.array_namespace(x).where(f(x, x[:2]), x**2, x),
        V,
    ),
    "array_api_extra.create_diagonal": (lambda f, x: f(x), V),
    "array_api_extra.create_diagonal offset": (lambda f, x: f(x, offset=-2), V),
    "array_api_extra.pad": (lambda f, x: f(x, 1, constant_values=0.5), X),
    "array_api_extra.at set": (lambda at, x, y: at(x, 0).set(y[0] * x[1], copy=True), V, W),
    "array_api_extra.at add": (lambda at, x, y: at(x)[1:4].add(y[:3], copy=True), V, W),
    "array_api_extra.at multiply": (lambda at, x, y: at(x * y)[::2].multiply(y[::2]), V, W),
    "array_api_extra.at divide": (lambda at, x, y: at(x, x > 0.0).divide(2.0, copy=True) * y, V, W),
    "array_api_extra.at power": (lambda at, x: at(x * x)[-1].power(1.5), V),
    "array_api_extra.at min": (lambda at, x, y: at(x)[:3].min(y[:3], copy=True), V, W),
    "array_api_extra.apply_where": (
        lambda f, x, y: f(x > 0.0, (x, y), lambda a, b: a * b, lambda a, b: a**2 + b),
        V,
        W,
    ),
    "array_api_extra.setdiff1d": (lambda f, x, y: f(x, y), V, W),
    "array_api_extra.nunique": (
        lambda f, x: x * compat.array_namespace(x).astype(f(x), x.dtype),
        V,
    ),
    "array_api_extra.lazy_apply": (lambda f, x: f(lambda x: x**3, x), V),
    "einops.rearrange": (lambda f, x: f(x, "a b -> b a"), X),
    "einops.rearrange regroups": (lambda f, x: f(x, "a (b c) -> c (b a)", b=2), X),
    "einops.rearrange of a list": (lambda f, x, y: f([x, y], "k a b -> a (k b)"), X, Y),
    "einops.reduce sum": (lambda f, x: f(x, "a b -> b", "sum"), X),
    "einops.reduce mean": (lambda f, x: f(x, "a b -> a", "mean"), X),
    "einops.reduce max": (lambda f, x: f(x, "a (b c) -> a c", "max", c=2), X),
    "einops.reduce min": (lambda f, x: f(x, "a b ->", "min"), X),
    "einops.reduce prod": (lambda f, x: f(x, "a b -> a", "prod"), X),
    "einops.repeat": (lambda f, x: f(x, "a b -> (b k) a", k=2), X),
    "einops.einsum": (lambda f, x, y: f(x, y, "a b, c b -> a c"), X, Y),
    "einops.pack": (lambda f, x, y: f([x, y], "a *")[0], X, VECTORS),
    "einops.unpack": (lambda f, x: f(x, [(1,), (3,)], "a *")[1], X),
    "einops.array_api.rearrange": (lambda f, x: f(x, "a b -> b a"), X),
    "einops.array_api.rearrange regroups": (lambda f, x: f(x, "a (b c) -> c (b a)", b=2), X),
    "einops.array_api.reduce sum": (lambda f, x: f(x, "a b -> b", "sum"), X),
    "einops.array_api.reduce mean": (lambda f, x: f(x, "a b -> a", "mean"), X),
    "einops.array_api.reduce max": (lambda f, x: f(x, "a b -> a", "max"), X),
    "einops.array_api.reduce prod": (lambda f, x: f(x, "a b -> a", "prod"), X),
    "einops.array_api.repeat": (lambda f, x: f(x, "a b -> b k a", k=2), X),
    "einops.array_api.pack": (lambda f, x, y: f([x, y], "a *")[0], X, VECTORS),
    "einops.array_api.unpack": (lambda f, x: f(x, [(1,), (3,)], "a *")[1], X),
}


# --- as users write them --------------------------------------------------------------------------


def rosenbrock(x):
    """A narrow, curved valley, after `scipy.optimize.rosen`."""
    xp = compat.array_namespace(x)
    return xp.sum(100.0 * (x[1:] - x[:-1] ** 2.0) ** 2.0 + (1.0 - x[:-1]) ** 2.0)


def lennard_jones(positions):
    """The energy of atoms, pair by pair: 4 (r^-12 - r^-6)."""
    xp = compat.array_namespace(positions)
    n = positions.shape[0]
    apart = positions[:, None, :] - positions[None, :, :]
    alone = xp.eye(n, dtype=positions.dtype, device=compat.device(positions))  # 1 - 1 = 0
    r6 = (xp.sum(apart * apart, axis=-1) + alone) ** 3
    return 0.5 * xp.sum(4.0 * (r6**-2 - 1.0 / r6))


def heat(u, conductivity):
    """Two steps of the heat equation on a ring that radiates."""
    xp = compat.array_namespace(u, conductivity)
    for _ in range(2):
        laplacian = xp.roll(u, 1) - 2.0 * u + xp.roll(u, -1)
        u = u + 0.1 * (conductivity * laplacian - u**4)
    return u


def pendulum(start):
    """The angle and velocity of a pendulum after three steps of the leapfrog method."""
    xp = compat.array_namespace(start)
    angle, velocity = start[0], start[1]
    for _ in range(3):
        velocity = velocity - 0.05 * xp.sin(angle)
        angle = angle + 0.1 * velocity
        velocity = velocity - 0.05 * xp.sin(angle)
    return xp.stack([angle, velocity])


def softmax_cross_entropy(logits):
    """The loss of a classifier, for the classes 2 and 0."""
    xp = compat.array_namespace(logits)
    labels = xp.asarray([[2], [0]], device=compat.device(logits))
    z = logits - xp.max(logits, axis=1, keepdims=True)
    log_p = z - xp.log(xp.sum(xp.exp(z), axis=1, keepdims=True))
    return -xp.mean(xp.take_along_axis(log_p, labels, axis=1))


def gaussian_likelihood(x, factor):
    """The logarithm of a normal density with covariance 1 + factor factor^T, up to a constant."""
    xp = compat.array_namespace(x, factor)
    one = xp.eye(x.shape[0], dtype=x.dtype, device=compat.device(x))
    covariance = one + factor @ factor.T
    logdet = xp.linalg.slogdet(covariance).logabsdet
    return -0.5 * (x @ xp.linalg.solve(covariance, x) + logdet)


def spectral_energy(x):
    """The energy of a signal at high frequencies: the sum of |f X(f)|^2."""
    xp = compat.array_namespace(x)
    f = xp.fft.rfftfreq(x.shape[0], dtype=x.dtype, device=compat.device(x))
    return xp.sum((f * xp.abs(xp.fft.rfft(x))) ** 2)


USERS = {
    "rosenbrock": (rosenbrock, V),
    "lennard_jones": (lennard_jones, [[0.0, 0.1, 0.0], [1.1, 0.0, 0.2], [0.3, 1.2, -0.1]]),
    "heat": (heat, V, WEIGHTS[0, :1]),
    "pendulum": (pendulum, [1.0, 0.5]),
    "softmax_cross_entropy": (softmax_cross_entropy, X),
    "gaussian_likelihood": (gaussian_likelihood, V[:2], X[:, :3]),
    "spectral_energy": (spectral_energy, V),
}

LACKS = {
    ("array_api_strict", "einops.array_api.rearrange regroups"): (
        "einops passes a list of sizes to reshape; the standard has a tuple"
    ),
}


def as_differentiated(f, array, inputs):
    """Check one function: it returns a Variable with NumPy's value and the right derivatives."""
    inputs = [np.array(x) for x in inputs]
    arrays = [array(x.copy()) for x in inputs]
    y = f(*map(Variable, arrays))
    assert isinstance(y, Variable)
    assert y.requires_grad
    assert_close(y, f(*inputs), rtol=1e-10, atol=1e-12)
    check_gradients(f, *arrays)


def test_at_least_20_functions_of_other_packages_are_tested():
    """A function that is tested twice counts once."""
    assert len({name.partition(" ")[0] for name in (*SCIPY, *OTHERS)}) >= 20


@pytest.mark.parametrize("name", [*OTHERS, *(SCIPY if SCIPY_ASKS else ())])
def test_a_function_of_another_package_is_differentiated(backend64, array, name):
    """It is called unmodified, under its own name."""
    path = name.partition(" ")[0]
    package = path.partition(".")[0]
    pytest.importorskip(package, reason=f"{package}'s functions are to be differentiated")
    if reason := LACKS.get((backend64.name.partition(":")[0], name)):
        pytest.skip(reason)
    theirs = pkgutil.resolve_name(path)
    call, *inputs = (OTHERS | SCIPY)[name]
    as_differentiated(lambda *xs: call(theirs, *xs), array, inputs)


@pytest.mark.parametrize("name", USERS)
def test_a_function_written_against_the_standard_is_differentiated(backend64, array, name):
    """It finds its namespace with array_api_compat."""
    f, *inputs = USERS[name]
    as_differentiated(f, array, inputs)


EINOPS_LATER = """
import sys, xpnet
model = xpnet.Variable([[1.0, 2.0, 3.0]])
assert "einops" not in sys.modules
import einops
{between}
y = einops.rearrange(model * 2.0, "a b -> b a")
assert y.requires_grad and y.shape == (3, 1)
"""


def test_einops_may_be_imported_later():
    """Variables are registered when one is created after the import."""
    pytest.importorskip("einops", reason="its functions are to be differentiated")
    program = EINOPS_LATER.format(between="xpnet.Variable(1.0)")
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True)


@pytest.mark.usefixtures("eager")
@pytest.mark.skipif(SCIPY_ASKS, reason="SciPy asks its arrays in this process already")
def test_scipy_is_differentiated_in_a_process_with_its_array_api(backend64):
    """The process has the same settings, and SCIPY_ARRAY_API=1."""
    pytest.importorskip("scipy", reason="SciPy's functions are to be differentiated")
    test, library = (
        test_a_function_of_another_package_is_differentiated.__name__,
        backend64.name.partition(":")[0],
    )
    options = ("-k", f"({test} and scipy) or scikit", "-q", "-p", "no:cacheprovider")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", __file__, *options],
        env=os.environ | {"SCIPY_ARRAY_API": "1", "XPNET_TEST_BACKENDS": library},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) >= len(SCIPY), done.stdout


# --- what is not differentiated says so -----------------------------------------------------------


def test_at_does_not_change_a_leaf(backend64, array):
    """array_api_extra.at takes every array for writable."""
    xpx = pytest.importorskip("array_api_extra", reason="its functions assign to items")
    v = Variable(array(V))
    with pytest.raises(GradientError, match=r"F\.where"):
        xpx.at(v)[0].set(0.0)
    assert_close(v, V)


def test_a_function_may_assign_to_items_of_constants(backend64, array):
    xpx = pytest.importorskip("array_api_extra", reason="its functions assign to items")
    y = xpx.create_diagonal(Variable(array([1.0, 2.0]), requires_grad=False))
    assert not y.requires_grad
    assert_close(y, [[1.0, 0.0], [0.0, 2.0]])


# --- scikit-learn --------------------------------------------------------------------------------


@pytest.mark.skipif(not SCIPY_ASKS, reason="scikit-learn dispatches where SciPy does")
@pytest.mark.parametrize("recorded", [False, True])
@pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical"])
def test_the_gaussian_mixture_of_scikit_learn_is_differentiated(kind, recorded):
    """It writes its regularisation into every (n + 1)th element of a flat view."""
    sklearn = pytest.importorskip("sklearn", reason="its estimators are to be run on Variables")
    mixture = pytest.importorskip("sklearn.mixture", reason="its estimators are to be run")
    points = np.random.default_rng(0).normal(size=(60, 2)) + np.repeat([[0.0], [4.0]], 30, axis=0)
    settings = {"covariance_type": kind, "reg_covar": 0.5, "init_params": "random_from_data"}

    def fitted(x):
        with sklearn.config_context(array_api_dispatch=True):
            return mixture.GaussianMixture(n_components=2, random_state=0, **settings).fit(x)

    expected = fitted(points)
    x = Variable(points, requires_grad=recorded)
    model = fitted(x)
    assert_close(model.means_, expected.means_, rtol=1e-9)
    assert_close(model.covariances_, expected.covariances_, rtol=1e-9, atol=1e-12)
    assert model.covariances_.requires_grad == recorded
    if recorded:
        F.sum(model.covariances_).backward()
        step = 1e-6 * np.random.default_rng(1).normal(size=points.shape)
        ends = [np.sum(fitted(points + h).covariances_) for h in (step, -step)]
        assert_close(F.sum(x.grad * step), (ends[0] - ends[1]) / 2.0, rtol=1e-5)


# --- array_api_compat, unpatched ------------------------------------------------------------------


def test_array_api_compat_finds_the_namespace(backend64, array):
    v = Variable(array(X))
    xp = compat.array_namespace(v)
    assert xp is compat.array_namespace(v, v * v, 1.0, None) is array_namespace(v)
    assert xp.tanh is F.tanh
    assert xp.float64 == v.dtype


def test_the_helpers_of_array_api_compat_take_variables(backend64, array):
    v = Variable(array(X))
    assert compat.is_array_api_obj(v)
    assert compat.device(v) == compat.device(v.data)
    assert compat.size(v) == X.size
    moved = compat.to_device(v, compat.device(v))
    assert isinstance(moved, Variable)
    assert compat.device(moved) == compat.device(v)
    F.sum(moved * moved).backward()
    assert_close(v.grad, 2.0 * X)
