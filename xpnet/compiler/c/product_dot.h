// Products whose sums run along both operands' memory: a(i, p) and b(p, j) lie side by side along
// p. Where a has few rows, it does not pay to transpose b: the sums are taken lane by lane instead.
#ifndef XPNET_PRODUCT_DOT_H
#define XPNET_PRODUCT_DOT_H

#include "product_pack.h"
#include "product_tile.h"

// The sums that are kept at a time, in as many registers.
#if MAX_VECTORS == 5
#define DOTS 16
#else
#define DOTS 8
#endif

// The columns of b at a time. One row of a takes 8 at most: so many rows of memory of b, if their
// distance is a power of two, still fit into the cache together.
#define DOT_STEP(rows) ((rows) == 1 ? 8 : DOTS / (rows))

// sums[i * width + j] = alpha * sum_p a[i * a_row + p] b[j * b_column + p] for i < rows, j <
// columns.
typedef struct {
    int64_t depth;
    const real* a;
    int64_t a_row;
    const real* b;
    int64_t b_column;
    int columns;
    int width;
    real alpha;
    real* sums;
} dots;

// v[i * columns + j] += a(i) b(j) for the vectors at p, of which `count` lanes are used.
INLINE void add_dots(const int rows, const int columns, const dots* d, const real* const* b,
                     int64_t p, int64_t count, vreal* v) {
    vreal a[4];
    UNROLL for (int i = 0; i < rows; i++) {
        const real* from = d->a + i * d->a_row + p;
        a[i] = count == LANES ? load(from) : load_first(from, count);
        IN_REGISTER(a[i]);
    }
    UNROLL for (int j = 0; j < columns; j++) {
        vreal row = count == LANES ? load(b[j] + p) : load_first(b[j] + p, count);
        IN_REGISTER(row);
        UNROLL for (int i = 0; i < rows; i++) v[i * columns + j] += a[i] * row;
    }
}

// rows x DOT_STEP(rows) sums, from column j on.
INLINE void compute_some_dots(const int rows, const dots* d, int j) {
    const int columns = DOT_STEP(rows);
    const real* b[DOTS];
    vreal v[DOTS];
    UNROLL for (int c = 0; c < columns; c++) {
        b[c] = d->b + (j + c < d->columns ? j + c : j) * d->b_column;
    }
    UNROLL for (int i = 0; i < DOTS; i++) v[i] = splat(0);
    int64_t p = 0;
    for (; p + LANES <= d->depth; p += LANES) add_dots(rows, columns, d, b, p, LANES, v);
    if (p < d->depth) add_dots(rows, columns, d, b, p, d->depth - p, v);
    real total[DOTS];
    UNROLL for (int i = 0; i < DOTS; i += LANES) {
        store(total + i, splat(d->alpha) * sums_of_lanes(v + i));
    }
    for (int i = 0; i < rows; i++) {
        for (int c = 0; c < columns && j + c < d->columns; c++) {
            d->sums[i * d->width + j + c] = total[i * columns + c];
        }
    }
}

// The columns that are computed at a time, so that their memory stays in the cache for all rows.
#define DOT_COLUMNS (MIN(16 / LANES, WIDEST_TILE(4)) * LANES)

// Up to 4 of the rows that are left; returns how many.
static int compute_dots(const dots* d, int64_t rows_left) {
    const int rows = rows_left >= 4 ? 4 : rows_left >= 2 ? 2 : 1;
    for (int j = 0; j < d->columns; j += DOT_STEP(rows)) {
        if (rows == 4) {
            compute_some_dots(4, d, j);
        } else if (rows == 2) {
            compute_some_dots(2, d, j);
        } else {
            compute_some_dots(1, d, j);
        }
    }
    return rows;
}

#endif  // XPNET_PRODUCT_DOT_H
