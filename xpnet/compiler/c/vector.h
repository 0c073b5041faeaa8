// Vectors of `real` numbers for any processor, by the vector extensions of GCC and Clang.
//
//   vreal         LANES numbers
//   vint          LANES integers
//   comparisons   a < b is a vint: -1 (all bits set) where it holds, else 0
#ifndef XPNET_VECTOR_H
#define XPNET_VECTOR_H

#include "real.h"

#if defined(__SSE2__)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

// Whether tiles of sums may fill 32 registers. In float64 they do not, although it has as many: the
// smaller tiles are half the code, and take at most a few percent more time.
#if REAL_BITS == 32 && (VECTOR_BYTES == 64 || defined(__aarch64__))
#define LARGE_TILES 1
#else
#define LARGE_TILES 0
#endif

typedef real vreal __attribute__((vector_size(VECTOR_BYTES)));
typedef integer vint __attribute__((vector_size(VECTOR_BYTES)));
typedef unsigned_integer vunsigned __attribute__((vector_size(VECTOR_BYTES)));
// The same at any address: a vector in memory is aligned only to its elements.
typedef real vreal_in_memory
    __attribute__((vector_size(VECTOR_BYTES), aligned(REAL_BITS / 8), may_alias));
typedef integer vint_in_memory
    __attribute__((vector_size(VECTOR_BYTES), aligned(REAL_BITS / 8), may_alias));

#define REAL_INFINITY ((real)INFINITY)

// Before a loop of a constant number of rounds, at most 32: unroll it completely.
#if defined(__clang__)
#define UNROLL _Pragma("unroll 32")
#else
#define UNROLL _Pragma("GCC unroll 32")
#endif

// Makes the compiler hold a vector in a register. GCC would otherwise load it again for each
// product that it is part of, and the loads would take longer than the products.
#if defined(__AVX512F__)
#define IN_REGISTER(v) __asm__("" : "+v"(v))
#elif defined(__x86_64__)
#define IN_REGISTER(v) __asm__("" : "+x"(v))
#elif defined(__aarch64__)
#define IN_REGISTER(v) __asm__("" : "+w"(v))
#else
#define IN_REGISTER(v) (void)(v)
#endif

// ---- memory -------------------------------------------------------------------------------------

INLINE vreal load(const real* p) { return *(const vreal_in_memory*)p; }
INLINE void store(real* p, vreal v) { *(vreal_in_memory*)p = v; }
INLINE vint load_integers(const integer* p) { return *(const vint_in_memory*)p; }

// x in every lane. (Zero is subtracted, not added: -0 + 0 is +0.)
INLINE vreal splat(real x) { return x - (vreal){0}; }
INLINE vint splat_integer(integer x) { return x - (vint){0}; }

// -1 in the first n lanes, 0 <= n <= LANES, and 0 in the others.
INLINE vint first_lanes(int64_t n) {
    static const integer steps[2 * 16] = {-1, -1, -1, -1, -1, -1, -1, -1,
                                          -1, -1, -1, -1, -1, -1, -1, -1};
    return load_integers(steps + 16 - n);
}

// The first n numbers at p, 0 <= n <= LANES, and 0 in the other lanes. Nothing else is read.
INLINE vreal load_first(const real* p, int64_t n) {
#if VECTOR_BYTES == 64 && REAL_BITS == 32
    return (vreal)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1u), p);
#elif VECTOR_BYTES == 64
    return (vreal)_mm512_maskz_loadu_pd((__mmask8)((1u << n) - 1u), p);
#elif defined(__AVX__) && REAL_BITS == 32
    return (vreal)_mm256_maskload_ps(p, (__m256i)first_lanes(n));
#elif defined(__AVX__)
    return (vreal)_mm256_maskload_pd(p, (__m256i)first_lanes(n));
#else
    vreal v = {0};
    for (int64_t i = 0; i < n; i++) v[i] = p[i];
    return v;
#endif
}

// Writes the first n lanes of v, 0 <= n <= LANES, to p, and nothing else.
INLINE void store_first(real* p, vreal v, int64_t n) {
#if VECTOR_BYTES == 64 && REAL_BITS == 32
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1u), (__m512)v);
#elif VECTOR_BYTES == 64
    _mm512_mask_storeu_pd(p, (__mmask8)((1u << n) - 1u), (__m512d)v);
#elif defined(__AVX__) && REAL_BITS == 32
    _mm256_maskstore_ps(p, (__m256i)first_lanes(n), (__m256)v);
#elif defined(__AVX__)
    _mm256_maskstore_pd(p, (__m256i)first_lanes(n), (__m256d)v);
#else
    for (int64_t i = 0; i < n; i++) p[i] = v[i];
#endif
}

// ---- choice -------------------------------------------------------------------------------------

// a where the mask is -1, b where it is 0.
INLINE vreal choose(vint mask, vreal a, vreal b) {
    return (vreal)((mask & (vint)a) | (~mask & (vint)b));
}
INLINE vint choose_integers(vint mask, vint a, vint b) { return (mask & a) | (~mask & b); }

// a where the mask is -1, +0 where it is 0 (also where a is NaN or infinite).
INLINE vreal zero_unless(vint mask, vreal a) { return (vreal)(mask & (vint)a); }

// The larger and the smaller of two numbers, by one instruction: b if one of them is NaN.
#if VECTOR_BYTES == 64 && REAL_BITS == 32
INLINE vreal larger(vreal a, vreal b) { return (vreal)_mm512_max_ps((__m512)a, (__m512)b); }
INLINE vreal smaller(vreal a, vreal b) { return (vreal)_mm512_min_ps((__m512)a, (__m512)b); }
#elif VECTOR_BYTES == 64
INLINE vreal larger(vreal a, vreal b) { return (vreal)_mm512_max_pd((__m512d)a, (__m512d)b); }
INLINE vreal smaller(vreal a, vreal b) { return (vreal)_mm512_min_pd((__m512d)a, (__m512d)b); }
#elif VECTOR_BYTES == 32 && REAL_BITS == 32
INLINE vreal larger(vreal a, vreal b) { return (vreal)_mm256_max_ps((__m256)a, (__m256)b); }
INLINE vreal smaller(vreal a, vreal b) { return (vreal)_mm256_min_ps((__m256)a, (__m256)b); }
#elif VECTOR_BYTES == 32
INLINE vreal larger(vreal a, vreal b) { return (vreal)_mm256_max_pd((__m256d)a, (__m256d)b); }
INLINE vreal smaller(vreal a, vreal b) { return (vreal)_mm256_min_pd((__m256d)a, (__m256d)b); }
#elif defined(__SSE2__) && REAL_BITS == 32
INLINE vreal larger(vreal a, vreal b) { return (vreal)_mm_max_ps((__m128)a, (__m128)b); }
INLINE vreal smaller(vreal a, vreal b) { return (vreal)_mm_min_ps((__m128)a, (__m128)b); }
#elif defined(__SSE2__)
INLINE vreal larger(vreal a, vreal b) { return (vreal)_mm_max_pd((__m128d)a, (__m128d)b); }
INLINE vreal smaller(vreal a, vreal b) { return (vreal)_mm_min_pd((__m128d)a, (__m128d)b); }
#else
INLINE vreal larger(vreal a, vreal b) { return choose(a > b, a, b); }
INLINE vreal smaller(vreal a, vreal b) { return choose(a < b, a, b); }
#endif

// The larger and the smaller of two numbers; NaN if one of them is NaN, as numpy.maximum.
INLINE vreal maximum(vreal a, vreal b) { return choose(a != a, a, larger(a, b)); }
INLINE vreal minimum(vreal a, vreal b) { return choose(a != a, a, smaller(a, b)); }

// max(a, 0), and NaN where a is NaN, as numpy.maximum(a, 0).
INLINE vreal relu(vreal a) { return zero_unless(~(a <= splat(0)), a); }

INLINE vreal absolute(vreal a) {
    const vint sign = (vint)splat((real)-0.0);
    return (vreal)((vint)a & ~sign);
}

// |a| with the sign of b
INLINE vreal copy_sign(vreal a, vreal b) {
    const vint sign = (vint)splat((real)-0.0);
    return (vreal)(((vint)a & ~sign) | ((vint)b & sign));
}

INLINE vreal square_root(vreal a) {
#if VECTOR_BYTES == 64 && REAL_BITS == 32
    return (vreal)_mm512_sqrt_ps((__m512)a);
#elif VECTOR_BYTES == 64
    return (vreal)_mm512_sqrt_pd((__m512d)a);
#elif VECTOR_BYTES == 32 && REAL_BITS == 32
    return (vreal)_mm256_sqrt_ps((__m256)a);
#elif VECTOR_BYTES == 32
    return (vreal)_mm256_sqrt_pd((__m256d)a);
#elif defined(__SSE2__) && REAL_BITS == 32
    return (vreal)_mm_sqrt_ps((__m128)a);
#elif defined(__SSE2__)
    return (vreal)_mm_sqrt_pd((__m128d)a);
#elif defined(__aarch64__) && REAL_BITS == 32
    return (vreal)vsqrtq_f32((float32x4_t)a);
#elif defined(__aarch64__)
    return (vreal)vsqrtq_f64((float64x2_t)a);
#else
    vreal root;
    for (int i = 0; i < LANES; i++) root[i] = REAL(sqrt)(a[i]);
    return root;
#endif
}

// The integers next to each number: below, above, towards 0, and the nearest (half to even). The
// loop becomes one instruction where the processor has it.
#define DEFINE_ROUNDING(name, function)                                    \
    INLINE vreal name(vreal a) {                                           \
        real numbers[LANES];                                               \
        store(numbers, a);                                                 \
        for (int i = 0; i < LANES; i++) numbers[i] = function(numbers[i]); \
        return load(numbers);                                              \
    }
DEFINE_ROUNDING(round_down, REAL(floor))
DEFINE_ROUNDING(round_up, REAL(ceil))
DEFINE_ROUNDING(round_to_0, REAL(trunc))
DEFINE_ROUNDING(round_to_nearest, REAL(rint))

// ---- across lanes -------------------------------------------------------------------------------

// Lanes of a and b by their numbers; those of b follow those of a. GCC has Clang's function from 12
// on.
#if defined(__clang__) || __GNUC__ >= 12
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (vint){__VA_ARGS__})
#endif

// The lanes of v, moved down by a constant number of places; the first ones come back at the end.
#define MOVED(i, by) (((i) + (by)) % LANES)
#if LANES == 2
#define ROTATE(v, by) SHUFFLE(v, v, MOVED(0, by), MOVED(1, by))
#elif LANES == 4
#define ROTATE(v, by) SHUFFLE(v, v, MOVED(0, by), MOVED(1, by), MOVED(2, by), MOVED(3, by))
#elif LANES == 8
#define ROTATE(v, by)                                                                   \
    SHUFFLE(v, v, MOVED(0, by), MOVED(1, by), MOVED(2, by), MOVED(3, by), MOVED(4, by), \
            MOVED(5, by), MOVED(6, by), MOVED(7, by))
#else
#define ROTATE(v, by)                                                                            \
    SHUFFLE(v, v, MOVED(0, by), MOVED(1, by), MOVED(2, by), MOVED(3, by), MOVED(4, by),          \
            MOVED(5, by), MOVED(6, by), MOVED(7, by), MOVED(8, by), MOVED(9, by), MOVED(10, by), \
            MOVED(11, by), MOVED(12, by), MOVED(13, by), MOVED(14, by), MOVED(15, by))
#endif

// The sum of all lanes, added in pairs.
INLINE real sum_lanes(vreal v) {
#if LANES > 8
    v += ROTATE(v, 8);
#endif
#if LANES > 4
    v += ROTATE(v, 4);
#endif
#if LANES > 2
    v += ROTATE(v, 2);
#endif
    v += ROTATE(v, 1);
    return v[0];
}

// The largest and the smallest lane; NaN if one lane is NaN.
INLINE real max_lanes(vreal v) {
#if LANES > 8
    v = maximum(v, ROTATE(v, 8));
#endif
#if LANES > 4
    v = maximum(v, ROTATE(v, 4));
#endif
#if LANES > 2
    v = maximum(v, ROTATE(v, 2));
#endif
    v = maximum(v, ROTATE(v, 1));
    return v[0];
}
INLINE real min_lanes(vreal v) { return -max_lanes(-v); }

// Whether one lane of a mask is set.
INLINE int any_lane(vint mask) {
#if LANES > 8
    mask |= ROTATE(mask, 8);
#endif
#if LANES > 4
    mask |= ROTATE(mask, 4);
#endif
#if LANES > 2
    mask |= ROTATE(mask, 2);
#endif
    mask |= ROTATE(mask, 1);
    return mask[0] != 0;
}

#endif  // XPNET_VECTOR_H
