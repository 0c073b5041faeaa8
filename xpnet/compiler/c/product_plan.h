// How a product is computed: its layout, and how it is cut into blocks.
#ifndef XPNET_PRODUCT_PLAN_H
#define XPNET_PRODUCT_PLAN_H

#include "product_tile.h"

// A matrix: element (i, j) is at data[i * row + j * column].
typedef struct {
    const real* data;
    int64_t row;
    int64_t column;
} matrix;

// c = epilogue(alpha * a b + beta * c). Where c was transposed (see `simplify`), the bias has a
// number per row, and the sums are those of rows.
typedef struct {
    int64_t m;
    int64_t n;
    int64_t k;
    real alpha;
    real beta;
    matrix a;
    matrix b;
    real* c;
    int64_t c_row;
    int64_t c_column;
    const real* bias;
    const real* row_bias;
    int relu;
    const real* mask;
    real* column_sums;
    real* row_sums;
} problem;

// ---- the plan -----------------------------------------------------------------------------------

// How a product is cut: columns into panels, rows and depth (k) into blocks.
typedef struct {
    int64_t panels;  // of columns
    int vectors;     // in the widest panel; the others have as many, or one less
    int64_t row_block;
    int64_t depth_block;
    int pack_a;
    int pack_b;      // 0: only a panel that ends in a part of a vector is packed
    int rest_apart;  // the last vector of columns, used in part, is a panel of its own
    int use_dots;    // the sums run along the memory of a and b (product_dot.h)
    int is_thin;     // k is small: by rows of c (product_thin.h)
} plan;

// A panel of b, and a block of a, are read again and again: together they should fit into the
// second-level cache.
#define DEPTH_BYTES 2048
#define ROW_BLOCK 256
// Packing a pays from so many panels of columns on.
#define PANELS_TO_PACK 16
// Packing b pays from so many rows on, the last panel, if it ends in a part of a vector, from so
// many; up to so many rows, transposing b may not pay.
#define ROWS_TO_PACK 192
#define ROWS_TO_PACK_REST 48
#define ROWS_FOR_DOTS 16
// Up to this depth, and from so many columns on, c is computed row by row.
#define DEPTH_OF_THIN 4
// The next panel of b is prefetched where a panel is used by at least so many rows.
#define ROWS_TO_PREFETCH 32

// Cuts `size` into equal blocks of at most about `most`, each a multiple of `unit`.
static int64_t equal_blocks(int64_t size, int64_t most, int64_t unit) {
    if (size <= most) return size > 0 ? size : 1;
    const int64_t block = divide_up(size, divide_up(size, most));
    return divide_up(block, unit) * unit;
}

static int has_epilogue(const problem* p) {
    return p->bias || p->row_bias || p->relu || p->mask || p->column_sums || p->row_sums;
}

static int64_t vectors_of(int64_t n) { return divide_up(n, LANES); }

// Whether c is computed row by row (product_thin.h).
static int is_thin(const problem* p) {
    if (p->b.column != 1 || p->c_column != 1 || has_epilogue(p)) return 0;
    return p->k == 1 || (p->k > 1 && p->k <= DEPTH_OF_THIN && vectors_of(p->n) > WIDEST_TILE(p->m));
}

// ---- costs --------------------------------------------------------------------------------------

// All are times, roughly, in multiplications of a vector.
static int64_t cost_of_tiles(const problem* p) {
    const int64_t rows = p->m < 4 ? 4 : p->m;  // fewer rows wait for memory
    int64_t cost = rows * vectors_of(p->n) * p->k;
    if (p->b.column != 1) cost += p->n * p->k * (p->b.row == 1 ? 1 : 8) / 2;
    return cost;
}

// Each sum of lanes takes about as long as 6 multiplications.
static int64_t cost_of_dots(const problem* p) {
    int64_t cost = p->m * p->n * vectors_of(p->k) * 5 / 4 + 6 * p->m * p->n;
    if (p->a.column != 1) cost += p->m * p->k;
    return cost;
}

static int use_dots(const problem* p) {
    if (p->b.row != 1 || p->b.column == 1 || p->m > ROWS_FOR_DOTS) return 0;
    return cost_of_dots(p) < cost_of_tiles(p);
}

static int64_t cost(const problem* p) {
    int64_t all = use_dots(p) ? cost_of_dots(p) : cost_of_tiles(p);
    if (p->c_column != 1) all += (p->c_row == 1 ? 1 : 4) * p->m * p->n;  // see `finish`
    return all;
}

// ---- layout -------------------------------------------------------------------------------------

// c transposed is b transposed times a transposed.
static problem transposed(const problem* p) {
    problem t = *p;
    t.m = p->n;
    t.n = p->m;
    t.a = (matrix){p->b.data, p->b.column, p->b.row};
    t.b = (matrix){p->a.data, p->a.column, p->a.row};
    t.c_row = p->c_column;
    t.c_column = p->c_row;
    t.bias = p->row_bias;
    t.row_bias = p->bias;
    t.column_sums = p->row_sums;
    t.row_sums = p->column_sums;
    return t;
}

// Strides that are never used become 1; the product is transposed where that costs less.
static void simplify(problem* p) {
    if (p->m == 1 && p->a.column != 1) p->a.row = 1;
    if (p->k == 1 && p->a.row != 1) p->a.column = 1;
    if (p->k == 1 && p->b.column != 1) p->b.row = 1;
    if (p->n == 1 && p->b.row != 1) p->b.column = 1;
    if (p->m == 1 && p->c_column != 1) p->c_row = 1;
    if (p->n == 1 && p->c_row != 1) p->c_column = 1;
    const problem t = transposed(p);
    if (cost(&t) < cost(p)) *p = t;
}

// ---- blocks -------------------------------------------------------------------------------------

static plan make_plan(const problem* p) {
    const int strided_a = p->a.row != 1 && p->a.column != 1;
    plan q = {0};
    q.pack_b = p->b.column != 1 || (p->m >= ROWS_TO_PACK && p->n > WIDEST_TILE(p->m) * LANES);
    q.rest_apart =
        !q.pack_b && !strided_a && p->m < ROWS_TO_PACK_REST && p->n > LANES && p->n % LANES != 0;
    const int64_t vectors = vectors_of(p->n) - q.rest_apart;
    q.panels = divide_up(vectors, WIDEST_TILE(p->m));
    q.vectors = (int)divide_up(vectors, q.panels);
    q.panels += q.rest_apart;
    q.is_thin = is_thin(p);
    q.use_dots = use_dots(p);
    q.pack_a = strided_a || (q.panels >= PANELS_TO_PACK && p->m >= ROWS_TO_PACK_REST);
    q.depth_block = equal_blocks(p->k, DEPTH_BYTES / (int64_t)sizeof(real), 4);
    q.row_block = equal_blocks(p->m, ROW_BLOCK, tile_rows[q.vectors][0]);
    return q;
}

// The numbers for the packed block of a, and for the packed panel of b.
static int64_t packed_a_size(const problem* p, const plan* q) {
    if (!q->pack_a) return 0;
    return divide_up(MIN(q->row_block, p->m) * q->depth_block, LANES) * LANES + LANES;
}

static int64_t packed_b_size(const plan* q) { return q->depth_block * q->vectors * LANES; }

// The numbers of scratch memory for a plan; the blocks in it begin at a multiple of 64 bytes.
static int64_t scratch_numbers(const problem* p, const plan* q) {
    if (q->is_thin) return 0;
    if (q->use_dots) return p->a.column == 1 ? 0 : p->m * p->k + LANES;
    return packed_a_size(p, q) + packed_b_size(q) + 64 / (int64_t)sizeof(real);
}

#endif  // XPNET_PRODUCT_PLAN_H
