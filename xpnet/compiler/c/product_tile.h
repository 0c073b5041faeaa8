// Tiles of a matrix product that are computed in registers: ROWS x (VECTORS * LANES) results.
#ifndef XPNET_PRODUCT_TILE_H
#define XPNET_PRODUCT_TILE_H

#include "fetch.h"
#include "vector.h"

#define MIN(x, y) ((x) < (y) ? (x) : (y))

// A tile keeps its sums in registers, beside one row of b and one number of a. On processors with
// 32 vector registers it has up to 25 sums, with 16 registers up to 12.
#if LARGE_TILES
#define MAX_ROWS 12
#define MAX_VECTORS 5
#define MAX_SUMS 25
#define WIDEST_TILE(rows) 5
#else
#define MAX_ROWS 8
#define MAX_VECTORS 8
#define MAX_SUMS 12
#define WIDEST_TILE(rows) ((rows) == 1 ? 8 : (rows) < 4 ? 4 : 2)
#endif

// One tile: c[i, j] = alpha * sum_p a(i, p) b[p, j] + beta * c[i, j], for p < depth.
typedef struct {
    int64_t depth;
    const real* a;  // a(i, p) is a[i + p * a_stride] by columns, a[i * a_stride + p] by rows
    int64_t a_stride;
    const real* b;     // VECTORS * LANES numbers in a row
    int64_t b_stride;  // from a row to the next one
    real alpha;
    real beta;  // 0: c is not read
    real* c;
    int64_t c_stride;  // from a row to the next one
    lines ahead;       // what is fetched meanwhile: a line in each round
} tile;

typedef void (*tile_function)(const tile*);

// A round is so many p: about a hundred multiply-adds, as long as a line takes from memory.
#define ROUND(rows, vectors) ((rows) * (vectors) > 12 ? 4 : 8)

// Writes the sums of a tile: c = alpha * sum + beta * c.
INLINE void write_tile(const int rows, const int vectors, const tile* t,
                       vreal sum[MAX_ROWS][MAX_VECTORS]) {
    const vreal alpha = splat(t->alpha);
    real* c = t->c;
    if (t->beta == 0) {
        UNROLL for (int i = 0; i < rows; i++) {
            UNROLL for (int j = 0; j < vectors; j++) store(c + j * LANES, alpha * sum[i][j]);
            c += t->c_stride;
        }
        return;
    }
    const vreal beta = splat(t->beta);
    UNROLL for (int i = 0; i < rows; i++) {
        UNROLL for (int j = 0; j < vectors; j++) {
            store(c + j * LANES, alpha * sum[i][j] + beta * load(c + j * LANES));
        }
        c += t->c_stride;
    }
}

// sum[i][j] += a(i, p) * b[p, j] for one p. By rows, a[i / 3] is the address of every third row's
// number: x86 adds once or twice the stride for free.
INLINE void add_outer_product(const int rows, const int vectors, const int by_rows,
                              const real* const* a, int64_t a_stride, const real* b,
                              vreal sum[MAX_ROWS][MAX_VECTORS]) {
    vreal row[MAX_VECTORS];
    UNROLL for (int j = 0; j < vectors; j++) {
        row[j] = load(b + j * LANES);
        if (rows > 1) IN_REGISTER(row[j]);
    }
    UNROLL for (int i = 0; i < rows; i++) {
        const vreal number = splat(*(by_rows ? a[i / 3] + (i % 3) * a_stride : a[0] + i));
        UNROLL for (int j = 0; j < vectors; j++) sum[i][j] += number * row[j];
    }
}

// A whole tile. All arguments but the last one are constants, so that each call is code of its own.
INLINE void compute_tile(const int rows, const int vectors, const int by_rows, const tile* t) {
    const int64_t a_stride = t->a_stride;
    const int64_t b_stride = t->b_stride;
    const real* a[MAX_ROWS / 3 + 1];
    const real* b = t->b;
    const char* ahead = t->ahead.from;
    vreal sum[MAX_ROWS][MAX_VECTORS];
    UNROLL for (int i = 0; 3 * i < rows; i++) a[i] = t->a + (by_rows ? 3 * i * a_stride : 0);
    UNROLL for (int i = 0; i < rows; i++) {
        UNROLL for (int j = 0; j < vectors; j++) {
            __builtin_prefetch(t->c + i * t->c_stride + j * LANES);
            sum[i][j] = splat(0);
        }
    }
    for (int64_t left = t->depth; left > 0; left -= ROUND(rows, vectors)) {
        __builtin_prefetch(ahead);
        ahead += t->ahead.step;
        for (int64_t p = 0; p < MIN(left, ROUND(rows, vectors)); p++) {
            add_outer_product(rows, vectors, by_rows, a, a_stride, b, sum);
            UNROLL for (int i = 0; 3 * i < rows; i++) a[i] += by_rows ? 1 : a_stride;
            b += b_stride;
        }
    }
    write_tile(rows, vectors, t, sum);
}

// The shapes of tiles. A product whose widest panel has V vectors is cut into the rows that
// tile_rows lists for V; the other panels have V - 1 vectors, or the same number.
#define ROW_CHOICES 5
// clang-format off
#if MAX_VECTORS == 5
#define FOR_ALL_TILES(DO)                                    \
    DO(12, 1) DO(12, 2)                                      \
    DO(8, 1) DO(8, 2) DO(8, 3)                               \
    DO(6, 3) DO(6, 4)                                        \
    DO(5, 4) DO(5, 5)                                        \
    DO(4, 1) DO(4, 2) DO(4, 3) DO(4, 4) DO(4, 5)             \
    DO(2, 1) DO(2, 2) DO(2, 3) DO(2, 4) DO(2, 5)             \
    DO(1, 1) DO(1, 2) DO(1, 3) DO(1, 4) DO(1, 5)
static const int tile_rows[MAX_VECTORS + 1][ROW_CHOICES] = {
    {0}, {12, 8, 4, 2, 1}, {12, 8, 4, 2, 1}, {8, 4, 2, 1}, {6, 4, 2, 1}, {5, 4, 2, 1}};
#else
#define FOR_ALL_TILES(DO)                                    \
    DO(8, 1)                                                 \
    DO(6, 1) DO(6, 2)                                        \
    DO(4, 1) DO(4, 2)                                        \
    DO(2, 1) DO(2, 2) DO(2, 3) DO(2, 4)                      \
    DO(1, 1) DO(1, 2) DO(1, 3) DO(1, 4) DO(1, 5) DO(1, 6) DO(1, 7) DO(1, 8)
static const int tile_rows[MAX_VECTORS + 1][ROW_CHOICES] = {
    {0}, {8, 4, 2, 1}, {6, 4, 2, 1}, {2, 1}, {2, 1}, {1}, {1}, {1}, {1}};
#endif
// clang-format on

#define DEFINE_TILE(rows, vectors)                                 \
    static void tile_##rows##x##vectors##_columns(const tile* t) { \
        compute_tile(rows, vectors, 0, t);                         \
    }                                                              \
    static void tile_##rows##x##vectors##_rows(const tile* t) { compute_tile(rows, vectors, 1, t); }
FOR_ALL_TILES(DEFINE_TILE)

// tile_functions[by rows][rows][vectors]
#define BY_COLUMNS_ENTRY(rows, vectors) [0][rows][vectors] = tile_##rows##x##vectors##_columns,
#define BY_ROWS_ENTRY(rows, vectors) [1][rows][vectors] = tile_##rows##x##vectors##_rows,
static const tile_function tile_functions[2][MAX_ROWS + 1][MAX_VECTORS + 1] = {
    FOR_ALL_TILES(BY_COLUMNS_ENTRY) FOR_ALL_TILES(BY_ROWS_ENTRY)};

#endif  // XPNET_PRODUCT_TILE_H
