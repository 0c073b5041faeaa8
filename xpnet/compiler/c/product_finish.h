// The epilogue of a product: what is done to the sums of a tile on their way to the result.
#ifndef XPNET_PRODUCT_FINISH_H
#define XPNET_PRODUCT_FINISH_H

#include "product_pack.h"
#include "product_tile.h"

// A tile's sums, and where they go. For row i and column j of the tile:
//   x = sums[i, j] + beta c[i, j] + bias[j] + row_bias[i]; 0 if x <= floor; 0 unless mask[i, j] > 0
// Then c[i, j] = x, and x is added to column_sums[j] and row_sums[i].
typedef struct {
    real* sums;  // rows of whole vectors; overwritten
    int width;   // from a row of sums to the next one
    int rows;
    int columns;  // the last vector may be used in part
    real beta;
    real* c;
    int64_t c_row;
    int64_t c_column;
    const real* bias;  // NULL: none, as for the next ones
    const real* row_bias;
    real floor;        // 0 for ReLU; NaN: none, since nothing is <= NaN
    const real* mask;  // strides as c
    real* column_sums;
    real* row_sums;
} ending;

// The vectors of a row, of which the last one has `last` numbers.
INLINE void load_row(const int vectors, int last, const real* from, vreal* v) {
    UNROLL for (int j = 0; j < vectors - 1; j++) v[j] = load(from + j * LANES);
    const real* end = from + (vectors - 1) * LANES;
    v[vectors - 1] = last == LANES ? load(end) : load_first(end, last);
}

INLINE void store_row(const int vectors, int last, real* to, const vreal* v) {
    UNROLL for (int j = 0; j < vectors - 1; j++) store(to + j * LANES, v[j]);
    real* end = to + (vectors - 1) * LANES;
    if (last == LANES) {
        store(end, v[vectors - 1]);
    } else {
        store_first(end, v[vectors - 1], last);
    }
}

// sums += beta * c. All rows of c are read before one is written: to read a row just after a part
// of a vector was written beside it would wait for that.
INLINE void add_old_rows(const int vectors, const ending* e) {
    const int last = e->columns - (vectors - 1) * LANES;
    const vreal beta = splat(e->beta);
    vreal old[MAX_VECTORS];
    for (int i = 0; i < e->rows; i++) {
        real* sums = e->sums + i * e->width;
        load_row(vectors, last, e->c + i * e->c_row, old);
        UNROLL for (int j = 0; j < vectors; j++) {
            store(sums + j * LANES, load(sums + j * LANES) + beta * old[j]);
        }
    }
}

// The rows of a tile whose columns lie side by side in c.
INLINE void finish_rows(const int vectors, const ending* e) {
    const int last = e->columns - (vectors - 1) * LANES;
    const vreal floor = splat(e->floor);
    const real* mask = e->mask;
    vreal bias[MAX_VECTORS];
    vreal total[MAX_VECTORS];
    vreal x[MAX_VECTORS];
    vreal old[MAX_VECTORS];
    UNROLL for (int j = 0; j < vectors; j++) {
        bias[j] = splat((real)-0.0);  // x + -0 is x, also for x = -0
        total[j] = splat(0);
    }
    if (e->bias) load_row(vectors, last, e->bias, bias);
    if (e->beta != 0) add_old_rows(vectors, e);
    for (int i = 0; i < e->rows; i++) {
        real* c = e->c + i * e->c_row;
        const vreal row_bias = splat(e->row_bias ? e->row_bias[i] : (real)-0.0);
        UNROLL for (int j = 0; j < vectors; j++) x[j] = load(e->sums + i * e->width + j * LANES);
        UNROLL for (int j = 0; j < vectors; j++) {
            x[j] = x[j] + bias[j] + row_bias;
            x[j] = zero_unless(~(x[j] <= floor), x[j]);
        }
        if (mask) {
            load_row(vectors, last, mask + i * e->c_row, old);
            UNROLL for (int j = 0; j < vectors; j++) x[j] =
                zero_unless(old[j] > splat(0), x[j]);
        }
        store_row(vectors, last, c, x);
        UNROLL for (int j = 0; j < vectors; j++) total[j] += x[j];
        if (e->row_sums) {
            vreal sum = zero_unless(first_lanes(last), x[vectors - 1]);
            UNROLL for (int j = 0; j < vectors - 1; j++) sum += x[j];
            e->row_sums[i] += sum_lanes(sum);
        }
    }
    if (e->column_sums) {
        load_row(vectors, last, e->column_sums, old);
        UNROLL for (int j = 0; j < vectors; j++) total[j] += old[j];
        store_row(vectors, last, e->column_sums, total);
    }
}

// One number; any strides.
INLINE void finish_number(const ending* e, int i, int j) {
    const int64_t at = i * e->c_row + j * e->c_column;
    real x = e->sums[i * e->width + j];
    if (e->beta != 0) x += e->beta * e->c[at];
    if (e->bias) x += e->bias[j];
    if (e->row_bias) x += e->row_bias[i];
    if (x <= e->floor) x = 0;
    if (e->mask && !(e->mask[at] > 0)) x = 0;
    e->c[at] = x;
    if (e->column_sums) e->column_sums[j] += x;
    if (e->row_sums) e->row_sums[i] += x;
}

#define DEFINE_FINISH(vectors) \
    static void finish_##vectors(const ending* e) { finish_rows(vectors, e); }
DEFINE_FINISH(1)
DEFINE_FINISH(2)
#if MAX_VECTORS == 5
#define FINISH_VECTORS 5
DEFINE_FINISH(3)
DEFINE_FINISH(4)
DEFINE_FINISH(5)
static void (*const finish_functions[])(const ending*) = {NULL,     finish_1, finish_2,
                                                          finish_3, finish_4, finish_5};
#else
#define FINISH_VECTORS 2
static void (*const finish_functions[])(const ending*) = {NULL, finish_1, finish_2};
#endif

// The columns from j on of a tile whose columns lie side by side in c.
static ending from_column(const ending* e, int j) {
    ending rest = *e;
    rest.sums += j;
    rest.columns = MIN(e->columns - j, FINISH_VECTORS * LANES);
    rest.c += j;
    if (e->bias) rest.bias += j;
    if (e->mask) rest.mask += j;
    if (e->column_sums) rest.column_sums += j;
    return rest;
}

static void finish_columns(const ending* e) {
    if (e->columns <= FINISH_VECTORS * LANES) {
        finish_functions[(e->columns + LANES - 1) / LANES](e);
        return;
    }
    for (int j = 0; j < e->columns; j += FINISH_VECTORS * LANES) {
        const ending part = from_column(e, j);
        finish_functions[(part.columns + LANES - 1) / LANES](&part);
    }
}

// A tile's rows, rounded up to whole vectors.
#define PADDED_ROWS ((MAX_ROWS + LANES - 1) / LANES * LANES)

// A tile whose rows, not columns, lie side by side in c: the sums are transposed.
static void finish_transposed(const ending* e) {
    const int width = (e->rows + LANES - 1) / LANES * LANES;
    real sums[MAX_VECTORS * LANES * PADDED_ROWS] __attribute__((aligned(64)));
    const packing columns = {
        .from = e->sums,
        .down = 1,
        .across = e->width,
        .length = e->columns,
        .count = e->rows,
        .width = width,
        .out = sums,
    };
    pack_columns(&columns);
    ending t = *e;
    t.sums = sums;
    t.width = width;
    t.rows = e->columns;
    t.columns = e->rows;
    t.c_row = e->c_column;
    t.c_column = 1;
    t.bias = e->row_bias;
    t.row_bias = e->bias;
    t.column_sums = e->row_sums;
    t.row_sums = e->column_sums;
    finish_columns(&t);
}

static void finish(const ending* e) {
    if (e->c_column == 1) {
        finish_columns(e);
        return;
    }
    if (e->c_row == 1) {
        finish_transposed(e);
        return;
    }
    for (int j = 0; j < e->columns; j++) {
        for (int i = 0; i < e->rows; i++) finish_number(e, i, j);
    }
}

#endif  // XPNET_PRODUCT_FINISH_H
