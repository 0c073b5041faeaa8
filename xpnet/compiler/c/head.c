// Softmax and cross entropy. See head.h.
#include "head.h"

#include "vector.h"
#include "vector_math.h"

// Rows with at least this many classes are computed one by one, along the classes; shorter ones
// LANES at a time, one in each lane.
#define LONG_ROW (4 * LANES)

// The sum of the losses, and whether a class number is out of range.
typedef struct {
    double loss;
    int is_wrong;
} total;

INLINE int64_t class_number(const void* numbers, int32_t type, int64_t row) {
    return type == TYPE_INT32 ? ((const int32_t*)numbers)[row] : ((const int64_t*)numbers)[row];
}

INLINE int is_class(const cross_entropy* h, int64_t number) {
    return number >= 0 && number < h->classes;
}

static int is_by_rows(const cross_entropy* h) {
    return h->class_stride == 1 && h->classes >= LONG_ROW;
}

int64_t NAME(cross_entropy_scratch)(const cross_entropy* h) {
    if (is_by_rows(h)) return h->classes * (int64_t)sizeof(real) + VECTOR_BYTES;
    return h->classes * VECTOR_BYTES;
}

// ---- several rows at once -----------------------------------------------------------------------

// Copies n <= LANES rows to a block in which class j is a vector. Other lanes repeat the first row.
static void read_block(const cross_entropy* h, const real* scores, int64_t n, real* block) {
    if (h->row_stride == 1 && n == LANES) {
        for (int64_t j = 0; j < h->classes; j++)
            store(block + j * LANES, load(scores + j * h->class_stride));
        return;
    }
    for (int64_t lane = 0; lane < LANES; lane++) {
        const real* row = scores + (lane < n ? lane : 0) * h->row_stride;
        for (int64_t j = 0; j < h->classes; j++) block[j * LANES + lane] = row[j * h->class_stride];
    }
}

static void write_block(const cross_entropy* h, const real* block, int64_t n, real* gradient) {
    if (h->gradient_row_stride == 1 && n == LANES) {
        for (int64_t j = 0; j < h->classes; j++)
            store(gradient + j * h->gradient_class_stride, load(block + j * LANES));
        return;
    }
    for (int64_t lane = 0; lane < n; lane++) {
        real* row = gradient + lane * h->gradient_row_stride;
        for (int64_t j = 0; j < h->classes; j++)
            row[j * h->gradient_class_stride] = block[j * LANES + lane];
    }
}

// block = exp(block - its largest class); returns the sum over the classes, and the shifted scores
// of the right classes.
static vreal exponentials(const cross_entropy* h, real* block, const int64_t* right, real* chosen) {
    vreal largest = load(block);
    for (int64_t j = 1; j < h->classes; j++) largest = maximum(largest, load(block + j * LANES));
    for (int lane = 0; lane < LANES; lane++)
        chosen[lane] = right[lane] < 0 ? 0 : block[right[lane] * LANES + lane] - largest[lane];
    vreal sum = splat(0);
    for (int64_t j = 0; j < h->classes; j++) {
        const vreal e = exponential(load(block + j * LANES) - largest);
        store(block + j * LANES, e);
        sum += e;
    }
    return sum;
}

static void several_rows(const cross_entropy* h, const real* scores, const void* numbers,
                         int64_t first, real* gradient, real factor, real* block, total* t) {
    const int64_t n = h->rows - first < LANES ? h->rows - first : LANES;
    int64_t right[LANES];  // -1: not a class
    real chosen[LANES];
    for (int64_t lane = 0; lane < LANES; lane++) {
        const int64_t number = lane < n ? class_number(numbers, h->index_type, first + lane) : 0;
        right[lane] = is_class(h, number) ? number : -1;
        t->is_wrong |= right[lane] < 0;
    }
    read_block(h, scores + first * h->row_stride, n, block);
    const vreal sum = exponentials(h, block, right, chosen);
    const vreal logarithms = logarithm(sum);
    for (int64_t lane = 0; lane < n; lane++)
        t->loss += (double)logarithms[lane] - (double)chosen[lane];
    if (!gradient) return;
    const vreal weight = factor / sum;
    for (int64_t j = 0; j < h->classes; j++)
        store(block + j * LANES, load(block + j * LANES) * weight);
    for (int64_t lane = 0; lane < n; lane++)
        if (right[lane] >= 0) {
            real* place = block + right[lane] * LANES + lane;
            *place -= factor;
        }
    write_block(h, block, n, gradient + first * h->gradient_row_stride);
}

// ---- one row at a time --------------------------------------------------------------------------

INLINE real largest_of(const real* x, int64_t n) {
    vreal largest = splat(x[0]);
    int64_t j = 0;
    for (; j + LANES <= n; j += LANES) largest = maximum(largest, load(x + j));
    if (j < n)
        largest = maximum(largest, choose(first_lanes(n - j), load_first(x + j, n - j), largest));
    return max_lanes(largest);
}

// e[j] = exp(x[j] - largest); returns the sum.
INLINE real exponentials_of(const real* x, real largest, int64_t n, real* e) {
    vreal sum = splat(0);
    int64_t j = 0;
    for (; j + LANES <= n; j += LANES) {
        const vreal v = exponential(load(x + j) - largest);
        store(e + j, v);
        sum += v;
    }
    if (j < n) {
        const vreal v = exponential(load_first(x + j, n - j) - largest);
        store_first(e + j, v, n - j);
        sum += zero_unless(first_lanes(n - j), v);
    }
    return sum_lanes(sum);
}

// The same for a row of any length: the sums of pieces are added in double precision.
static real row_of_exponentials(const real* x, real largest, int64_t n, real* e) {
    const int64_t piece = 1024;
    double sum = 0;
    for (int64_t j = 0; j < n; j += piece)
        sum += (double)exponentials_of(x + j, largest, n - j < piece ? n - j : piece, e + j);
    return (real)sum;
}

static void one_row(const cross_entropy* h, const real* x, int64_t number, real* gradient,
                    real factor, real* e, total* t) {
    const real largest = largest_of(x, h->classes);
    const real chosen = is_class(h, number) ? x[number] - largest : 0;
    const real sum = row_of_exponentials(x, largest, h->classes, e);
    t->loss += (double)logarithm(splat(sum))[0] - (double)chosen;
    t->is_wrong |= !is_class(h, number);
    if (!gradient) return;
    const int64_t stride = h->gradient_class_stride;
    const real weight = factor / sum;
    if (stride == 1)
        for (int64_t j = 0; j < h->classes; j++) gradient[j] = e[j] * weight;
    else
        for (int64_t j = 0; j < h->classes; j++) gradient[j * stride] = e[j] * weight;
    if (is_class(h, number)) gradient[number * stride] = e[number] * weight - factor;
}

void NAME(cross_entropy_run)(const cross_entropy* h, const real* scores, const void* class_numbers,
                             real* loss, real* gradient, double factor, void* scratch) {
    total t = {0, 0};
    if (is_by_rows(h)) {
        for (int64_t i = 0; i < h->rows; i++) {
            const int64_t number = class_number(class_numbers, h->index_type, i);
            real* row = gradient ? gradient + i * h->gradient_row_stride : NULL;
            one_row(h, scores + i * h->row_stride, number, row, (real)factor, scratch, &t);
        }
    } else {
        for (int64_t i = 0; i < h->rows; i += LANES)
            several_rows(h, scores, class_numbers, i, gradient, (real)factor, scratch, &t);
    }
    if (loss) *loss = t.is_wrong ? REAL_INFINITY : (real)(t.loss / (double)h->rows);
}
