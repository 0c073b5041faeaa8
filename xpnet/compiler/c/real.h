// The numbers that the library computes with.
//
// REAL_BITS (32 or 64) is set when a file is compiled. Every file that uses NAME() is compiled
// twice, once for each size; NAME(f) is the name of an exported function, f_f32 or f_f64.
//
//   real      a number; REAL(sqrt) is sqrtf or sqrt
//   integer   a signed integer with as many bits
//   LANES     how many of them a vector has
#ifndef XPNET_REAL_H
#define XPNET_REAL_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "export.h"

#ifndef REAL_BITS
#define REAL_BITS 32
#endif

#if defined(__AVX512F__) && defined(__AVX512VL__) && defined(__AVX512DQ__)
#define VECTOR_BYTES 64
#elif defined(__AVX__)
#define VECTOR_BYTES 32
#else
#define VECTOR_BYTES 16
#endif

#if REAL_BITS == 32
typedef float real;
typedef int32_t integer;
typedef uint32_t unsigned_integer;
#define NAME(f) f##_f32
#define REAL(name) name##f
#else
typedef double real;
typedef int64_t integer;
typedef uint64_t unsigned_integer;
#define NAME(f) f##_f64
#define REAL(name) name
#endif

#define LANES (VECTOR_BYTES * 8 / REAL_BITS)

// Local helpers are always expanded in place.
#define INLINE static inline __attribute__((always_inline))

INLINE int64_t divide_up(int64_t x, int64_t by) { return (x + by - 1) / by; }

#endif  // XPNET_REAL_H
