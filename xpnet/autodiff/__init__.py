"""Automatic differentiation: computations with Variables are recorded, and differentiated backward.

Variable, Parameter, Function          an array with a gradient; one that a layer owns; a primitive
gradients, no_grad                     gradients without changing `grad`; a block without recording
grad, value_and_grad, vjp, jvp,
jacobian, hessian, hvp                 derivatives of a function, as functions
gradient_checkpoint, custom_rule       less memory for more time; a derivative that you define
array_namespace, tree                  the functions for an array; nested arguments
"""

from xpnet.autodiff import tree as tree
from xpnet.autodiff.custom_rule import custom_rule as custom_rule
from xpnet.autodiff.derivatives import (
    grad as grad,
    hessian as hessian,
    hvp as hvp,
    jacobian as jacobian,
    jvp as jvp,
    value_and_grad as value_and_grad,
    vjp as vjp,
)
from xpnet.autodiff.function import Function as Function
from xpnet.autodiff.gradient_checkpoint import gradient_checkpoint as gradient_checkpoint
from xpnet.autodiff.namespace import array_namespace as array_namespace
from xpnet.autodiff.tape import no_grad as no_grad
from xpnet.autodiff.variable import (
    Parameter as Parameter,
    Variable as Variable,
    gradients as gradients,
)

__all__ = [
    "Function",
    "Parameter",
    "Variable",
    "array_namespace",
    "custom_rule",
    "grad",
    "gradient_checkpoint",
    "gradients",
    "hessian",
    "hvp",
    "jacobian",
    "jvp",
    "no_grad",
    "tree",
    "value_and_grad",
    "vjp",
]
