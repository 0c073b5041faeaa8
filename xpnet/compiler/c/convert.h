// Rows of numbers of any type, read as reals and written from reals.
#ifndef XPNET_CONVERT_H
#define XPNET_CONVERT_H

#include "types.h"
#include "vector.h"

#define REAL_TYPE (REAL_BITS == 32 ? TYPE_FLOAT32 : TYPE_FLOAT64)

// to[i] = from[i * stride], i < n, for numbers of type T
#define READ_AS(T)                                                       \
    {                                                                    \
        const T* p = (const T*)from + offset;                            \
        if (stride == 1) {                                               \
            for (int64_t i = 0; i < n; i++) to[i] = (real)p[i];          \
        } else {                                                         \
            for (int64_t i = 0; i < n; i++) to[i] = (real)p[i * stride]; \
        }                                                                \
        break;                                                           \
    }
static inline void read_row(real* restrict to, const void* from, int32_t type, int64_t offset,
                            int64_t stride, int64_t n) {
    switch (type) {
        case TYPE_FLOAT32:
            READ_AS(float)
        case TYPE_FLOAT64:
            READ_AS(double)
        case TYPE_BOOL:
            READ_AS(uint8_t)
        case TYPE_UINT8:
            READ_AS(uint8_t)
        case TYPE_INT32:
            READ_AS(int32_t)
        default:
            READ_AS(int64_t)
    }
}

// to[i * stride] = from[i], i < n, for numbers of type T
#define WRITE_AS(T, converted)                                         \
    {                                                                  \
        T* p = (T*)to + offset;                                        \
        if (stride == 1) {                                             \
            for (int64_t i = 0; i < n; i++) p[i] = converted;          \
        } else {                                                       \
            for (int64_t i = 0; i < n; i++) p[i * stride] = converted; \
        }                                                              \
        break;                                                         \
    }
static inline void write_row(void* restrict to, const real* restrict from, int32_t type,
                             int64_t offset, int64_t stride, int64_t n) {
    switch (type) {
        case TYPE_FLOAT32:
            WRITE_AS(float, (float)from[i])
        case TYPE_FLOAT64:
            WRITE_AS(double, (double)from[i])
        case TYPE_BOOL:
            WRITE_AS(uint8_t, from[i] != 0)
        case TYPE_UINT8:
            WRITE_AS(uint8_t, (uint8_t)(int32_t)from[i])
        case TYPE_INT32:
            WRITE_AS(int32_t, (int32_t)from[i])
        default:
            WRITE_AS(int64_t, (int64_t)from[i])
    }
}

#endif  // XPNET_CONVERT_H
