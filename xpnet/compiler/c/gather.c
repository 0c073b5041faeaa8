// Rows by their numbers, and sums of rows. See gather.h.
#include "gather.h"

#include "axes.h"
#include "convert.h"
#include "fetch.h"
#include "transpose.h"
#include "vector.h"

// The position of the first index that is out of range, or -1.
static int64_t first_wrong(const void* indices, int32_t type, int64_t count, int64_t rows) {
    for (int64_t i = 0; i < count; i++)
        if (row_number(indices, type, i, rows) < 0) return i;
    return -1;
}

static scaling scaling_of(const gather* g) {
    const real high = (real)g->scale;
    const real shift = g->shift == 0 ? (real)-0.0 : (real)g->shift;  // -0 + -0 remains -0
    return (scaling){high, (real)(g->scale - (double)high), shift};
}

// Writes one row, line by line, where a line is what lies along its last axis.
static void convert_row(const gather* g, const char* row, real* result) {
    const scaling s = scaling_of(g);
    const int64_t line_bytes = g->shape[2] * TYPE_BYTES[g->table_type];
    for (int64_t a = 0; a < g->shape[0]; a++)
        for (int64_t b = 0; b < g->shape[1]; b++) {
            NAME(read_scaled)(result + a * g->strides[0] + b * g->strides[1], g->strides[2], row,
                              g->table_type, g->shape[2], s);
            row += line_bytes;
        }
}

// Rows that lie in the result one after the other. Each index is checked once more where it is
// used: somebody else may have changed it meanwhile.
static int64_t gather_by_rows(const gather* g, const char* table, const void* indices,
                              real* result) {
    const int64_t stride_bytes = g->table_stride * TYPE_BYTES[g->table_type];
    for (int64_t i = 0; i < g->count; i++) {
        const int64_t row = row_number(indices, g->index_type, i, g->table_rows);
        if (row < 0) return i;
        convert_row(g, table + row * stride_bytes, result + i * g->row_stride);
    }
    return -1;
}

#define TILE 64  // numbers of a row that are transposed together

// A number of a row: its indices, and where it is in the result.
typedef struct {
    int64_t index[GATHER_DIMENSIONS];
    int64_t offset;
} position;

// Writes number j < n <= TILE of each of `rows` <= LANES rows to its place: tile[i * TILE + j] to
// result[offset of j + i].
static void write_transposed(const gather* g, const real* tile, int64_t rows, int64_t n,
                             position* p, real* result) {
    for (int64_t j = 0; j < n; j += LANES) {
        vreal block[LANES];
        UNROLL for (int i = 0; i < LANES; i++) block[i] = load(tile + i * TILE + j);
        transpose_block(block);
        const int64_t numbers = n - j < LANES ? n - j : LANES;
        for (int64_t k = 0; k < numbers; k++) {
            if (rows == LANES)
                store(result + p->offset, block[k]);
            else
                store_first(result + p->offset, block[k], rows);
            p->offset += next_index(GATHER_DIMENSIONS, g->shape, g->strides, p->index);
        }
    }
}

// The batch is the last axis: up to LANES rows, from number `first` of the batch, are transposed on
// their way.
static int64_t gather_transposed(const gather* g, const char* table, const void* indices,
                                 int64_t first, real* result) {
    const scaling s = scaling_of(g);
    const int64_t bytes = TYPE_BYTES[g->table_type];
    const int64_t size = g->shape[0] * g->shape[1] * g->shape[2];
    const int64_t rows = g->count - first < LANES ? g->count - first : LANES;
    real tile[LANES * TILE] = {0};
    position p = {{0}, first};
    for (int64_t done = 0; done < size; done += TILE) {
        const int64_t n = size - done < TILE ? size - done : TILE;
        for (int64_t i = 0; i < rows; i++) {
            const int64_t row = row_number(indices, g->index_type, first + i, g->table_rows);
            if (row < 0) return first + i;
            const char* from = table + (row * g->table_stride + done) * bytes;
            NAME(read_scaled)(tile + i * TILE, 1, from, g->table_type, n, s);
        }
        write_transposed(g, tile, rows, n, &p, result);
    }
    return -1;
}

static int64_t gather_by_columns(const gather* g, const char* table, const void* indices,
                                 real* result) {
    for (int64_t first = 0; first < g->count; first += LANES) {
        const int64_t wrong = gather_transposed(g, table, indices, first, result);
        if (wrong >= 0) return wrong;
    }
    return -1;
}

int64_t NAME(gather_rows)(const gather* g, const void* table, const void* indices, real* result) {
    const int64_t wrong = first_wrong(indices, g->index_type, g->count, g->table_rows);
    if (wrong >= 0) return wrong;
    if (g->row_stride == 1 && g->strides[2] != 1)
        return gather_by_columns(g, table, indices, result);
    return gather_by_rows(g, table, indices, result);
}

#if REAL_BITS == 32  // once for both sizes
int64_t take_rows(int64_t row_bytes, int64_t table_stride_bytes, int64_t table_rows,
                  const void* table, int32_t index_type, const void* indices, int64_t count,
                  void* result, int64_t result_stride_bytes) {
    const int64_t wrong = first_wrong(indices, index_type, count, table_rows);
    if (wrong >= 0) return wrong;
    for (int64_t i = 0; i < count; i++) {
        const int64_t row = row_number(indices, index_type, i, table_rows);
        if (row < 0) return i;
        char* to = (char*)result + i * result_stride_bytes;
        const char* from = (const char*)table + row * table_stride_bytes;
        if (row_bytes == 8)
            memcpy(to, from, 8);  // a class number: one move, not a call
        else if (row_bytes == 4)
            memcpy(to, from, 4);
        else
            memcpy(to, from, (size_t)row_bytes);
    }
    return -1;
}

int64_t first_outside(const void* indices, int32_t index_type, int64_t count, int64_t rows) {
    for (int64_t i = 0; i < count; i++) {
        const int64_t index =
            index_type == TYPE_INT32 ? ((const int32_t*)indices)[i] : ((const int64_t*)indices)[i];
        if (index < 0 || index >= rows) return i;
    }
    return -1;
}
#endif

int64_t NAME(scatter_add)(real* table, int64_t table_rows, int64_t table_stride, int32_t index_type,
                          const void* indices, int64_t count, const real* rows, int64_t row_stride,
                          int64_t row, double factor) {
    const int64_t wrong = first_wrong(indices, index_type, count, table_rows);
    if (wrong >= 0) return wrong;
    const vreal weight = splat((real)factor);
    for (int64_t i = 0; i < count; i++) {
        const int64_t place = row_number(indices, index_type, i, table_rows);
        if (place < 0) return i;
        real* to = table + place * table_stride;
        const real* from = rows + i * row_stride;
        int64_t j = 0;
        for (; j + LANES <= row; j += LANES) store(to + j, load(to + j) + weight * load(from + j));
        const int64_t left = row - j;
        if (left > 0)
            store_first(to + j, load_first(to + j, left) + weight * load_first(from + j, left),
                        left);
    }
    return -1;
}
