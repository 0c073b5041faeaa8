// Elementary functions of vectors, within 2 units in the last place of the exact value.
//
// NaN gives NaN; infinities, zeros of both signs, subnormal numbers and overflow give what the
// functions of math.h give. The polynomials interpolate each function, divided by its leading
// terms, at the Chebyshev nodes of the interval that is named beside them; the error is far below
// one rounding.
#ifndef XPNET_VECTOR_MATH_H
#define XPNET_VECTOR_MATH_H

#include "vector.h"

#if REAL_BITS == 32
#define FRACTION_BITS 23
#define EXPONENT_BIAS 127
#define ROUNDER 12582912.0f    // 1.5 * 2^23: adding it rounds to an integer
#define LN2_HIGH 0.693359375f  // ln 2 in two parts; a small integer times the first is exact
#define LN2_LOW -2.12194440054690583e-4f
#define SMALLEST_NORMAL 1.17549435e-38f
#define EXP_LOWEST -104.0f  // exp is 0 below, infinite above
#define EXP_HIGHEST 89.0f
#define EXPM1_LOWEST -20.0f  // expm1 is -1 below
#else
#define FRACTION_BITS 52
#define EXPONENT_BIAS 1023
#define ROUNDER 6755399441055744.0  // 1.5 * 2^52
#define LN2_HIGH 6.93147180369123816490e-01
#define LN2_LOW 1.90821492927058770002e-10
#define SMALLEST_NORMAL 2.2250738585072014e-308
#define EXP_LOWEST -746.0
#define EXP_HIGHEST 710.0
#define EXPM1_LOWEST -40.0
#endif

#define LOG2_E ((real)1.44269504088896340736)
#define SQRT_HALF ((real)0.70710678118654752440)

// c[0] x^(n-1) + ... + c[n-1]
INLINE vreal polynomial(vreal x, const real* c, int n) {
    vreal p = splat(c[0]);
    UNROLL for (int i = 1; i < n; i++) p = p * x + splat(c[i]);
    return p;
}
#define POLYNOMIAL(x, c) polynomial(x, c, (int)(sizeof(c) / sizeof(real)))

// The bits of v, moved to the exponent of a real.
INLINE vint as_exponent(vint v) { return (vint)((vunsigned)v << FRACTION_BITS); }

// 2^n for integers n in the range of the exponents of normal numbers.
INLINE vreal power_of_two(vint n) { return (vreal)as_exponent(n + EXPONENT_BIAS); }

// The integer nearest to x, as a real and as an integer, for |x| < 2^(FRACTION_BITS - 1).
INLINE vreal nearest(vreal x, vint* n) {
    const vreal shifted = x + splat(ROUNDER);
    *n = (vint)shifted - (vint)splat(ROUNDER);
    return shifted - splat(ROUNDER);
}

INLINE vreal real_of(vint n) {
    return (vreal)(n + (vint)splat(ROUNDER)) - splat(ROUNDER);  // for |n| < 2^(FRACTION_BITS - 1)
}

// y 2^n, where whole is n as a real; in two factors, because 2^n alone may overflow or be 0.
INLINE vreal scaled_by_power(vreal y, vreal whole, vint n) {
#if VECTOR_BYTES == 64 && REAL_BITS == 32
    (void)n;
    return (vreal)_mm512_scalef_ps((__m512)y, (__m512)whole);
#elif VECTOR_BYTES == 64
    (void)n;
    return (vreal)_mm512_scalef_pd((__m512d)y, (__m512d)whole);
#else
    (void)whole;
    const vint half = n >> 1;
    return y * power_of_two(half) * power_of_two(n - half);
#endif
}

// (exp(r) - 1 - r) / r^2 for |r| <= ln(2) / 2
INLINE vreal exp_polynomial(vreal r) {
#if REAL_BITS == 32
    static const real c[] = {0.0001989108046f, 0.001393373072f, 0.008333310845f,
                             0.0416664642f,    0.1666666668f,   0.5000000014f};
#else
    static const real c[] = {2.5100472505694996e-8,  2.76202015910315488e-7, 2.75572682769056962e-6,
                             2.48015210578682052e-5, 0.00019841269863171556, 0.00138888889173670806,
                             0.0083333333333300382,  0.0416666666666238205,  0.166666666666666675,
                             0.500000000000000103};
#endif
    return POLYNOMIAL(r, c);
}

// r + rest = x - n ln 2, where rest is the rounding error of r.
INLINE vreal reduced(vreal x, vreal n, vreal* rest) {
    const vreal exact = x - n * LN2_HIGH;
    const vreal r = exact - n * LN2_LOW;
    *rest = (exact - r) - n * LN2_LOW;
    return r;
}

// exp(x) = 2^n exp(r), where x = n ln 2 + r
INLINE vreal exponential(vreal x) {
    x = smaller(splat(EXP_HIGHEST), larger(splat(EXP_LOWEST), x));
    vint n;
    const vreal whole = nearest(x * LOG2_E, &n);
    vreal rest;
    const vreal r = reduced(x, whole, &rest);
    const vreal y = (exp_polynomial(r) * (r * r) + rest) + r + (real)1;
    return scaled_by_power(y, whole, n);
}

// exp(x) - 1 = 2 (s (exp(r) - 1) + (s - 1/2)), where s = 2^(n - 1)
INLINE vreal exponential_minus_1(vreal x) {
    const vreal bounded = smaller(splat(EXP_HIGHEST), larger(splat(EXPM1_LOWEST), x));
    vint n;
    const vreal whole = nearest(bounded * LOG2_E, &n);
    vreal rest;
    const vreal r = reduced(bounded, whole, &rest);
    const vreal p = (exp_polynomial(r) * (r * r) + rest) + r;
    const vreal s = power_of_two(n - 1);
    const vreal y = (s * p + (s - (real)0.5)) * (real)2;
    return choose(absolute(x) < splat((real)1e-17), x, y);  // exact there, and keeps -0
}

// (log((1 + s) / (1 - s)) - 2 s) / s^3 for z = s^2, 0 <= s <= 3 - sqrt(8)
INLINE vreal log_polynomial(vreal z) {
#if REAL_BITS == 32
    static const real c[] = {0.2333161447f, 0.2855077863f, 0.4000012221f, 0.6666666655f};
#else
    static const real c[] = {0.14617807153417325,  0.153316117220550079, 0.181828924325368712,
                             0.222222110893794962, 0.285714286262538376, 0.399999999998988905,
                             0.666666666666666971};
#endif
    return POLYNOMIAL(z, c);
}

// log(x) + correction for positive normal x, by x = 2^e (1 + f), sqrt(1/2) <= 1 + f < sqrt(2):
//   log(1 + f) = f - (f^2 / 2 - s (f^2 / 2 + R(s^2))), where s = f / (2 + f)
// exponent is added to e.
INLINE vreal log_of_normal(vreal x, vint exponent, vreal correction) {
    const vint bits = (vint)absolute(x);  // a negative x has no logarithm, but must not overflow
    const vint from_half = bits - (vint)splat(SQRT_HALF);
    const vint e = from_half >> FRACTION_BITS;
    const vreal f = (vreal)(bits - as_exponent(e)) - (real)1;
    const vreal s = f / (f + (real)2);
    const vreal z = s * s;
    const vreal half_square = f * f * (real)0.5;
    const vreal tail = s * (half_square + z * log_polynomial(z));
    const vreal whole = real_of(e + exponent);
    return whole * LN2_HIGH - ((half_square - (tail + (whole * LN2_LOW + correction))) - f);
}

// y, the logarithm of a normal x, or its value where x is 0, infinite, negative or NaN.
INLINE vreal log_special(vreal x, vreal y) {
    y = choose(x == splat(INFINITY), x, y);
    y = choose(x == splat(0), splat(-INFINITY), y);
    return choose(x >= splat(0), y, splat(NAN));
}

INLINE vreal logarithm(vreal x) {
    const vint subnormal = x < splat(SMALLEST_NORMAL);
    const real scale = (real)((integer)1 << (FRACTION_BITS + 1));
    const vreal normal = choose(subnormal, x * scale, x);
    const vint exponent = subnormal & splat_integer(-(FRACTION_BITS + 1));
    return log_special(x, log_of_normal(normal, exponent, splat(0)));
}

// log(1 + x) = log(u) + c / u, where u + c = 1 + x and u is a real
INLINE vreal logarithm_plus_1(vreal x) {
    const vreal u = x + (real)1;
    const vreal c = choose(x >= splat(1), (real)1 - (u - x), x - (u - (real)1));
    const vreal y = log_special(u, log_of_normal(u, (vint){0}, c / u));
    return choose(absolute(x) < splat((real)1e-17), x, y);  // exact there, and keeps -0
}

// tanh(|x|) = t / (t + 2) = 1 - 2 / (t + 2), where t = exp(2 |x|) - 1, with the sign of x.
// The first form is for small t; the rounding error of t + 2 is made up for there.
INLINE vreal hyperbolic_tangent(vreal x) {
    const vreal size = smaller(splat(22), absolute(x));  // tanh is 1 there
    const vreal t = exponential_minus_1(size + size);
    const vreal divisor = t + (real)2;
    const vreal lost = t - (divisor - (real)2);
    const vint is_large = t > splat(6);
    const vreal q = choose(is_large, splat(2), t) / divisor;
    const vreal corrected = q - q * ((real)0.5 * lost * ((real)1 - q));
    return copy_sign(choose(is_large, (real)1 - q, corrected), x);
}

// 1 / (1 + exp(-x)) = e / (1 + e) for x < 0, where e = exp(-|x|)
INLINE vreal sigmoid(vreal x) {
    const vreal e = exponential(-absolute(x));
    const vint negative = x < splat(0);
    const vreal divisor = e + (real)1;
    const vreal lost = e - (divisor - (real)1);  // its rounding error
    const vreal y = choose(negative, e, splat(1)) / divisor;
    const vreal inverse = choose(negative, (real)1 - y, y);
    return y - y * (lost * inverse);
}

// (erf(x) - x) / x for z = x^2, 0 <= x <= 1
INLINE vreal erf_polynomial(vreal z) {
#if REAL_BITS == 32
    static const real c[] = {7.875875063e-5f, -0.0008016864287f, 0.005189087423f, -0.02685421201f,
                             0.1128359472f,   -0.3761262667f,    0.1283791658f};
#else
    static const real c[] = {
        -7.79589882700214224e-10, 1.37200645467776856e-8,  -1.62084838018717059e-7,
        1.64474247033173624e-6,   -1.49247369074196603e-5, 0.000120552949048397079,
        -0.000854832597538969208, 0.00522397760711642273,  -0.0268661706432377704,
        0.112837916709450063,     -0.376126389031835404,   0.128379167095512567};
#endif
    return POLYNOMIAL(z, c);
}

// log(1 - erf(x)) for 1 <= x <= ERF_IS_1
#if REAL_BITS == 32
#define ERF_IS_1 4
#else
#define ERF_IS_1 6
#endif
INLINE vreal log_erfc_polynomial(vreal x) {
#if REAL_BITS == 32
    static const real c[] = {1.638637325e-6f,  -3.297834869e-5f, 0.0003203226602f,
                             -0.002054502737f, 0.01007807052f,   -0.04157591173f,
                             -0.8431046996f,   -2.638967697f,    -1.849605508f};
#else
    static const real c[] = {
        6.33854109942883197e-19,  -4.31241933717671981e-17,  1.39414311082738737e-15,
        -2.85127349902172831e-14, 4.14330020629891397e-13,   -4.55398440263579893e-12,
        3.9332134916294531e-11,   -2.73476821948066827e-10,  1.55232200957263422e-9,
        -7.21861276941533265e-9,  2.71512358212212364e-8,    -7.84701260127054297e-8,
        1.41535190384052273e-7,   8.64645740483273485e-8,    -2.00421964888867451e-6,
        9.56720219747446568e-6,   -0.0000271355423738035024, 0.000026268019548801402,
        0.000237325453254075656,  -0.00197790319089747021,   0.0100338254603904331,
        -0.0415610980489691035,   -0.843107256358369947,     -2.63896751423479286,
        -1.84960550993324826};
#endif
    return POLYNOMIAL(x - (real)1, c);  // most accurate at 1, where it counts
}

// 2 / sqrt(pi) times the integral of exp(-t^2) from 0 to x
INLINE vreal error_function(vreal x) {
    const vreal size = smaller(splat(ERF_IS_1), absolute(x));
    const vreal inner = size + size * erf_polynomial(size * size);
    const vreal outer = (real)1 - exponential(log_erfc_polynomial(larger(splat(1), size)));
    return copy_sign(choose(size < splat(1), inner, outer), x);
}

// The nearest multiple of pi / 2 is n pi / 2: returns x - n pi / 2, for |x| < ANGLE_LIMIT. The
// parts of pi / 2 have 33 bits, so that their products with n are exact.
#define ANGLE_LIMIT 1048576
#define TWO_OVER_PI 0.636619772367581343
#define HALF_PI_1 1.57079632673412561417
#if REAL_BITS == 32
typedef double wide __attribute__((vector_size(2 * VECTOR_BYTES)));  // LANES of them
INLINE vreal reduced_angle(vreal x, vint* n) {
    const double half_pi_2 = 6.07710050650619224932e-11, rounder = 6755399441055744.0;
    const wide angle = __builtin_convertvector(x, wide);
    const wide whole = (angle * TWO_OVER_PI + rounder) - rounder;
    *n = __builtin_convertvector(whole, vint);
    return __builtin_convertvector((angle - whole * HALF_PI_1) - whole * half_pi_2, vreal);
}
#else
INLINE vreal reduced_angle(vreal x, vint* n) {
    const double half_pi_2 = 6.07710050630396597660e-11, half_pi_3 = 2.02226624879595063154e-21;
    const vreal whole = nearest(x * TWO_OVER_PI, n);
    return ((x - whole * HALF_PI_1) - whole * half_pi_2) - whole * half_pi_3;
}
#endif

// sin(r) = r + r^3 S(r^2) for |r| <= pi / 4
INLINE vreal sine_near_0(vreal r) {
#if REAL_BITS == 32
    static const real c[] = {2.724986466e-6f, -0.0001984008626f, 0.008333331874f, -0.1666666666f};
#else
    static const real c[] = {-7.58668507009126716e-13, 1.60585314145890108e-10,
                             -2.50521062311579055e-8,  2.75573192193354534e-6,
                             -0.000198412698412650602, 0.00833333333333333149,
                             -0.166666666666666667};
#endif
    const vreal z = r * r;
    return r + r * (z * POLYNOMIAL(z, c));
}

// cos(r) = 1 - r^2 / 2 + r^4 C(r^2) for |r| <= pi / 4
INLINE vreal cosine_near_0(vreal r) {
#if REAL_BITS == 32
    static const real c[] = {2.454789162e-5f, -0.00138883028f, 0.04166666466f};
#else
    static const real c[] = {4.74586520378745511e-14, -1.14704607739693246e-11,
                             2.08767557903633961e-9,  -2.755731922140076e-7,
                             2.48015873015846438e-5,  -0.00138888888888888879,
                             0.0416666666666666667};
#endif
    const vreal z = r * r;
    const vreal half = z * (real)0.5;
    const vreal leading = (real)1 - half;
    const vreal lost = ((real)1 - leading) - half;  // its rounding error
    return leading + (lost + z * z * POLYNOMIAL(z, c));
}

// sin(x + quarters pi / 2) for |x| < ANGLE_LIMIT
INLINE vreal sine_of(vreal x, int quarters) {
    vint n;
    const vreal r = reduced_angle(x, &n);
    n += quarters;
    const vint is_odd = (n & 1) == 1;
    const vint is_negative = (n & 2) == 2;
    const vreal y = choose(is_odd, cosine_near_0(r), sine_near_0(r));
    return (vreal)((vint)y ^ (is_negative & (vint)splat((real)-0.0)));
}

// Large angles, of which there are few, are left to math.h.
INLINE vreal sine(vreal x) {
    const vint is_large = ~(absolute(x) < splat(ANGLE_LIMIT));
    vreal y = sine_of(zero_unless(~is_large, x), 0);
    if (any_lane(is_large))
        for (int i = 0; i < LANES; i++)
            if (is_large[i]) y[i] = REAL(sin)(x[i]);
    return choose(x == splat(0), x, y);  // keeps -0
}

INLINE vreal cosine(vreal x) {
    const vint is_large = ~(absolute(x) < splat(ANGLE_LIMIT));
    vreal y = sine_of(zero_unless(~is_large, x), 1);
    if (any_lane(is_large))
        for (int i = 0; i < LANES; i++)
            if (is_large[i]) y[i] = REAL(cos)(x[i]);
    return y;
}

#endif  // XPNET_VECTOR_MATH_H
