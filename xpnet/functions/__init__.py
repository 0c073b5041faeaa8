"""Differentiable functions, by the chapters of the array API standard, then the networks' own.

    from xpnet import functions as F

This module is itself a namespace of the standard, version 2025.12. Its functions compute on the
library and device of the arrays that they are given; for Variables they also record the graph.
Names and parameters are the standard's where the standard has the function. Functions that create
arrays use the current backend, and return Variables without history.
"""

from typing import TYPE_CHECKING, Any

from xpnet._hints import for_functions, missing
from xpnet.autodiff.namespace import API_VERSION, CONSTANTS, DTYPES, EXTENSIONS, dir_of
from xpnet.backend import current
from xpnet.errors import MissingAttributeError
from xpnet.functions._registry import (
    hide_chapters as _hide_chapters,
    import_extension as _import_extension,
)
from xpnet.functions.activation import (
    elu as elu,
    gelu as gelu,
    leaky_relu as leaky_relu,
    log_softmax as log_softmax,
    relu as relu,
    sigmoid as sigmoid,
    silu as silu,
    softmax as softmax,
    softplus as softplus,
)
from xpnet.functions.attention import (
    attention_weights as attention_weights,
    scaled_dot_product_attention as scaled_dot_product_attention,
)
from xpnet.functions.convolution import conv as conv, conv_transpose as conv_transpose
from xpnet.functions.creation import (
    arange as arange,
    asarray as asarray,
    empty as empty,
    empty_like as empty_like,
    eye as eye,
    from_dlpack as from_dlpack,
    full as full,
    full_like as full_like,
    linspace as linspace,
    ones as ones,
    ones_like as ones_like,
    zeros as zeros,
    zeros_like as zeros_like,
)
from xpnet.functions.cross_entropy import (
    binary_cross_entropy as binary_cross_entropy,
    binary_cross_entropy_with_logits as binary_cross_entropy_with_logits,
    kl_divergence as kl_divergence,
    softmax_cross_entropy as softmax_cross_entropy,
)
from xpnet.functions.data_type import (
    astype as astype,
    can_cast as can_cast,
    finfo as finfo,
    iinfo as iinfo,
    isdtype as isdtype,
    result_type as result_type,
)
from xpnet.functions.dropout import dropout as dropout
from xpnet.functions.einsum import einsum as einsum
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
    bitwise_and as bitwise_and,
    bitwise_invert as bitwise_invert,
    bitwise_left_shift as bitwise_left_shift,
    bitwise_or as bitwise_or,
    bitwise_right_shift as bitwise_right_shift,
    bitwise_xor as bitwise_xor,
    ceil as ceil,
    clip as clip,
    conj as conj,
    copysign as copysign,
    cos as cos,
    cosh as cosh,
    divide as divide,
    equal as equal,
    exp as exp,
    expm1 as expm1,
    floor as floor,
    floor_divide as floor_divide,
    greater as greater,
    greater_equal as greater_equal,
    hypot as hypot,
    imag as imag,
    isfinite as isfinite,
    isinf as isinf,
    isnan as isnan,
    less as less,
    less_equal as less_equal,
    log as log,
    log1p as log1p,
    log2 as log2,
    log10 as log10,
    logaddexp as logaddexp,
    logical_and as logical_and,
    logical_not as logical_not,
    logical_or as logical_or,
    logical_xor as logical_xor,
    maximum as maximum,
    minimum as minimum,
    multiply as multiply,
    negative as negative,
    nextafter as nextafter,
    not_equal as not_equal,
    positive as positive,
    pow as pow,
    real as real,
    reciprocal as reciprocal,
    remainder as remainder,
    round as round,
    sign as sign,
    signbit as signbit,
    sin as sin,
    sinh as sinh,
    sqrt as sqrt,
    square as square,
    subtract as subtract,
    tan as tan,
    tanh as tanh,
    trunc as trunc,
)
from xpnet.functions.embedding import embedding as embedding
from xpnet.functions.indexing import (
    getitem as getitem,
    take as take,
    take_along_axis as take_along_axis,
)
from xpnet.functions.inspection import (
    __array_namespace_info__ as __array_namespace_info__,
)
from xpnet.functions.linear import linear as linear
from xpnet.functions.logsumexp import logsumexp as logsumexp
from xpnet.functions.loss import (
    hinge_loss as hinge_loss,
    huber_loss as huber_loss,
    l1_loss as l1_loss,
    mean_squared_error as mean_squared_error,
)
from xpnet.functions.manipulation import (
    broadcast_arrays as broadcast_arrays,
    broadcast_shapes as broadcast_shapes,
    broadcast_to as broadcast_to,
    concat as concat,
    diff as diff,
    expand_dims as expand_dims,
    flip as flip,
    meshgrid as meshgrid,
    moveaxis as moveaxis,
    permute_dims as permute_dims,
    repeat as repeat,
    reshape as reshape,
    roll as roll,
    squeeze as squeeze,
    stack as stack,
    tile as tile,
    tril as tril,
    triu as triu,
    unstack as unstack,
)
from xpnet.functions.normal import normal_cdf as normal_cdf
from xpnet.functions.normalization import (
    batch_norm as batch_norm,
    group_norm as group_norm,
    layer_norm as layer_norm,
)
from xpnet.functions.pooling import (
    avg_pool as avg_pool,
    global_avg_pool as global_avg_pool,
    global_max_pool as global_max_pool,
    max_pool as max_pool,
)
from xpnet.functions.products import (
    matmul as matmul,
    matrix_transpose as matrix_transpose,
    tensordot as tensordot,
    vecdot as vecdot,
)
from xpnet.functions.recurrent import gru as gru, lstm as lstm, rnn as rnn
from xpnet.functions.searching import (
    all as all,
    any as any,
    argmax as argmax,
    argmin as argmin,
    count_nonzero as count_nonzero,
    nonzero as nonzero,
    searchsorted as searchsorted,
    where as where,
)
from xpnet.functions.sorting import (
    argsort as argsort,
    isin as isin,
    sort as sort,
    unique_all as unique_all,
    unique_counts as unique_counts,
    unique_inverse as unique_inverse,
    unique_values as unique_values,
)
from xpnet.functions.statistical import (
    cumulative_prod as cumulative_prod,
    cumulative_sum as cumulative_sum,
    max as max,
    mean as mean,
    min as min,
    prod as prod,
    std as std,
    sum as sum,
    var as var,
)
from xpnet.functions.stopping import stop_gradient as stop_gradient

if TYPE_CHECKING:  # the extensions are imported when they are first used
    from xpnet.functions import fft as fft, linalg as linalg, special as special

__all__ = [
    "abs",
    "acos",
    "acosh",
    "add",
    "all",
    "any",
    "arange",
    "argmax",
    "argmin",
    "argsort",
    "asarray",
    "asin",
    "asinh",
    "astype",
    "atan",
    "atan2",
    "atanh",
    "attention_weights",
    "avg_pool",
    "batch_norm",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "bitwise_and",
    "bitwise_invert",
    "bitwise_left_shift",
    "bitwise_or",
    "bitwise_right_shift",
    "bitwise_xor",
    "broadcast_arrays",
    "broadcast_shapes",
    "broadcast_to",
    "can_cast",
    "ceil",
    "clip",
    "concat",
    "conj",
    "conv",
    "conv_transpose",
    "copysign",
    "cos",
    "cosh",
    "count_nonzero",
    "cumulative_prod",
    "cumulative_sum",
    "diff",
    "divide",
    "dropout",
    "einsum",
    "elu",
    "embedding",
    "empty",
    "empty_like",
    "equal",
    "exp",
    "expand_dims",
    "expm1",
    "eye",
    "fft",
    "finfo",
    "flip",
    "floor",
    "floor_divide",
    "from_dlpack",
    "full",
    "full_like",
    "gelu",
    "getitem",
    "global_avg_pool",
    "global_max_pool",
    "greater",
    "greater_equal",
    "group_norm",
    "gru",
    "hinge_loss",
    "huber_loss",
    "hypot",
    "iinfo",
    "imag",
    "isdtype",
    "isfinite",
    "isin",
    "isinf",
    "isnan",
    "kl_divergence",
    "l1_loss",
    "layer_norm",
    "leaky_relu",
    "less",
    "less_equal",
    "linalg",
    "linear",
    "linspace",
    "log",
    "log1p",
    "log2",
    "log10",
    "log_softmax",
    "logaddexp",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "logsumexp",
    "lstm",
    "matmul",
    "matrix_transpose",
    "max",
    "max_pool",
    "maximum",
    "mean",
    "mean_squared_error",
    "meshgrid",
    "min",
    "minimum",
    "moveaxis",
    "multiply",
    "negative",
    "nextafter",
    "nonzero",
    "normal_cdf",
    "not_equal",
    "ones",
    "ones_like",
    "permute_dims",
    "positive",
    "pow",
    "prod",
    "real",
    "reciprocal",
    "relu",
    "remainder",
    "repeat",
    "reshape",
    "result_type",
    "rnn",
    "roll",
    "round",
    "scaled_dot_product_attention",
    "searchsorted",
    "sigmoid",
    "sign",
    "signbit",
    "silu",
    "sin",
    "sinh",
    "softmax",
    "softmax_cross_entropy",
    "softplus",
    "sort",
    "special",
    "sqrt",
    "square",
    "squeeze",
    "stack",
    "std",
    "stop_gradient",
    "subtract",
    "sum",
    "take",
    "take_along_axis",
    "tan",
    "tanh",
    "tensordot",
    "tile",
    "tril",
    "triu",
    "trunc",
    "unique_all",
    "unique_counts",
    "unique_inverse",
    "unique_values",
    "unstack",
    "var",
    "vecdot",
    "where",
    "zeros",
    "zeros_like",
]

__array_api_version__ = API_VERSION


_hide_chapters(globals())


def __getattr__(name: str) -> Any:
    """Dtypes and constants are those of the current backend's library."""
    if name in EXTENSIONS:
        return _import_extension(name)
    if name in DTYPES or name in CONSTANTS:
        return getattr(current().xp, name)
    if name.startswith("__"):  # looked up by Python itself
        raise MissingAttributeError(f"module {__name__!r} has no attribute {name!r}")
    in_extensions = {n: f"F.{e}.{n}" for e in EXTENSIONS for n in _import_extension(e).__all__}
    raise missing(__name__, name, __dir__(), in_extensions | for_functions())


def __dir__() -> list[str]:
    of_module = (
        "__all__",
        "__array_api_version__",
        "__array_namespace_info__",
        "__doc__",
        "__name__",
    )
    return sorted({*__all__, *dir_of(), *of_module})
