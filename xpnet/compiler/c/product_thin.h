// Products of small depth, as the change of a weight by a small batch: c is read and written at the
// speed of memory, row by row.
#ifndef XPNET_PRODUCT_THIN_H
#define XPNET_PRODUCT_THIN_H

#include "vector.h"

#define THIN_DEPTH 4

// For two rows r: c[r, j] = sum_p a[r, p] b[p, j] + beta * c[r, j], for `count` columns from j on.
INLINE void add_thin_vectors(const int depth, const vreal a[2][THIN_DEPTH], const real* const* b,
                             real beta, real* const* c, int64_t j, int64_t count) {
    const int whole = count == LANES;
    vreal sum[2];
    UNROLL for (int r = 0; r < 2; r++) {
        sum[r] = splat(0);
        if (beta != 0)
            sum[r] = splat(beta) * (whole ? load(c[r] + j) : load_first(c[r] + j, count));
    }
    UNROLL for (int p = 0; p < depth; p++) {
        const vreal row = whole ? load(b[p] + j) : load_first(b[p] + j, count);
        UNROLL for (int r = 0; r < 2; r++) sum[r] += a[r][p] * row;
    }
    UNROLL for (int r = 1; r >= 0; r--) {
        if (whole) {
            store(c[r] + j, sum[r]);
        } else {
            store_first(c[r] + j, sum[r], count);
        }
    }
}

// Two rows of c, of n numbers. Both may be the same row, with the same numbers a.
INLINE void add_thin_rows(const int depth, int64_t n, const real a[2][THIN_DEPTH],
                          const real* const* b, real beta, real* const* c) {
    vreal numbers[2][THIN_DEPTH];
    UNROLL for (int p = 0; p < depth; p++) {
        numbers[0][p] = splat(a[0][p]);
        numbers[1][p] = splat(a[1][p]);
    }
    int64_t j = 0;
    if (beta == 0) {
        for (; j + LANES <= n; j += LANES) add_thin_vectors(depth, numbers, b, 0, c, j, LANES);
    } else {
        for (; j + LANES <= n; j += LANES) add_thin_vectors(depth, numbers, b, beta, c, j, LANES);
    }
    if (j < n) add_thin_vectors(depth, numbers, b, beta, c, j, n - j);
}

static void add_thin_1(int64_t n, const real a[2][THIN_DEPTH], const real* const* b, real beta,
                       real* const* c) {
    add_thin_rows(1, n, a, b, beta, c);
}

static void add_thin_2(int64_t n, const real a[2][THIN_DEPTH], const real* const* b, real beta,
                       real* const* c) {
    add_thin_rows(2, n, a, b, beta, c);
}

static void add_thin_4(int64_t n, const real a[2][THIN_DEPTH], const real* const* b, real beta,
                       real* const* c) {
    add_thin_rows(4, n, a, b, beta, c);
}

#endif  // XPNET_PRODUCT_THIN_H
