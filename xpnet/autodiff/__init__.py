"""Automatic differentiation: computations with Variables are recorded, and differentiated backward.

    Variable, Parameter     an array with a gradient, and one that a layer owns
    Function                one differentiable operation: its value, and the rule for its derivative
    gradients               gradients with respect to given Variables, without changing any `grad`
    no_grad                 a block in which nothing is recorded
    grad, value_and_grad    the gradient of a function, as a function
    vjp, jvp                the derivative of a function, times a vector
    jacobian, hessian, hvp  all derivatives, all second derivatives, and these times a vector
    gradient_checkpoint     less memory for more time
    custom_rule             a derivative that you define
    array_namespace         the functions for an array or a Variable
    tree                    nested dicts, lists and tuples of arrays

Read `variable`, `function` and `tape` first, in this order: the rest is built upon them.
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
