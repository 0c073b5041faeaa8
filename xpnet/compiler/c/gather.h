// Rows of a table by their numbers, and sums of rows into a table.
//
// An index counts from the end if it is negative, as in NumPy. Each function checks all indices
// before it writes anything: it returns -1, or the position of the first index that is out of
// range.
#ifndef XPNET_GATHER_H
#define XPNET_GATHER_H

#include <stdint.h>

#include "export.h"
#include "types.h"

#define GATHER_DIMENSIONS 3

// A row of the table is an array of the given shape, without gaps. Number (a, b, c) of row i of the
// result is at i * row_stride + a * strides[0] + b * strides[1] + c * strides[2]: row_stride is 1
// if the batch is the last axis, and strides may leave room for a margin.
typedef struct {
    int32_t table_type;
    int32_t index_type;  // TYPE_INT32 or TYPE_INT64
    int64_t count;       // of indices
    int64_t table_rows;
    int64_t table_stride;              // in elements, from one row of the table to the next
    int64_t row_stride;                // of the result, in elements
    int64_t shape[GATHER_DIMENSIONS];  // leading axes may be 1
    int64_t strides[GATHER_DIMENSIONS];
    double scale;  // each number x of the table becomes x * scale + shift
    double shift;
} gather;

// result[i] = table[indices[i]] * scale + shift, converted to real.
EXPORT int64_t gather_rows_f32(const gather* g, const void* table, const void* indices,
                               float* result);
EXPORT int64_t gather_rows_f64(const gather* g, const void* table, const void* indices,
                               double* result);

// result[i] = table[indices[i]], for rows of row_bytes bytes of any type.
EXPORT int64_t take_rows(int64_t row_bytes, int64_t table_stride_bytes, int64_t table_rows,
                         const void* table, int32_t index_type, const void* indices, int64_t count,
                         void* result, int64_t result_stride_bytes);

// The first index that is not from 0 to rows - 1: here a negative one does not count from the end.
EXPORT int64_t first_outside(const void* indices, int32_t index_type, int64_t count, int64_t rows);

// table[indices[i]] += factor * rows[i], in the order of i.
EXPORT int64_t scatter_add_f32(float* table, int64_t table_rows, int64_t table_stride,
                               int32_t index_type, const void* indices, int64_t count,
                               const float* rows, int64_t row_stride, int64_t row, double factor);
EXPORT int64_t scatter_add_f64(double* table, int64_t table_rows, int64_t table_stride,
                               int32_t index_type, const void* indices, int64_t count,
                               const double* rows, int64_t row_stride, int64_t row, double factor);

#endif  // XPNET_GATHER_H
