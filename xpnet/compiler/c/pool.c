// Pooling of images whose batch lies innermost in memory: maxima and sums under a window.
//
// `maxima` writes, next to each maximum, which number of the window it was (as a byte), so that
// `place` passes the gradient on without a look at x. Of equal maxima it is the first, row by row.
// In a window that holds NaN, whose maximum is NaN, it is the first number inside the image.
#include "bytes.h"
#include "window_axes.h"

// The first `first` numbers at p if there are fewer than LANES, else LANES of them.
INLINE vreal load_some(const int PARTLY, const real* p, int64_t first) {
    return PARTLY ? load_first(p, first) : load(p);
}

INLINE void store_some(const int PARTLY, real* p, vreal v, int64_t first) {
    if (PARTLY) {
        store_first(p, v, first);
    } else {
        store(p, v);
    }
}

INLINE int is_empty(const visible* inside) {
    return inside->from[ROWS] == inside->to[ROWS] || inside->from[COLUMNS] == inside->to[COLUMNS];
}

// An image of a window: where its numbers lie in memory.
typedef struct {
    int64_t row;     // from one number of the window to the one below
    int64_t column;  // and to the one on the right
    int64_t width;   // of the window: its number in row r, column k is r width + k
} distances;

INLINE distances distances_of(const window* w) {
    return (distances){.row = w->dilation[ROWS] * w->size[COLUMNS] * w->batch,
                       .column = w->dilation[COLUMNS] * w->batch,
                       .width = w->kernel[COLUMNS]};
}

// ---- maxima -------------------------------------------------------------------------------------

// The maximum of each lane, as numpy.maximum finds it, and its number: see the top of the file.
// `x` is the first number inside the image; `rows` and `columns` of them are.
INLINE vreal largest(const int PARTLY, const int64_t rows, const int64_t columns, const real* x,
                     int64_t first, const distances* by, int64_t begin, vint* number) {
    vreal found = load_some(PARTLY, x, first);
    vint at = splat_integer((integer)begin);
    const vint first_number = at;
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t k = 0; k < columns; k++) {
            const vreal next = load_some(PARTLY, x + r * by->row + k * by->column, first);
            const vint above = next > found;
            at = choose_integers(above, splat_integer((integer)(begin + r * by->width + k)), at);
            found = choose(above | (next != next), next, found);
        }
    }
    *number = choose_integers(found != found, first_number, at);
    return found;
}

// One vector of maxima; see `maxima_at_place`.
INLINE void write_largest(const int PARTLY, const visible* inside, const distances* by,
                          const real* x, int64_t first, int rectified, real* y, int8_t* index) {
    const int64_t rows = inside->to[ROWS] - inside->from[ROWS];
    const int64_t columns = inside->to[COLUMNS] - inside->from[COLUMNS];
    const int64_t begin = inside->from[ROWS] * by->width + inside->from[COLUMNS];
    vint number;
    vreal found;
    if (rows == 2 && columns == 2) {
        found = largest(PARTLY, 2, 2, x, first, by, begin, &number);
    } else {
        found = largest(PARTLY, rows, columns, x, first, by, begin, &number);
    }
    if (rectified) {
        const vreal chosen = choose(found != found, load_some(PARTLY, x, first), found);
        number = choose_integers(chosen > splat(0), number, splat_integer(NOWHERE));
        found = relu(found);
    }
    store_some(PARTLY, y, found, first);
    if (index && PARTLY) {
        store_first_bytes(index, number, first);
    } else if (index) {
        store_bytes(index, number);
    }
}

// Where a window lies outside the image: its maximum is -inf.
static void write_lowest(int64_t batch, int rectified, real* y, int8_t* index) {
    for (int64_t n = 0; n < batch; n++) y[n] = rectified ? 0 : -(real)INFINITY;
    if (index) memset(index, NOWHERE, (size_t)batch);
}

// y[n] = the largest x[k][n] over the numbers k of a window inside the image, max(y, 0) if
// rectified; index[n] = k, or NOWHERE if it is rectified and x[k] not above 0, for the whole batch
// at one place.
void NAME(maxima_at_place)(const visible* inside, int64_t width, const real* x, int64_t row,
                           int64_t column, int64_t batch, int rectified, real* y, int8_t* index) {
    const distances by = {.row = row, .column = column, .width = width};
    if (is_empty(inside)) {
        write_lowest(batch, rectified, y, index);
        return;
    }
    int64_t n = 0;
    for (; n + LANES <= batch; n += LANES) {
        write_largest(0, inside, &by, x + n, 0, rectified, y + n, index ? index + n : NULL);
    }
    if (n < batch) {
        write_largest(1, inside, &by, x + n, batch - n, rectified, y + n, index ? index + n : NULL);
    }
}

// y[c, p, n] = the largest x[c, p under k, n] over k inside the image, or -inf if there is none,
// and index[c, p, n] = k, counted row by row; NOWHERE if there is none. `index` may be NULL; it
// must be if the window has more than 127 numbers.
void NAME(maxima_rows)(const window* w, int64_t first, int64_t last, const real* x, real* y,
                       int8_t* index) {
    const distances by = distances_of(w);
    const int64_t row = w->size[COLUMNS] * w->batch;
    const int64_t y_row = w->places[COLUMNS] * w->batch;
    for (int64_t c = 0; c < w->channels; c++, x += w->size[ROWS] * row) {
        for (int64_t i = first; i < last; i++) {
            visible inside;
            find_visible(w, ROWS, i, &inside);
            int64_t at = (c * w->places[ROWS] + i) * y_row;
            for (int64_t j = 0; j < w->places[COLUMNS]; j++, at += w->batch) {
                find_visible(w, COLUMNS, j, &inside);
                const real* from = x + inside.start[ROWS] * row + inside.start[COLUMNS] * w->batch;
                NAME(maxima_at_place)(&inside, by.width, from, by.row, by.column, w->batch, 0,
                                      y + at, index ? index + at : NULL);
            }
        }
    }
}

void NAME(maxima)(const window* w, const real* x, real* y, int8_t* index) {
    NAME(maxima_rows)(w, 0, w->places[ROWS], x, y, index);
}

// ---- the gradient of the maxima -----------------------------------------------------------------

// How gradients are written: added to what is there, or where no two windows overlap, stored.
enum { ADD = 0, STORE = 1 };

INLINE int no_overlap(const window* w) {
    int apart = 1;
    for (int a = ROWS; a <= COLUMNS; a++) {
        apart &= w->dilation[a] * (w->kernel[a] - 1) < w->stride[a];
    }
    return apart;
}

// Whether each number of x lies under exactly one window.
INLINE int covers(const window* w) {
    int whole = 1;
    for (int a = ROWS; a <= COLUMNS; a++) {
        whole &= w->kernel[a] == w->stride[a] && w->before[a] == 0 &&
                 (w->dilation[a] == 1 || w->kernel[a] == 1) &&
                 w->places[a] * w->stride[a] == w->size[a];
    }
    return whole;
}

// gx[k] (+)= gy where `at` is k, else 0, for all numbers k of the window inside the image.
INLINE void distribute(const int PARTLY, const int HOW, const visible* inside, const distances* by,
                       vreal gy, vint at, real* gx, int64_t first) {
    const int64_t rows = inside->to[ROWS] - inside->from[ROWS];
    const int64_t columns = inside->to[COLUMNS] - inside->from[COLUMNS];
    for (int64_t r = 0; r < rows; r++) {
        const int64_t begin = (inside->from[ROWS] + r) * by->width + inside->from[COLUMNS];
        for (int64_t k = 0; k < columns; k++) {
            real* to = gx + r * by->row + k * by->column;
            vreal g = zero_unless(at == splat_integer((integer)(begin + k)), gy);
            if (HOW == ADD) g += load_some(PARTLY, to, first);
            store_some(PARTLY, to, g, first);
        }
    }
}

// One place, for the whole batch. Returns the sum of the gradients that went anywhere.
INLINE vreal place_at(const int HOW, const visible* inside, const distances* by, int64_t batch,
                      const real* gy, const int8_t* index, real* gx) {
    vreal total = splat(0);
    const vint nowhere = splat_integer(NOWHERE);
    int64_t n = 0;
    for (; n + LANES <= batch; n += LANES) {
        const vint at = load_bytes(index + n);
        const vreal g = load(gy + n);
        distribute(0, HOW, inside, by, g, at, gx + n, 0);
        total += zero_unless(at != nowhere, g);
    }
    if (n < batch) {
        const vint at = load_first_bytes(index + n, batch - n);
        const vreal g = load_first(gy + n, batch - n);
        distribute(1, HOW, inside, by, g, at, gx + n, batch - n);
        total += zero_unless(at != nowhere, g);
    }
    return total;
}

// The rows of places from `first` to `last` - 1.
INLINE void place_some_rows(const int HOW, const window* w, int64_t first, int64_t last,
                            const real* gy, const int8_t* index, real* gx, real* total) {
    const distances by = distances_of(w);
    const int64_t row = w->size[COLUMNS] * w->batch;
    for (int64_t c = 0; c < w->channels; c++, gx += w->size[ROWS] * row) {
        vreal sum = splat(0);
        for (int64_t i = first; i < last; i++) {
            visible inside;
            find_visible(w, ROWS, i, &inside);
            int64_t at = (c * w->places[ROWS] + i) * w->places[COLUMNS] * w->batch;
            for (int64_t j = 0; j < w->places[COLUMNS]; j++, at += w->batch) {
                find_visible(w, COLUMNS, j, &inside);
                real* to = gx + inside.start[ROWS] * row + inside.start[COLUMNS] * w->batch;
                sum += place_at(HOW, &inside, &by, w->batch, gy + at, index + at, to);
            }
        }
        if (total) total[c] = sum_lanes(sum);
    }
}

// gx[c, p under k, n] += gy[c, p, n] for k = index[c, p, n], beginning with 0; the gradient of
// `maxima` and of its rectified form. total[c] = the sum of the gy that went somewhere: the
// gradient of a bias that was added to channel c before. `total` may be NULL.
void NAME(place)(const window* w, const real* gy, const int8_t* index, real* gx, real* total) {
    const int64_t numbers = w->channels * w->size[ROWS] * w->size[COLUMNS] * w->batch;
    if (!covers(w)) memset(gx, 0, (size_t)numbers * sizeof(real));
    if (no_overlap(w)) {
        place_some_rows(STORE, w, 0, w->places[ROWS], gy, index, gx, total);
    } else {
        place_some_rows(ADD, w, 0, w->places[ROWS], gy, index, gx, total);
    }
}

int64_t NAME(place_is_apart)(const window* w) { return covers(w); }

void NAME(place_rows)(const window* w, int64_t from, int64_t to, const real* gy,
                      const int8_t* index, real* gx, real* total) {
    place_some_rows(STORE, w, from, to, gy, index, gx, total);
}

// The number of the first x that is not below y; -1 if all are.
INLINE vint first_hit(const int PARTLY, const visible* inside, const distances* by, const real* x,
                      vreal y, int64_t first) {
    vint at = splat_integer(NOWHERE);
    for (int64_t r = inside->to[ROWS] - 1; r >= inside->from[ROWS]; r--) {
        for (int64_t k = inside->to[COLUMNS] - 1; k >= inside->from[COLUMNS]; k--) {
            const real* tap =
                x + (r - inside->from[ROWS]) * by->row + (k - inside->from[COLUMNS]) * by->column;
            const vint below = load_some(PARTLY, tap, first) < y;
            at = choose_integers(below, at, splat_integer((integer)(r * by->width + k)));
        }
    }
    return at;
}

// The same for windows of any size: the maxima y of x are searched for again.
void NAME(place_by_values)(const window* w, const real* gy, const real* x, const real* y,
                           real* gx) {
    const distances by = distances_of(w);
    const int64_t row = w->size[COLUMNS] * w->batch;
    memset(gx, 0, (size_t)(w->channels * w->size[ROWS] * row) * sizeof(real));
    for (int64_t c = 0; c < w->channels; c++, gx += w->size[ROWS] * row, x += w->size[ROWS] * row) {
        for (int64_t p = 0; p < w->places[ROWS] * w->places[COLUMNS]; p++) {
            visible inside;
            find_visible(w, ROWS, p / w->places[COLUMNS], &inside);
            find_visible(w, COLUMNS, p % w->places[COLUMNS], &inside);
            const int64_t at = inside.start[ROWS] * row + inside.start[COLUMNS] * w->batch;
            int64_t n = 0;
            for (; n + LANES <= w->batch; n += LANES) {
                const vint hit = first_hit(0, &inside, &by, x + at + n, load(y + n), 0);
                distribute(0, ADD, &inside, &by, load(gy + n), hit, gx + at + n, 0);
            }
            const int64_t rest = w->batch - n;
            if (rest) {
                const vint hit =
                    first_hit(1, &inside, &by, x + at + n, load_first(y + n, rest), rest);
                distribute(1, ADD, &inside, &by, load_first(gy + n, rest), hit, gx + at + n, rest);
            }
            gy += w->batch;
            y += w->batch;
        }
    }
}

// ---- sums ---------------------------------------------------------------------------------------

// One vector of a place: the sum of the numbers of the image under the window; or, SHARED, what is
// there for each of them.
INLINE void under_window(const int SHARED, const int HOW, const int PARTLY, const visible* inside,
                         const distances* by, real* image, real* place, int64_t first) {
    vreal v = SHARED ? load_some(PARTLY, place, first) : splat(0);
    for (int64_t r = 0; r < inside->to[ROWS] - inside->from[ROWS]; r++) {
        for (int64_t k = 0; k < inside->to[COLUMNS] - inside->from[COLUMNS]; k++) {
            real* number = image + r * by->row + k * by->column;
            if (SHARED && HOW == STORE) {
                store_some(PARTLY, number, v, first);
            } else if (SHARED) {
                store_some(PARTLY, number, v + load_some(PARTLY, number, first), first);
            } else {
                v += load_some(PARTLY, number, first);
            }
        }
    }
    if (!SHARED) store_some(PARTLY, place, v, first);
}

INLINE void under_windows(const int SHARED, const int HOW, const window* w, real* image,
                          real* place) {
    const distances by = distances_of(w);
    const int64_t row = w->size[COLUMNS] * w->batch;
    for (int64_t c = 0; c < w->channels; c++, image += w->size[ROWS] * row) {
        for (int64_t p = 0; p < w->places[ROWS] * w->places[COLUMNS]; p++, place += w->batch) {
            visible inside;
            find_visible(w, ROWS, p / w->places[COLUMNS], &inside);
            find_visible(w, COLUMNS, p % w->places[COLUMNS], &inside);
            real* at = image + inside.start[ROWS] * row + inside.start[COLUMNS] * w->batch;
            int64_t n = 0;
            for (; n + LANES <= w->batch; n += LANES) {
                under_window(SHARED, HOW, 0, &inside, &by, at + n, place + n, 0);
            }
            const int64_t rest = w->batch - n;
            if (rest) under_window(SHARED, HOW, 1, &inside, &by, at + n, place + n, rest);
        }
    }
}

// y[c, p, n] = the sum of x[c, p under k, n] over k.
void NAME(sums)(const window* w, const real* x, real* y) {
    under_windows(0, STORE, w, (real*)x, y);  // which only reads x
}

// gx[c, p under k, n] += gy[c, p, n], beginning with 0: `sums` transposed.
void NAME(shares)(const window* w, const real* gy, real* gx) {
    const int64_t numbers = w->channels * w->size[ROWS] * w->size[COLUMNS] * w->batch;
    if (!covers(w)) memset(gx, 0, (size_t)numbers * sizeof(real));
    if (no_overlap(w)) {
        under_windows(1, STORE, w, gx, (real*)gy);  // which only reads gy
    } else {
        under_windows(1, ADD, w, gx, (real*)gy);
    }
}
