// The header that build.py precompiles: the prelude and the headers of CuPy that its kernels include.
#include "prelude.h"

#include <cupy/complex.cuh>

#include <cupy/atomics.cuh>
#include <cupy/bfloat16.cuh>
#include <cupy/float16.cuh>
#include <cupy/math_constants.h>
