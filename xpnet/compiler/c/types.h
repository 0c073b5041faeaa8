// The types of the numbers in arrays, by the numbers that a plan names them with.
#ifndef XPNET_TYPES_H
#define XPNET_TYPES_H

#include <stdint.h>

enum {
    TYPE_FLOAT32,
    TYPE_FLOAT64,
    TYPE_BOOL,  // one byte, 0 or 1
    TYPE_UINT8,
    TYPE_INT32,
    TYPE_INT64,
    TYPES
};

// The bytes of one of them.
#define TYPE_BYTES ((const int64_t[TYPES]){4, 8, 1, 1, 4, 8})

#endif  // XPNET_TYPES_H
