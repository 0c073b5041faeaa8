// The operations of a plan which are products of matrices: how their instructions are read.
//
// The sizes of a product: m, n, k; strides of a, b and c by row and by column (6); activation; how
// many products there are, and the strides of a, b and c from one to the next (4). Its operands: a,
// b, c, bias, mask, column sums. Its numbers: alpha, beta.
#include <string.h>

#include "plan.h"
#include "product.h"
#include "threads.h"
#include "vector.h"

typedef struct {
    int64_t m, n, k;
    int64_t a_row, a_col, b_row, b_col, c_row, c_col;
    int64_t activation;
    int64_t outer, a_outer, b_outer, c_outer;
    int64_t count, a_next, b_next, c_next;
} product_sizes;

typedef struct {
    const real *a, *b;
    real* c;
    NAME(epilogue) end;
} product_arrays;

static product_arrays arrays_of(const context* c, const instruction* x) {
    const product_sizes* s = (const product_sizes*)x->sizes;
    product_arrays found;
    found.a = address(c, x->operands[0]);
    found.b = address(c, x->operands[1]);
    found.c = address(c, x->operands[2]);
    found.end.bias = address(c, x->operands[3]);
    found.end.activation = (int)s->activation;
    found.end.mask = address(c, x->operands[4]);
    found.end.column_sums = address(c, x->operands[5]);
    return found;
}

// Whether c is not read: beta is the number 0, in every step.
static int starts_anew(const instruction* x) {
    return x->numbers[1].index < 0 && x->numbers[1].constant == 0;
}

// Goes to the next product along the inner axis, or along the outer one.
static void go_on(const product_sizes* s, int64_t i, product_arrays* p) {
    const int ends = (i + 1) % s->count == 0;
    p->a += ends ? s->a_outer - (s->count - 1) * s->a_next : s->a_next;
    p->b += ends ? s->b_outer - (s->count - 1) * s->b_next : s->b_next;
    p->c += ends ? s->c_outer - (s->count - 1) * s->c_next : s->c_next;
}

// ---- what is done to a result -------------------------------------------------------------------

// Up to LANES numbers v of a row of c: c = mask > 0 ? activation(v + bias) : 0; added to the sums.
INLINE void finish(const NAME(epilogue) * e, vreal v, real* c, int64_t offset, int64_t column,
                   int64_t n) {
    if (e->bias) v += n == LANES ? load(e->bias + column) : load_first(e->bias + column, n);
    if (e->activation) v = relu(v);
    if (e->mask) {
        const real* mask = e->mask + offset;
        v = zero_unless((n == LANES ? load(mask) : load_first(mask, n)) > splat(0), v);
    }
    if (e->column_sums) {
        real* sums = e->column_sums + column;
        const vreal sum = n == LANES ? load(sums) : load_first(sums, n);
        store_first(sums, sum + v, n);
    }
    if (n == LANES) {
        store(c + offset, v);
    } else {
        store_first(c + offset, v, n);
    }
}

// ---- parts of a product -------------------------------------------------------------------------

// Multiplications and additions that are worth a thread: they take some 5 us, in vectors of half
// as many numbers if these are of float64. To divide an operation costs some 2 us.
#define LEAST_WORK (1600000 / (int64_t)sizeof(real))
// A part has at least so many rows of c, columns of c, or products in each sum.
#define LEAST_ROWS 16
#define LEAST_COLUMNS (2 * LANES)
#define LEAST_DEPTH 32

// How the products of an instruction are divided among threads. Each part has some of the products,
// some rows or some columns of c, or, of each sum, some of the numbers (the depth, k): then the
// parts are added up afterwards.
typedef struct {
    enum { PRODUCTS, ROWS_OF_C, COLUMNS_OF_C, DEPTH } by;
    int64_t parts;
} division;

static int64_t at_most(int64_t x, int64_t y) { return x < y ? x : y; }

// The numbers that the cores fetch from each other take longer than those that they multiply: the
// way with the fewest is taken. Each core reads all of b if the rows of c are divided, and all of a
// if its columns are; it reads what others have added up if the depth is. A weight is best always
// divided along its rows, as the operations that change it divide it: another way costs all of it.
static division divide_one(const product_sizes* s, int64_t parts, int can_add) {
    const int64_t a = s->m * s->k;
    const int64_t b = s->k * s->n;
    const int64_t c = s->m * s->n;
    const int64_t cost[] = {
        [ROWS_OF_C] = b,
        [COLUMNS_OF_C] = a + (s->b_row > s->b_col ? b : 0) + (s->c_row > s->c_col ? c : 0),
        [DEPTH] = c + (s->b_col > s->b_row ? b : 0),
    };
    const int64_t most[] = {
        [ROWS_OF_C] = at_most(parts, s->m / LEAST_ROWS),
        [COLUMNS_OF_C] = at_most(parts, s->n / LEAST_COLUMNS),
        [DEPTH] = can_add ? at_most(parts, s->k / LEAST_DEPTH) : 1,
    };
    division best = {PRODUCTS, 1};
    for (int by = ROWS_OF_C; by <= DEPTH; by++) {
        const int better = most[by] > best.parts ||
                           (most[by] == best.parts && most[by] > 1 && cost[by] < cost[best.by]);
        if (better) best = (division){by, most[by]};
    }
    return best;
}

static division divide(const product_sizes* s, int64_t threads, int can_add) {
    const int64_t all = s->outer * s->count;
    const int64_t parts = parts_of_work(2 * all * s->m * s->n * s->k, LEAST_WORK, threads);
    if (parts > 1 && all == 1) return divide_one(s, parts, can_add && s->c_col == 1);
    return (division){PRODUCTS, all > 1 ? at_most(all, parts) : 1};
}

// A product and how it is divided.
typedef struct {
    product_sizes sizes;
    product_arrays arrays;
    division division;
    real alpha, beta;
    real* scratch;
    int64_t scratch_size;  // of each part
    int64_t result_size;   // what of it holds a result of the part, before the scratch of product()
    fetch* ahead;          // what each part fetches meanwhile
} product_job;

// The sizes of a part, and where its matrices begin.
static void cut(const product_job* j, int64_t part, product_sizes* s, product_arrays* p) {
    const division d = j->division;
    if (d.by == COLUMNS_OF_C) {
        const int64_t from = start_of_part(s->n, LANES, part, d.parts);
        s->n = start_of_part(s->n, LANES, part + 1, d.parts) - from;
        p->b += from * s->b_col;
        p->c += from * s->c_col;
        if (p->end.bias) p->end.bias += from;
        if (p->end.mask) p->end.mask += from * s->c_col;
        if (p->end.column_sums) p->end.column_sums += from;
    } else if (d.by == ROWS_OF_C) {
        const int64_t from = start_of_part(s->m, 4, part, d.parts);
        s->m = start_of_part(s->m, 4, part + 1, d.parts) - from;
        p->a += from * s->a_row;
        p->c += from * s->c_row;
        if (p->end.mask) p->end.mask += from * s->c_row;
    } else if (d.by == DEPTH) {
        const int64_t from = start_of_part(s->k, 4, part, d.parts);
        s->k = start_of_part(s->k, 4, part + 1, d.parts) - from;
        p->a += from * s->a_col;
        p->b += from * s->b_row;
    }
}

// What a part leaves to be added up, at the beginning of its scratch memory: its column sums, or
// its share of c.
static int64_t result_size(const product_job* j) {
    const int64_t row = (j->sizes.n + LANES - 1) / LANES * LANES;
    if (j->division.by == DEPTH) return j->sizes.m * row;
    return j->division.by == ROWS_OF_C ? row : 0;
}

static int64_t row_of_result(const product_job* j) { return j->result_size / j->sizes.m; }

// The products from `from` to `to` - 1 of an instruction.
static void compute_products(const product_job* j, const product_sizes* s, product_arrays p,
                             int64_t from, int64_t to, real* scratch, int64_t size, fetch* ahead) {
    for (int64_t i = 0; i < to; i++) {
        if (i >= from) {
            NAME(product)(s->m, s->n, s->k, j->alpha, p.a, s->a_row, s->a_col, p.b, s->b_row,
                          s->b_col, j->beta, p.c, s->c_row, s->c_col, &p.end, scratch, size, ahead);
        }
        go_on(s, i, &p);
    }
}

static void compute_part(void* data, int64_t part) {
    const product_job* j = data;
    const division d = j->division;
    product_sizes s = j->sizes;
    product_arrays p = j->arrays;
    real* result = j->scratch + part * j->scratch_size;
    const int64_t all = s.outer * s.count;
    const int64_t from = d.by == PRODUCTS ? start_of_part(all, 1, part, d.parts) : 0;
    const int64_t to = d.by == PRODUCTS ? start_of_part(all, 1, part + 1, d.parts) : all;
    cut(j, part, &s, &p);
    if (d.by == ROWS_OF_C && p.end.column_sums) p.end.column_sums = result;
    if (d.by == DEPTH) {
        p.c = result;
        s.c_row = row_of_result(j);
        p.end = (NAME(epilogue)){0};
    }
    compute_products(j, &s, p, from, to, result + j->result_size, j->scratch_size - j->result_size,
                     j->ahead + part);
}

// The column sums of all rows, from those of the parts, in their order.
static void add_sums(const product_job* j) {
    real* sums = j->arrays.end.column_sums;
    memcpy(sums, j->scratch, (size_t)j->sizes.n * sizeof(real));
    for (int64_t part = 1; part < j->division.parts; part++) {
        const real* more = j->scratch + part * j->scratch_size;
        for (int64_t i = 0; i < j->sizes.n; i++) sums[i] += more[i];
    }
}

// Some columns of c, from the parts of all sums, in their order; then the epilogue.
static void add_depths(void* data, int64_t part) {
    const product_job* j = data;
    const product_sizes* s = &j->sizes;
    const int64_t from = start_of_part(s->n, LANES, part, j->division.parts);
    const int64_t to = start_of_part(s->n, LANES, part + 1, j->division.parts);
    const NAME(epilogue)* end = &j->arrays.end;
    if (end->column_sums) memset(end->column_sums + from, 0, (size_t)(to - from) * sizeof(real));
    for (int64_t i = 0; i < s->m; i++) {
        for (int64_t column = from; column < to; column += LANES) {
            const real* share = j->scratch + i * row_of_result(j) + column;
            vreal sum = load(share);
            for (int64_t p = 1; p < j->division.parts; p++)
                sum += load(share + p * j->scratch_size);
            finish(end, sum, j->arrays.c, i * s->c_row + column, column,
                   at_most(LANES, to - column));
        }
    }
}

// c = epilogue(alpha a b + beta c), by this library's own kernels
int NAME(run_product)(const context* c, const instruction* x) {
    product_job j = {.sizes = *(const product_sizes*)x->sizes, .arrays = arrays_of(c, x)};
    j.ahead = c->ahead;
    j.alpha = (real)number_value(c, x->numbers[0]);
    j.beta = (real)number_value(c, x->numbers[1]);
    j.division = divide(&j.sizes, c->threads, starts_anew(x));
    j.scratch = c->scratch;
    j.scratch_size = c->scratch_bytes / j.division.parts / 64 * 64 / (int64_t)sizeof(real);
    j.result_size = result_size(&j);
    xpnet_parallel(compute_part, &j, j.division.parts);
    if (j.division.by == DEPTH) xpnet_parallel(add_depths, &j, j.division.parts);
    if (j.division.by == ROWS_OF_C && j.arrays.end.column_sums) add_sums(&j);
    return 0;
}

// The bytes of scratch memory that run_product wants, for the sizes of its instruction, and whether
// beta is always 0.
EXPORT int64_t NAME(run_product_scratch)(const int64_t* sizes, int64_t threads, int64_t anew) {
    product_job j = {.sizes = *(const product_sizes*)sizes};
    j.division = divide(&j.sizes, threads, (int)anew);
    int64_t most = 0;
    for (int64_t part = 0; part < j.division.parts; part++) {
        product_sizes s = j.sizes;
        product_arrays none = {0};
        cut(&j, part, &s, &none);
        const int64_t wanted = NAME(product_scratch)(s.m, s.n, s.k, s.a_row, s.a_col, s.b_row,
                                                     s.b_col, s.c_row, s.c_col);
        if (wanted > most) most = wanted;
    }
    const int64_t bytes = ((most + result_size(&j)) * (int64_t)sizeof(real) + 63) / 64 * 64;
    return bytes * j.division.parts;
}

// ---- products by the BLAS that NumPy uses -------------------------------------------------------

// cblas_sgemm or cblas_dgemm, and the size of its integers.
typedef struct {
    void* gemm;
    int64_t integer_bits;
} blas;

enum { ROW_MAJOR = 101, PLAIN = 111, TRANSPOSED = 112 };

typedef void (*gemm_64)(int, int, int, int64_t, int64_t, int64_t, real, const real*, int64_t,
                        const real*, int64_t, real, real*, int64_t);
typedef void (*gemm_32)(int, int, int, int32_t, int32_t, int32_t, real, const real*, int32_t,
                        const real*, int32_t, real, real*, int32_t);

// A matrix as BLAS describes it: the distance of two rows, or of two columns if it is transposed.
typedef struct {
    const real* data;
    int form;
    int64_t distance;
} matrix;

static matrix matrix_of(const real* data, int64_t row, int64_t col) {
    const matrix plain = {data, PLAIN, row};
    const matrix transposed = {data, TRANSPOSED, col};
    return col == 1 ? plain : transposed;
}

static matrix transpose_of(matrix x) {
    x.form = x.form == PLAIN ? TRANSPOSED : PLAIN;
    return x;
}

static void call_gemm(const blas* f, int64_t m, int64_t n, int64_t k, real alpha, matrix a,
                      matrix b, real beta, real* c, int64_t distance) {
    if (f->integer_bits == 64) {
        ((gemm_64)f->gemm)(ROW_MAJOR, a.form, b.form, m, n, k, alpha, a.data, a.distance, b.data,
                           b.distance, beta, c, distance);
    } else {
        ((gemm_32)f->gemm)(ROW_MAJOR, a.form, b.form, (int32_t)m, (int32_t)n, (int32_t)k, alpha,
                           a.data, (int32_t)a.distance, b.data, (int32_t)b.distance, beta, c,
                           (int32_t)distance);
    }
}

// c = alpha a b + beta c. Each matrix has stride 1 along its rows or along its columns, and the
// other stride is at least the length of these: Python sees to it. If c is transposed, the product
// is that of the transposed b and a.
int NAME(run_blas_product)(const context* c, const instruction* x) {
    const product_sizes* s = (const product_sizes*)x->sizes;
    product_arrays p = arrays_of(c, x);
    const blas* f = x->detail;
    const real alpha = (real)number_value(c, x->numbers[0]);
    const real beta = (real)number_value(c, x->numbers[1]);
    if (alpha == 0) return NAME(run_product)(c, x);  // BLAS would not see that a or b has a NaN
    for (int64_t i = 0; i < s->outer * s->count; i++) {
        const matrix a = matrix_of(p.a, s->a_row, s->a_col);
        const matrix b = matrix_of(p.b, s->b_row, s->b_col);
        if (s->c_col == 1) {
            call_gemm(f, s->m, s->n, s->k, alpha, a, b, beta, p.c, s->c_row);
        } else {
            call_gemm(f, s->n, s->m, s->k, alpha, transpose_of(b), transpose_of(a), beta, p.c,
                      s->c_col);
        }
        go_on(s, i, &p);
    }
    return 0;
}

// ---- the epilogue of a product by BLAS ----------------------------------------------------------

// c = epilogue(c), where c is row-major; the sizes and operands are those of the product before it.
int NAME(run_epilogue)(const context* c, const instruction* x) {
    const product_sizes* s = (const product_sizes*)x->sizes;
    const product_arrays p = arrays_of(c, x);
    if (p.end.column_sums) memset(p.end.column_sums, 0, (size_t)s->n * sizeof(real));
    for (int64_t i = 0; i < s->m; i++) {
        for (int64_t j = 0; j < s->n; j += LANES) {
            const int64_t count = at_most(LANES, s->n - j);
            const int64_t offset = i * s->c_row + j;
            finish(&p.end, load_first(p.c + offset, count), p.c, offset, j, count);
        }
    }
    return 0;
}
