// Convolution and pooling in a plan: see window.h. The detail of an instruction is its window, or a
// pair of windows: that of the convolution and that of the pool after it. An operand that is
// missing is NULL.
#include "plan.h"
#include "real.h"
#include "threads.h"
#include "window.h"

// ---- parts of an operation ----------------------------------------------------------------------

// Multiplications and additions, or numbers of an array, that are worth a thread.
#define LEAST_WORK 2000000
#define LEAST_NUMBERS (32 << 10)

enum { MOST_OPERANDS = 5 };

// An operation divided by rows of its images, so that each thread has the same part of the images
// in all operations of a plan.
typedef struct {
    const window* window;  // and that of the pool, if there is one
    void* operands[MOST_OPERANDS];
    int64_t rectified;
    int64_t rows;
    int64_t parts;
    char* scratch;
    int64_t scratch_bytes;  // of each part
    int64_t sums[2];        // the numbers of the results that are added up over the parts
} window_job;

static int64_t multiplications(const window* w) {
    const int64_t numbers = w->channels / w->groups * w->kernel[0] * w->kernel[1];
    return w->batch * w->outputs * w->places[0] * w->places[1] * numbers;
}

static int64_t places(const window* w) {
    return w->batch * w->outputs * w->places[0] * w->places[1];
}

static window_job start(const context* c, const instruction* x, int operands, int64_t rows,
                        int64_t parts) {
    window_job j = {.window = x->detail, .rows = rows};
    for (int i = 0; i < operands; i++) j.operands[i] = address(c, x->operands[i]);
    j.parts = parts > 1 && parts > rows ? rows : parts;
    j.scratch = c->scratch;
    j.scratch_bytes = c->scratch_bytes / j.parts / 64 * 64;
    return j;
}

static int64_t first_row(const window_job* j, int64_t part) {
    return start_of_part(j->rows, 1, part, j->parts);
}

static char* scratch_of(const window_job* j, int64_t part) {
    return j->scratch + part * j->scratch_bytes;
}

// The sums of a part: the first one writes to the results, the others to the beginning of their
// scratch memory, from where they are added in their order.
static real* sums_of(const window_job* j, int64_t part, int which, real* result) {
    if (part == 0 || result == NULL) return result;
    return (real*)scratch_of(j, part) + (which ? j->sums[0] : 0);
}

static void add_sums(const window_job* j, int which, real* result) {
    for (int64_t part = 1; result && part < j->parts; part++) {
        const real* more = sums_of(j, part, which, result);
        for (int64_t i = 0; i < j->sums[which]; i++) result[i] += more[i];
    }
}

// The bytes that they take.
static int64_t sums_bytes(const window_job* j) {
    return ((j->sums[0] + j->sums[1]) * (int64_t)sizeof(real) + 63) / 64 * 64;
}

// ---- convolution --------------------------------------------------------------------------------

static void correlate_part(void* data, int64_t part) {
    const window_job* j = data;
    void* const* o = j->operands;
    NAME(correlate_rows)(j->window, first_row(j, part), first_row(j, part + 1), o[0], o[1], o[2],
                         j->rectified, o[3], scratch_of(j, part));
}

// operands: x, W, bias, y. sizes: whether ReLU follows.
int NAME(run_correlate)(const context* c, const instruction* x) {
    const window* w = x->detail;
    const int64_t parts = parts_of_work(2 * multiplications(w), LEAST_WORK, c->threads);
    window_job j = start(c, x, 4, w->places[0], parts);
    j.rectified = x->sizes[0];
    xpnet_parallel(correlate_part, &j, j.parts);
    return 0;
}

static void correlate_maxima_part(void* data, int64_t part) {
    const window_job* j = data;
    void* const* o = j->operands;
    NAME(correlate_maxima_rows)(j->window, j->window + 1, first_row(j, part),
                                first_row(j, part + 1), o[0], o[1], o[2], j->rectified, o[3], o[4],
                                scratch_of(j, part));
}

// operands: x, W, bias, y, index. sizes: whether ReLU follows.
int NAME(run_correlate_maxima)(const context* c, const instruction* x) {
    const window* w = x->detail;
    const int64_t parts = parts_of_work(2 * multiplications(w), LEAST_WORK, c->threads);
    window_job j = start(c, x, 5, w[1].places[0], parts);
    j.rectified = x->sizes[0];
    xpnet_parallel(correlate_maxima_part, &j, j.parts);
    return 0;
}

static void spread_part(void* data, int64_t part) {
    const window_job* j = data;
    void* const* o = j->operands;
    NAME(spread_rows)(j->window, first_row(j, part), first_row(j, part + 1), o[0], o[1], o[2], o[3],
                      scratch_of(j, part));
}

// operands: gy, W, bias, gx.
int NAME(run_spread)(const context* c, const instruction* x) {
    const window* w = x->detail;
    const int64_t parts = parts_of_work(2 * multiplications(w), LEAST_WORK, c->threads);
    window_job j = start(c, x, 4, w->size[0], parts);
    xpnet_parallel(spread_part, &j, j.parts);
    return 0;
}

static void weigh_part(void* data, int64_t part) {
    const window_job* j = data;
    void* const* o = j->operands;
    NAME(weigh_rows)(j->window, first_row(j, part), first_row(j, part + 1), o[0], o[1],
                     sums_of(j, part, 0, o[2]), sums_of(j, part, 1, o[3]),
                     scratch_of(j, part) + sums_bytes(j));
}

// operands: x, gy, gW, the sums of gy.
int NAME(run_weigh)(const context* c, const instruction* x) {
    const window* w = x->detail;
    const int64_t parts = parts_of_work(2 * multiplications(w), LEAST_WORK, c->threads);
    window_job j = start(c, x, 4, w->places[0], parts);
    j.sums[0] = w->outputs * (w->channels / w->groups) * w->kernel[0] * w->kernel[1];
    j.sums[1] = w->outputs;
    xpnet_parallel(weigh_part, &j, j.parts);
    add_sums(&j, 0, j.operands[2]);
    add_sums(&j, 1, j.operands[3]);
    return 0;
}

// ---- pooling ------------------------------------------------------------------------------------

static void maxima_part(void* data, int64_t part) {
    const window_job* j = data;
    void* const* o = j->operands;
    NAME(maxima_rows)(j->window, first_row(j, part), first_row(j, part + 1), o[0], o[1], o[2]);
}

// operands: x, y, index.
int NAME(run_maxima)(const context* c, const instruction* x) {
    const window* w = x->detail;
    window_job j =
        start(c, x, 3, w->places[0], parts_of_work(places(w), LEAST_NUMBERS, c->threads));
    xpnet_parallel(maxima_part, &j, j.parts);
    return 0;
}

static void place_part(void* data, int64_t part) {
    const window_job* j = data;
    void* const* o = j->operands;
    NAME(place_rows)(j->window, first_row(j, part), first_row(j, part + 1), o[0], o[1], o[2],
                     sums_of(j, part, 1, o[3]));
}

// operands: gy, index, gx, the sums of gx.
int NAME(run_place)(const context* c, const instruction* x) {
    const window* w = x->detail;
    window_job j =
        start(c, x, 4, w->places[0], parts_of_work(places(w), LEAST_NUMBERS, c->threads));
    if (j.parts == 1 || !NAME(place_is_apart)(w)) {
        NAME(place)(w, j.operands[0], j.operands[1], j.operands[2], j.operands[3]);
        return 0;
    }
    j.sums[1] = w->channels;
    xpnet_parallel(place_part, &j, j.parts);
    add_sums(&j, 1, j.operands[3]);
    return 0;
}

// operands: gy, x, y, gx.
int NAME(run_place_by_values)(const context* c, const instruction* x) {
    NAME(place_by_values)(x->detail, address(c, x->operands[0]), address(c, x->operands[1]),
                          address(c, x->operands[2]), address(c, x->operands[3]));
    return 0;
}

// operands: x, y.
int NAME(run_sums)(const context* c, const instruction* x) {
    NAME(sums)(x->detail, address(c, x->operands[0]), address(c, x->operands[1]));
    return 0;
}

// operands: gy, gx.
int NAME(run_shares)(const context* c, const instruction* x) {
    NAME(shares)(x->detail, address(c, x->operands[0]), address(c, x->operands[1]));
    return 0;
}

// y = the transpose of x. operands: y, x. sizes: rows and columns of x, distance of the rows of x,
// of y.
int NAME(run_transpose)(const context* c, const instruction* x) {
    const int64_t* s = x->sizes;
    NAME(transpose)(s[0], s[1], address(c, x->operands[1]), s[2], address(c, x->operands[0]), s[3]);
    return 0;
}
