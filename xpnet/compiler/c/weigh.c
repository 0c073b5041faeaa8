// The gradient of a convolution by its kernel, for images whose batch lies innermost in memory:
//
//     W[o][t] = the sum over the numbers i of all rows of places: gy[o][i] x[offset[t] + i]
//
// for taps t (a number of the kernel in one channel) and runs i, as in window.c. There are two
// ways.
//
// By runs: a vector holds numbers i. Each W[o][t] is a vector of partial sums in memory, whose
// lanes are added up at the end. It is the faster way while these fit into the cache.
//
// By outputs: a vector holds outputs o. Part of a row of gy is transposed for it, so that each
// number of x is multiplied by a vector of outputs. It is for large kernels.
#include "product_pack.h"
#include "window_axes.h"

// Tiles that stay in registers, and the parts of a row that stay in the first-level cache.
#if LARGE_TILES
enum { RUN_OUTPUTS = 4, RUN_TAPS = 6, OUTPUT_CHANNELS = 8, OUTPUT_VECTORS = 3 };
#else
enum { RUN_OUTPUTS = 2, RUN_TAPS = 6, OUTPUT_CHANNELS = 6, OUTPUT_VECTORS = 2 };
#endif
enum { RUN_PART = 96 * LANES, OUTPUT_PART = 128 };

// Partial sums of more bytes than this do not stay in the cache.
#define MOST_BYTES_OF_SUMS (256 << 10)

INLINE int64_t rounded_to_lanes(int64_t n) { return (n + LANES - 1) / LANES * LANES; }

// A window and the tables for it.
typedef struct {
    const window* w;
    int64_t channels;  // of a group
    int64_t outputs;   // of a group
    int64_t taps;
    int64_t x_row;
    int64_t x_plane;
    int64_t y_row;
    int64_t y_plane;
    axis axes[2];
    stretch* stretches;  // of the columns
    int64_t stretch_count;
    int64_t* offsets;  // [taps]
    int64_t rows[2];   // of places: the first one, and the one after the last
} tables;

static tables find_tables(const window* w, char** scratch) {
    tables t = {.w = w, .channels = w->channels / w->groups, .outputs = w->outputs / w->groups};
    t.taps = t.channels * w->kernel[ROWS] * w->kernel[COLUMNS];
    t.x_row = w->size[COLUMNS] * w->batch;
    t.x_plane = w->size[ROWS] * t.x_row;
    t.y_row = w->places[COLUMNS] * w->batch;
    t.y_plane = w->places[ROWS] * t.y_row;
    t.axes[ROWS] = forward_axis(w, ROWS, scratch);
    t.axes[COLUMNS] = forward_axis(w, COLUMNS, scratch);
    t.stretches = part_of(scratch, w->places[COLUMNS] * (int64_t)sizeof(stretch));
    t.stretch_count = find_stretches(&t.axes[COLUMNS], t.stretches);
    t.offsets = part_of(scratch, 8 * t.taps);
    int64_t* offset = t.offsets;
    for (int64_t r = 0; r < w->kernel[ROWS]; r++) {
        for (int64_t c = 0; c < t.channels; c++) {
            for (int64_t k = 0; k < w->kernel[COLUMNS]; k++) {
                *offset++ = t.axes[ROWS].relative[r] * t.x_row + c * t.x_plane +
                            t.axes[COLUMNS].relative[k] * w->batch;
            }
        }
    }
    return t;
}

static int64_t tables_bytes(const window* w, int64_t taps) {
    return axis_bytes(w, ROWS) + axis_bytes(w, COLUMNS) +
           rounded(w->places[COLUMNS] * (int64_t)sizeof(stretch)) + rounded(8 * taps);
}

// ---- by runs ------------------------------------------------------------------------------------

// Some outputs and taps, and the pieces of a run: one, or with a stride one for each place.
typedef struct {
    const real* gy;
    const real* x;
    const int64_t* offsets;  // [taps of the tile]
    vreal* sums;             // partial sums of the first output and tap
    int64_t y_plane;
    int64_t taps;  // from the sums of one output to those of the next
    int64_t pieces;
    int64_t length;   // of each piece
    int64_t y_apart;  // from one piece to the next
    int64_t x_apart;
} run_tile;

// sums[o][t] += gy[o][i] x[offset[t] + i], for OUTPUTS o, TAPS t and the numbers i of one piece.
INLINE void weigh_piece(const int OUTPUTS, const int TAPS, const run_tile* tile, const real* gy,
                        const real* const* x, vreal (*sum)[RUN_TAPS]) {
    int64_t i = 0;
    for (; i + LANES <= tile->length; i += LANES) {
        vreal g[RUN_OUTPUTS];
        UNROLL for (int o = 0; o < OUTPUTS; o++) g[o] = load(gy + o * tile->y_plane + i);
        UNROLL for (int t = 0; t < TAPS; t++) {
            vreal met = load(x[t] + i);
            IN_REGISTER(met);
            UNROLL for (int o = 0; o < OUTPUTS; o++) sum[o][t] += g[o] * met;
        }
    }
    const int64_t rest = tile->length - i;
    if (rest == 0) return;
    vreal g[RUN_OUTPUTS];
    UNROLL for (int o = 0; o < OUTPUTS; o++) g[o] = load_first(gy + o * tile->y_plane + i, rest);
    UNROLL for (int t = 0; t < TAPS; t++) {
        const vreal met = load_first(x[t] + i, rest);
        UNROLL for (int o = 0; o < OUTPUTS; o++) sum[o][t] += g[o] * met;
    }
}

INLINE void weigh_runs(const int OUTPUTS, const int TAPS, const run_tile* tile) {
    vreal sum[RUN_OUTPUTS][RUN_TAPS];
    UNROLL for (int o = 0; o < OUTPUTS; o++) {
        UNROLL for (int t = 0; t < TAPS; t++) sum[o][t] = tile->sums[o * tile->taps + t];
    }
    for (int64_t piece = 0; piece < tile->pieces; piece++) {
        const real* x[RUN_TAPS];
        UNROLL for (int t = 0; t < TAPS; t++) {
            x[t] = tile->x + piece * tile->x_apart + tile->offsets[t];
        }
        weigh_piece(OUTPUTS, TAPS, tile, tile->gy + piece * tile->y_apart, x, sum);
    }
    UNROLL for (int o = 0; o < OUTPUTS; o++) {
        UNROLL for (int t = 0; t < TAPS; t++) tile->sums[o * tile->taps + t] = sum[o][t];
    }
}

#define RUN(O, T) \
    static void runs_##O##_##T(const run_tile* tile) { weigh_runs(O, T, tile); }
#define RUNS(O) RUN(O, 1) RUN(O, 2) RUN(O, 3) RUN(O, 4) RUN(O, 5) RUN(O, 6)
#define RUN_NAMES(O) \
    {runs_##O##_1, runs_##O##_2, runs_##O##_3, runs_##O##_4, runs_##O##_5, runs_##O##_6}

RUNS(1)
RUNS(2)
#if LARGE_TILES
RUNS(3)
RUNS(4)
#endif

typedef void (*run_function)(const run_tile*);
static const run_function RUN_FUNCTIONS[RUN_OUTPUTS][RUN_TAPS] = {
    RUN_NAMES(1),
    RUN_NAMES(2),
#if LARGE_TILES
    RUN_NAMES(3),
    RUN_NAMES(4),
#endif
};

// The taps from `from` to `to` - 1, for some outputs.
static void weigh_taps(const tables* t, run_tile* tile, vreal* sums, int64_t outputs, int64_t from,
                       int64_t to) {
    parts tiles = equal_parts(to - from, RUN_TAPS);
    int64_t taps;
    for (int64_t i = from; i < to; i += taps) {
        taps = next_part(&tiles);
        tile->offsets = t->offsets + i;
        tile->sums = sums + i;
        RUN_FUNCTIONS[outputs - 1][taps - 1](tile);
    }
}

// All taps that meet x, for some outputs; `up` and `along` are what the rows and the columns meet.
static void weigh_all_taps(const tables* t, run_tile* tile, vreal* sums, int64_t outputs,
                           const meeting* up, const meeting* along) {
    const int64_t width = t->w->kernel[COLUMNS];
    const int64_t first = up->from * t->channels;
    const int64_t last = up->to * t->channels;
    if (along->to - along->from == width) {  // all of them: they are neighbours
        weigh_taps(t, tile, sums, outputs, first * width, last * width);
        return;
    }
    for (int64_t i = first; i < last; i++) {
        const int64_t start = i * width;
        weigh_taps(t, tile, sums, outputs, start + along->from, start + along->to);
    }
}

// All outputs and taps, for the pieces of a run.
static void weigh_run(const tables* t, run_tile* tile, vreal* sums, const meeting* up,
                      const meeting* along) {
    parts tiles = equal_parts(t->outputs, RUN_OUTPUTS);
    const real* gy = tile->gy;
    int64_t outputs;
    for (int64_t o = 0; o < t->outputs; o += outputs) {
        outputs = next_part(&tiles);
        tile->gy = gy + o * t->y_plane;
        weigh_all_taps(t, tile, sums + o * t->taps, outputs, up, along);
    }
    tile->gy = gy;
}

// One row of places: its stretches, in parts that stay in the cache.
static void weigh_row(const tables* t, const real* x, const real* gy, int64_t row, vreal* sums) {
    const window* w = t->w;
    const meeting up = meet(&t->axes[ROWS], row);
    const int flat = w->stride[COLUMNS] == 1;
    run_tile tile = {.y_plane = t->y_plane, .taps = t->taps, .y_apart = w->batch};
    tile.x_apart = w->stride[COLUMNS] * w->batch;
    for (int64_t i = 0; i < t->stretch_count; i++) {
        const stretch* along = &t->stretches[i];
        const real* y_start = gy + row * t->y_row + along->first * w->batch;
        const real* x_start = x + up.start * t->x_row + along->meets.start * w->batch;
        const int64_t run = flat ? along->count * w->batch : w->batch;
        tile.pieces = flat ? 1 : along->count;
        const parts equal = equal_parts(run, RUN_PART);
        const int64_t part = rounded_to_lanes(longest_part(&equal));
        for (int64_t j = 0; j < run; j += part) {
            tile.length = least(part, run - j);
            tile.gy = y_start + j;
            tile.x = x_start + j;
            weigh_run(t, &tile, sums, &up, &along->meets);
        }
    }
}

// gW of one group from the partial sums, [outputs][rows of the kernel][channels][columns].
static void add_lanes(const tables* t, const vreal* sums, real* gW) {
    const int64_t rows = t->w->kernel[ROWS];
    const int64_t columns = t->w->kernel[COLUMNS];
    for (int64_t o = 0; o < t->outputs; o++) {
        for (int64_t r = 0; r < rows; r++) {
            for (int64_t c = 0; c < t->channels; c++) {
                real* to = gW + ((o * t->channels + c) * rows + r) * columns;
                for (int64_t k = 0; k < columns; k++) to[k] = sum_lanes(*sums++);
            }
        }
    }
}

static void weigh_by_runs(const tables* t, const real* x, const real* gy, real* gW, vreal* sums) {
    const int64_t count = t->outputs * t->taps;
    for (int64_t i = 0; i < count; i++) sums[i] = splat(0);
    for (int64_t row = t->rows[0]; row < t->rows[1]; row++) weigh_row(t, x, gy, row, sums);
    add_lanes(t, sums, gW);
}

// ---- by outputs ---------------------------------------------------------------------------------

// Some channels of one number of the kernel, and some vectors of outputs.
typedef struct {
    const real* x;
    const real* gy;  // transposed: [pieces][length][vectors x LANES]
    real* sums;      // [channels][all outputs]
    int64_t x_plane;
    int64_t x_apart;  // from one piece to the next
    int64_t pieces;
    int64_t length;   // of each piece
    int64_t outputs;  // all of them, rounded up to whole vectors
} output_tile;

// sums[c][o] += x[c][i] gy[i][o], for CHANNELS c and VECTORS of outputs o.
INLINE void weigh_outputs(const int CHANNELS, const int VECTORS, const output_tile* t) {
    vreal sum[OUTPUT_CHANNELS][OUTPUT_VECTORS];
    UNROLL for (int c = 0; c < CHANNELS; c++) {
        UNROLL for (int v = 0; v < VECTORS; v++) {
            sum[c][v] = load(t->sums + c * t->outputs + v * LANES);
        }
    }
    const real* gy = t->gy;
    for (int64_t piece = 0; piece < t->pieces; piece++) {
        const real* x = t->x + piece * t->x_apart;
        for (int64_t i = 0; i < t->length; i++, gy += VECTORS * LANES) {
            vreal g[OUTPUT_VECTORS];
            UNROLL for (int v = 0; v < VECTORS; v++) g[v] = load(gy + v * LANES);
            UNROLL for (int c = 0; c < CHANNELS; c++) {
                const vreal met = splat(x[c * t->x_plane + i]);
                UNROLL for (int v = 0; v < VECTORS; v++) sum[c][v] += met * g[v];
            }
        }
    }
    UNROLL for (int c = 0; c < CHANNELS; c++) {
        UNROLL for (int v = 0; v < VECTORS; v++) {
            store(t->sums + c * t->outputs + v * LANES, sum[c][v]);
        }
    }
}

#if LARGE_TILES
#define OUTPUT(C)                                                                 \
    static void outputs_##C##_1(const output_tile* t) { weigh_outputs(C, 1, t); } \
    static void outputs_##C##_2(const output_tile* t) { weigh_outputs(C, 2, t); } \
    static void outputs_##C##_3(const output_tile* t) { weigh_outputs(C, 3, t); }
#define OUTPUT_NAMES(C) {outputs_##C##_1, outputs_##C##_2, outputs_##C##_3}
#else
#define OUTPUT(C)                                                                 \
    static void outputs_##C##_1(const output_tile* t) { weigh_outputs(C, 1, t); } \
    static void outputs_##C##_2(const output_tile* t) { weigh_outputs(C, 2, t); }
#define OUTPUT_NAMES(C) {outputs_##C##_1, outputs_##C##_2}
#endif

OUTPUT(1)
OUTPUT(2)
OUTPUT(3)
OUTPUT(4)
OUTPUT(5)
OUTPUT(6)
#if LARGE_TILES
OUTPUT(7)
OUTPUT(8)
#endif

typedef void (*output_function)(const output_tile*);
static const output_function OUTPUT_FUNCTIONS[OUTPUT_CHANNELS][OUTPUT_VECTORS] = {
    OUTPUT_NAMES(1), OUTPUT_NAMES(2), OUTPUT_NAMES(3),
    OUTPUT_NAMES(4), OUTPUT_NAMES(5), OUTPUT_NAMES(6),
#if LARGE_TILES
    OUTPUT_NAMES(7), OUTPUT_NAMES(8),
#endif
};

INLINE int64_t whole_vectors(int64_t outputs) { return (outputs + LANES - 1) / LANES; }

// Part of a row of gy: some columns, and for each of them the same part of the batch.
typedef struct {
    int64_t columns[2];  // the first, and the one after the last
    int64_t batch[2];
} part;

// Some vectors of outputs, transposed: to[column][n][o].
static void transpose_part(const tables* t, const real* gy, const part* p, int64_t outputs,
                           int64_t width, real* to) {
    const int64_t length = p->batch[1] - p->batch[0];
    const int flat = length == t->w->batch;
    const int64_t n = flat ? (p->columns[1] - p->columns[0]) * length : length;
    for (int64_t q = p->columns[0]; q < p->columns[1]; q += flat ? p->columns[1] : 1) {
        const real* from = gy + q * t->w->batch + p->batch[0];
        const packing all = {
            .from = from,
            .down = 1,
            .across = t->y_plane,
            .length = n,
            .count = outputs,
            .width = width,
            .out = to,
        };
        pack_columns(&all);
        to += n * width;
    }
}

// All channels of the kernel's number (r, k), for some vectors of outputs and part of a row.
static void weigh_number(const tables* t, output_tile* tile, const part* p, const meeting* up,
                         int64_t r, int64_t k, const real* x, const real* gy, int64_t vectors,
                         real* sums) {
    const window* w = t->w;
    const int64_t stride = w->stride[COLUMNS];
    const int64_t reach = t->axes[COLUMNS].relative[k];
    // the columns q of the part with 0 <= q stride + reach < width of x
    const int64_t from = most(p->columns[0], -quotient(reach, stride));
    const int64_t to = least(p->columns[1], quotient(w->size[COLUMNS] - 1 - reach, stride) + 1);
    if (from >= to) return;
    const int64_t length = p->batch[1] - p->batch[0];
    const int flat = stride == 1 && length == w->batch;
    tile->pieces = flat ? 1 : to - from;
    tile->length = flat ? (to - from) * length : length;
    tile->x_apart = stride * w->batch;
    tile->gy = gy + (from - p->columns[0]) * length * vectors * LANES;
    x += (up->start + t->axes[ROWS].relative[r]) * t->x_row + p->batch[0] +
         (from * stride + reach) * w->batch;
    sums += (r * w->kernel[COLUMNS] + k) * t->channels * tile->outputs;
    parts tiles = equal_parts(t->channels, OUTPUT_CHANNELS);
    int64_t channels;
    for (int64_t c = 0; c < t->channels; c += channels) {
        channels = next_part(&tiles);
        tile->x = x + c * t->x_plane;
        tile->sums = sums + c * tile->outputs;
        OUTPUT_FUNCTIONS[channels - 1][vectors - 1](tile);
    }
}

// Part of a row, for all outputs and taps.
static void weigh_part(const tables* t, const part* p, int64_t row, const real* x, const real* gy,
                       real* sums, real* transposed) {
    const meeting up = meet(&t->axes[ROWS], row);
    const int64_t all = whole_vectors(t->outputs);
    parts tiles = equal_parts(all, OUTPUT_VECTORS);
    int64_t vectors;
    output_tile tile = {.x_plane = t->x_plane, .outputs = all * LANES};
    for (int64_t v = 0; v < all; v += vectors) {
        vectors = next_part(&tiles);
        const int64_t outputs = least(vectors * LANES, t->outputs - v * LANES);
        const real* rows = gy + v * LANES * t->y_plane + row * t->y_row;
        transpose_part(t, rows, p, outputs, vectors * LANES, transposed);
        for (int64_t r = up.from; r < up.to; r++) {
            for (int64_t k = 0; k < t->w->kernel[COLUMNS]; k++) {
                weigh_number(t, &tile, p, &up, r, k, x, transposed, vectors, sums + v * LANES);
            }
        }
    }
}

// gW of one group, from sums[taps][outputs].
static void write_sums(const tables* t, const real* sums, real* gW) {
    const int64_t numbers = t->w->kernel[ROWS] * t->w->kernel[COLUMNS];
    const int64_t outputs = whole_vectors(t->outputs) * LANES;
    for (int64_t o = 0; o < t->outputs; o++) {
        for (int64_t c = 0; c < t->channels; c++) {
            for (int64_t k = 0; k < numbers; k++) {
                *gW++ = sums[(k * t->channels + c) * outputs + o];
            }
        }
    }
}

static void weigh_by_outputs(const tables* t, const real* x, const real* gy, real* gW, real* sums,
                             real* transposed) {
    const window* w = t->w;
    const int64_t columns = most(OUTPUT_PART / most(w->batch, 1), 1);
    memset(sums, 0, (size_t)(t->taps * whole_vectors(t->outputs)) * VECTOR_BYTES);
    for (int64_t row = t->rows[0]; row < t->rows[1]; row++) {
        for (int64_t q = 0; q < w->places[COLUMNS]; q += columns) {
            for (int64_t n = 0; n < w->batch; n += OUTPUT_PART) {
                const part p = {{q, least(q + columns, w->places[COLUMNS])},
                                {n, least(n + OUTPUT_PART, w->batch)}};
                weigh_part(t, &p, row, x, gy, sums, transposed);
            }
        }
    }
    write_sums(t, sums, gW);
}

// ---- both ---------------------------------------------------------------------------------------

// Whether the kernel is large: partial sums of each of its numbers would not fit into the cache.
// With few channels or outputs, the other tiles would not fill the registers.
static int is_large(const window* w, int64_t taps) {
    const int64_t outputs = w->outputs / w->groups;
    const int64_t channels = w->channels / w->groups;
    const int64_t bytes = outputs * taps * VECTOR_BYTES;
    return channels >= 5 && 2 * outputs >= LANES && bytes > MOST_BYTES_OF_SUMS;
}

int64_t NAME(weigh_scratch)(const window* w) {
    const int64_t taps = w->channels / w->groups * w->kernel[ROWS] * w->kernel[COLUMNS];
    const int64_t outputs = w->outputs / w->groups;
    const int64_t bytes = tables_bytes(w, taps);
    if (!is_large(w, taps)) return bytes + outputs * taps * VECTOR_BYTES;
    return bytes + taps * whole_vectors(outputs) * VECTOR_BYTES +
           OUTPUT_PART * OUTPUT_VECTORS * VECTOR_BYTES;
}

// The sum of n numbers.
static real sum_of(const real* x, int64_t n) {
    vreal sum[4] = {splat(0), splat(0), splat(0), splat(0)};
    int64_t i = 0;
    for (; i + 4 * LANES <= n; i += 4 * LANES) {
        UNROLL for (int v = 0; v < 4; v++) sum[v] += load(x + i + v * LANES);
    }
    for (; i < n; i += LANES) sum[0] += load_first(x + i, least(LANES, n - i));
    return sum_lanes((sum[0] + sum[1]) + (sum[2] + sum[3]));
}

// gW[o, c, k] = the sum over p, n of x[c, p under k, n] gy[o, p, n]; gb[o] = the sum of gy[o, p,
// n]. gb may be NULL.
void NAME(weigh)(const window* w, const real* x, const real* gy, real* gW, real* gb,
                 void* scratch) {
    NAME(weigh_rows)(w, 0, w->places[ROWS], x, gy, gW, gb, scratch);
}

void NAME(weigh_rows)(const window* w, int64_t from, int64_t to, const real* x, const real* gy,
                      real* gW, real* gb, void* scratch) {
    char* free_scratch = scratch;
    tables t = find_tables(w, &free_scratch);
    t.rows[0] = from;
    t.rows[1] = to;
    for (int64_t g = 0; g < w->groups; g++) {
        const real* from_x = x + g * t.channels * t.x_plane;
        const real* from_y = gy + g * t.outputs * t.y_plane;
        real* to = gW + g * t.outputs * t.taps;
        if (is_large(w, t.taps)) {
            real* transposed = (real*)free_scratch;
            real* sums = transposed + OUTPUT_PART * OUTPUT_VECTORS * LANES;
            weigh_by_outputs(&t, from_x, from_y, to, sums, transposed);
        } else {
            weigh_by_runs(&t, from_x, from_y, to, (vreal*)free_scratch);
        }
    }
    const int64_t numbers = (to - from) * t.y_row;
    for (int64_t o = 0; gb && o < w->outputs; o++) {
        gb[o] = sum_of(gy + o * t.y_plane + from * t.y_row, numbers);
    }
}
