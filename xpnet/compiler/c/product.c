// Matrix products: see product.h, and the notes in README.md.
#include "product.h"

#include "product_dot.h"
#include "product_finish.h"
#include "product_pack.h"
#include "product_plan.h"
#include "product_thin.h"
#include "product_tile.h"

// ---- panels of tiles ----------------------------------------------------------------------------

// The part of a product that is computed at a time: rows and depth, and a panel of columns.
typedef struct {
    const problem* problem;
    const plan* plan;
    int64_t first_row;
    int64_t rows;
    int64_t first_depth;
    int64_t depth;
    int64_t first_column;
    int columns;
    int vectors;
    real* packed_a;
    real* packed_b;
    fetch* ahead;
} block;

// Where a tile at row i of the block goes, and what is done to it after the last block of depth.
static ending end_of_tile(const block* k, int64_t i) {
    const problem* p = k->problem;
    const int64_t row = k->first_row + i;
    const int64_t column = k->first_column;
    ending e = {0};
    e.columns = k->columns;
    e.beta = k->first_depth == 0 ? p->beta : 1;
    e.c = p->c + row * p->c_row + column * p->c_column;
    e.c_row = p->c_row;
    e.c_column = p->c_column;
    e.floor = (real)NAN;
    if (k->first_depth + k->depth < p->k) return e;
    if (p->bias) e.bias = p->bias + column;
    if (p->row_bias) e.row_bias = p->row_bias + row;
    if (p->relu) e.floor = 0;
    if (p->mask) e.mask = p->mask + row * p->c_row + column * p->c_column;
    if (p->column_sums) e.column_sums = p->column_sums + column;
    if (p->row_sums) e.row_sums = p->row_sums + row;
    return e;
}

// The rows of the next tile, where `left` rows are left.
static int next_rows(int vectors, int64_t left) {
    const int* choice = tile_rows[vectors];
    while (*choice > left) choice++;
    return *choice;
}

static void pack_block_of_a(const block* k) {
    const matrix* a = &k->problem->a;
    int rows;
    for (int64_t i = 0; i < k->rows; i += rows) {
        rows = next_rows(k->plan->vectors, k->rows - i);
        const packing one = {
            .from = a->data + (k->first_row + i) * a->row + k->first_depth * a->column,
            .down = a->column,
            .across = a->row,
            .length = k->depth,
            .count = rows,
            .width = rows,
            .out = k->packed_a + i * k->depth,
        };
        pack(&one);
    }
}

static const real* start_of_b(const block* k) {
    const matrix* b = &k->problem->b;
    return b->data + k->first_depth * b->row + k->first_column * b->column;
}

static void pack_panel_of_b(const block* k) {
    const packing one = {
        .from = start_of_b(k),
        .down = k->problem->b.row,
        .across = k->problem->b.column,
        .length = k->depth,
        .count = k->columns,
        .width = k->vectors * LANES,
        .out = k->packed_b,
    };
    pack(&one);
}

// Sets the columns of a panel; `done` vectors are in the panels before it.
static void choose_panel(block* k, int64_t panel, int64_t done) {
    const plan* q = k->plan;
    const int64_t vectors = vectors_of(k->problem->n) - q->rest_apart - done;
    const int64_t panels = q->panels - q->rest_apart - panel;
    k->vectors = panels > 0 ? (int)(vectors / panels) : 1;
    k->first_column = done * LANES;
    k->columns = (int)MIN(k->vectors * LANES, k->problem->n - k->first_column);
}

// ---- prefetching --------------------------------------------------------------------------------

// The part of b that the next panel reads: `rows` rows of `bytes`, of which each tile fetches some.
typedef struct {
    const char* data;
    int64_t stride;
    int64_t rows;
    int64_t bytes;
    int64_t share;
} upcoming;

static upcoming next_panel(const block* k) {
    const problem* p = k->problem;
    const matrix* b = &p->b;
    int64_t column = k->first_column + k->columns;
    int64_t first_depth = k->first_depth;
    upcoming u = {0};
    if (k->rows < ROWS_TO_PREFETCH) return u;
    if (column == p->n) {
        column = 0;
        first_depth += k->depth;
    }
    const int64_t depth = MIN(k->depth, p->k - first_depth);
    if (depth <= 0) return u;
    const int64_t width = MIN(k->vectors * LANES, p->n - column);
    const int by_rows = b->column == 1;
    u.data = (const char*)(b->data + first_depth * b->row + column * b->column);
    u.stride = (by_rows ? b->row : b->column) * (int64_t)sizeof(real);
    u.rows = by_rows ? depth : width;
    u.bytes = (by_rows ? width : depth) * (int64_t)sizeof(real);
    u.share = divide_up(u.rows * tile_rows[k->plan->vectors][0], k->rows);
    return u;
}

static void prefetch_share(upcoming* u) {
    const int64_t rows = MIN(u->share, u->rows);
    for (int64_t i = 0; i < rows; i++) {
        for (int64_t at = 0; at < u->bytes; at += 64) __builtin_prefetch(u->data + at, 0, 2);
        u->data += u->stride;
    }
    u->rows -= rows;
}

// ---- products -----------------------------------------------------------------------------------

// A tile at row i: directly into c, or into `sums` and from there through the epilogue.
static void compute_one_tile(const block* k, int64_t i, int rows, tile* t, int by_rows) {
    const problem* p = k->problem;
    const int last = k->first_depth + k->depth >= p->k;
    const int width = k->vectors * LANES;
    const tile_function function = tile_functions[by_rows][rows][k->vectors];
    real sums[MAX_SUMS * LANES] __attribute__((aligned(64)));
    if (p->c_column == 1 && k->columns == width && !(last && has_epilogue(p))) {
        t->c = p->c + (k->first_row + i) * p->c_row + k->first_column;
        t->c_stride = p->c_row;
        t->beta = k->first_depth == 0 ? p->beta : 1;
        function(t);
        return;
    }
    t->c = sums;
    t->c_stride = width;
    t->beta = 0;
    function(t);
    ending e = end_of_tile(k, i);
    e.sums = sums;
    e.width = width;
    e.rows = rows;
    finish(&e);
}

// All tiles of a panel; b's part is in packed_b if it is packed.
static void compute_panel(const block* k, int packed) {
    const matrix* a = &k->problem->a;
    const int by_rows = !k->plan->pack_a && a->column == 1;
    const int height = k->plan->pack_a ? k->plan->vectors : k->vectors;  // the entry of tile_rows
    upcoming u = next_panel(k);
    tile t = {.depth = k->depth, .alpha = k->problem->alpha};
    t.b = packed ? k->packed_b : start_of_b(k);
    t.b_stride = packed ? k->vectors * LANES : k->problem->b.row;
    int rows;
    for (int64_t i = 0; i < k->rows; i += rows) {
        rows = next_rows(height, k->rows - i);
        if (k->plan->pack_a) {
            t.a = k->packed_a + i * k->depth;
            t.a_stride = rows;
        } else {
            t.a = a->data + (k->first_row + i) * a->row + k->first_depth * a->column;
            t.a_stride = by_rows ? a->row : a->column;
        }
        prefetch_share(&u);
        t.ahead = next_lines(k->ahead, k->depth / ROUND(rows, k->vectors), t.b);
        compute_one_tile(k, i, rows, &t, by_rows);
    }
}

// All panels of a block of rows.
static void compute_rows(block* k) {
    const plan* q = k->plan;
    if (q->pack_a) pack_block_of_a(k);
    int64_t done = 0;
    for (int64_t panel = 0; panel < q->panels; panel++) {
        choose_panel(k, panel, done);
        const int packed = q->pack_b || k->columns < k->vectors * LANES;
        if (packed) pack_panel_of_b(k);
        compute_panel(k, packed);
        done += k->vectors;
    }
}

static void compute_by_tiles(const problem* p, const plan* q, real* scratch, fetch* ahead) {
    block k = {.problem = p, .plan = q, .ahead = ahead};
    k.packed_a = (real*)(((uintptr_t)scratch + 63) / 64 * 64);
    k.packed_b = k.packed_a + packed_a_size(p, q);
    do {
        k.depth = MIN(q->depth_block, p->k - k.first_depth);
        for (k.first_row = 0; k.first_row < p->m; k.first_row += q->row_block) {
            k.rows = MIN(q->row_block, p->m - k.first_row);
            compute_rows(&k);
        }
        k.first_depth += k.depth;
    } while (k.first_depth < p->k);
}

// The rows of a, with the numbers of a row side by side; copied to `scratch` if they are not so.
static matrix rows_of_a(const problem* p, real* scratch) {
    if (p->a.column == 1) return p->a;
    const packing rows = {
        .from = p->a.data,
        .down = p->a.row,
        .across = p->a.column,
        .length = p->m,
        .count = p->k,
        .width = p->k,
        .out = scratch,
    };
    pack(&rows);
    return (matrix){scratch, p->k, 1};
}

static void compute_by_dots(const problem* p, const plan* q, real* scratch) {
    const matrix a = rows_of_a(p, scratch);
    block k = {.problem = p, .plan = q, .depth = p->k};
    real sums[MAX_SUMS * LANES] __attribute__((aligned(64)));
    for (; k.first_column < p->n; k.first_column += DOT_COLUMNS) {
        k.columns = (int)MIN(DOT_COLUMNS, p->n - k.first_column);
        dots d = {.depth = p->k, .a_row = a.row, .b_column = p->b.column, .alpha = p->alpha};
        d.b = start_of_b(&k);
        d.columns = k.columns;
        d.width = (int)divide_up(k.columns, LANES) * LANES;
        d.sums = sums;
        int rows;
        for (int64_t i = 0; i < p->m; i += rows) {
            d.a = a.data + i * a.row;
            rows = compute_dots(&d, p->m - i);
            ending e = end_of_tile(&k, i);
            e.sums = sums;
            e.width = d.width;
            e.rows = rows;
            finish(&e);
        }
    }
}

// Adds the products with `depth` rows of b, from p on, to the rows i and `second` of c.
static void compute_thin_rows(const problem* p, int64_t i, int64_t second, int64_t first,
                              int depth) {
    real a[2][THIN_DEPTH];
    const real* b[THIN_DEPTH];
    real* const c[2] = {p->c + i * p->c_row, p->c + second * p->c_row};
    for (int d = 0; d < depth; d++) {
        const real* column = p->a.data + (first + d) * p->a.column;
        a[0][d] = p->alpha * column[i * p->a.row];
        a[1][d] = p->alpha * column[second * p->a.row];
        b[d] = p->b.data + (first + d) * p->b.row;
    }
    const real beta = first == 0 ? p->beta : 1;
    if (depth == 4) {
        add_thin_4(p->n, a, b, beta, c);
    } else if (depth == 2) {
        add_thin_2(p->n, a, b, beta, c);
    } else {
        add_thin_1(p->n, a, b, beta, c);
    }
}

// An odd last row is computed twice at the same time, and written twice.
static void compute_by_rows(const problem* p) {
    for (int64_t i = 0; i < p->m; i += 2) {
        const int64_t second = MIN(i + 1, p->m - 1);
        int depth;
        for (int64_t first = 0; first < p->k; first += depth) {
            const int64_t left = p->k - first;
            depth = left >= 4 ? 4 : left >= 2 ? 2 : 1;
            compute_thin_rows(p, i, second, first, depth);
        }
    }
}

// ---- the functions of product.h -----------------------------------------------------------------

EXPORT int64_t NAME(product_scratch)(int64_t m, int64_t n, int64_t k, int64_t a_row, int64_t a_col,
                                     int64_t b_row, int64_t b_col, int64_t c_row, int64_t c_col) {
    problem p = {.m = m, .n = n, .k = k, .c_row = c_row, .c_column = c_col};
    p.a = (matrix){NULL, a_row, a_col};
    p.b = (matrix){NULL, b_row, b_col};
    if (m == 0 || n == 0) return 0;
    simplify(&p);
    plan q = make_plan(&p);
    q.is_thin = 0;  // it is not, where there is an epilogue
    return scratch_numbers(&p, &q);
}

EXPORT void NAME(product)(int64_t m, int64_t n, int64_t k, real alpha, const real* a, int64_t a_row,
                          int64_t a_col, const real* b, int64_t b_row, int64_t b_col, real beta,
                          real* c, int64_t c_row, int64_t c_col, const NAME(epilogue) * e,
                          real* scratch, int64_t scratch_size, fetch* ahead) {
    problem p = {.m = m, .n = n, .k = k, .alpha = alpha, .beta = beta};
    p.a = (matrix){a, a_row, a_col};
    p.b = (matrix){b, b_row, b_col};
    p.c = c;
    p.c_row = c_row;
    p.c_column = c_col;
    if (e != NULL) {
        p.bias = e->bias;
        p.relu = e->activation == 1;
        p.mask = e->mask;
        p.column_sums = e->column_sums;
        for (int64_t j = 0; e->column_sums && j < n; j++) e->column_sums[j] = 0;
    }
    if (m == 0 || n == 0) return;
    simplify(&p);
    plan q = make_plan(&p);
    if (scratch_numbers(&p, &q) > scratch_size) q.use_dots = 0;
    while (scratch_numbers(&p, &q) > scratch_size && q.depth_block > 1) q.depth_block /= 2;
    if (q.is_thin) {
        compute_by_rows(&p);
    } else if (q.use_dots) {
        compute_by_dots(&p, &q, scratch);
    } else {
        compute_by_tiles(&p, &q, scratch, ahead);
    }
}
