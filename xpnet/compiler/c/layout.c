// Changes of layout: the batch from the first axis to the last and back, and batches from data
// sets.
//
// An array of shape (batch, channels, height, width), row-major, is a matrix of batch rows; with
// the batch innermost, it is the transpose.
#include "bytes.h"
#include "transpose.h"
#include "window_axes.h"

// ---- the transpose of a matrix ------------------------------------------------------------------

// One block: `rows` x `columns` of at most LANES x LANES.
INLINE void transpose_part(const int PARTLY, int64_t rows, int64_t columns, const real* x,
                           int64_t x_row, real* y, int64_t y_row) {
    vreal block[LANES];
    UNROLL for (int i = 0; i < LANES; i++) {
        if (!PARTLY) {
            block[i] = load(x + i * x_row);
        } else {
            block[i] = i < rows ? load_first(x + i * x_row, columns) : splat(0);
        }
    }
    transpose_block(block);
    UNROLL for (int j = 0; j < LANES; j++) {
        if (!PARTLY) {
            store(y + j * y_row, block[j]);
        } else if (j < columns) {
            store_first(y + j * y_row, block[j], rows);
        }
    }
}

// y[j y_row + i] = x[i x_row + j], for i < rows and j < columns.
void NAME(transpose)(int64_t rows, int64_t columns, const real* x, int64_t x_row, real* y,
                     int64_t y_row) {
    for (int64_t j = 0; j < columns; j += LANES) {
        const int64_t width = least(LANES, columns - j);
        for (int64_t i = 0; i < rows; i += LANES) {
            const int64_t height = least(LANES, rows - i);
            const real* from = x + i * x_row + j;
            real* to = y + j * y_row + i;
            if (width == LANES && height == LANES) {
                transpose_part(0, LANES, LANES, from, x_row, to, y_row);
            } else {
                transpose_part(1, height, width, from, x_row, to, y_row);
            }
        }
    }
}

// ---- a batch of a data set ----------------------------------------------------------------------

// What is gathered: rows of a data set, as images with the batch innermost.
typedef struct {
    const int64_t* indices;  // [batch] the rows
    const int64_t* next;     // [batch] those of the next batch, or NULL: they are prefetched
    int64_t batch;
    int64_t features;  // numbers of a row: channels x height x width
    int64_t width;     // of an image
    int64_t height;
    int64_t x_row;    // in x: from one row of an image to the next,
    int64_t x_plane;  // and from one channel to the next
    real scale;
} gathering;

INLINE gathering gathering_of(const window* w, const int64_t* indices, const int64_t* next,
                              double scale, int64_t x_row, int64_t x_plane) {
    return (gathering){.indices = indices,
                       .next = next,
                       .batch = w->batch,
                       .features = w->channels * w->size[ROWS] * w->size[COLUMNS],
                       .width = w->size[COLUMNS],
                       .height = w->size[ROWS],
                       .x_row = x_row,
                       .x_plane = x_plane,
                       .scale = (real)scale};
}

// Bytes that were widened with their sign, as numbers from 0 to 255.
INLINE vreal from_bytes(vint bytes) {
    return __builtin_convertvector(bytes & splat_integer(255), vreal);
}

// Where LANES features, from `feature` on, go to in x.
INLINE void find_targets(const gathering* g, int64_t feature, int64_t count, int64_t* targets) {
    int64_t row = feature / g->width;
    int64_t column = feature % g->width;
    for (int64_t f = 0; f < count; f++) {
        targets[f] = row / g->height * g->x_plane + row % g->height * g->x_row + column * g->batch;
        if (++column == g->width) {
            column = 0;
            row++;
        }
    }
}

// LANES features (or `count` of them) of all images of the batch; BYTES: the data are uint8.
INLINE void gather_features(const int BYTES, const gathering* g, const void* data, int64_t feature,
                            int64_t count, real* x) {
    int64_t targets[LANES];
    find_targets(g, feature, count, targets);
    const vreal scale = splat(g->scale);
    for (int64_t n = 0; n < g->batch; n += LANES) {
        const int64_t images = least(LANES, g->batch - n);
        vreal block[LANES];
        for (int64_t i = 0; i < LANES; i++) {
            const int64_t at = i < images ? g->indices[n + i] * g->features + feature : 0;
            const int64_t numbers = i < images ? count : 0;
            if (BYTES) {
                const int8_t* p = (const int8_t*)data + at;
                block[i] =
                    from_bytes(numbers == LANES ? load_bytes(p) : load_first_bytes(p, numbers));
            } else {
                const real* p = (const real*)data + at;
                block[i] = numbers == LANES ? load(p) : load_first(p, numbers);
            }
        }
        transpose_block(block);
        for (int64_t f = 0; f < count; f++) {
            if (images == LANES) {
                store(x + targets[f] + n, block[f] * scale);
            } else {
                store_first(x + targets[f] + n, block[f] * scale, images);
            }
        }
    }
}

// All features, a cache line of each row at a time: the same line of the next batch is prefetched.
INLINE void gather_all(const int BYTES, const gathering* g, const void* data, real* x) {
    const int64_t size = BYTES ? 1 : (int64_t)sizeof(real);
    const int64_t line = most(64 / size, LANES);
    for (int64_t f = 0; f < g->features; f += line) {
        for (int64_t n = 0; g->next && n < g->batch; n++) {
            __builtin_prefetch((const char*)data + (g->next[n] * g->features + f) * size);
        }
        for (int64_t j = f; j < least(f + line, g->features); j += LANES) {
            gather_features(BYTES, g, data, j, least(LANES, g->features - j), x);
        }
    }
}

// x[c, i, j, n] = scale data[indices[n], c, i, j] for data of bytes (uint8), in the shape of x of
// the window w; `x_row` and `x_plane` are the distances of rows and channels in x, so that it can
// be the inner part of a larger image. `next` may be NULL.
void NAME(gather_bytes)(const window* w, const uint8_t* data, const int64_t* indices,
                        const int64_t* next, double scale, int64_t x_row, int64_t x_plane,
                        real* x) {
    const gathering g = gathering_of(w, indices, next, scale, x_row, x_plane);
    gather_all(1, &g, data, x);
}

// The same for data of type real.
void NAME(gather_images)(const window* w, const real* data, const int64_t* indices,
                         const int64_t* next, double scale, int64_t x_row, int64_t x_plane,
                         real* x) {
    const gathering g = gathering_of(w, indices, next, scale, x_row, x_plane);
    gather_all(0, &g, data, x);
}
