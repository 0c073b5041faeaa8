// Changes of layout: the batch from the first axis to the last and back.
//
// An array of shape (batch, channels, height, width), row-major, is a matrix of batch rows; with
// the batch innermost, it is the transpose.
#include "transpose.h"
#include "window_axes.h"

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
