"""Differentiable functions, by the chapters of the array API standard, then the networks' own.

    from xpnet import functions as F

Given arrays they compute, on the arrays' own library and device; given Variables they compute and
remember. Names and parameters are the standard's where the standard has the function.
"""

from xpnet.functions.activation import (
    log_softmax as log_softmax,
)
from xpnet.functions.activation import (
    relu as relu,
)
from xpnet.functions.activation import (
    sigmoid as sigmoid,
)
from xpnet.functions.activation import (
    softmax as softmax,
)
from xpnet.functions.creation import (
    full_like as full_like,
)
from xpnet.functions.creation import (
    ones_like as ones_like,
)
from xpnet.functions.creation import (
    zeros_like as zeros_like,
)
from xpnet.functions.data_type import (
    astype as astype,
)
from xpnet.functions.elementwise import (
    abs as abs,
)
from xpnet.functions.elementwise import (
    acos as acos,
)
from xpnet.functions.elementwise import (
    acosh as acosh,
)
from xpnet.functions.elementwise import (
    add as add,
)
from xpnet.functions.elementwise import (
    asin as asin,
)
from xpnet.functions.elementwise import (
    asinh as asinh,
)
from xpnet.functions.elementwise import (
    atan as atan,
)
from xpnet.functions.elementwise import (
    atan2 as atan2,
)
from xpnet.functions.elementwise import (
    atanh as atanh,
)
from xpnet.functions.elementwise import (
    ceil as ceil,
)
from xpnet.functions.elementwise import (
    cos as cos,
)
from xpnet.functions.elementwise import (
    cosh as cosh,
)
from xpnet.functions.elementwise import (
    divide as divide,
)
from xpnet.functions.elementwise import (
    equal as equal,
)
from xpnet.functions.elementwise import (
    exp as exp,
)
from xpnet.functions.elementwise import (
    expm1 as expm1,
)
from xpnet.functions.elementwise import (
    floor as floor,
)
from xpnet.functions.elementwise import (
    greater as greater,
)
from xpnet.functions.elementwise import (
    greater_equal as greater_equal,
)
from xpnet.functions.elementwise import (
    hypot as hypot,
)
from xpnet.functions.elementwise import (
    isfinite as isfinite,
)
from xpnet.functions.elementwise import (
    isinf as isinf,
)
from xpnet.functions.elementwise import (
    isnan as isnan,
)
from xpnet.functions.elementwise import (
    less as less,
)
from xpnet.functions.elementwise import (
    less_equal as less_equal,
)
from xpnet.functions.elementwise import (
    log as log,
)
from xpnet.functions.elementwise import (
    log1p as log1p,
)
from xpnet.functions.elementwise import (
    log2 as log2,
)
from xpnet.functions.elementwise import (
    log10 as log10,
)
from xpnet.functions.elementwise import (
    logaddexp as logaddexp,
)
from xpnet.functions.elementwise import (
    logical_and as logical_and,
)
from xpnet.functions.elementwise import (
    logical_not as logical_not,
)
from xpnet.functions.elementwise import (
    logical_or as logical_or,
)
from xpnet.functions.elementwise import (
    logical_xor as logical_xor,
)
from xpnet.functions.elementwise import (
    maximum as maximum,
)
from xpnet.functions.elementwise import (
    minimum as minimum,
)
from xpnet.functions.elementwise import (
    multiply as multiply,
)
from xpnet.functions.elementwise import (
    negative as negative,
)
from xpnet.functions.elementwise import (
    not_equal as not_equal,
)
from xpnet.functions.elementwise import (
    positive as positive,
)
from xpnet.functions.elementwise import (
    pow as pow,
)
from xpnet.functions.elementwise import (
    reciprocal as reciprocal,
)
from xpnet.functions.elementwise import (
    round as round,
)
from xpnet.functions.elementwise import (
    sign as sign,
)
from xpnet.functions.elementwise import (
    sin as sin,
)
from xpnet.functions.elementwise import (
    sinh as sinh,
)
from xpnet.functions.elementwise import (
    sqrt as sqrt,
)
from xpnet.functions.elementwise import (
    square as square,
)
from xpnet.functions.elementwise import (
    subtract as subtract,
)
from xpnet.functions.elementwise import (
    tan as tan,
)
from xpnet.functions.elementwise import (
    tanh as tanh,
)
from xpnet.functions.elementwise import (
    trunc as trunc,
)
from xpnet.functions.indexing import (
    getitem as getitem,
)
from xpnet.functions.linalg import (
    linear as linear,
)
from xpnet.functions.linalg import (
    linear_simple as linear_simple,
)
from xpnet.functions.linalg import (
    matmul as matmul,
)
from xpnet.functions.linalg import (
    matrix_transpose as matrix_transpose,
)
from xpnet.functions.loss import (
    binary_cross_entropy as binary_cross_entropy,
)
from xpnet.functions.loss import (
    binary_cross_entropy_with_logits as binary_cross_entropy_with_logits,
)
from xpnet.functions.loss import (
    mean_squared_error as mean_squared_error,
)
from xpnet.functions.loss import (
    softmax_cross_entropy as softmax_cross_entropy,
)
from xpnet.functions.manipulation import (
    broadcast_to as broadcast_to,
)
from xpnet.functions.manipulation import (
    concat as concat,
)
from xpnet.functions.manipulation import (
    expand_dims as expand_dims,
)
from xpnet.functions.manipulation import (
    flip as flip,
)
from xpnet.functions.manipulation import (
    permute_dims as permute_dims,
)
from xpnet.functions.manipulation import (
    reshape as reshape,
)
from xpnet.functions.manipulation import (
    squeeze as squeeze,
)
from xpnet.functions.manipulation import (
    stack as stack,
)
from xpnet.functions.searching import (
    all as all,
)
from xpnet.functions.searching import (
    any as any,
)
from xpnet.functions.searching import (
    argmax as argmax,
)
from xpnet.functions.searching import (
    argmin as argmin,
)
from xpnet.functions.searching import (
    where as where,
)
from xpnet.functions.statistical import (
    max as max,
)
from xpnet.functions.statistical import (
    mean as mean,
)
from xpnet.functions.statistical import (
    min as min,
)
from xpnet.functions.statistical import (
    std as std,
)
from xpnet.functions.statistical import (
    sum as sum,
)
from xpnet.functions.statistical import (
    var as var,
)
