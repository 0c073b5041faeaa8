"""Optimizer: what all optimizers have in common; each adds its formula, `update`."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from operator import itemgetter
from typing import Any, ClassVar

from xpnet._each_step import each_step
from xpnet._hints import OPTIMIZERS, Renamed, hinted
from xpnet._libraries.devices import follow, known, stays
from xpnet._saved import finite, whole
from xpnet._typing import Array
from xpnet.autodiff.namespace import array_namespace, has_dtype
from xpnet.autodiff.tape import creation_order
from xpnet.autodiff.variable import Parameter, Variable
from xpnet.backend import array_like
from xpnet.errors import (
    ArgumentError,
    ArgumentTypeError,
    GradientError,
    MissingMethodError,
    ShapeError,
    StateError,
)
from xpnet.functions._in_float32 import cast_like, widened
from xpnet.kernels.lookup import kernel

Parameters = Iterable[Parameter] | Iterable[dict[str, Any]]
Options = dict[str, Any]  # of a group, by name
State = dict[str, Any]  # what is kept for a parameter between steps: arrays and counts, by name
Coefficients = Mapping[str, Any]  # the numbers of a step, by name
Member = tuple[Any, Array, State, bool]
"""A parameter in a step, its gradient, its state, and whether its dtype has 16 bits."""

BELOW_ONE = ("momentum", "alpha", "rho", "betas")  # options from 0 to below 1; others are >= 0


@hinted(OPTIMIZERS)
class Optimizer:
    """The base class: parameters in groups, the options of each group, and the state of each parameter.

    Parameters
    ----------
    parameters : iterable of Parameter, or of dicts
        Parameters, or other Variables that require a gradient (their arrays are copied, to be
        changed in place); each once. Or groups of them, as in PyTorch:
        `[{"params": body.parameters()}, {"params": head.parameters(), "lr": 0.1}]`. A group may
        set any option; for the others, the optimizer's values are used. Parameters of 16 bits are
        updated in float32, and their state is kept in float32.
    lr : float
        The learning rate, greater than 0. It may be changed between steps.
    weight_decay : float, default 0.0
        The strength of the pull towards zero. weight_decay * p is added to the gradient: the
        derivative of a penalty weight_decay / 2 * sum(p^2), as in PyTorch.
    decoupled_weight_decay : bool, default False
        Compute p -= lr * weight_decay * p before the step instead: a pull that is independent of
        momentum and of scaling by the gradient's size. Loshchilov and Hutter, "Decoupled weight decay
        regularization", ICLR 2019.
    **options
        The other numbers that a subclass's formula uses, which a group may set too: `betas`, `eps`.

    Attributes
    ----------
    factor : float
        The factor of a schedule, by which the learning rates of all groups are multiplied;
        initially 1.
    defaults : dict
        The options that a group does not set. They may be changed between steps.
    groups : list of dict
        "params", a list, and the options that the group sets; they may be changed too.
    parameters : list of Parameter
        The parameters of all groups.

    Raises
    ------
    TypeError
        Something is not a parameter, or an option is unknown.
    ValueError
        There are no parameters, one is given twice, or an option is out of its range.

    Examples
    --------
    >>> from xpnet import SGD
    >>> slow, fast = Parameter([1.0]), Parameter([1.0])
    >>> optimizer = SGD([{"params": [slow]}, {"params": [fast], "lr": 1.0}], lr=0.25)
    >>> optimizer.factor = 0.5  # as a schedule does
    >>> (slow + fast).backward([1.0])
    >>> optimizer.step()
    >>> float(slow[0]), float(fast[0])
    (0.875, 0.5)
    """

    learning_rate = Renamed("learning_rate", "optimizer.lr")
    slots: ClassVar[tuple[str, ...]] = ()  # the names of the arrays in a parameter's state
    slots_of_options: ClassVar[dict[str, str]] = {}  # for an option, the slot needed if it is not 0
    counts: ClassVar[tuple[str, ...]] = ("t",)  # the names of its numbers, which `advance` changes
    _count: ClassVar[Any] = itemgetter(*counts)  # returns the counts of a state
    # A compiled step reads the numbers in these attributes anew each time: see `each_step`.
    numbers_of_each_step: ClassVar[tuple[str, ...]] = (
        "factor", "defaults", "groups", "state", "_members",
    )  # fmt: skip

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._count = itemgetter(*cls.counts)
        own = vars(cls)
        if own.keys() & {"update", "decayed"} and "formula" not in own:
            # The inherited formula is not that of the new `update`.
            cls.formula = Optimizer.formula  # type: ignore[method-assign]

    def __init__(
        self,
        parameters: Parameters,
        lr: float,
        *,
        weight_decay: float = 0.0,
        decoupled_weight_decay: bool = False,
        **options: Any,
    ) -> None:
        decay = {"weight_decay": weight_decay, "decoupled_weight_decay": decoupled_weight_decay}
        self.defaults = self._checked({"lr": lr, **decay, **options})
        self.factor = 1.0
        self.groups: list[Options] = []
        self.parameters: list[Parameter] = []
        self.state: list[State] = []
        # Each group with its parameters, their states, and whether they have 16 bits.
        self._members: list[tuple[Options, list[tuple[Any, State, bool]]]] = []
        _require_all(parameters)
        given: list[Any] = [parameters]
        if hasattr(parameters, "__iter__"):
            given = list(parameters)
        if not given:
            raise ArgumentError(
                f"{type(self).__name__} was given no parameters. A layer finds those that are attributes, or "
                "items of lists and dicts that are: create them with xpnet.Parameter(array)."
            )
        if not isinstance(given[0], dict):
            given = [{"params": given}]
        for group in given:
            self.add_group(group)

    @stays
    def add_group(self, group: Options) -> None:
        """Add a group of parameters: `{"params": layer.parameters(), "lr": 0.001}`.

        Raises
        ------
        TypeError, ValueError
            As for the optimizer itself.
        """
        name = type(self).__name__
        given: Any = group
        if not (isinstance(given, dict) and "params" in given):
            raise ArgumentTypeError(
                f"{name} expected a group {{'params': [...], ...}}, got {group!r}."
            )
        options = dict(group)
        params = self._checked_parameters(options.pop("params"))
        if unknown := sorted(options.keys() - self.defaults.keys()):
            raise ArgumentTypeError(f"{name} has no option {unknown}, but {sorted(self.defaults)}.")
        options = self._checked(options)
        self._require_fit(self.defaults | options)
        self.groups.append({"params": params, **options})
        self.parameters += params
        members = []  # the parameters of the group, in the form that `step` needs
        for p in params:
            if not isinstance(p, Parameter):
                p.data = array_like(p.data, p.data)
            follow(p)
            x = widened(name, p.data)
            s = {"t": 0, **self.initial(x, self.defaults | options)}
            members.append((p, s, x is not p.data))
        self.state += [s for _, s, _ in members]
        self._members.append((self.groups[-1], members))

    def _checked_parameters(self, params: Any) -> list[Any]:
        """The parameters of a new group; an error if there are none, or one cannot be updated."""
        name = type(self).__name__
        _require_all(params)
        found: list[Any] = [params] if isinstance(params, Variable) else list(params)
        if not found:
            raise ArgumentError(f"{name} was given no parameters in a group.")
        if not all(_is_real_leaf(p) for p in found):
            kinds = ", ".join(sorted({type(p).__name__ for p in found}))
            raise ArgumentTypeError(
                f"{name} expected Parameters, as model.parameters() returns them, or other leaf "
                f"Variables of a real floating-point dtype; got {kinds}."
            )
        everything = [*self.parameters, *found]
        if len({id(p) for p in everything}) < len(everything):
            raise ArgumentError(f"{name} was given a parameter twice.")
        return found

    @property
    def lr(self) -> float:
        """The learning rate of all groups that do not set their own."""
        return float(self.defaults["lr"])

    @lr.setter
    def lr(self, lr: float) -> None:
        self.defaults["lr"] = float(lr)  # a NumPy scalar would turn float32 into float64

    @stays
    def step(self) -> None:
        """Update every parameter that has a gradient.

        Raises
        ------
        GradientError
            No parameter has a gradient: `backward` was not called.
        ShapeError
            A gradient has another shape than its parameter.
        StateError
            The parameters were moved to another library, or on CuPy to another device, since this
            optimizer was created.
        """
        ready = [(group, self._ready(members)) for group, members in self._members]
        if not any(members for _, members in ready):
            raise GradientError("No parameter has a gradient: call loss.backward() before step().")
        update = self.update
        for group, members in ready:
            for same_count in self._by_count(members):
                states = [s for _, _, s, _ in same_count]
                c = each_step(partial(self._advanced, states, group))
                now = next(creation_order)
                for p, _, _, _ in same_count:  # graphs that saved its old value are out of date
                    p.changed = now
                decays = "kept" in c or "pull" in c
                for p, g, s, narrow in self._left_by_kernel(same_count, c, group):
                    x = own = p.data
                    if known.several:
                        follow(x)
                    if narrow:
                        x = widened("step", x)
                        g = widened("step", g)
                    if decays:
                        x, g = self.decayed(x, g, c)
                    x = update(x, g, s, c)
                    p.data = cast_like(x, own) if narrow else x

    def _ready(self, members: list[tuple[Any, State, bool]]) -> list[Member]:
        """The parameters that have a gradient; each is checked before any of them is updated.

        Raises
        ------
        StateError
            The parameters were moved to another library, or on CuPy to another device, since the
            optimizer was created.
        ShapeError
            A gradient does not have the shape of its parameter.
        """
        ready = []
        slots = (*self.slots, *self.slots_of_options.values())
        _, first, _ = members[0]
        slot = next((name for name in slots if name in first), None)
        for p, s, narrow in members:
            g = p.raw_grad
            if g is None:
                continue
            if isinstance(g, Variable):
                g = g.data
            x = p.data
            if slot is not None:
                old = s[slot]
                if type(old) is not type(x) or (known.several and old.device != x.device):
                    raise StateError(
                        f"{self!r}: the parameters were moved to another library or device after the "
                        "optimizer was created. Create the optimizer after model.to(...)."
                    )
            if g.shape != x.shape:
                shapes = f"{tuple(x.shape)}, got {tuple(g.shape)}"
                raise ShapeError(f"{self!r}: expected a gradient of shape {shapes}.")
            ready.append((p, g, s, narrow))
        return ready

    def _by_count(self, members: list[Member]) -> Iterable[list[Member]]:
        """The members in lists with equal counts, and so with the same coefficients: usually one list."""
        if not members:
            return []
        kinds = each_step(partial(_kinds_of_counts, self._count, [s for _, _, s, _ in members]))
        if kinds is None:
            return [members]
        by_count: dict[int, list[Member]] = {}
        for kind, member in zip(kinds, members, strict=True):
            by_count.setdefault(kind, []).append(member)
        return by_count.values()

    def _advanced(self, states: list[State], group: Options) -> Coefficients:
        """Count a step of parameters with equal counts, and return the coefficients of that step.

        All numbers that an update depends on are read here: a compiled step calls this each time.
        With weight decay, the coefficients have "kept" or "pull" too: see `decayed`.
        """
        o = self._options_of(group)
        for option, slot in self.slots_of_options.items():
            if o[option] and slot not in states[0]:
                raise StateError(
                    f"{self!r} expected {option} to be 0 or False, as when the parameters were added, got "
                    f"{o[option]}: they have no {slot!r}. Create the optimizer with {option}; then it "
                    "can be changed between steps."
                )
        return self._numbers(states, o)

    def _numbers(self, states: list[State], o: Options) -> Coefficients:
        """`_advanced` with these options. Counts and options may be numbers of a graph: see `saving.onnx`."""
        self.advance(states, o)
        c = self.coefficients(states[0], o)
        decay = o["weight_decay"]
        if not decay:
            return c
        if o["decoupled_weight_decay"]:
            return {**c, "kept": 1.0 - o["lr"] * decay}
        return {**c, "pull": decay}

    def _options_of(self, group: Options) -> Options:
        """The options of a group; `lr` includes the schedule's factor."""
        o = self.defaults | group
        del o["params"]
        o["lr"] = float(o["lr"] * self.factor)
        return o

    def _left_by_kernel(
        self, members: list[Member], c: Coefficients, group: Options
    ) -> Iterable[Member]:
        """Update the members for which there is a kernel, all at once; return the other members."""
        fast = kernel("update", members[0][0].data)
        if fast is None:
            return members
        formula = self.formula(self._options_of(group))
        if formula is None:
            return members
        if "kept" in c:
            formula = f"p *= kept; {formula}"
        elif "pull" in c:
            formula = f"g += pull * p; {formula}"
        slots = tuple([name for name in members[0][2] if name not in self.counts])
        moves = [(p.data, g, [s[name] for name in slots]) for p, g, s, _ in members]
        left = set(fast(formula, c, slots, moves))
        return [member for i, member in enumerate(members) if i in left]

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters; call it before each `backward`.

        Without it, gradients add up: calling `backward` for several batches, each loss divided by
        the number of batches, and then one `step`, is a step on one large batch.
        """
        for p in self.parameters:
            p.raw_grad = None

    # --- what a formula is made of ----------------------------------------------------------

    def update(self, p: Array, g: Array, s: State, c: Coefficients) -> Array:
        """Compute the new value of `p`; it may be `p` itself, changed in place. Do not change `g`.

        `s` holds the parameter's arrays by name, and "t", the number of its step from 1; `c` is
        what `coefficients` returned.
        """
        raise MissingMethodError(f"{type(self).__name__} defines no update.")

    def coefficients(self, s: State, o: Options) -> Coefficients:
        """The numbers of a step, by name, computed from the counts in `s` and the group's options.

        In `o`, `lr` includes the schedule's factor. By default the coefficients are the options.

        A compiled step calls this each time, but not `update`: the floats that it returns may change
        from step to step. `update` uses them only as operands; to decide what it computes, it uses a
        bool, a string or None, or whether there is a coefficient of some name.
        """
        return o

    def formula(self, o: Options) -> str | None:
        """`update` as CUDA code for one number; None if a number's update depends on other numbers.

        The code reads g and the coefficients, and changes p and the slots, all by their names. It may
        differ with the options. `step` puts the code of weight decay before it. Its results equal
        those of `update` bit for bit: it does the same operations in the same order.
        """
        return None

    def advance(self, states: Iterable[State], o: Options) -> None:
        """Count a step in each of the states, before its coefficients are computed."""
        for s in states:
            s["t"] += 1

    def initial(self, p: Array, o: Options) -> State:
        """The state of a parameter before its first step: zeros in each slot that the options need."""
        needed = [slot for option, slot in self.slots_of_options.items() if o[option]]
        return {slot: array_namespace(p).zeros_like(p) for slot in (*self.slots, *needed)}

    def decayed(self, p: Array, g: Array, c: Coefficients) -> tuple[Array, Array]:
        """The parameter and its gradient, after weight decay.

        The coefficients have "kept", which is 1 - lr * weight_decay, if the decay is decoupled, and
        else "pull", which is weight_decay.
        """
        if "kept" in c:
            p *= c["kept"]
            return p, g
        return p, g + c["pull"] * p

    def _checked(self, options: Options) -> Options:
        """Options as Python's numbers, within their ranges."""
        checked: Options = {}
        for name, value in options.items():
            several = isinstance(value, (tuple, list))
            numbers = list(value) if several else [value]
            if name == "betas" and len(numbers) != 2:
                raise ArgumentError(f"{type(self).__name__} expected two betas, got {value}.")
            numbers = [self._in_range(name, number, value) for number in numbers]
            checked[name] = tuple(numbers) if several else numbers[0]
        return checked

    def _require_fit(self, o: Options) -> None:
        """Raise an error if the options of a group, each of which is in its range, do not fit together."""

    def _in_range(self, name: str, number: float | bool, value: Any) -> float | bool:
        """A number of an option's value as a float, a bool as it is; an error if out of range."""
        if not isinstance(number, bool):
            number = float(number)
        if name == "lr":
            expected = "lr > 0"
            in_range = 0.0 < number < math.inf
        elif name in BELOW_ONE:
            expected = f"0 <= {name} < 1"
            in_range = 0.0 <= number < 1.0
        else:
            expected = f"{name} >= 0"
            in_range = 0.0 <= number < math.inf
        if not in_range:
            raise ArgumentError(f"{type(self).__name__} expected {expected}, got {value}.")
        return number

    # --- saving and resuming ----------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """All that is needed to resume, by flat names: arrays, and numbers that JSON can hold.

        "0.m" and "0.t" belong to the first parameter, "lr" and "betas.0" are options, "groups.1.lr"
        is an option of a group, and "Adam.parameters" is the number of parameters. The arrays are
        the optimizer's own, not copies.
        """
        mine: dict[str, Any] = {
            f"{type(self).__name__}.parameters": len(self.parameters),
            "factor": self.factor,
        }
        for options, name, path in self._options():
            value = options[name]
            if isinstance(value, tuple):
                mine |= {f"{path}.{i}": x for i, x in enumerate(value)}
            else:
                mine[path] = value
        for i, s in enumerate(self.state):
            mine |= {f"{i}.{name}": x for name, x in s.items()}
        return mine

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from a state: its arrays, of any library, its counts and its options.

        Raises
        ------
        StateError
            The state is of another optimizer, or of other parameters. Then nothing is changed.
        """
        mine = self.state_dict()
        name = f"{type(self).__name__}.parameters"
        if name not in state:
            others = [key.removesuffix(".parameters") for key in state if "parameters" in key]
            raise StateError(f"{self!r}: the state is of {', '.join(others) or 'no optimizer'}.")
        if state[name] != mine[name]:
            raise StateError(f"{self!r} has {mine[name]} parameters, the state {state[name]}.")
        require_like(self, mine, state)
        factor = finite(state, "factor")
        options = [
            (found, name, self._loaded(found[name], path, name, state))
            for found, name, path in self._options()
        ]
        states = [self._loaded_state(i, s, state) for i, s in enumerate(self.state)]
        self.factor = factor  # from here on nothing can fail
        for found, name, value in options:
            found[name] = value
        for s, loaded in zip(self.state, states, strict=True):
            s.update(loaded)

    def _loaded(self, own: Any, path: str, name: str, state: dict[str, Any]) -> Any:
        """An option of a state, within its range."""
        if isinstance(own, tuple):
            value: Any = tuple(finite(state, f"{path}.{i}") for i in range(len(own)))
        elif isinstance(own, bool):
            value = state[path]
            if not isinstance(value, bool):
                raise StateError(f"Expected {path} to be true or false, got {value!r}.")
        else:
            value = finite(state, path)
        try:
            return self._checked({name: value})[name]
        except ArgumentError as error:
            raise StateError(f"{path}: {error}") from None

    def _loaded_state(self, i: int, own: State, state: dict[str, Any]) -> State:
        """The arrays and counts of a parameter."""
        loaded: State = {}
        for name, x in own.items():
            key = f"{i}.{name}"
            if isinstance(x, int):
                loaded[name] = whole(state, key)
            elif isinstance(x, float):
                loaded[name] = finite(state, key, 0.0)
            else:
                loaded[name] = array_like(state[key], widened(name, self.parameters[i].data))
        return loaded

    def _options(self) -> Iterator[tuple[Options, str, str]]:
        """Each option: the dict that contains it, its name there, and its name in a state."""
        prefixes = [("", self.defaults), *((f"groups.{i}.", g) for i, g in enumerate(self.groups))]
        for prefix, options in prefixes:
            for name in options:
                if name != "params":
                    yield options, name, f"{prefix}{name}"

    def __dir__(self) -> list[str]:
        """The attributes, without other libraries' names, which only raise an error with a hint."""
        hints = {*OPTIMIZERS, "learning_rate"}
        return [name for name in super().__dir__() if name not in hints or hasattr(self, name)]

    def __repr__(self) -> str:
        return f"{type(self).__name__}(lr={self.lr:g})"


def _kinds_of_counts(count: Callable[[State], Any], states: list[State]) -> tuple[int, ...] | None:
    """For each state a number, which is the same for equal counts; None if all are equal.

    A compiled step calls this each time: which parameters have equal counts may change, when some of
    them are not trained for a while, or a state is loaded.
    """
    if len(set(map(count, states))) == 1:
        return None
    numbers: dict[Any, int] = {}
    return tuple([numbers.setdefault(count(s), len(numbers)) for s in states])


def _is_real_leaf(p: Any) -> bool:
    """Whether p is a Variable that was not computed, of a real floating-point dtype."""
    return isinstance(p, Variable) and p.creator is None and has_dtype(p, "real floating")


def _require_all(parameters: Any) -> None:
    """Raise an error if the parameters are those of a layer with a Variable that would not be updated."""
    if hasattr(parameters, "require_all"):
        parameters.require_all()


def require_like(owner: Any, mine: dict[str, Any], state: dict[str, Any]) -> None:
    """Raise StateError unless two states have the same names, and arrays of the same shapes."""
    if mine.keys() != state.keys():
        lacking = sorted(mine.keys() - state.keys())
        unknown = sorted(state.keys() - mine.keys())
        raise StateError(f"{owner!r}: the state lacks {lacking} and has unknown {unknown}.")
    for key, x in mine.items():
        expected = tuple(getattr(x, "shape", ()))
        given = tuple(getattr(state[key], "shape", ()))
        if expected != given:
            raise StateError(f"{owner!r}: expected {key} of shape {expected}, got {given}.")
        if hasattr(x, "dtype") and not hasattr(state[key], "dtype"):
            raise StateError(f"{owner!r}: expected {key} to be an array, got {state[key]!r}.")
