// Reductions of strided arrays over some of their axes.
//
//   sum              in pairs: the error grows with the logarithm of the length of a row
//   sum_of_squares   the same, of x^2
//   prod, max, min   max and min are NaN where one number is NaN
//   any, all         1 or 0; every number but 0 is true
//   count            how many numbers are true
//   argmax, argmin   the first place, in the order of the reduced axes, of the largest or smallest
//                    number; of the first NaN if there is one
#ifndef XPNET_REDUCE_H
#define XPNET_REDUCE_H

#include <stdint.h>

#include "export.h"
#include "types.h"

#define REDUCE_DIMENSIONS 8

enum {
    REDUCE_SUM,
    REDUCE_SUM_OF_SQUARES,
    REDUCE_PROD,
    REDUCE_MAX,
    REDUCE_MIN,
    REDUCE_ANY,
    REDUCE_ALL,
    REDUCE_COUNT,
    REDUCE_ARGMAX,
    REDUCE_ARGMIN,
    REDUCE_OPERATIONS
};

typedef struct {
    int32_t operation;
    int32_t input_type;
    int32_t result_type;
    int32_t by_columns;  // set by reduce_prepare
    int32_t kept;        // the number of axes that are kept, and of those that are reduced
    int32_t reduced;
    double divisor;  // of the result: the count of numbers for a mean, else 1
    int64_t kept_shape[REDUCE_DIMENSIONS];
    int64_t kept_strides[REDUCE_DIMENSIONS];    // of the input, in elements
    int64_t result_strides[REDUCE_DIMENSIONS];  // of the result along the kept axes
    int64_t reduced_shape[REDUCE_DIMENSIONS];
    int64_t reduced_strides[REDUCE_DIMENSIONS];
} reduction;

enum { REDUCE_READY, REDUCE_WRONG, REDUCE_EMPTY };  // EMPTY: the largest of no numbers

// Completes a reduction: merges axes, and chooses the way. Call it once, before reduce_run.
EXPORT int32_t reduce_prepare_f32(reduction* r);
EXPORT int32_t reduce_prepare_f64(reduction* r);

// The result does not overlap the input. scratch: REDUCE_SCRATCH bytes, aligned to 64.
#define REDUCE_SCRATCH 8192
EXPORT void reduce_run_f32(const reduction* r, const void* input, void* result, void* scratch);
EXPORT void reduce_run_f64(const reduction* r, const void* input, void* result, void* scratch);

#endif  // XPNET_REDUCE_H
