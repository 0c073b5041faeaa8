// The operations of a plan which are products of matrices: how their instructions are read.
//
// The sizes of a product: m, n, k; strides of a, b and c by row and by column (6); activation; how
// many products there are, and the strides of a, b and c from one to the next (4). Its operands: a,
// b, c, bias, mask, column sums. Its numbers: alpha, beta.
#include "plan.h"
#include "product.h"
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

// c = epilogue(alpha a b + beta c), by this library's own kernels
int NAME(run_product)(const context* c, const instruction* x) {
    const product_sizes* s = (const product_sizes*)x->sizes;
    product_arrays p = arrays_of(c, x);
    const real alpha = (real)number_value(c, x->numbers[0]);
    const real beta = (real)number_value(c, x->numbers[1]);
    for (int64_t i = 0; i < s->outer * s->count; i++) {
        NAME(product)(s->m, s->n, s->k, alpha, p.a, s->a_row, s->a_col, p.b, s->b_row, s->b_col,
                      beta, p.c, s->c_row, s->c_col, &p.end, c->scratch,
                      c->scratch_bytes / (int64_t)sizeof(real));
        go_on(s, i, &p);
    }
    return 0;
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
