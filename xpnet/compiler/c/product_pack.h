// Packing: parts of a matrix, copied into the order in which the tiles of a product read them.
#ifndef XPNET_PRODUCT_PACK_H
#define XPNET_PRODUCT_PACK_H

#include "transpose.h"
#include "vector.h"

#define ADD_BLOCKS(v, s)                                                                \
    UNROLL for (int i = 0; i < LANES; i += 2 * (s)) {                                   \
        const vreal x = v[i];                                                           \
        const vreal y = v[i + (s)];                                                     \
        v[i] = SHUFFLE(x, y, LANE_LIST(LOWER, s)) + SHUFFLE(x, y, LANE_LIST(UPPER, s)); \
    }

// The sums of the lanes of LANES vectors: lane i is the sum of v[i]. v is overwritten.
INLINE vreal sums_of_lanes(vreal v[LANES]) {
    ADD_BLOCKS(v, 1)
#if LANES > 2
    ADD_BLOCKS(v, 2)
#endif
#if LANES > 4
    ADD_BLOCKS(v, 4)
#endif
#if LANES > 8
    ADD_BLOCKS(v, 8)
#endif
    return v[0];
}

// What is packed: out[p * width + j] = from[p * down + j * across] for p < length, j < count, and 0
// for count <= j < width. Where width < LANES, up to LANES numbers after the end are overwritten.
typedef struct {
    const real* from;
    int64_t down;
    int64_t across;
    int64_t length;
    int64_t count;
    int64_t width;
    real* out;
} packing;

// across = 1: rows are copied.
static inline void pack_rows(const packing* k) {
    const int64_t whole = k->count / LANES * LANES;
    const int64_t rest = k->count - whole;
    for (int64_t p = 0; p < k->length; p++) {
        const real* from = k->from + p * k->down;
        real* out = k->out + p * k->width;
        for (int64_t j = 0; j < whole; j += LANES) store(out + j, load(from + j));
        if (rest == 0) continue;
        const vreal last = load_first(from + whole, rest);
        if (k->width % LANES == 0 || k->width < LANES) {
            store(out + whole, last);
        } else {
            store_first(out + whole, last, rest);
        }
    }
}

// One block of up to LANES x LANES numbers with down = 1, which is transposed in registers.
INLINE void pack_block(const packing* k, int64_t p, int64_t j, int64_t rows, int64_t columns) {
    vreal v[LANES];
    const real* from = k->from + p + j * k->across;
    real* out = k->out + p * k->width + j;
    UNROLL for (int i = 0; i < LANES; i++) {
        const int64_t row = i < columns ? i : 0;
        v[i] =
            rows == LANES ? load(from + row * k->across) : load_first(from + row * k->across, rows);
        if (i >= columns) v[i] = splat(0);
    }
    transpose_block(v);
    const int whole = k->width % LANES == 0 || k->width < LANES;
    UNROLL for (int i = 0; i < LANES; i++) {
        if (i >= rows) break;
        if (whole) {
            store(out + i * k->width, v[i]);
        } else {
            store_first(out + i * k->width, v[i], columns);
        }
    }
}

// down = 1: the numbers of a column lie side by side.
static inline void pack_columns(const packing* k) {
    for (int64_t p = 0; p < k->length; p += LANES) {
        const int64_t rows = k->length - p < LANES ? k->length - p : LANES;
        for (int64_t j = 0; j < k->count; j += LANES) {
            const int64_t columns = k->count - j < LANES ? k->count - j : LANES;
            if (rows == LANES && columns == LANES) {
                pack_block(k, p, j, LANES, LANES);
            } else {
                pack_block(k, p, j, rows, columns);
            }
        }
    }
}

// Any strides.
static inline void pack_numbers(const packing* k) {
    for (int64_t p = 0; p < k->length; p++) {
        const real* from = k->from + p * k->down;
        real* out = k->out + p * k->width;
        for (int64_t j = 0; j < k->count; j++) out[j] = from[j * k->across];
        for (int64_t j = k->count; j < k->width; j++) out[j] = 0;
    }
}

static inline void pack(const packing* k) {
    if (k->across == 1) {
        pack_rows(k);
    } else if (k->down == 1) {
        pack_columns(k);
    } else {
        pack_numbers(k);
    }
}

#endif  // XPNET_PRODUCT_PACK_H
