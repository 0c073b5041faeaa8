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

// Goes to the next product along the inner axis, or along the outer one.
static void go_on(const product_sizes* s, int64_t i, product_arrays* p) {
    const int ends = (i + 1) % s->count == 0;
    p->a += ends ? s->a_outer - (s->count - 1) * s->a_next : s->a_next;
    p->b += ends ? s->b_outer - (s->count - 1) * s->b_next : s->b_next;
    p->c += ends ? s->c_outer - (s->count - 1) * s->c_next : s->c_next;
}

// ---- parts of a product -------------------------------------------------------------------------

// Multiplications and additions that are worth a thread: they take some 20 us.
#define LEAST_WORK 2000000
// A part has at least so many rows, or columns, of c.
#define LEAST_ROWS 16
#define LEAST_COLUMNS (2 * LANES)

// How the products of an instruction are divided among threads: each part has some of the products
// if there are many, else some columns, or some rows, of c.
typedef struct {
    enum { PRODUCTS, COLUMNS_OF_C, ROWS_OF_C } by;
    int64_t parts;
} division;

static int64_t at_most(int64_t x, int64_t y) { return x < y ? x : y; }

// All parts read all of a, if the columns are divided, or all of b, if the rows are: the smaller
// one should be the one. That of columns also leaves the column sums apart.
static division divide(const product_sizes* s, int64_t threads) {
    const int64_t all = s->outer * s->count;
    const int64_t work = 2 * all * s->m * s->n * s->k;
    const int64_t parts = parts_of_work(work, LEAST_WORK, threads);
    const int64_t columns = at_most(parts, s->n / LEAST_COLUMNS);
    const int64_t rows = at_most(parts, s->m / LEAST_ROWS);
    if (parts == 1) return (division){PRODUCTS, 1};
    if (all >= parts) return (division){PRODUCTS, parts};
    if (all > 1 || (columns < 2 && rows < 2)) return (division){PRODUCTS, at_most(all, parts)};
    if (columns > rows || (columns == rows && s->n >= s->m)) {
        return (division){COLUMNS_OF_C, columns};
    }
    return (division){ROWS_OF_C, rows};
}

// A product and how it is divided.
typedef struct {
    product_sizes sizes;
    product_arrays arrays;
    division division;
    real alpha, beta;
    real* scratch;
    int64_t scratch_size;  // of each part
    int has_sums;          // whether column sums are wanted of parts of the rows
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
    }
}

// The column sums of a part of the rows lie at the beginning of its scratch memory.
static int64_t sums_size(const product_sizes* s) { return (s->n + LANES - 1) / LANES * LANES; }

static void compute_part(void* data, int64_t part) {
    const product_job* j = data;
    product_sizes s = j->sizes;
    product_arrays p = j->arrays;
    real* scratch = j->scratch + part * j->scratch_size;
    int64_t size = j->scratch_size;
    const int64_t all = s.outer * s.count;
    const int by_products = j->division.by == PRODUCTS;
    const int64_t from = by_products ? start_of_part(all, 1, part, j->division.parts) : 0;
    const int64_t to = by_products ? start_of_part(all, 1, part + 1, j->division.parts) : all;
    cut(j, part, &s, &p);
    if (j->has_sums) {
        p.end.column_sums = scratch;
        scratch += sums_size(&s);
        size -= sums_size(&s);
    }
    for (int64_t i = 0; i < to; i++) {
        if (i >= from) {
            NAME(product)(s.m, s.n, s.k, j->alpha, p.a, s.a_row, s.a_col, p.b, s.b_row, s.b_col,
                          j->beta, p.c, s.c_row, s.c_col, &p.end, scratch, size);
        }
        go_on(&s, i, &p);
    }
}

// The column sums of all rows, from those of the parts, in their order.
static void add_sums(const product_job* j) {
    real* sums = j->arrays.end.column_sums;
    const int64_t bytes = j->sizes.n * (int64_t)sizeof(real);
    memcpy(sums, j->scratch, (size_t)bytes);
    for (int64_t part = 1; part < j->division.parts; part++) {
        const real* more = j->scratch + part * j->scratch_size;
        for (int64_t i = 0; i < j->sizes.n; i++) sums[i] += more[i];
    }
}

// c = epilogue(alpha a b + beta c), by this library's own kernels
int NAME(run_product)(const context* c, const instruction* x) {
    product_job j = {.sizes = *(const product_sizes*)x->sizes, .arrays = arrays_of(c, x)};
    j.division = divide(&j.sizes, c->threads);
    j.alpha = (real)number_value(c, x->numbers[0]);
    j.beta = (real)number_value(c, x->numbers[1]);
    j.scratch = c->scratch;
    j.scratch_size = c->scratch_bytes / j.division.parts / 64 * 64 / (int64_t)sizeof(real);
    j.has_sums = j.division.by == ROWS_OF_C && j.arrays.end.column_sums;
    xpnet_parallel(compute_part, &j, j.division.parts);
    if (j.has_sums) add_sums(&j);
    return 0;
}

// The bytes of scratch memory that run_product wants, for the sizes of its instruction.
EXPORT int64_t NAME(run_product_scratch)(const int64_t* sizes, int64_t threads) {
    product_job j = {.sizes = *(const product_sizes*)sizes};
    j.division = divide(&j.sizes, threads);
    int64_t most = 0;
    for (int64_t part = 0; part < j.division.parts; part++) {
        product_sizes s = j.sizes;
        product_arrays none = {0};
        cut(&j, part, &s, &none);
        const int64_t wanted = NAME(product_scratch)(s.m, s.n, s.k, s.a_row, s.a_col, s.b_row,
                                                     s.b_col, s.c_row, s.c_col);
        if (wanted > most) most = wanted;
    }
    if (j.division.by == ROWS_OF_C) most += sums_size(&j.sizes);
    const int64_t bytes = (most * (int64_t)sizeof(real) + 63) / 64 * 64;
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

// ---- what is done to the result of a product by BLAS --------------------------------------------

// Up to LANES numbers of a row: c = mask > 0 ? activation(c + bias) : 0; added to the sums.
INLINE void finish(const NAME(epilogue) * e, real* c, int64_t offset, int64_t column, int64_t n) {
    vreal v = n == LANES ? load(c + offset) : load_first(c + offset, n);
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

// c = epilogue(c), where c is row-major; the sizes and operands are those of the product before it.
int NAME(run_epilogue)(const context* c, const instruction* x) {
    const product_sizes* s = (const product_sizes*)x->sizes;
    const product_arrays p = arrays_of(c, x);
    if (p.end.column_sums) memset(p.end.column_sums, 0, (size_t)s->n * sizeof(real));
    for (int64_t i = 0; i < s->m; i++) {
        int64_t j = 0;
        for (; j + LANES <= s->n; j += LANES) finish(&p.end, p.c, i * s->c_row + j, j, LANES);
        if (j < s->n) finish(&p.end, p.c, i * s->c_row + j, j, s->n - j);
    }
    return 0;
}
