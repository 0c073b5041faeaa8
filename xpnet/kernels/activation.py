"""Activations for CuPy: one launch each way.

A gradient that is cut off is 0 even where the incoming gradient is infinite or NaN. For float16
inputs, numbers are computed in float32 and rounded once. In the code, T is the type of the arrays and
A that of the computation; gy is the gradient of the output.
"""

from xpnet.kernels.cuda import Elementwise, floating
from xpnet.kernels.lookup import Kernel

SIGMOID = "exp(fmin(z, A(0))) / (1 + exp(-fabs(z)))"  # without overflow for any z

# The normal distribution function, precise in the far negative tail too; the number is -1 / sqrt(2).
NORMAL_CDF = "erfc(z * A(-0.7071067811865476)) / 2"
# The share of x in gelu(x, approximate="tanh"); the slope is 2 sqrt(2 / pi).
TANH_GELU = """
    const A cube = A(0.044715), slope = A(1.5957691216057308);
    const A c = z == z ? fmin(fmax(z, A(-30)), A(30)) : z;  // so that the cube does not overflow
    const A u = slope * (c * (1 + cube * (c * c))), small = exp(-fabs(u));
    const A share = (u < 0 ? small : A(1)) / (1 + small);  // it is (1 + tanh(u / 2)) / 2
"""
# The derivative of the sigmoid, computed from small = exp(-|x|).
LOGISTIC_DENSITY = "small / ((1 + small) * (1 + small))"

CODES = {  # by name: the inputs, and the CUDA code that computes y from them
    "relu": (
        "T x",
        "y = x <= T(0) ? T(0) : x;",  # NaN stays NaN
    ),
    "relu_gradient": (
        "T gy, T out",
        "y = out > T(0) ? gy : T(0);",
    ),
    "sigmoid": (
        "T x",
        f"const A z = x; y = {SIGMOID};",
    ),
    "sigmoid_gradient": (
        "T gy, T x",
        f"const A small = exp(-fabs(A(x))); y = A(gy) * ({LOGISTIC_DENSITY});",
    ),
    "tanh_gradient": (
        "T gy, T x",
        """
        const A near = exp(-fabs(A(x))), small = near * near;  // exp(-|2 x|): tanh is a sigmoid of 2 x
        y = A(gy) * (4 * small / ((1 + small) * (1 + small)));
        """,
    ),
    "leaky_relu": (
        "T x, float64 slope",
        "const A z = x; y = z > 0 ? z : A(slope) * z;",
    ),
    "leaky_relu_gradient": (
        "T gy, T x, float64 slope",
        "const A g = gy; y = x > T(0) ? g : slope == 0 ? A(0) : A(slope) * g;",
    ),
    "elu": (
        "T x, float64 alpha",
        "const A z = x; y = z > 0 ? z : A(alpha) * expm1(z);",
    ),
    "elu_gradient": (
        "T gy, T x, float64 alpha",
        """
        const A z = x, g = gy;
        y = z > 0 ? g : alpha == 0 ? A(0) : g * (A(alpha) * exp(z));
        """,
    ),
    "softplus": (
        "T x, float64 beta, float64 threshold",
        """
        const A z = A(beta) * A(x);
        y = z > A(threshold) ? A(x) : (fmax(z, A(0)) + log1p(exp(-fabs(z)))) / A(beta);
        """,
    ),
    "softplus_gradient": (
        "T gy, T x, float64 beta, float64 threshold",
        f"const A z = A(beta) * A(x); y = A(gy) * (z > A(threshold) ? A(1) : {SIGMOID});",
    ),
    "silu": (
        "T x",
        f"const A z = x; y = fmax(z, A(-1e4)) * ({SIGMOID});",  # -inf times 0 would be NaN
    ),
    "silu_gradient": (
        "T gy, T x",
        f"""
        // Beyond 1000, x times the sigmoid's derivative is 0; infinity times 0 would be NaN.
        const A z = x, near = fmin(fmax(z, A(-1000)), A(1000)), small = exp(-fabs(near));
        y = A(gy) * ({SIGMOID} + near * ({LOGISTIC_DENSITY}));
        """,
    ),
    "gelu": (
        "T x",
        f"const A z = x; y = fmax(z, A(-1e4)) * ({NORMAL_CDF});",  # as for silu
    ),
    "gelu_gradient": (
        "T gy, T x",
        f"""
        // Beyond 40, x times the normal density is 0. The last number is 1 / sqrt(2 pi).
        const A z = x, near = fmin(fmax(z, A(-40)), A(40));
        y = A(gy) * ({NORMAL_CDF} + near * exp(near * near / -2) * A(0.3989422804014327));
        """,
    ),
    "tanh_gelu": (
        "T x",
        f"const A z = x; {TANH_GELU} y = fmax(z, A(-1e4)) * share;",  # as for silu
    ),
    "tanh_gelu_gradient": (
        "T gy, T x",
        f"""
        const A z = x; {TANH_GELU}
        y = A(gy) * (share + c * ({LOGISTIC_DENSITY} * (slope * (1 + 3 * cube * (c * c)))));
        """,
    ),
}

KERNELS = {name: Kernel(Elementwise(name, *code), floating) for name, code in CODES.items()}
