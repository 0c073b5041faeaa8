// Convolution of images whose batch lies innermost in memory, directly: nothing is copied to
// columns.
//
// A number of the kernel in one channel is a *tap*. For stride 1, the numbers that a tap meets
// while the window moves along a row of places lie one after the other in memory, and so do the
// outputs: a *run* of width x batch numbers. A sum over taps is therefore
//
//     y[o][i] = the sum over the taps t of w[o][t] x[offset[t] + i]        for all i of a run
//
// a product of matrices whose second matrix is found by a table of offsets (see Dukhan, "The
// indirect convolution algorithm", 2019). A tile of some outputs and some vectors of i stays in
// registers. Near the left and the right end of a row, the window meets padding with some of its
// numbers: the run there uses fewer taps, so padding is neither stored nor multiplied. `correlate`
// and `spread` are the same sum with different tables.
#include "window_axes.h"

#if LARGE_TILES
#define MOST_OUTPUTS 8
#define WIDEST(outputs) ((outputs) > 6 ? 3 : 4)
#else
#define MOST_OUTPUTS 6
#define WIDEST(outputs) ((outputs) > 4 ? 2 : 3)
#endif
#define MOST_VECTORS 4  // the largest WIDEST

// With so many outputs, it pays to copy what a tile meets first, to where it fits into the cache.
// With the tiles of AVX-512, which read each number less often, it does not.
#if VECTOR_BYTES == 64
#define PANEL_OUTPUTS INT64_MAX
#else
#define PANEL_OUTPUTS 64
#endif

// ---- sums over taps -----------------------------------------------------------------------------

// A tile of outputs: which taps are summed, and where everything lies.
typedef struct {
    const int64_t* offsets;  // [taps] from the start of the run to what the tap meets
    int64_t row_taps;        // taps of a row of the kernel
    int64_t rows[2];         // the rows of the kernel, from the first to before the last
    int64_t within[2];       // and the taps within each of these rows
    const real* input;
    const real* weights;  // [taps][outputs of the tile]
    const real* bias;     // [outputs of the tile]
    int64_t rectified;
    real* output;
    int64_t plane;  // from one output to the next
    int64_t first;  // how many numbers there are, if they are fewer than LANES
} tile;

// y[o][i] = bias[o] + the sum over taps t of w[t][o] x[offset[t] + i], for OUTPUTS o and VECTORS of
// i.
INLINE void sum_tile(const int OUTPUTS, const int VECTORS, const int PARTLY, const tile* t) {
    vreal sum[MOST_OUTPUTS][MOST_VECTORS];
    UNROLL for (int o = 0; o < OUTPUTS; o++) {
        UNROLL for (int v = 0; v < VECTORS; v++) sum[o][v] = splat(0);
    }
    for (int64_t row = t->rows[0]; row < t->rows[1]; row++) {
        const int64_t start = row * t->row_taps;
        for (int64_t i = start + t->within[0]; i < start + t->within[1]; i++) {
            const real* x = t->input + t->offsets[i];
            const real* w = t->weights + i * OUTPUTS;
            vreal met[MOST_VECTORS];
            UNROLL for (int v = 0; v < VECTORS; v++) {
                met[v] = PARTLY ? load_first(x, t->first) : load(x + v * LANES);
            }
            UNROLL for (int o = 0; o < OUTPUTS; o++) {
                const vreal weight = splat(w[o]);
                UNROLL for (int v = 0; v < VECTORS; v++) sum[o][v] += weight * met[v];
            }
        }
    }
    UNROLL for (int o = 0; o < OUTPUTS; o++) {
        UNROLL for (int v = 0; v < VECTORS; v++) {
            vreal y = sum[o][v] + splat(t->bias[o]);
            if (t->rectified) y = relu(y);
            real* out = t->output + o * t->plane + v * LANES;
            if (PARTLY) {
                store_first(out, y, t->first);
            } else {
                store(out, y);
            }
        }
    }
}

#define TILE(O, V) \
    static void sum_##O##_##V(const tile* t) { sum_tile(O, V, 0, t); }
#define TILES_2(O) \
    TILE(O, 1)     \
    TILE(O, 2)     \
    static void sum_partly_##O(const tile* t) { sum_tile(O, 1, 1, t); }
#define TILES_3(O) TILES_2(O) TILE(O, 3)
#define TILES_4(O) TILES_3(O) TILE(O, 4)
#define NAMES_2(O) {sum_partly_##O, sum_##O##_1, sum_##O##_2}
#define NAMES_3(O) {sum_partly_##O, sum_##O##_1, sum_##O##_2, sum_##O##_3}
#define NAMES_4(O) {sum_partly_##O, sum_##O##_1, sum_##O##_2, sum_##O##_3, sum_##O##_4}

typedef void (*tile_function)(const tile*);

// For each number of outputs: fewer than LANES numbers, then 1 to WIDEST(outputs) vectors.
// clang-format off
#if LARGE_TILES
TILES_4(1) TILES_4(2) TILES_4(3) TILES_4(4) TILES_4(5) TILES_4(6) TILES_3(7) TILES_3(8)
static const tile_function TILE_FUNCTIONS[MOST_OUTPUTS][MOST_VECTORS + 1] = {
    NAMES_4(1), NAMES_4(2), NAMES_4(3), NAMES_4(4),
    NAMES_4(5), NAMES_4(6), NAMES_3(7), NAMES_3(8)};
#else
TILES_3(1) TILES_3(2) TILES_3(3) TILES_3(4) TILES_2(5) TILES_2(6)
static const tile_function TILE_FUNCTIONS[MOST_OUTPUTS][MOST_VECTORS + 1] = {
    NAMES_3(1), NAMES_3(2), NAMES_3(3), NAMES_3(4), NAMES_2(5), NAMES_2(6)};
#endif
// clang-format on

// ---- a sweep: all outputs of a group ------------------------------------------------------------

// One of the two sums over taps, for a window: its tables, and the weights in the order of the
// taps.
typedef struct {
    axis axes[2];
    stretch* stretches;  // of the columns
    int64_t stretch_count;
    int64_t batch;
    int64_t inputs;   // channels that are summed over, in a group
    int64_t outputs;  // channels that are computed, in a group
    int64_t groups;
    int64_t input_row;    // width of the input x batch
    int64_t input_plane;  // height x width x batch
    int64_t taps;
    int64_t* offsets;        // [taps]
    real* panel;             // [taps][vectors of a tile]: what all outputs of a tile meet, or NULL
    int64_t* panel_offsets;  // [taps] in the panel
    parts tiles;             // of the outputs
    real* weights;           // tile by tile: [taps][outputs of the tile]
    real* bias;              // [outputs]
    int64_t rectified;
} sweep;

// How the weights of a sweep lie in W: the distances of neighbouring groups, outputs and inputs.
typedef struct {
    int64_t group;
    int64_t output;
    int64_t input;
    int64_t row;
} strides_of_weights;

static int64_t sweep_bytes(const window* w, int64_t inputs, int64_t outputs, int64_t width) {
    const int64_t taps = inputs * w->kernel[ROWS] * w->kernel[COLUMNS];
    return axis_bytes(w, ROWS) + axis_bytes(w, COLUMNS) +
           rounded(width * (int64_t)sizeof(stretch)) + 2 * rounded(8 * taps) +
           taps * MOST_VECTORS * VECTOR_BYTES + rounded(taps * outputs * (int64_t)sizeof(real)) +
           rounded(outputs * (int64_t)sizeof(real));
}

// The offsets of all taps, in the order (row of the kernel, column, channel).
static void find_offsets(sweep* s) {
    const axis* rows = &s->axes[ROWS];
    const axis* columns = &s->axes[COLUMNS];
    int64_t* offset = s->offsets;
    for (int64_t r = 0; r < rows->first[rows->phases]; r++) {
        for (int64_t k = 0; k < columns->first[columns->phases]; k++) {
            for (int64_t c = 0; c < s->inputs; c++) {
                *offset++ = rows->relative[r] * s->input_row + columns->relative[k] * s->batch +
                            c * s->input_plane;
            }
        }
    }
}

// The tables of a sweep over a window; the axes have been found.
static void prepare(sweep* s, const window* w, char** scratch) {
    const axis* rows = &s->axes[ROWS];
    const axis* columns = &s->axes[COLUMNS];
    s->batch = w->batch;
    s->groups = w->groups;
    s->input_row = columns->inputs * w->batch;
    s->input_plane = rows->inputs * s->input_row;
    s->taps = s->inputs * w->kernel[ROWS] * w->kernel[COLUMNS];
    s->tiles = equal_parts(s->outputs, MOST_OUTPUTS);
    s->stretches = part_of(scratch, columns->outputs * (int64_t)sizeof(stretch));
    s->stretch_count = find_stretches(columns, s->stretches);
    s->offsets = part_of(scratch, 8 * s->taps);
    s->weights = part_of(scratch, s->taps * s->outputs * (int64_t)sizeof(real));
    s->bias = part_of(scratch, s->outputs * (int64_t)sizeof(real));
    find_offsets(s);
    s->panel_offsets = part_of(scratch, 8 * s->taps);
    real* panel = part_of(scratch, s->taps * MOST_VECTORS * VECTOR_BYTES);
    s->panel = s->outputs >= PANEL_OUTPUTS ? panel : NULL;
    const int64_t together = WIDEST(longest_part(&s->tiles)) * LANES;
    for (int64_t i = 0; i < s->taps; i++) s->panel_offsets[i] = i * together;
}

// The weights and the bias of one group, in the order in which the tiles read them.
static void pack_weights(const sweep* s, const strides_of_weights* strides, const real* W,
                         const real* bias, int64_t group) {
    const axis* rows = &s->axes[ROWS];
    const axis* columns = &s->axes[COLUMNS];
    const real* from = W + group * strides->group;
    real* to = s->weights;
    parts tiles = s->tiles;
    int64_t outputs;
    for (int64_t o = 0; o < s->outputs; o += outputs) {
        outputs = next_part(&tiles);
        for (int64_t r = 0; r < rows->first[rows->phases]; r++) {
            for (int64_t k = 0; k < columns->first[columns->phases]; k++) {
                const real* number = from + rows->number[r] * strides->row + columns->number[k];
                for (int64_t c = 0; c < s->inputs; c++) {
                    for (int64_t i = 0; i < outputs; i++) {
                        *to++ = number[(o + i) * strides->output + c * strides->input];
                    }
                }
            }
        }
    }
    for (int64_t o = 0; o < s->outputs; o++) s->bias[o] = bias ? bias[group * s->outputs + o] : 0;
}

// What the taps meet in a tile, copied to where they are neighbours.
INLINE void fill_panel(const sweep* s, const tile* t, const real* input, const int vectors) {
    for (int64_t row = t->rows[0]; row < t->rows[1]; row++) {
        const int64_t start = row * t->row_taps;
        for (int64_t i = start + t->within[0]; i < start + t->within[1]; i++) {
            const real* from = input + s->offsets[i];
            real* to = s->panel + s->panel_offsets[i];
            for (int v = 0; v < vectors; v++) store(to + v * LANES, load(from + v * LANES));
        }
    }
}

// All outputs of a group, for VECTORS (0: fewer numbers than LANES) of a run.
static void sum_tiles(const sweep* s, tile* t, const real* input, real* output, int vectors) {
    const int with_panel = s->panel && vectors;
    if (with_panel) fill_panel(s, t, input, vectors);
    t->input = with_panel ? s->panel : input;
    t->offsets = with_panel ? s->panel_offsets : s->offsets;
    parts tiles = s->tiles;
    int64_t outputs;
    for (int64_t o = 0; o < s->outputs; o += outputs) {
        outputs = next_part(&tiles);
        t->weights = s->weights + o * s->taps;
        t->bias = s->bias + o;
        t->output = output + o * t->plane;
        TILE_FUNCTIONS[outputs - 1][vectors](t);
    }
}

// A run of any length. The last vector is moved back to end where the run does.
static void sum_run(const sweep* s, tile* t, const real* input, real* output, int64_t length) {
    if (length < LANES) {
        t->first = length;
        sum_tiles(s, t, input, output, 0);
        return;
    }
    const int64_t widest = WIDEST(longest_part(&s->tiles));
    int64_t i = 0;
    while (i < length) {
        int64_t vectors = least(most((length - i) / LANES, 1), widest);
        i = least(i, length - LANES);
        sum_tiles(s, t, input + i, output + i, (int)vectors);
        i += vectors * LANES;
    }
}

// The outputs of a row, in the columns from `from` to `to` - 1; `output` is the first of them.
static void sum_row(const sweep* s, const real* input, int64_t row, int64_t from, int64_t to,
                    real* output, int64_t plane) {
    const meeting up = meet(&s->axes[ROWS], row);
    const axis* columns = &s->axes[COLUMNS];
    const int64_t step = columns->phases;
    const int flat = step == 1 && columns->advance == 1;
    tile t = {.rectified = s->rectified, .plane = plane};
    t.row_taps = s->taps / most(s->axes[ROWS].first[s->axes[ROWS].phases], 1);
    t.rows[0] = up.from;
    t.rows[1] = up.to;
    for (int64_t i = 0; i < s->stretch_count; i++) {
        const stretch* along = &s->stretches[i];
        const int64_t skip = most(0, (from - along->first + step - 1) / step);
        const int64_t stop = least(along->count, (to - along->first + step - 1) / step);
        t.within[0] = along->meets.from * s->inputs;
        t.within[1] = along->meets.to * s->inputs;
        const int64_t length = (flat ? most(stop - skip, 0) : 1) * s->batch;
        for (int64_t j = skip; j < stop; j += flat ? most(stop - skip, 1) : 1) {
            const int64_t start = along->meets.start + j * columns->advance;
            const real* met = input + up.start * s->input_row + start * s->batch;
            sum_run(s, &t, met, output + (along->first + j * step - from) * s->batch, length);
        }
    }
}

// All outputs of all groups, in the rows from `from` to `to` - 1.
static void sum_rows(const sweep* s, const strides_of_weights* strides, int64_t from, int64_t to,
                     const real* input, const real* W, const real* bias, real* output) {
    const int64_t row = s->axes[COLUMNS].outputs * s->batch;
    const int64_t plane = s->axes[ROWS].outputs * row;
    for (int64_t g = 0; g < s->groups; g++) {
        pack_weights(s, strides, W, bias, g);
        const real* x = input + g * s->inputs * s->input_plane;
        real* y = output + g * s->outputs * plane;
        for (int64_t i = from; i < to; i++) {
            sum_row(s, x, i, 0, s->axes[COLUMNS].outputs, y + i * row, plane);
        }
    }
}

static sweep forward_sweep(const window* w, int64_t rectified, char** scratch) {
    sweep s = {.inputs = w->channels / w->groups, .outputs = w->outputs / w->groups};
    s.rectified = rectified;
    s.axes[ROWS] = forward_axis(w, ROWS, scratch);
    s.axes[COLUMNS] = forward_axis(w, COLUMNS, scratch);
    prepare(&s, w, scratch);
    return s;
}

static strides_of_weights forward_strides(const window* w) {
    const int64_t numbers = w->kernel[ROWS] * w->kernel[COLUMNS];
    const int64_t output = w->channels / w->groups * numbers;
    return (strides_of_weights){.group = w->outputs / w->groups * output,
                                .output = output,
                                .input = numbers,
                                .row = w->kernel[COLUMNS]};
}

int64_t NAME(correlate_scratch)(const window* w) {
    const int64_t outputs = w->outputs / w->groups;
    return sweep_bytes(w, w->channels / w->groups, outputs, w->places[COLUMNS]);
}

// y[o, p, n] = bias[o] + the sum over c, k of x[c, p under k, n] W[o, c, k]; max(y, 0) if
// rectified. The bias may be NULL.
void NAME(correlate_rows)(const window* w, int64_t from, int64_t to, const real* x, const real* W,
                          const real* bias, int64_t rectified, real* y, void* scratch) {
    char* free_scratch = scratch;
    const sweep s = forward_sweep(w, rectified, &free_scratch);
    const strides_of_weights strides = forward_strides(w);
    sum_rows(&s, &strides, from, to, x, W, bias, y);
}

void NAME(correlate)(const window* w, const real* x, const real* W, const real* bias,
                     int64_t rectified, real* y, void* scratch) {
    NAME(correlate_rows)(w, 0, w->places[ROWS], x, W, bias, rectified, y, scratch);
}

int64_t NAME(spread_scratch)(const window* w) {
    const int64_t channels = w->channels / w->groups;
    return sweep_bytes(w, w->outputs / w->groups, channels, w->size[COLUMNS]);
}

// gx[c, p under k, n] += gy[o, p, n] W[o, c, k], beginning with bias[c]: `correlate` transposed.
// The bias may be NULL.
void NAME(spread_rows)(const window* w, int64_t from, int64_t to, const real* gy, const real* W,
                       const real* bias, real* gx, void* scratch) {
    char* free_scratch = scratch;
    sweep s = {.inputs = w->outputs / w->groups, .outputs = w->channels / w->groups};
    s.axes[ROWS] = backward_axis(w, ROWS, &free_scratch);
    s.axes[COLUMNS] = backward_axis(w, COLUMNS, &free_scratch);
    prepare(&s, w, &free_scratch);
    strides_of_weights strides = forward_strides(w);
    const int64_t output = strides.output;
    strides.output = strides.input;
    strides.input = output;
    sum_rows(&s, &strides, from, to, gy, W, bias, gx);
}

void NAME(spread)(const window* w, const real* gy, const real* W, const real* bias, real* gx,
                  void* scratch) {
    NAME(spread_rows)(w, 0, w->size[ROWS], gy, W, bias, gx, scratch);
}

// ---- a convolution and the maxima of its outputs ------------------------------------------------

// The outputs of the convolution that some places of a row of the pooling window meet.
typedef struct {
    real* outputs;    // [outputs of a group][rows of the window][columns][batch]
    int64_t columns;  // at most
    int64_t row;      // columns x batch
    int64_t plane;    // from one output to the next
    int64_t places;   // of the pooling window
} strip;

// Bytes that a strip should have, to stay in the first-level cache.
#define STRIP_BYTES (48 << 10)

static strip plan_strip(const window* w, const window* pool) {
    const int64_t reach = pool->dilation[COLUMNS] * (pool->kernel[COLUMNS] - 1) + 1;
    const int64_t outputs = w->outputs / w->groups;
    const int64_t column = outputs * pool->kernel[ROWS] * w->batch * (int64_t)sizeof(real);
    strip s = {.places = STRIP_BYTES / most(column * pool->stride[COLUMNS], 1)};
    s.places = most(least(s.places, pool->places[COLUMNS]), 1);
    s.columns = least((s.places - 1) * pool->stride[COLUMNS] + reach, w->places[COLUMNS]);
    s.row = s.columns * w->batch;
    s.plane = pool->kernel[ROWS] * s.row + 64 / (int64_t)sizeof(real);  // not a power of two apart
    return s;
}

int64_t NAME(correlate_maxima_scratch)(const window* w, const window* pool) {
    const strip s = plan_strip(w, pool);
    return NAME(correlate_scratch)(w) +
           rounded(w->outputs / w->groups * s.plane * (int64_t)sizeof(real));
}

// The maxima at places `from` to `to` - 1 of row i of one group, for all its outputs.
static void pool_strip(const sweep* s, const strip* st, const window* pool, const real* x,
                       int64_t i, int64_t from, int64_t to, int rectified, real* y, int8_t* index) {
    visible inside;
    find_visible(pool, ROWS, i, &inside);
    const int64_t reach = pool->dilation[COLUMNS] * (pool->kernel[COLUMNS] - 1) + 1;
    const int64_t start = from * pool->stride[COLUMNS] - pool->before[COLUMNS];
    const int64_t stop = (to - 1) * pool->stride[COLUMNS] - pool->before[COLUMNS] + reach;
    const int64_t first = least(most(start, 0), pool->size[COLUMNS]);
    const int64_t last = most(least(stop, pool->size[COLUMNS]), first);
    for (int64_t r = 0; r < inside.to[ROWS] - inside.from[ROWS]; r++) {
        const int64_t row = inside.start[ROWS] + r * pool->dilation[ROWS];
        sum_row(s, x, row, first, last, st->outputs + r * st->row, st->plane);
    }
    const int64_t column = pool->dilation[COLUMNS] * s->batch;
    const int64_t y_row = pool->places[COLUMNS] * s->batch;
    for (int64_t o = 0; o < s->outputs; o++) {
        for (int64_t j = from; j < to; j++) {
            find_visible(pool, COLUMNS, j, &inside);
            const int64_t at = (o * pool->places[ROWS] + i) * y_row + j * s->batch;
            const real* z =
                st->outputs + o * st->plane + (inside.start[COLUMNS] - first) * s->batch;
            NAME(maxima_at_place)(&inside, pool->kernel[COLUMNS], z, st->row, column, s->batch,
                                  rectified, y + at, index ? index + at : NULL);
        }
    }
}

// y, index = `maxima` of z + bias, where z = `correlate` of x and W; max(y, 0) if rectified, and
// then index is NOWHERE where y is not above 0. (The maximum of max(z, 0) is the maximum of z, and
// 0.) `pool` slides over the places of w. The outputs z are never in memory as a whole; where
// windows of `pool` overlap, they are computed again. `index` may be NULL, as for `maxima`.
void NAME(correlate_maxima_rows)(const window* w, const window* pool, int64_t from, int64_t to,
                                 const real* x, const real* W, const real* bias, int64_t rectified,
                                 real* y, int8_t* index, void* scratch) {
    char* free_scratch = scratch;
    const sweep s = forward_sweep(w, 0, &free_scratch);
    const strides_of_weights strides = forward_strides(w);
    strip st = plan_strip(w, pool);
    st.outputs = (real*)free_scratch;
    const int64_t plane = pool->places[ROWS] * pool->places[COLUMNS] * w->batch;
    for (int64_t g = 0; g < w->groups; g++) {
        pack_weights(&s, &strides, W, bias, g);
        const real* input = x + g * s.inputs * s.input_plane;
        const int64_t output = g * s.outputs * plane;
        for (int64_t i = from; i < to; i++) {
            for (int64_t j = 0; j < pool->places[COLUMNS]; j += st.places) {
                const int64_t stop = least(j + st.places, pool->places[COLUMNS]);
                pool_strip(&s, &st, pool, input, i, j, stop, (int)rectified, y + output,
                           index ? index + output : NULL);
            }
        }
    }
}

void NAME(correlate_maxima)(const window* w, const window* pool, const real* x, const real* W,
                            const real* bias, int64_t rectified, real* y, int8_t* index,
                            void* scratch) {
    NAME(correlate_maxima_rows)(w, pool, 0, pool->places[ROWS], x, W, bias, rectified, y, index,
                                scratch);
}
