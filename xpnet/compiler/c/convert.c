// Rows of numbers of any type. See convert.h.
#include "convert.h"

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
void NAME(read_row)(real* restrict to, const void* from, int32_t type, int64_t offset,
                    int64_t stride, int64_t n) {
    switch (type) {
        case TYPE_FLOAT32:
            READ_AS(float)
        case TYPE_FLOAT64:
            READ_AS(double)
        case TYPE_BOOL:
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
void NAME(write_row)(void* restrict to, const real* restrict from, int32_t type, int64_t offset,
                     int64_t stride, int64_t n) {
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

// ---- scaled -------------------------------------------------------------------------------------

// Of a floating-point number, which may be infinite, and of an integer.
INLINE real scaled(real x, scaling s) { return x * s.high + s.shift; }
INLINE real scaled_integer(real x, scaling s) { return x * s.high + (x * s.low + s.shift); }

// to[i * stride] = the scaled from[i], i < n; from holds numbers of any type.
static void convert_pieces(real* to, int64_t stride, const void* from, int32_t type, int64_t n,
                           scaling s) {
    enum { PIECE = 64 };
    real piece[PIECE];
    const int is_integer = type != TYPE_FLOAT32 && type != TYPE_FLOAT64;
    for (int64_t done = 0; done < n; done += PIECE) {
        const int64_t count = n - done < PIECE ? n - done : PIECE;
        NAME(read_row)(piece, from, type, done, 1, count);
        real* place = to + done * stride;
        for (int64_t i = 0; i < count; i++)
            place[i * stride] = is_integer ? scaled_integer(piece[i], s) : scaled(piece[i], s);
    }
}

// The same; the frequent cases have loops of their own. (Bytes become integers first: there are
// vector instructions for that.)
void NAME(read_scaled)(real* restrict to, int64_t stride, const void* restrict from, int32_t type,
                       int64_t n, scaling s) {
    if (stride == 1 && type == REAL_TYPE) {
        const real* numbers = from;
        for (int64_t i = 0; i < n; i++) to[i] = scaled(numbers[i], s);
    } else if (stride == 1 && type == TYPE_UINT8) {
        const uint8_t* bytes = from;
        for (int64_t i = 0; i < n; i++) to[i] = scaled_integer((real)(int32_t)bytes[i], s);
    } else {
        convert_pieces(to, stride, from, type, n, s);
    }
}
