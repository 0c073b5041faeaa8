// Matrix products: see product.h, and the notes in README.md.
#include "product.h"

#include "product_pack.h"
#include "product_tile.h"

#define MIN(x, y) ((x) < (y) ? (x) : (y))

// A matrix: element (i, j) is at data[i * row + j * column].
typedef struct {
    const real* data;
    int64_t row;
    int64_t column;
} matrix;

// A product whose result has its rows side by side (c_col = 1), if it can be put so.
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
    int64_t c_col;
    // The epilogue. Where c was transposed, the bias has a number per row, and rows are summed.
    const real* column_bias;
    const real* row_bias;
    int relu;
    const real* mask;  // strides as c
    real* column_sums;
    real* row_sums;
    int has_epilogue;
} problem;

// How a product is cut into blocks.
typedef struct {
    int64_t panels;       // of columns of c, each of at most `vectors` vectors
    int vectors;
    int64_t row_block;    // rows of a, and columns of a, that are at hand at a time
    int64_t depth_block;
    int pack_a;
    int pack_b;           // if 0, only the panels that end in a part of a vector are packed
} plan;

// ---- blocks -------------------------------------------------------------------------------------

static int64_t divide_up(int64_t x, int64_t by) { return (x + by - 1) / by; }

// Cuts `size` into equal blocks of at most `most`, each a multiple of `unit` but the last one.
static int64_t equal_blocks(int64_t size, int64_t most, int64_t unit) {
    if (size <= most) return size > 0 ? size : 1;
    const int64_t block = divide_up(size, divide_up(size, most));
    return divide_up(block, unit) * unit;
}

#ifdef TUNE
static int tune_v = 0, tune_kc = 0, tune_mc = 0, tune_pa = -1, tune_pb = -1;
__attribute__((visibility("default"))) void NAME(tune)(int v,int kc,int mc,int pa,int pb){tune_v=v;tune_kc=kc;tune_mc=mc;tune_pa=pa;tune_pb=pb;}
#endif

static plan make_plan(const problem* p) {
    plan q;
    const int64_t vectors = divide_up(p->n, LANES);
    int most = MAX_VECTORS;
#ifdef TUNE
    if (tune_v) most = tune_v;
#endif
    q.panels = divide_up(vectors, most);
    q.vectors = (int)divide_up(vectors, q.panels);
    q.pack_a = p->a.row != 1 && p->a.column != 1;
    q.pack_b = p->b.column != 1;
    q.depth_block = 256;
    q.row_block = 240;
#ifdef TUNE
    if (tune_kc) q.depth_block = tune_kc;
    if (tune_mc) q.row_block = tune_mc;
    if (tune_pa > 0) q.pack_a = 1;
    if (tune_pb > 0) q.pack_b = 1;
#endif
    q.depth_block = equal_blocks(p->k, q.depth_block, 4);
    q.row_block = equal_blocks(p->m, q.row_block, tile_rows[q.vectors][0]);
    return q;
}

// The numbers for the packed block of a, and for the packed panel of b.
static int64_t packed_a_size(const plan* q) {
    return q->pack_a ? divide_up(q->row_block * q->depth_block, LANES) * LANES + LANES : 0;
}

static int64_t packed_b_size(const plan* q) { return q->depth_block * q->vectors * LANES; }

// ---- epilogue -----------------------------------------------------------------------------------

// A tile's sums in memory, and where they belong.
typedef struct {
    const real* sums;  // rows of `vectors` vectors
    int rows;
    int vectors;
    int64_t i;         // the first row and column in c
    int64_t j;
    int64_t columns;   // at most vectors * LANES
    real beta;
} result;

INLINE vreal load_some(const real* p, int64_t stride, int64_t count) {
    if (stride == 1) return count == LANES ? load(p) : load_first(p, count);
    vreal v = splat(0);
    for (int64_t i = 0; i < count; i++) v[i] = p[i * stride];
    return v;
}

INLINE void store_some(real* p, int64_t stride, int64_t count, vreal v) {
    if (stride == 1 && count == LANES) {
        store(p, v);
    } else if (stride == 1) {
        store_first(p, v, count);
    } else {
        for (int64_t i = 0; i < count; i++) p[i * stride] = v[i];
    }
}

// Finishes `count` numbers of a column of vectors: scales, adds c and bias, ReLU, mask, sums.
INLINE void finish_vectors(const problem* p, const result* r, int vector, int64_t count) {
    const int64_t j = r->j + vector * LANES;
    const vreal alpha = splat(p->alpha);
    const vreal beta = splat(r->beta);
    const vreal bias = p->column_bias ? load_some(p->column_bias + j, 1, count) : splat((real)-0.0);
    vreal total = splat(0);
    for (int i = 0; i < r->rows; i++) {
        const int64_t at = (r->i + i) * p->c_row + j * p->c_col;
        vreal v = alpha * load(r->sums + (i * r->vectors + vector) * LANES);
        if (r->beta != 0) v += beta * load_some(p->c + at, p->c_col, count);
        v += bias;
        if (p->row_bias) v += splat(p->row_bias[r->i + i]);
        if (p->relu) v = relu(v);
        if (p->mask) v = zero_unless(~(load_some(p->mask + at, p->c_col, count) <= splat(0)), v);
        store_some(p->c + at, p->c_col, count, v);
        total += v;
        if (p->row_sums) {
            vreal kept = splat(0);
            if (count == LANES) kept = v; else for (int64_t l = 0; l < count; l++) kept[l] = v[l];
            p->row_sums[r->i + i] += sum_lanes(kept);
        }
    }
    if (p->column_sums) {
        real* sums = p->column_sums + j;
        store_some(sums, 1, count, total + load_some(sums, 1, count));
    }
}

static void finish(const problem* p, const result* r) {
    for (int vector = 0; vector < r->vectors; vector++) {
        const int64_t left = r->columns - vector * LANES;
        if (left >= LANES) {
            finish_vectors(p, r, vector, LANES);
        } else {
            finish_vectors(p, r, vector, left);
        }
    }
}

// ---- blocks of tiles ----------------------------------------------------------------------------

// What is at hand while the tiles of a panel are computed.
typedef struct {
    const problem* problem;
    const plan* plan;
    int64_t first_row;   // of the block of rows
    int64_t rows;
    int64_t first_depth;
    int64_t depth;
    real* packed_a;
    real* packed_b;
} block;

static int next_rows(int vectors, int64_t left) {
    const int* choice = tile_rows[vectors];
    while (*choice > left) choice++;
    return *choice;
}

static void pack_block_of_a(const block* k) {
    const matrix* a = &k->problem->a;
    for (int64_t i = 0; i < k->rows;) {
        const int rows = next_rows(k->plan->vectors, k->rows - i);
        const packing one = {a->data + (k->first_row + i) * a->row + k->first_depth * a->column,
                             a->column, a->row, k->depth, rows, rows, k->packed_a + i * k->depth};
        pack(&one);
        i += rows;
    }
}

// The tiles of one panel of columns: j to j + columns.
static void compute_panel(const block* k, int64_t j, int64_t columns, int vectors) {
    const problem* p = k->problem;
    const int by_rows = !k->plan->pack_a && p->a.column == 1;
    const int last = k->first_depth + k->depth == p->k;
    const int in_place = !(last && p->has_epilogue) && columns == vectors * LANES && p->c_col == 1;
    real sums[25 * LANES] __attribute__((aligned(64)));
    tile t;
    t.depth = k->depth;
    t.b = p->b.data + k->first_depth * p->b.row + j * p->b.column;
    t.b_stride = p->b.row;
    if (k->plan->pack_b || columns < vectors * LANES) {
        const packing one = {t.b, p->b.row, p->b.column, k->depth, columns, vectors * LANES, k->packed_b};
        pack(&one);
        t.b = k->packed_b;
        t.b_stride = vectors * LANES;
    }
    const real beta = k->first_depth == 0 ? p->beta : 1;
    for (int64_t i = 0; i < k->rows;) {
        const int rows = next_rows(k->plan->vectors, k->rows - i);
        if (k->plan->pack_a) {
            t.a = k->packed_a + i * k->depth;
            t.a_stride = rows;
        } else {
            t.a = p->a.data + (k->first_row + i) * p->a.row + k->first_depth * p->a.column;
            t.a_stride = by_rows ? p->a.row : p->a.column;
        }
        if (in_place) {
            t.alpha = p->alpha;
            t.beta = beta;
            t.c = p->c + (k->first_row + i) * p->c_row + j;
            t.c_stride = p->c_row;
            tile_functions[by_rows][rows][vectors](&t);
        } else {
            t.alpha = 1;
            t.beta = 0;
            t.c = sums;
            t.c_stride = vectors * LANES;
            tile_functions[by_rows][rows][vectors](&t);
            problem now = *p;
            if (!last) { now.column_bias = now.row_bias = now.mask = 0; now.relu = 0; now.column_sums = now.row_sums = 0; }
            const result r = {sums, rows, vectors, k->first_row + i, j, columns, beta};
            finish(&now, &r);
        }
        i += rows;
    }
}

static void compute_block(const block* k) {
    const plan* q = k->plan;
    const int64_t vectors = divide_up(k->problem->n, LANES);
    if (q->pack_a) pack_block_of_a(k);
    int64_t done = 0;
    for (int64_t panel = 0; panel < q->panels; panel++) {
        const int now = (int)((vectors - done) / (q->panels - panel));
        const int64_t j = done * LANES;
        compute_panel(k, j, MIN(now * LANES, k->problem->n - j), now);
        done += now;
    }
}

static void compute(const problem* p, real* scratch) {
    const plan q = make_plan(p);
    block k;
    k.problem = p;
    k.plan = &q;
    k.packed_a = (real*)(((uintptr_t)scratch + 63) / 64 * 64);
    k.packed_b = k.packed_a + packed_a_size(&q);
    for (k.first_row = 0; k.first_row < p->m; k.first_row += q.row_block) {
        k.rows = MIN(q.row_block, p->m - k.first_row);
        k.first_depth = 0;
        do {
            k.depth = MIN(q.depth_block, p->k - k.first_depth);
            compute_block(&k);
            k.first_depth += k.depth;
        } while (k.first_depth < p->k);
    }
}

// ---- layout -------------------------------------------------------------------------------------

// c transposed is b transposed times a transposed.
static void transpose(problem* p) {
    const matrix a = p->a;
    const problem old = *p;
    p->m = old.n;
    p->n = old.m;
    p->a = (matrix){old.b.data, old.b.column, old.b.row};
    p->b = (matrix){a.data, a.column, a.row};
    p->c_row = old.c_col;
    p->c_col = old.c_row;
    p->column_bias = old.row_bias;
    p->row_bias = old.column_bias;
    p->column_sums = old.row_sums;
    p->row_sums = old.column_sums;
}

// Strides that are never used are set to 1, and c is transposed if its columns lie side by side.
static void simplify(problem* p) {
    if (p->m == 1 && p->a.column != 1) p->a.row = 1;
    if (p->k == 1 && p->a.row != 1) p->a.column = 1;
    if (p->k == 1 && p->b.column != 1) p->b.row = 1;
    if (p->n == 1 && p->b.row != 1) p->b.column = 1;
    if (p->m == 1 && p->c_col != 1) p->c_row = 1;
    if (p->n == 1 && p->c_row != 1) p->c_col = 1;
    if (p->c_col != 1 && p->c_row == 1) transpose(p);
}

EXPORT int64_t NAME(product_scratch)(int64_t m, int64_t n, int64_t k, int64_t a_row, int64_t a_col,
                                     int64_t b_row, int64_t b_col, int64_t c_row, int64_t c_col) {
    problem p = {0};
    p.m = m;
    p.n = n;
    p.k = k;
    p.a = (matrix){0, a_row, a_col};
    p.b = (matrix){0, b_row, b_col};
    p.c_row = c_row;
    p.c_col = c_col;
    if (m == 0 || n == 0) return 0;
    simplify(&p);
    const plan q = make_plan(&p);
    return packed_a_size(&q) + packed_b_size(&q) + 64;
}

EXPORT void NAME(product)(int64_t m, int64_t n, int64_t k, real alpha, const real* a, int64_t a_row,
                          int64_t a_col, const real* b, int64_t b_row, int64_t b_col, real beta,
                          real* c, int64_t c_row, int64_t c_col, const NAME(epilogue) * e,
                          real* scratch) {
    problem p = {0};
    p.m = m;
    p.n = n;
    p.k = k;
    p.alpha = alpha;
    p.beta = beta;
    p.a = (matrix){a, a_row, a_col};
    p.b = (matrix){b, b_row, b_col};
    p.c = c;
    p.c_row = c_row;
    p.c_col = c_col;
    if (e != NULL) {
        p.column_bias = e->bias;
        p.relu = e->activation == 1;
        p.mask = e->mask;
        p.column_sums = e->column_sums;
        p.has_epilogue = e->bias || p.relu || e->mask || e->column_sums;
        for (int64_t j = 0; e->column_sums && j < n; j++) e->column_sums[j] = 0;
    }
    if (m == 0 || n == 0) return;
    simplify(&p);
    compute(&p, scratch);
}
