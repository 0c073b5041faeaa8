// Rows of numbers of any type, read as reals and written from reals.
#ifndef XPNET_CONVERT_H
#define XPNET_CONVERT_H

#include "real.h"
#include "types.h"

#define REAL_TYPE (REAL_BITS == 32 ? TYPE_FLOAT32 : TYPE_FLOAT64)

// to[i] = from[offset + i * stride], i < n
void NAME(read_row)(real* restrict to, const void* from, int32_t type, int64_t offset,
                    int64_t stride, int64_t n);

// to[offset + i * stride] = from[i], i < n
void NAME(write_row)(void* restrict to, const real* restrict from, int32_t type, int64_t offset,
                     int64_t stride, int64_t n);

// The numbers of x * scale + shift. The scale is in two parts: its rounding would be seen in the
// result.
typedef struct {
    real high;
    real low;
    real shift;
} scaling;

// to[i * stride] = from[i] * scale + shift, i < n
void NAME(read_scaled)(real* restrict to, int64_t stride, const void* restrict from, int32_t type,
                       int64_t n, scaling s);

#endif  // XPNET_CONVERT_H
