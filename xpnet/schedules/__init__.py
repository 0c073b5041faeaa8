"""Schedules: how the learning rate changes, as pure functions of the step.

A schedule takes the number of a step, from 0, and returns the factor by which the optimizer's
learning rates are multiplied in that step: `optimizer.factor = schedule(n)`. It has no state, so a
training that is resumed needs only n. The values are those of PyTorch's schedulers.

>>> rate = warmup(cosine(100), steps=10)
>>> [round(rate(n), 3) for n in (0, 5, 10, 60, 110)]
[0.091, 0.545, 1.0, 0.5, 0.0]

If n should count epochs and not steps, use `per_epoch(schedule, steps_per_epoch)`.
`reduce_on_plateau` is a function of the losses so far.
"""

from xpnet.schedules.by_name import (
    BY_NAME as BY_NAME,
    schedule as schedule,
)
from xpnet.schedules.curves import (
    Schedule as Schedule,
    constant as constant,
    cosine as cosine,
    cosine_restarts as cosine_restarts,
    exponential as exponential,
    linear as linear,
    multi_step as multi_step,
    one_cycle as one_cycle,
    per_epoch as per_epoch,
    step_decay as step_decay,
    warmup as warmup,
)
from xpnet.schedules.plateau import reduce_on_plateau as reduce_on_plateau

__all__ = [
    "BY_NAME",
    "Schedule",
    "constant",
    "cosine",
    "cosine_restarts",
    "exponential",
    "linear",
    "multi_step",
    "one_cycle",
    "per_epoch",
    "reduce_on_plateau",
    "schedule",
    "step_decay",
    "warmup",
]
