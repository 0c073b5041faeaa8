// Carries out a plan. No Python: ctypes has released the interpreter's lock.
#include <string.h>

#include "export.h"
#include "plan.h"
#include "threads.h"

#define DECLARE_ONE(name) int run_##name(const context*, const instruction*);
#define DECLARE_BOTH(name)                                    \
    int run_##name##_f32(const context*, const instruction*); \
    int run_##name##_f64(const context*, const instruction*);
OPERATIONS(DECLARE_ONE, DECLARE_BOTH)

typedef struct {
    const char* name;
    operation run;
} entry;

#define ENTRY_ONE(name) {#name, run_##name},
#define ENTRY_BOTH(name) {#name "_f32", run_##name##_f32}, {#name "_f64", run_##name##_f64},
static const entry table[] = {OPERATIONS(ENTRY_ONE, ENTRY_BOTH)};

#define TABLE_SIZE ((int64_t)(sizeof(table) / sizeof(table[0])))

#ifndef XPNET_SOURCES
#define XPNET_SOURCES ""
#endif

// The digest of the sources that this library was built from.
EXPORT const char* xpnet_sources(void) { return XPNET_SOURCES; }

// The name of an operation, NULL after the last one. Its number is the code of its instructions.
EXPORT const char* xpnet_operation(int64_t code) {
    return code >= 0 && code < TABLE_SIZE ? table[code].name : NULL;
}

static context start(const plan* p, char** slots, const int64_t* advances, const double* numbers,
                     fetch* ahead, failure* failed) {
    for (int64_t i = 0; i < p->threads && i < MOST_PARTS; i++) ahead[i] = (fetch){0};
    return (context){.slots = slots,
                     .advances = advances,
                     .numbers = numbers,
                     .scratch = p->scratch,
                     .scratch_bytes = p->scratch_bytes,
                     .threads = p->threads,
                     .ahead = ahead,
                     .failed = failed};
}

// Runs the plan's instructions `steps` times. Between two steps slot i moves by advances[i] bytes,
// and `numbers` by a row of the plan's number_count. Returns 0, or 1 if an operation reported an
// error: nothing after it has run then. failed->step is how many steps were done.
EXPORT int64_t xpnet_run(const plan* p, char** slots, const int64_t* advances,
                         const double* numbers, int64_t steps, failure* failed) {
    fetch ahead[MOST_PARTS];
    context c = start(p, slots, advances, numbers, ahead, failed);
    for (int64_t step = 0; step < steps; step++) {
        c.steps_left = steps - 1 - step;
        failed->step = step;
        for (int64_t i = 0; i < p->count; i++) {
            const instruction* x = p->instructions + i;
            const int code = table[x->code].run(&c, x);
            if (code != 0) {
                failed->instruction = i;
                failed->code = code;
                return 1;
            }
        }
        if (c.steps_left == 0) break;
        for (int64_t i = 0; i < p->slot_count; i++) slots[i] += advances[i];
        c.numbers += p->number_count;
    }
    failed->step = steps;
    return 0;
}

// Runs one instruction `times` times, for Python to find out how long it takes; returns
// nanoseconds.
#include <time.h>
EXPORT double xpnet_time(const plan* p, char** slots, const int64_t* advances,
                         const double* numbers, int64_t which, int64_t times, failure* failed) {
    fetch ahead[MOST_PARTS];
    context c = start(p, slots, advances, numbers, ahead, failed);
    const instruction* x = p->instructions + which;
    struct timespec from;
    struct timespec to;
    timespec_get(&from, TIME_UTC);
    for (int64_t i = 0; i < times; i++) {
        if (table[x->code].run(&c, x) != 0) return -1.0;
    }
    timespec_get(&to, TIME_UTC);
    return 1e9 * (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec);
}

// ---- copy ---------------------------------------------------------------------------------------

enum { COPY_DIMENSIONS = 64 };  // NumPy has no arrays with more

#define COPY_ROW(type)                                                         \
    {                                                                          \
        type* restrict d = (type*)to;                                          \
        const type* restrict s = (const type*)from;                            \
        for (int64_t i = 0; i < n; i++) d[i * to_stride] = s[i * from_stride]; \
    }                                                                          \
    break;

// n elements of `bytes` bytes each, any strides. Sizes other than 1, 2, 4 and 8: byte by byte.
static void copy_row(char* to, int64_t to_stride, const char* from, int64_t from_stride, int64_t n,
                     int64_t bytes) {
    if (to_stride == 1 && from_stride == 1) {
        memmove(to, from, (size_t)(n * bytes));
        return;
    }
    switch (bytes) {
        case 1:
            COPY_ROW(uint8_t)
        case 2:
            COPY_ROW(uint16_t)
        case 4:
            COPY_ROW(uint32_t)
        case 8:
            COPY_ROW(uint64_t)
        default:
            for (int64_t i = 0; i < n; i++) {
                memcpy(to + i * to_stride * bytes, from + i * from_stride * bytes, (size_t)bytes);
            }
    }
}

// to[...] = from[...]
// operands: to, from. sizes: bytes of an element, dimensions d, shape (d), strides of to (d),
// strides of from (d). The last dimension is the inner loop; Python puts the fastest one there.
int run_copy(const context* c, const instruction* x) {
    const int64_t bytes = x->sizes[0];
    const int64_t outer = x->sizes[1] - 1;
    const int64_t* shape = x->sizes + 2;
    const int64_t* to_strides = shape + x->sizes[1];
    const int64_t* from_strides = to_strides + x->sizes[1];
    char* to = address(c, x->operands[0]);
    const char* from = address(c, x->operands[1]);
    int64_t index[COPY_DIMENSIONS];
    for (int64_t d = 0; d <= outer; d++) {
        index[d] = 0;
        if (shape[d] == 0) return 0;
    }
    for (;;) {
        copy_row(to, to_strides[outer], from, from_strides[outer], shape[outer], bytes);
        int64_t d = outer - 1;
        for (; d >= 0; d--) {
            to += to_strides[d] * bytes;
            from += from_strides[d] * bytes;
            if (++index[d] < shape[d]) break;
            to -= to_strides[d] * shape[d] * bytes;
            from -= from_strides[d] * shape[d] * bytes;
            index[d] = 0;
        }
        if (d < 0) return 0;
    }
}

// ---- counters -----------------------------------------------------------------------------------

// y = x + a number, for int64; too large sums wrap around, as NumPy's do.
// operands: y, x, without gaps. sizes: how many, the number.
int run_count(const context* c, const instruction* x) {
    uint64_t* y = address(c, x->operands[0]);
    const uint64_t* from = address(c, x->operands[1]);
    for (int64_t i = 0; i < x->sizes[0]; i++) y[i] = from[i] + (uint64_t)x->sizes[1];
    return 0;
}
