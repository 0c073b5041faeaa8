"""Differentiable functions, by the chapters of the array API standard, then the networks' own.

    from xpnet import functions as F

Given arrays they compute, on the arrays' own library and device; given Variables they compute and
remember. Names and parameters are the standard's where the standard has the function.
"""

from xpnet.functions.creation import (
    full_like as full_like,
    ones_like as ones_like,
    zeros_like as zeros_like,
)
from xpnet.functions.elementwise import (
    abs as abs,
    acos as acos,
    acosh as acosh,
    add as add,
    asin as asin,
    asinh as asinh,
    atan as atan,
    atan2 as atan2,
    atanh as atanh,
    ceil as ceil,
    cos as cos,
    cosh as cosh,
    divide as divide,
    equal as equal,
    exp as exp,
    expm1 as expm1,
    floor as floor,
    greater as greater,
    greater_equal as greater_equal,
    hypot as hypot,
    isfinite as isfinite,
    isinf as isinf,
    isnan as isnan,
    less as less,
    less_equal as less_equal,
    log as log,
    log10 as log10,
    log1p as log1p,
    log2 as log2,
    logaddexp as logaddexp,
    logical_and as logical_and,
    logical_not as logical_not,
    logical_or as logical_or,
    logical_xor as logical_xor,
    maximum as maximum,
    minimum as minimum,
    multiply as multiply,
    negative as negative,
    not_equal as not_equal,
    positive as positive,
    pow as pow,
    reciprocal as reciprocal,
    round as round,
    sign as sign,
    sin as sin,
    sinh as sinh,
    sqrt as sqrt,
    square as square,
    subtract as subtract,
    tan as tan,
    tanh as tanh,
    trunc as trunc,
)
from xpnet.functions.indexing import (
    getitem as getitem,
)
from xpnet.functions.linalg import (
    linear as linear,
    linear_simple as linear_simple,
    matmul as matmul,
    matrix_transpose as matrix_transpose,
)
from xpnet.functions.manipulation import (
    broadcast_to as broadcast_to,
    concat as concat,
    expand_dims as expand_dims,
    flip as flip,
    permute_dims as permute_dims,
    reshape as reshape,
    squeeze as squeeze,
    stack as stack,
)
from xpnet.functions.searching import (
    all as all,
    any as any,
    argmax as argmax,
    argmin as argmin,
    where as where,
)
from xpnet.functions.statistical import (
    max as max,
    mean as mean,
    min as min,
    std as std,
    sum as sum,
    var as var,
)
from xpnet.functions.activation import (
    log_softmax as log_softmax,
    relu as relu,
    sigmoid as sigmoid,
    softmax as softmax,
)
from xpnet.functions.loss import (
    binary_cross_entropy as binary_cross_entropy,
    binary_cross_entropy_with_logits as binary_cross_entropy_with_logits,
    mean_squared_error as mean_squared_error,
    softmax_cross_entropy as softmax_cross_entropy,
)
