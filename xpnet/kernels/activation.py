"""Activations for CuPy: one launch each way.

A gradient that is cut off is 0 even where what came back is infinite or NaN. Numbers of 16 bits are
computed in 32 bits, and rounded once.
"""

from xpnet.kernels.cuda import Elementwise, floating
from xpnet.kernels.lookup import Kernel

SIGMOID = "exp(fmin(z, A(0))) / (1 + exp(-fabs(z)))"  # without overflow for any z

CODES = {  # by name: what goes in, and how y is made of it
    "relu": (
        "T x",
        "y = x <= T(0) ? T(0) : x;",  # NaN is NaN
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
        "T gy, T out",
        "const A s = out; y = A(gy) * (s * (1 - s));",
    ),
    "tanh_gradient": (
        "T gy, T out",
        "const A s = out; y = A(gy) * (1 - s * s);",
    ),
    "leaky_relu": (
        "T x, float64 slope",
        "const A z = x; y = z > 0 ? z : A(slope) * z;",
    ),
    "leaky_relu_gradient": (
        "T gy, T x, float64 slope",
        "const A g = gy; y = x > T(0) ? g : A(slope) * g;",
    ),
    "elu": (
        "T x, float64 alpha",
        "const A z = x; y = z > 0 ? z : A(alpha) * expm1(z);",
    ),
    "elu_gradient": (
        "T gy, T x, float64 alpha",
        "const A z = x; y = A(gy) * (z > 0 ? A(1) : A(alpha) * exp(z));",
    ),
    "softplus": (
        "T x, float64 beta, float64 threshold",
        "const A z = A(beta) * A(x);"
        "y = z > A(threshold) ? A(x) : (fmax(z, A(0)) + log1p(exp(-fabs(z)))) / A(beta);",
    ),
    "softplus_gradient": (
        "T gy, T x, float64 beta, float64 threshold",
        f"const A z = A(beta) * A(x); y = A(gy) * (z > A(threshold) ? A(1) : {SIGMOID});",
    ),
}

KERNELS = {name: Kernel(Elementwise(name, *code), floating) for name, code in CODES.items()}
