"""Programs for tests: drawn ones, training steps of models, and an interpreter to compare with."""

import operator

import numpy as np
from hypothesis import strategies as st

import xpnet
from xpnet import functions as F
from xpnet.compiler.compiled import Compiled
from xpnet.compiler.executors.library import LibraryExecutor
from xpnet.compiler.record import Operation, Program, Value, leaves, replaced

SIZES = {  # name of a model: (shape of a sample, options, batch)
    "mlp": ((784,), {"hidden": (80, 32)}, 32),
    "lenet": ((1, 28, 28), {"channels": (6, 16), "hidden": 120, "dropout": 0.0}, 16),
    "resnet": ((3, 8, 8), {"channels": (4, 8)}, 8),
    "lstm": ((7, 5), {"hidden": 16}, 8),
    "transformer": ((6, 5), {"width": 16, "heads": 2, "hidden": 32, "dropout": 0.0}, 8),
}


def interpreted(program, arguments, states, hosts=()):
    """The outputs and the new state, operation by operation, on copies of the arrays."""
    known = dict(zip(program.arguments, arguments, strict=True))
    known |= dict(zip(program.states, [np.array(x) for x in states], strict=True))
    known |= dict(zip(program.hosts, hosts, strict=True))

    def array(x):
        if isinstance(x, Value):
            return x.array if x.source == "constant" else known[x]
        return x

    for operation in program.operations:
        args, options = replaced((operation.args, operation.options), array)
        result = operation.function(*args, **options)
        places = leaves(operation.result)
        for x, place in zip(leaves(result), places, strict=True):
            if isinstance(place, Value):
                known[place] = x
    outputs = [np.array(array(x)) for x in program.outputs]
    new = [np.array(array(program.updates.get(i, x))) for i, x in enumerate(program.states)]
    return outputs, new


def assert_equal_bits(found, expected):
    """Whether arrays are the same in shape, dtype and bits; any NaN is as good as another one."""
    assert len(found) == len(expected)
    for x, y in zip(found, expected, strict=True):
        x = np.asarray(x)
        y = np.asarray(y)
        assert (x.shape, x.dtype) == (y.shape, y.dtype)
        np.testing.assert_array_equal(x, y)
        if x.dtype.kind == "f":
            numbers = ~np.isnan(y)
            np.testing.assert_array_equal(np.signbit(x)[numbers], np.signbit(y)[numbers])


def snapshot(program):
    """What a Program says, to find out whether a pass changed it."""
    return [
        (o.name, tuple(map(id, o.inputs())), tuple(map(id, o.outputs)), len(o.args))
        for o in program.operations
    ] + [tuple(map(id, program.outputs)), {i: id(x) for i, x in program.updates.items()}]


class Builder:
    """Makes a Program by hand, computing each operation on the way."""

    def __init__(self):
        self.program = Program([], [], [], [], [], {})
        self.arrays = {}

    def input(self, kind, x):
        """A new argument, state or host value that holds x; or a constant."""
        if kind == "constant":
            return Value(x.shape, x.dtype, kind, array=x)
        group = getattr(self.program, f"{kind}s")
        is_number = isinstance(x, float)
        value = Value(
            () if is_number else x.shape, None if is_number else x.dtype, kind, len(group)
        )
        group.append(value)
        self.arrays[value] = x
        return value

    def apply(self, name, function, *args, **options):
        """Append an operation; returns its Value."""

        def array(x):
            return self.arrays.get(x, x.array) if isinstance(x, Value) else x

        with np.errstate(all="ignore"):
            result = np.asarray(function(*replaced(args, array), **replaced(options, array)))
        operation = Operation(name, function, args, options, where="drawn.py:1")
        value = Value(result.shape, result.dtype, "operation", operation=operation)
        operation.outputs.append(value)
        operation.result = value
        self.program.operations.append(operation)
        self.arrays[value] = result
        return value

    def given(self, kind):
        """The arrays of the inputs of a kind."""
        return [self.arrays[x] for x in getattr(self.program, f"{kind}s")]


UNARY = {
    "negative": operator.neg,
    "positive": operator.pos,
    "abs": np.abs,
    "tanh": np.tanh,
    "square": np.square,
    "sign": np.sign,
}
BINARY = {
    "add": operator.add,
    "subtract": operator.sub,
    "multiply": operator.mul,
    "maximum": np.maximum,
    "divide": operator.truediv,
}
NUMBERS = (0.0, -0.0, 1.0, 1, 0, 0.5, -2.0)
SHAPES = ((), (3,), (1, 3), (4, 1), (4, 3))


@st.composite
def builders(draw, steps=25, elementwise=False):
    """A Builder with a drawn program of elementwise operations, products, views and sums.

    With elementwise=True, all arrays have one shape, and results of sums come in between: long chains
    with many operands and results.
    """
    builder = Builder()
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    values = []
    for kind in ("argument", "state", "state", "state", "constant"):
        fixed = elementwise or kind == "state"
        shape = (4, 3) if fixed else draw(st.sampled_from(SHAPES))
        x = rng.standard_normal(shape).astype("f")
        values.append(builder.input(kind, np.where(np.abs(x) < 0.2, np.float32(-0.0), x)))
    host = builder.input("host", 0.25)
    for _ in range(draw(st.integers(1, steps))):
        if elementwise:
            values.append(_drawn_elementwise(draw, builder, values))
        else:
            values.append(_drawn_operation(draw, builder, values, host))
    builder.program.outputs = draw(st.lists(st.sampled_from(values), min_size=1, max_size=3))
    for i, state in enumerate(builder.program.states):
        fitting = [x for x in values if x.shape == state.shape and x.dtype == state.dtype]
        if draw(st.booleans()):
            builder.program.updates[i] = draw(st.sampled_from(fitting))
    return builder


def _drawn_operation(draw, builder, values, host):
    x = draw(st.sampled_from(values))
    kinds = ["unary", "binary", "number", "sum", "full"]
    if len(x.shape) == 2:
        kinds += ["transposition", "reshaping", "product"]
    match draw(st.sampled_from(kinds)):
        case "unary":
            name = draw(st.sampled_from(sorted(UNARY)))
            args = (name, UNARY[name], x)
        case "binary":
            name = draw(st.sampled_from(sorted(BINARY)))
            other = draw(st.sampled_from([y for y in values if compatible(x, y)]))
            args = (name, BINARY[name], x, other)
        case "number":
            name = draw(st.sampled_from(("add", "subtract", "multiply")))
            number = draw(st.sampled_from((*NUMBERS, host)))
            operands = (x, number) if draw(st.booleans()) else (number, x)
            args = (name, BINARY[name], *operands)
        case "sum":
            args = ("sum", np.sum, x)
        case "full":
            args = ("full", np.full, (3,), np.float32(2))
        case "transposition":
            args = ("matrix_transpose", np.matrix_transpose, x)
        case "reshaping":
            args = ("reshape", np.reshape, x, x.shape)
        case "product":
            turned = builder.apply("matrix_transpose", np.matrix_transpose, x)
            args = ("matmul", operator.matmul, x, turned)
    return builder.apply(*args)


def _drawn_elementwise(draw, builder, values):
    x = draw(st.sampled_from(values))
    kind = draw(st.sampled_from(("unary", "binary", "binary", "sum")))
    if kind == "unary":
        name = draw(st.sampled_from(sorted(UNARY)))
        return builder.apply(name, UNARY[name], x)
    if kind == "binary":
        name = draw(st.sampled_from(sorted(BINARY)))
        return builder.apply(name, BINARY[name], x, draw(st.sampled_from(values)))
    return builder.apply("cumulative_sum", np.cumsum, x, axis=0)  # no step of a chain


def compatible(x, y):
    """Whether the shapes of two Values broadcast."""
    pairs = zip(x.shape[::-1], y.shape[::-1], strict=False)
    return all(m == n or 1 in (m, n) for m, n in pairs)


def training_step(name, optimizer=None, seed=0):
    """A step of a model of `xpnet.models`, and its arguments."""
    shape, options, batch = SIZES[name]
    model = xpnet.models.build(name, shape, 10, rng=seed, **options)
    optimizer = (optimizer or (lambda p: xpnet.SGD(p, lr=0.1)))(model.parameters())
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((batch, *shape)).astype("f")
    t = rng.integers(0, 10, batch)

    def step(x, t):
        loss = F.softmax_cross_entropy(model(x), t)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return step, (x, t)


class Capturing(LibraryExecutor):
    """Keeps what its last run was given."""

    def run(self, arguments, hosts):
        self.given = list(arguments), [np.array(x) for x in self.states], list(hosts)
        return super().run(arguments, hosts)


def recorded_step(name, optimizer=None):
    """(program, arguments, states, hosts) of the fourth step of a model."""
    step, arguments = training_step(name, optimizer)
    compiled = Compiled(step, executor=Capturing)
    for _ in range(4):
        compiled(*arguments)
    (replay,) = compiled.replays
    return replay.program, *replay.executor.given
