// Matrix products with an epilogue, for all layouts and sizes.
#ifndef XPNET_PRODUCT_H
#define XPNET_PRODUCT_H

#include "fetch.h"
#include "real.h"

// What is done to the result while it is at hand. Null pointers: nothing.
typedef struct {
    const real* bias;   // n numbers, added to each row
    int activation;     // 0: none; 1: ReLU, max(x, 0) with NaN kept
    const real* mask;   // m x n, strides as c: the result is set to 0 unless mask > 0 (the gradient
                        // of ReLU by its output)
    real* column_sums;  // n numbers: the sums of the final result over the rows (the gradient of a
                        // bias) are written here
} NAME(epilogue);

// The numbers of scratch memory that product() wants for these sizes and strides (in elements).
EXPORT int64_t NAME(product_scratch)(int64_t m, int64_t n, int64_t k, int64_t a_row, int64_t a_col,
                                     int64_t b_row, int64_t b_col, int64_t c_row, int64_t c_col);

// c[i, j] = epilogue(alpha * sum_k a[i, k] b[k, j] + beta * c[i, j]), where a[i, k] is
// a[i * a_row + k * a_col] and so on; c is not read where beta is 0. e may be NULL. `scratch` holds
// scratch_size numbers: product_scratch(...) are wanted; with less, down to that for k = 1, blocks
// are smaller. c must not overlap a, b, bias or mask. `ahead`: what is fetched meanwhile, or NULL.
EXPORT void NAME(product)(int64_t m, int64_t n, int64_t k, real alpha, const real* a, int64_t a_row,
                          int64_t a_col, const real* b, int64_t b_row, int64_t b_col, real beta,
                          real* c, int64_t c_row, int64_t c_col, const NAME(epilogue) * e,
                          real* scratch, int64_t scratch_size, fetch* ahead);

#endif  // XPNET_PRODUCT_H
