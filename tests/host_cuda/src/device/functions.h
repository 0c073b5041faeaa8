// CUDA's built-in functions: those of integers and bits, and of mathematics.
#pragma once

// --- integers and bits ---------------------------------------------------------------------------

static inline int __clz(int x) {
    return x ? __builtin_clz(x) : 32;
}

static inline int __clzll(long long x) {
    return x ? __builtin_clzll(x) : 64;
}

static inline int __ffs(int x) {
    return __builtin_ffs(x);
}

static inline int __ffsll(long long x) {
    return __builtin_ffsll(x);
}

static inline int __popc(unsigned x) {
    return __builtin_popcount(x);
}

static inline int __popcll(unsigned long long x) {
    return __builtin_popcountll(x);
}

static inline unsigned __brev(unsigned x) {
    unsigned result = 0;
    for (int bit = 0; bit < 32; bit++) {
        result = result << 1 | (x >> bit & 1u);
    }
    return result;
}

static inline int __mulhi(int x, int y) {
    return static_cast<int>(static_cast<long long>(x) * y >> 32);
}

static inline unsigned __umulhi(unsigned x, unsigned y) {
    return static_cast<unsigned>(static_cast<unsigned long long>(x) * y >> 32);
}

static inline unsigned long long __umul64hi(unsigned long long x, unsigned long long y) {
    return static_cast<unsigned long long>(static_cast<unsigned __int128>(x) * y >> 64);
}

template <class To, class From>
static inline To host_cuda_bits(From x) {
    static_assert(sizeof(To) == sizeof(From), "");
    To result;
    std::memcpy(&result, &x, sizeof(To));
    return result;
}

static inline float __int_as_float(int x) {
    return host_cuda_bits<float>(x);
}

static inline int __float_as_int(float x) {
    return host_cuda_bits<int>(x);
}

static inline float __uint_as_float(unsigned x) {
    return host_cuda_bits<float>(x);
}

static inline unsigned __float_as_uint(float x) {
    return host_cuda_bits<unsigned>(x);
}

static inline double __longlong_as_double(long long x) {
    return host_cuda_bits<double>(x);
}

static inline long long __double_as_longlong(double x) {
    return host_cuda_bits<long long>(x);
}

template <class T>
static inline T __ldg(const T* p) {
    return *p;
}

// --- mathematics ---------------------------------------------------------------------------------

HOST_CUDA_MATHEMATICS(HOST_CUDA_USE_GLOBAL)

// min and max of equal types, and of two arithmetic types as CUDA's overloads promote them.
template <class T>
static inline const T& min(const T& a, const T& b) {
    return b < a ? b : a;
}

template <class T>
static inline const T& max(const T& a, const T& b) {
    return a < b ? b : a;
}

template <class A, class B>
using host_cuda_common =
    std::enable_if_t<!std::is_same<A, B>::value && std::is_arithmetic<A>::value &&
                         std::is_arithmetic<B>::value,
                     std::common_type<A, B>>;

template <class A, class B>
static inline typename host_cuda_common<A, B>::type min(A a, B b) {
    using T = typename host_cuda_common<A, B>::type;
    return static_cast<T>(b) < static_cast<T>(a) ? static_cast<T>(b) : static_cast<T>(a);
}

template <class A, class B>
static inline typename host_cuda_common<A, B>::type max(A a, B b) {
    using T = typename host_cuda_common<A, B>::type;
    return static_cast<T>(a) < static_cast<T>(b) ? static_cast<T>(b) : static_cast<T>(a);
}

// CUDA's min and max of floating-point numbers are fmin and fmax: a NaN gives way.
static inline float min(float a, float b) {
    return std::fmin(a, b);
}

static inline double min(double a, double b) {
    return std::fmin(a, b);
}

static inline float max(float a, float b) {
    return std::fmax(a, b);
}

static inline double max(double a, double b) {
    return std::fmax(a, b);
}

static inline float rsqrt(float x) {
    return 1 / std::sqrt(x);
}

static inline double rsqrt(double x) {
    return 1 / std::sqrt(x);
}

static inline float rsqrtf(float x) {
    return rsqrt(x);
}

#define exp10 host_cuda_exp10  // glibc has an extension of that name
static inline double host_cuda_exp10(double x) {
    return std::pow(10.0, x);
}

static inline float host_cuda_exp10(float x) {
    return std::pow(10.0f, x);
}

static inline double sinpi(double x) {
    return std::sin(M_PI * x);
}

static inline double cospi(double x) {
    return std::cos(M_PI * x);
}

static inline float normcdf(float x) {
    return std::erfc(-x * static_cast<float>(M_SQRT1_2)) / 2;
}

static inline double normcdf(double x) {
    return std::erfc(-x * M_SQRT1_2) / 2;
}

// exp(x^2) erfc(x): by both, with the rounding error of x^2, or far out by the asymptotic series.
static inline double erfcx(double x) {
    if (x > 25) {
        double term = 1, sum = 1;
        for (int k = 1; k <= 8; k++) {
            term *= -(2 * k - 1) / (2 * x * x);
            sum += term;
        }
        return sum / (x * std::sqrt(M_PI));
    }
    if (x < -27) {
        return INFINITY;
    }
    double square = x * x;
    return std::exp(square) * (1 + std::fma(x, x, -square)) * std::erfc(x);
}

static inline float erfcx(float x) {
    return erfcx(static_cast<double>(x));
}

static inline float erfcxf(float x) {
    return erfcx(x);
}

// The inverse of erfc for numbers from 0 to 1: Winitzki's approximation, then Halley's method.
static inline double host_cuda_erfcinv(double y) {
    double logarithm = std::log(y * (2 - y)), half = 2 / (M_PI * 0.147) + logarithm / 2;
    double z = std::sqrt(std::sqrt(half * half - logarithm / 0.147) - half);
    for (int i = 0; i < 4 && y > 0; i++) {
        double step = (std::erfc(z) - y) * std::sqrt(M_PI) / 2 / std::exp(-z * z);
        z += step / (1 - z * step);
    }
    return z;
}

static inline double erfinv(double x) {
    double a = std::fabs(x);
    if (a > 0.5) {
        return std::copysign(a == 1 ? INFINITY : host_cuda_erfcinv(1 - a), x);
    }
    double z = a * std::sqrt(M_PI) / 2;
    for (int i = 0; i < 5; i++) {
        double step = (std::erf(z) - a) * std::sqrt(M_PI) / 2 * std::exp(z * z);
        z -= step / (1 + z * step);
    }
    return std::copysign(z, x);
}

static inline float erfinv(float x) {
    return erfinv(static_cast<double>(x));
}

static inline double erfcinv(double x) {
    if (x < 0.5) {
        return x == 0 ? INFINITY : host_cuda_erfcinv(x);
    }
    return x > 1.5 ? -erfcinv(2 - x) : erfinv(1 - x);
}

static inline float erfcinv(float x) {
    return erfcinv(static_cast<double>(x));
}

static inline double normcdfinv(double x) {
    return -M_SQRT2 * erfcinv(2 * x);
}

static inline float normcdfinv(float x) {
    return normcdfinv(static_cast<double>(x));
}

static inline float normcdfinvf(float x) {
    return normcdfinv(x);
}

// The modified Bessel functions of orders 0 and 1.
static inline double cyl_bessel_i0(double x) {
    return std::cyl_bessel_i(0.0, std::fabs(x));
}

static inline double cyl_bessel_i1(double x) {
    return std::copysign(std::cyl_bessel_i(1.0, std::fabs(x)), x);
}

// Fast variants, which lose digits on a device, are exact here. Macros, because the host's
// mathematics library has functions of these names.
#define __expf(x) expf(x)
#define __logf(x) logf(x)
#define __log2f(x) log2f(x)
#define __log10f(x) log10f(x)
#define __powf(x, y) powf(x, y)
#define __sinf(x) sinf(x)
#define __cosf(x) cosf(x)
#define __tanf(x) tanf(x)

static inline float __fdividef(float x, float y) {
    return x / y;
}

static inline float __saturatef(float x) {
    return std::fmin(std::fmax(x, 0.0f), 1.0f);
}

static inline float __fmaf_rn(float x, float y, float z) {
    return std::fma(x, y, z);
}

static inline float __fadd_rn(float x, float y) {
    return x + y;
}

static inline float __fmul_rn(float x, float y) {
    return x * y;
}

static inline double __dadd_rn(double x, double y) {
    return x + y;
}

static inline double __dmul_rn(double x, double y) {
    return x * y;
}
