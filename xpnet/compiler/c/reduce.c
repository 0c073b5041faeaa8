// Reductions of strided arrays. See reduce.h.
#include "reduce.h"

#include "axes.h"
#include "convert.h"
#include "vector.h"

#define PIECE (64 * LANES)  // numbers of a row that are reduced without pairs of pieces
#define COLUMNS 1024        // that are reduced together
_Static_assert(PIECE <= COLUMNS && COLUMNS * sizeof(real) <= REDUCE_SCRATCH,
               "both fit into the scratch memory");

// ---- two numbers to one -------------------------------------------------------------------------

// What is combined of a number x: x, its square, or 1 and 0 for true and false.
INLINE vreal term(int operation, vreal x) {
    switch (operation) {
        case REDUCE_SUM_OF_SQUARES:
            return x * x;
        case REDUCE_ANY:
        case REDUCE_ALL:
        case REDUCE_COUNT:
            return zero_unless(x != splat(0), splat(1));
        default:
            return x;
    }
}

INLINE vreal combined(int operation, vreal a, vreal b) {
    switch (operation) {
        case REDUCE_PROD:
            return a * b;
        case REDUCE_MAX:
        case REDUCE_ANY:
            return maximum(a, b);
        case REDUCE_MIN:
        case REDUCE_ALL:
            return minimum(a, b);
        default:
            return a + b;
    }
}

// The number that changes no other one in combined().
INLINE real neutral(int operation) {
    switch (operation) {
        case REDUCE_PROD:
        case REDUCE_ALL:
            return 1;
        case REDUCE_MAX:
            return -REAL_INFINITY;
        case REDUCE_MIN:
            return REAL_INFINITY;
        default:
            return 0;
    }
}

INLINE real combined_lanes(int operation, vreal v) {
    switch (operation) {
        case REDUCE_PROD: {
            real product = 1;
            for (int i = 0; i < LANES; i++) product *= v[i];
            return product;
        }
        case REDUCE_MAX:
        case REDUCE_ANY:
            return max_lanes(v);
        case REDUCE_MIN:
        case REDUCE_ALL:
            return min_lanes(v);
        default:
            return sum_lanes(v);
    }
}

// ---- rows ---------------------------------------------------------------------------------------

// The terms of up to PIECE numbers that follow each other, combined in four vectors.
INLINE real reduced_piece(int operation, const real* x, int64_t n) {
    vreal sums[4];
    UNROLL for (int k = 0; k < 4; k++) sums[k] = splat(neutral(operation));
    int64_t i = 0;
    for (; i + 4 * LANES <= n; i += 4 * LANES)
        UNROLL for (int k = 0; k < 4; k++) sums[k] =
            combined(operation, sums[k], term(operation, load(x + i + k * LANES)));
    for (; i + LANES <= n; i += LANES)
        sums[0] = combined(operation, sums[0], term(operation, load(x + i)));
    if (i < n) {
        const vreal last = term(operation, load_first(x + i, n - i));
        const vreal others = splat(neutral(operation));
        sums[1] = combined(operation, sums[1], choose(first_lanes(n - i), last, others));
    }
    const vreal left = combined(operation, sums[0], sums[1]);
    const vreal right = combined(operation, sums[2], sums[3]);
    return combined_lanes(operation, combined(operation, left, right));
}

// The frequent operations have loops of their own; the others share one.
static real reduce_piece(int operation, const real* x, int64_t n) {
    switch (operation) {
        case REDUCE_SUM:
            return reduced_piece(REDUCE_SUM, x, n);
        case REDUCE_SUM_OF_SQUARES:
            return reduced_piece(REDUCE_SUM_OF_SQUARES, x, n);
        case REDUCE_MAX:
            return reduced_piece(REDUCE_MAX, x, n);
        case REDUCE_ALL:
            return reduced_piece(REDUCE_ALL, x, n);
        default:
            return reduced_piece(operation, x, n);
    }
}

// Pieces, combined in pairs of pairs: partial[k] holds 2^k pieces if bit k of the count is set.
typedef struct {
    int64_t count;
    real partial[48];
} pairs;

static real combine_two(int operation, real a, real b) {
    return combined(operation, splat(a), splat(b))[0];
}

static void add_piece(pairs* p, int operation, real piece) {
    int level = 0;
    for (; (p->count >> level) & 1; level++)
        piece = combine_two(operation, p->partial[level], piece);
    p->partial[level] = piece;
    p->count++;
}

static real all_pieces(const pairs* p, int operation) {
    real result = neutral(operation);
    for (int level = 0; p->count >> level; level++)
        if ((p->count >> level) & 1) result = combine_two(operation, p->partial[level], result);
    return result;
}

// The place of the best number so far, for argmax and argmin.
typedef struct {
    real number;
    int64_t place;
} best;

// Whether x comes before the best number so far: it is larger (smaller), or the first NaN.
static int is_better(int operation, real x, const best* b) {
    if (b->number != b->number) return 0;
    if (x != x) return 1;
    return operation == REDUCE_ARGMAX ? x > b->number : x < b->number;
}

static void find_best(best* b, int operation, const real* x, int64_t n, int64_t first_place) {
    for (int64_t i = 0; i < n; i++)
        if (first_place + i == 0 || is_better(operation, x[i], b)) {
            b->number = x[i];
            b->place = first_place + i;
        }
}

// Reduces all numbers that belong to one number of the result, in pieces of one row.
static double reduce_one(const reduction* r, const void* input, int64_t offset, real* buffer) {
    const int inner = r->reduced - 1;
    const int64_t length = r->reduced_shape[inner], stride = r->reduced_strides[inner];
    const int64_t rows = count_of(inner, r->reduced_shape);
    const int is_search = r->operation >= REDUCE_ARGMAX;
    const int is_direct = r->input_type == REAL_TYPE && stride == 1;
    int64_t index[REDUCE_DIMENSIONS] = {0};
    pairs p = {0, {0}};
    best b = {0, 0};
    for (int64_t row = 0; row < rows; row++) {
        for (int64_t done = 0; done < length; done += PIECE) {
            const int64_t n = length - done < PIECE ? length - done : PIECE;
            const int64_t start = offset + done * stride;
            const real* x = (const real*)input + start;
            if (!is_direct) {
                NAME(read_row)(buffer, input, r->input_type, start, stride, n);
                x = buffer;
            }
            if (is_search)
                find_best(&b, r->operation, x, n, row * length + done);
            else
                add_piece(&p, r->operation, reduce_piece(r->operation, x, n));
        }
        offset += next_index(inner, r->reduced_shape, r->reduced_strides, index);
    }
    return is_search ? (double)b.place : (double)all_pieces(&p, r->operation);
}

// Writes n numbers of the result, divided by the divisor.
static void write_numbers(const reduction* r, void* result, int64_t offset, int64_t stride,
                          real* numbers, int64_t n) {
    if (r->divisor != 1)
        for (int64_t i = 0; i < n; i++) numbers[i] = (real)(numbers[i] / r->divisor);
    NAME(write_row)(result, numbers, r->result_type, offset, stride, n);
}

static void reduce_rows(const reduction* r, const void* input, void* result, real* buffer) {
    const int64_t results = count_of(r->kept, r->kept_shape);
    int64_t index[REDUCE_DIMENSIONS] = {0};
    int64_t index_of_result[REDUCE_DIMENSIONS] = {0};
    int64_t offset = 0, place = 0;
    for (int64_t i = 0; i < results; i++) {
        const double value = reduce_one(r, input, offset, buffer);
        if (r->result_type == TYPE_INT64) {  // a place may be too large for a float
            ((int64_t*)result)[place] = (int64_t)value;
        } else {
            real number = (real)value;
            write_numbers(r, result, place, 1, &number, 1);
        }
        offset += next_index(r->kept, r->kept_shape, r->kept_strides, index);
        place += next_index(r->kept, r->kept_shape, r->result_strides, index_of_result);
    }
}

// Whether each number of the result is that of one piece, which is read where it lies.
static int has_short_rows(const reduction* r) {
    return r->operation < REDUCE_ARGMAX && r->input_type == REAL_TYPE && r->kept == 1 &&
           r->reduced == 1 && r->reduced_strides[0] == 1 && r->reduced_shape[0] <= PIECE;
}

static void reduce_short_rows(const reduction* r, const real* input, void* result, real* buffer) {
    const int64_t rows = r->kept_shape[0], stride = r->result_strides[0];
    for (int64_t done = 0; done < rows; done += COLUMNS) {
        const int64_t n = rows - done < COLUMNS ? rows - done : COLUMNS;
        for (int64_t i = 0; i < n; i++) {
            buffer[i] = reduce_piece(r->operation, input, r->reduced_shape[0]);
            input += r->kept_strides[0];
        }
        write_numbers(r, result, done * stride, stride, buffer, n);
    }
}

// ---- columns ------------------------------------------------------------------------------------

// Combines a vector of each of 8 rows (or of `rows` < 8 of them) with a vector of partial results.
INLINE vreal with_rows(int operation, vreal sum, const real* const* x, int64_t column, int rows,
                       int64_t lanes) {
    vreal v[8];
    UNROLL for (int k = 0; k < 8; k++) {
        v[k] = splat(neutral(operation));
        if (k < rows) {
            const real* from = x[k] + column;
            v[k] = term(operation, lanes == LANES ? load(from) : load_first(from, lanes));
        }
    }
    UNROLL for (int k = 0; k < 4; k++) v[k] = combined(operation, v[k], v[k + 4]);
    v[0] = combined(operation, v[0], v[2]);
    v[1] = combined(operation, v[1], v[3]);
    return combined(operation, sum, combined(operation, v[0], v[1]));
}

// sums[j] = sums[j] combined with x[0][j] ... x[rows - 1][j], for j < n; rows <= 8
INLINE void add_rows(int operation, real* sums, const real* const* x, int rows, int64_t n) {
    int64_t j = 0;
    for (; rows == 8 && j + LANES <= n; j += LANES)
        store(sums + j, with_rows(operation, load(sums + j), x, j, 8, LANES));
    for (; j < n; j += LANES) {
        const int64_t lanes = n - j < LANES ? n - j : LANES;
        store(sums + j, with_rows(operation, load(sums + j), x, j, rows, lanes));
    }
}

// Combines all rows of up to COLUMNS columns, which begin at x, 8 at a time.
INLINE void columns_of(int operation, const reduction* r, const real* x, int64_t n, real* sums) {
    const int64_t rows = count_of(r->reduced, r->reduced_shape);
    int64_t index[REDUCE_DIMENSIONS] = {0};
    for (int64_t j = 0; j < n; j += LANES) store(sums + j, splat(neutral(operation)));
    for (int64_t row = 0; row < rows; row += 8) {
        const int together = rows - row < 8 ? (int)(rows - row) : 8;
        const real* eight[8];
        for (int k = 0; k < together; k++) {
            eight[k] = x;
            x += next_index(r->reduced, r->reduced_shape, r->reduced_strides, index);
        }
        add_rows(operation, sums, eight, together, n);
    }
}

// The frequent operations have loops of their own; the others share one.
static void reduce_piece_of_columns(const reduction* r, const real* x, int64_t n, real* sums) {
    switch (r->operation) {
        case REDUCE_SUM:
            columns_of(REDUCE_SUM, r, x, n, sums);
            break;
        case REDUCE_MAX:
            columns_of(REDUCE_MAX, r, x, n, sums);
            break;
        default:
            columns_of(r->operation, r, x, n, sums);
    }
}

static void reduce_columns(const reduction* r, const real* input, void* result, real* buffer) {
    const int inner = r->kept - 1;
    const int64_t width = r->kept_shape[inner];
    const int64_t matrices = count_of(inner, r->kept_shape);
    int64_t index[REDUCE_DIMENSIONS] = {0};
    int64_t index_of_result[REDUCE_DIMENSIONS] = {0};
    int64_t place = 0;
    for (int64_t i = 0; i < matrices; i++) {
        for (int64_t done = 0; done < width; done += COLUMNS) {
            const int64_t n = width - done < COLUMNS ? width - done : COLUMNS;
            const int64_t stride = r->result_strides[inner];
            reduce_piece_of_columns(r, input + done, n, buffer);
            write_numbers(r, result, place + done * stride, stride, buffer, n);
        }
        input += next_index(inner, r->kept_shape, r->kept_strides, index);
        place += next_index(inner, r->kept_shape, r->result_strides, index_of_result);
    }
}

void NAME(reduce_run)(const reduction* r, const void* input, void* result, void* scratch) {
    if (r->by_columns)
        reduce_columns(r, input, result, scratch);
    else if (has_short_rows(r))
        reduce_short_rows(r, input, result, scratch);
    else
        reduce_rows(r, input, result, scratch);
}

// ---- preparation --------------------------------------------------------------------------------

static int is_valid(const reduction* r) {
    return r->operation >= 0 && r->operation < REDUCE_OPERATIONS && r->input_type >= 0 &&
           r->input_type < TYPES && r->result_type >= 0 && r->result_type < TYPES && r->kept >= 0 &&
           r->reduced >= 0 && r->kept <= REDUCE_DIMENSIONS && r->reduced <= REDUCE_DIMENSIONS;
}

int32_t NAME(reduce_prepare)(reduction* r) {
    if (!is_valid(r)) return REDUCE_WRONG;
    const int is_search = r->operation >= REDUCE_ARGMAX;
    const int needs_numbers = is_search || r->operation == REDUCE_MAX || r->operation == REDUCE_MIN;
    if (needs_numbers && count_of(r->reduced, r->reduced_shape) == 0) return REDUCE_EMPTY;
    int64_t* strides_of_kept[] = {r->kept_strides, r->result_strides};
    int64_t* strides_of_reduced[] = {r->reduced_strides};
    const axes kept = {&r->kept, r->kept_shape, strides_of_kept, 2};
    const axes reduced = {&r->reduced, r->reduced_shape, strides_of_reduced, 1};
    merge_axes(&kept, 0, 1);
    merge_axes(&reduced, is_search, 1);
    const int has_columns = r->kept_strides[r->kept - 1] == 1 && r->kept_shape[r->kept - 1] > 1;
    r->by_columns = !is_search && r->input_type == REAL_TYPE && has_columns &&
                    r->reduced_strides[r->reduced - 1] != 1;
    return REDUCE_READY;
}
