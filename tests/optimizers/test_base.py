"""What all optimizers have in common: the step, groups and options, states, errors."""

import copy
import json
import math
import pickle

import numpy as np
import pytest

import xpnet
from tests.optimizers.cases import CASES, SHAPES, go, parameters
from xpnet import (
    SGD,
    Adam,
    GradientError,
    Parameter,
    StateError,
    Variable,
    functions as F,
    to_numpy,
)
from xpnet.autodiff import gradient_checkpoint
from xpnet.optimizers import BY_NAME, Optimizer, optimizer
from xpnet.testing import assert_close

START = [1.0, -2.0, 0.5]
SLOPE = [3.0, 0.5, 1.0]
KINDS = list(BY_NAME.values())


# --- the step -----------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=str)
def test_update_is_in_place_where_the_library_can(case):
    """On NumPy the array stays the same object: views of it follow."""
    with xpnet.using("numpy"):
        ps = parameters()
        arrays = [p.data for p in ps]
        go(case.kind(ps, **case.options), range(3))
        assert all(p.data is x for p, x in zip(ps, arrays, strict=True))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradients_are_not_changed(backend, array, case):
    """step reads gradients; it does not write them. Nor does it, on NumPy, if it could."""
    p = Parameter(backend.asarray(START))
    p.grad = array(SLOPE)
    moving = case.kind([p], **case.options)
    moving.step()
    moving.step()
    assert to_numpy(p.grad).tolist() == SLOPE


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_numpy_scalars_do_not_change_dtypes(backend, kind):
    """NumPy's float64 among the options would turn float32 into float64."""
    p = Parameter(backend.asarray(START))
    moving = kind([{"params": [p], "weight_decay": np.float64(0.1)}], lr=np.float64(0.01))
    for _ in range(2):
        p.grad = backend.asarray(SLOPE)
        moving.lr, moving.factor = np.float64(0.02), np.float64(0.5)
        moving.step()
    assert p.dtype == backend.dtype
    slots = [x for x in moving.state[0].values() if hasattr(x, "dtype")]
    assert all(x.dtype == backend.dtype for x in slots)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_empty_and_single_numbers(backend, kind):
    """Empty parameters, and one without axes."""
    empty, one = Parameter(backend.asarray(np.zeros((0, 3), "float32"))), Parameter(2.0)
    empty.grad, one.grad = backend.asarray(np.zeros((0, 3), "float32")), backend.asarray(1.0)
    kind([empty, one], lr=0.1).step()
    assert tuple(empty.shape) == (0, 3)
    assert tuple(one.shape) == ()
    assert float(one) < 2.0


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_step_of_a_16_bit_parameter_is_that_of_float32_rounded(backend, eager, case):
    """Also where a gradient is 0, and Adam's eps would be; the state is of float32, and loads."""
    if not hasattr(backend.xp, "float16"):
        pytest.skip(f"{backend.name} has no float16")
    full, half = (Parameter(backend.asarray(START, dtype)) for dtype in ("float32", "float16"))
    made = [case.kind([p], **case.options) for p in (full, half)]
    for slope in ([0.0, 0.5, 1e-3], [0.0, -0.25, 300.0], [0.0, 1.0, 0.0]):
        for p, moving in zip((full, half), made, strict=True):
            p.grad = backend.asarray(slope, "float32" if p is full else "float16")
            moving.step()
    assert half.dtype == backend.xp.float16
    assert_close(half, full, rtol=4e-3, atol=4e-3)
    again = case.kind([half], **case.options)
    again.load_state_dict(made[1].state_dict())
    for moving in (made[1], again):
        slots = [x for x in moving.state[0].values() if hasattr(x, "dtype")]
        assert all(x.dtype == backend.dtype for x in slots)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_variables_are_updated_like_parameters(case):
    """For example an image; the array that it was created from is not changed."""
    with xpnet.using("numpy") as backend:
        given = backend.asarray(START)
        image, p = Variable(given), Parameter(given)
        for x in (image, p):
            moving = case.kind([{"params": x}], **case.options)
            for _ in range(2):
                moving.zero_grad()
                F.sum(x * x).backward()
                moving.step()
        assert to_numpy(image).tobytes() == to_numpy(p).tobytes()
        assert given.tolist() == START != to_numpy(p).tolist()


def test_a_graph_of_a_variable_is_out_of_date_after_a_step(backend):
    """As for a Parameter: backward would use other values than forward did."""
    x = Variable(backend.asarray(START))
    y, z = F.sum(x * x), gradient_checkpoint(lambda: F.sum(x * x))()
    x.grad = backend.asarray(START)
    SGD([x]).step()
    for stale in (y, z):
        with pytest.raises(GradientError, match=r"saved a Variable of shape \(3,\) .* loss again"):
            stale.backward()
    F.sum(x * x).backward()


@pytest.mark.parametrize("shape", [(1,), (1, 3), (2, 3), ()])
def test_a_gradient_of_another_shape_is_an_error(backend, shape):
    """Not one that is repeated until it fits."""
    p = Parameter(backend.asarray(START))
    p.grad = backend.asarray(np.ones(shape, "float32"))
    for moving in (SGD([p]), Adam([p])):
        with pytest.raises(xpnet.ShapeError, match=r"expected a gradient of shape \(3,\), got"):
            moving.step()
    assert to_numpy(p).tolist() == START


def test_parameters_without_gradient_stay(backend, array):
    """As in PyTorch; but if no parameter has one, backward was forgotten: an error."""
    a, b = Parameter(array(START)), Parameter(backend.asarray(START))
    moving = SGD([a, b], lr=0.1)
    with pytest.raises(GradientError, match=r"call loss\.backward"):
        moving.step()
    b.grad = array(SLOPE)
    moving.step()
    assert to_numpy(a).tolist() == START
    assert_close(b, [0.7, -2.05, 0.4], rtol=1e-6)
    moving.zero_grad()
    assert b.grad is None


def test_gradients_add_up_until_they_are_forgotten(backend):
    """Four small batches, their losses divided by four, and one step: that of the large batch."""
    rng = np.random.default_rng(0)
    x, t = (backend.asarray(rng.standard_normal((8, n)).astype("float32")) for n in (3, 2))
    large, small = xpnet.Affine(3, 2, rng=0), xpnet.Affine(3, 2, rng=0)
    F.mean_squared_error(large(x), t).backward()
    xpnet.Momentum(large.parameters()).step()
    moving = xpnet.Momentum(small.parameters())
    moving.zero_grad()
    for i in range(0, 8, 2):
        (F.mean_squared_error(small(x[i : i + 2, :]), t[i : i + 2, :]) / 4.0).backward()
    moving.step()
    assert_close(small.weight, large.weight, rtol=1e-5)
    assert_close(small.bias, large.bias, rtol=1e-5)


def test_a_graph_older_than_the_step_is_out_of_date(backend):
    """The recorded values of a Parameter are overwritten, so backward raises an error."""
    p = Parameter(backend.asarray(START))
    loss = F.sum(p * p)
    p.grad = backend.asarray(SLOPE)
    SGD([p]).step()
    with pytest.raises(GradientError):
        loss.backward()


def test_adam_counts_the_steps_of_each_parameter(backend, array):
    """As in PyTorch, a parameter's first step has size lr, however late it is."""
    early, late = Parameter(array([1.0])), Parameter(array([1.0]))
    adam = Adam([early, late], lr=0.01)
    for _ in range(50):
        early.grad = array([2.0])
        adam.step()
    late.grad = array([2.0])
    adam.step()
    assert_close(late, [0.99], rtol=1e-5)


def test_recorded_gradients_are_accepted(backend):
    """After backward(create_graph=True) a gradient is a Variable."""
    p = Parameter(backend.asarray(START))
    F.sum(p * p).backward(create_graph=True)
    SGD([p], lr=0.25).step()
    assert to_numpy(p).tolist() == [0.5, -1.0, 0.25]


# --- groups and options --------------------------------------------------------------------------


def test_groups_have_options_of_their_own(backend, array):
    """A group's own rate stays its own when the optimizer's changes; a factor is for all."""
    a, b, c = (Parameter(backend.asarray([0.0])) for _ in range(3))
    moving = SGD([{"params": [a]}, {"params": iter([b, c]), "lr": 0.5}], lr=1.0)
    moving.lr, moving.factor = 2.0, 0.25
    assert moving.lr == 2.0
    assert moving.parameters == [a, b, c]
    for p in (a, b, c):
        p.grad = array([-1.0])
    moving.step()
    assert [float(p[0]) for p in (a, b, c)] == [0.5, 0.125, 0.125]
    moving.groups[1]["lr"] = 4.0
    moving.step()
    assert [float(p[0]) for p in (a, b, c)] == [1.0, 1.125, 1.125]


def test_a_group_can_be_added_later(backend, array):
    """A parameter that was frozen is updated from then on."""
    a, b = Parameter(backend.asarray([1.0])), Parameter(backend.asarray([1.0]))
    moving = xpnet.Momentum([a], lr=0.5, momentum=0.0)
    a.grad = b.grad = array([1.0])
    moving.step()
    moving.add_group({"params": b, "lr": 0.25})
    moving.step()
    assert (float(a[0]), float(b[0])) == (0.0, 0.75)
    assert [s["t"] for s in moving.state] == [2, 1]


def test_decoupled_decay_depends_on_the_parameter_only(backend, array):
    """For SGD both decays are the same; for an optimizer that scales gradients they differ."""
    ends = {}
    for kind in (SGD, xpnet.RMSprop):
        for decoupled in (False, True):
            p = Parameter(backend.asarray([2.0]))
            p.grad = array([0.0])
            options = {"weight_decay": 0.5, "decoupled_weight_decay": decoupled}
            kind([p], lr=0.1, **options).step()
            ends[kind, decoupled] = p
    assert_close(ends[SGD, False], [1.9], rtol=1e-6)
    assert_close(ends[SGD, True], [1.9], rtol=1e-6)
    assert_close(ends[xpnet.RMSprop, True], [1.9], rtol=1e-6)
    assert_close(ends[xpnet.RMSprop, False], [1.0], rtol=1e-5)  # 0.1 g / sqrt(0.01 g^2) = 1


def test_by_name(backend):
    """The command line's names; unknown ones are errors that list them."""
    p = Parameter([1.0])
    assert [type(optimizer(name, [p])) for name in BY_NAME] == KINDS
    assert optimizer("adam", [p], 0.5).lr == 0.5
    assert optimizer("momentum", [p], weight_decay=0.1).defaults["weight_decay"] == 0.1
    with pytest.raises(ValueError, match=r"Unknown optimizer 'sdg'. Expected one of: sgd, "):
        optimizer("sdg", [p])


def test_wrong_options_are_errors(backend):
    """No parameters; a learning rate that is not positive, or not a number; others likewise."""
    p = Parameter([1.0])
    with pytest.raises(ValueError, match=r"no parameters\. .* with xpnet\.Parameter\(array\)\."):
        SGD([])
    with pytest.raises(ValueError, match="no parameters in a group"):
        SGD([{"params": []}])
    for lr in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="expected lr > 0"):
            Adam([p], lr=lr)
    with pytest.raises(ValueError, match=r"Adam expected 0 <= betas < 1, got \(0.9, 1.0\)"):
        Adam([p], betas=(0.9, 1.0))
    for betas in (0.9, (0.9,), (0.9, 0.99, 0.999)):
        with pytest.raises(ValueError, match="Lion expected two betas, got"):
            xpnet.Lion([{"params": [p], "betas": betas}])
    with pytest.raises(ValueError, match="SGD expected weight_decay >= 0, got -0.1"):
        SGD([{"params": [p], "weight_decay": -0.1}])
    with pytest.raises(TypeError, match=r"Adam has no option \['momentum'\], but \['amsgrad"):
        Adam([{"params": [p], "momentum": 0.9}])
    with pytest.raises(TypeError, match="expected a group"):
        SGD([{"params": [p]}, p])
    assert repr(SGD([p], lr=0.5)) == "SGD(lr=0.5)"


def test_nesterov_needs_momentum_and_no_dampening(backend):
    p = Parameter([1.0])
    for kind, options, given in (
        (SGD, {"nesterov": True}, "momentum=0.0 and dampening=0.0"),
        (SGD, {"nesterov": True, "momentum": 0.5, "dampening": 0.5}, "0.5 and dampening=0.5"),
        (xpnet.Nesterov, {"momentum": 0.0}, "momentum=0.0 and dampening=0.0"),
    ):
        message = f"expected momentum > 0 and dampening = 0 for nesterov=True, got .*{given}"
        with pytest.raises(ValueError, match=message):
            kind([p], **options)
    with pytest.raises(ValueError, match="expected momentum > 0"):
        SGD([{"params": [p], "momentum": 0.0}], momentum=0.9, nesterov=True)
    moving = SGD([{"params": [p], "momentum": 0.9}], nesterov=False)
    with pytest.raises(ValueError, match="expected momentum > 0"):
        moving.add_group({"params": [Parameter([1.0])], "nesterov": True})
    assert len(moving.groups) == len(moving.state) == 1


@pytest.mark.parametrize(
    ("kind", "option", "value", "slot"),
    [
        (SGD, "momentum", 0.9, "v"),
        (xpnet.RMSprop, "momentum", 0.9, "v"),
        (xpnet.RMSprop, "centered", True, "m"),
        (Adam, "amsgrad", True, "largest"),
        (xpnet.AdamW, "amsgrad", True, "largest"),
    ],
)
def test_an_option_that_needs_a_state_is_given_at_the_start(
    backend, array, kind, option, value, slot
):
    """Later there would be no array for it, which is an error that changes nothing."""
    p = Parameter(backend.asarray(START))
    p.grad = array(SLOPE)
    moving = kind([p])
    moving.step()
    before = to_numpy(p).tolist()
    moving.groups[0][option] = value
    with pytest.raises(
        StateError, match=f"expected {option} to be 0 or False.* got {value}: .*no '{slot}'"
    ):
        moving.step()
    assert to_numpy(p).tolist() == before
    assert moving.state[0]["t"] == 1
    del moving.groups[0][option]
    moving.step()
    moving = kind([p], **{option: value})
    for given in (value, type(value)(0), value):
        moving.defaults[option] = given
        moving.step()
    assert moving.state[0]["t"] == 3


def test_sgd_without_momentum_keeps_no_arrays(backend):
    """With momentum it is `Momentum`, and with nesterov=True it is `Nesterov`, bit for bit."""
    assert SGD(parameters()).state == [{"t": 0}] * 3
    for kind, options in ((xpnet.Momentum, {}), (xpnet.Nesterov, {"nesterov": True})):
        ends = []
        for moving in (
            kind(parameters(), lr=0.02, momentum=0.8),
            SGD(parameters(), 0.02, 0.8, **options),
        ):
            go(moving, range(5))
            ends.append([to_numpy(p).tobytes() for p in moving.parameters])
        assert ends[0] == ends[1]


def test_base_has_no_update(backend):
    """A subclass without a formula raises an error."""
    p = Parameter([1.0])
    p.grad = p.data
    with pytest.raises(NotImplementedError):
        Optimizer([p], lr=0.1).step()


@pytest.mark.parametrize(
    "given",
    [
        lambda p: [p.data],
        lambda p: p,  # its rows
        lambda p: [p * 2.0],
        lambda p: [Variable(p.data + 1j)],
        lambda p: [{"params": p * 2.0}],
        lambda p: xpnet.Sequential(xpnet.ReLU()),
        lambda p: xpnet.Affine(2, 1),
    ],
)
def test_only_parameters_are_accepted(backend, array, given):
    with pytest.raises(
        TypeError, match=r"SGD expected Parameters, as model\.parameters\(\) returns"
    ):
        xpnet.SGD(given(Parameter(array([[1.0, 2.0], [3.0, 4.0]]))))


def test_a_parameter_given_twice_is_refused(backend, array):
    p = Parameter(array([1.0]))
    with pytest.raises(ValueError, match="given a parameter twice"):
        xpnet.SGD([p, p])
    with pytest.raises(ValueError, match="given a parameter twice"):
        xpnet.SGD([{"params": [p]}, {"params": [p]}])


def test_an_optimizer_does_not_move_with_its_model():
    """Its state would be combined with arrays of another library."""
    pytest.importorskip("array_api_strict", reason="the other library")
    with xpnet.using("numpy") as backend:
        model = xpnet.Affine(2, 1, rng=0)
        optimizer = xpnet.Momentum(model.parameters())
        model.to("array_api_strict")
        model.weight.grad = xpnet.backend.resolve("array_api_strict").asarray([[1.0], [1.0]])
        with pytest.raises(
            xpnet.StateError,
            match="moved to another library or device .* Create the optimizer after model.to",
        ):
            optimizer.step()
        model.to(backend)
        model.weight.grad = backend.asarray([[1.0], [1.0]])
        optimizer.step()


# --- states -------------------------------------------------------------------------------------


def saved(moving):
    """A state as a file would keep it: arrays on the host, and numbers as text."""
    state = moving.state_dict()
    arrays = {name: to_numpy(x).copy() for name, x in state.items() if hasattr(x, "dtype")}
    numbers = {name: x for name, x in state.items() if name not in arrays}
    return {**arrays, **json.loads(json.dumps(numbers))}, [
        to_numpy(p).copy() for p in moving.parameters
    ]


def made(case, lr=0.02):
    a, b, c = parameters()
    groups = [{"params": [a]}, {"params": [b, c], "weight_decay": 0.2}]
    return case.kind(groups, **{**case.options, "lr": lr})


def taken_up(case, state, arrays):
    """Another optimizer, created with another rate, resumes from a state."""
    moving = made(case, lr=0.3)
    for p, x in zip(moving.parameters, arrays, strict=True):
        p.data = xpnet.current().asarray(x.copy())
    moving.load_state_dict(state)
    return moving


@pytest.mark.parametrize("case", CASES, ids=str)
def test_resuming_is_bit_for_bit(backend, case):
    """Saved after seven steps, and loaded into an optimizer that was made anew."""
    moving = made(case)
    moving.factor = 0.7
    go(moving, range(7))
    state, arrays = saved(moving)
    go(moving, range(7, 14))
    again = taken_up(case, state, arrays)
    assert (again.lr, again.factor) == (0.02, 0.7)
    go(again, range(7, 14))
    for p, q in zip(moving.parameters, again.parameters, strict=True):
        assert to_numpy(p).tobytes() == to_numpy(q).tobytes()
    for s, r in zip(moving.state, again.state, strict=True):
        assert {k: type(v) for k, v in s.items()} == {k: type(v) for k, v in r.items()}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_an_optimizer_can_be_resumed_on_another_library(backend, case):
    """What NumPy began."""
    with xpnet.using("numpy"):
        moving = made(case)
        go(moving, range(7))
        state, arrays = saved(moving)
        go(moving, range(7, 14))
    again = taken_up(case, state, arrays)
    go(again, range(7, 14))
    for p, q in zip(moving.parameters, again.parameters, strict=True):
        assert_close(q, p, rtol=1e-4, atol=1e-6)


COPIES = {"deepcopy": copy.deepcopy, "pickle": lambda x: pickle.loads(pickle.dumps(x))}


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_copy_continues_as_the_optimizer_does(backend, case, how):
    if how == "pickle" and backend.name.startswith("array_api_strict"):
        pytest.skip("array-api-strict's arrays are not pickled")
    moving = made(case)
    go(moving, range(3))
    other = COPIES[how](moving)
    before = [to_numpy(p).tobytes() for p in other.parameters]
    go(moving, range(3, 6))
    assert [to_numpy(p).tobytes() for p in other.parameters] == before
    go(other, range(3, 6))
    for p, q in zip(moving.parameters, other.parameters, strict=True):
        assert to_numpy(p).tobytes() == to_numpy(q).tobytes()


@pytest.mark.parametrize("kind", [SGD, xpnet.Momentum, xpnet.Nesterov])
def test_states_from_before_sgd_had_momentum_load(backend, kind):
    """They lack options: SGD had none of momentum's, and Momentum and Nesterov did not need `nesterov`."""
    moving = kind(parameters())
    go(moving, range(3))
    state, arrays = saved(moving)
    del state["nesterov"]
    if kind is SGD:
        del state["momentum"], state["dampening"]
    go(moving, range(3, 6))
    again = kind(parameters(), lr=0.3)
    for p, x in zip(again.parameters, arrays, strict=True):
        p.data = backend.asarray(x)
    again.load_state_dict(state)
    go(again, range(3, 6))
    assert again.defaults == moving.defaults
    for p, q in zip(moving.parameters, again.parameters, strict=True):
        assert to_numpy(p).tobytes() == to_numpy(q).tobytes()


def test_a_state_without_a_velocity_is_not_one_with_it(backend):
    without, with_it = SGD(parameters()), SGD(parameters(), momentum=0.9)
    with pytest.raises(StateError, match=r"lacks \['0.v', '1.v', '2.v'\]"):
        with_it.load_state_dict(without.state_dict())
    with pytest.raises(StateError, match=r"has unknown \['0.v', '1.v', '2.v'\]"):
        without.load_state_dict(with_it.state_dict())


def test_options_set_to_whole_numbers_take_up_fractions(backend):
    """An option that was set to an integer takes a fraction from the state: 0.5 does not become 0."""
    p = Parameter([1.0])
    state = xpnet.Momentum([{"params": [p], "lr": 0.5}], momentum=0.25).state_dict()
    moving = xpnet.Momentum([{"params": [p], "lr": 1.0}])
    moving.defaults["momentum"], moving.groups[0]["lr"] = 0, 1
    moving.load_state_dict(state)
    assert (moving.defaults["momentum"], moving.groups[0]["lr"]) == (0.25, 0.5)


def test_a_state_that_does_not_fit_is_an_error_and_changes_nothing(backend):
    """States of another optimizer, of other parameters, other shapes, other options."""
    adam = Adam(parameters())
    go(adam, range(2))
    before, _ = saved(adam)

    def refused(state, message):
        with pytest.raises(StateError, match=message):
            adam.load_state_dict(state)
        after, _ = saved(adam)
        assert before.keys() == after.keys()
        assert all(np.array_equal(after[name], x) for name, x in before.items())

    refused(xpnet.RAdam(parameters()).state_dict(), r"Adam\(lr=0.001\): the state is of RAdam")
    refused({}, "the state is of no optimizer")
    refused(Adam(parameters()[:1]).state_dict(), r"has 3 parameters, the state 1\.")
    refused(Adam(parameters(), amsgrad=True).state_dict(), r"has unknown \['0.largest'")
    wrong = Adam([Parameter(np.zeros((5, *shape), "float32")) for shape in SHAPES])
    refused(wrong.state_dict(), r"expected 0.m of shape \(3, 2\), got \(5, 3, 2\)")
    state = adam.state_dict()
    del state["betas.0"]
    refused(state, r"lacks \['betas.0'\]")
