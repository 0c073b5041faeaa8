// What the numbers of a window meet along each axis: shared by window.c and weigh.c.
#ifndef XPNET_WINDOW_AXES_H
#define XPNET_WINDOW_AXES_H

#include "vector.h"
#include "window.h"

enum { ROWS = 0, COLUMNS = 1 };

// Makes the compiler hold a vector in a register. GCC would otherwise load it again for each
// product that it is part of, and the loads would take longer than the products.
#if defined(__AVX512F__)
#define IN_REGISTER(v) __asm__("" : "+v"(v))
#elif defined(__x86_64__)
#define IN_REGISTER(v) __asm__("" : "+x"(v))
#elif defined(__aarch64__)
#define IN_REGISTER(v) __asm__("" : "+w"(v))
#else
#define IN_REGISTER(v) (void)(v)
#endif

// ---- scratch memory -----------------------------------------------------------------------------

INLINE int64_t rounded(int64_t bytes) { return (bytes + 63) & ~(int64_t)63; }

// The next part of the scratch memory, for n bytes.
INLINE void* part_of(char** scratch, int64_t bytes) {
    void* part = *scratch;
    *scratch += rounded(bytes);
    return part;
}

INLINE int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
INLINE int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

// a / b and the remainder, rounded down; b > 0.
INLINE int64_t quotient(int64_t a, int64_t b) { return a / b - (a % b < 0); }
INLINE int64_t remainder_of(int64_t a, int64_t b) { return a - quotient(a, b) * b; }

// ---- equal parts --------------------------------------------------------------------------------

// n things in as few parts as possible, each of at most `limit`. Their sizes differ by at most one:
// `longer` parts have size + 1 things, and come first.
typedef struct {
    int64_t size;
    int64_t longer;
} parts;

INLINE parts equal_parts(int64_t n, int64_t limit) {
    const int64_t count = most((n + limit - 1) / limit, 1);
    return (parts){.size = n / count, .longer = n % count};
}

// The size of the next part.
INLINE int64_t next_part(parts* p) { return p->size + (p->longer-- > 0); }

INLINE int64_t longest_part(const parts* p) { return p->size + (p->longer > 0); }

// ---- what one axis meets ------------------------------------------------------------------------

// Along one axis, output q is the sum over kernel numbers k of inputs at position
//
//     start(q) + relative[k],      start(q) = floor((q + shift) / phases) advance
//
// Forward (a window of inputs for each output) there is one phase. Backward (a window of outputs
// for each input) with stride s, there are s of them: outputs of the same phase, (q + shift) mod s,
// meet the same numbers of the kernel. These are listed phase by phase.
typedef struct {
    int64_t inputs;
    int64_t outputs;
    int64_t phases;
    int64_t advance;
    int64_t shift;
    int64_t* first;     // [phases + 1] where the list of each phase begins
    int64_t* number;    // [kernel] the numbers of the kernel, in the order of the lists
    int64_t* relative;  // [kernel] what they meet, counted from start(q)
} axis;

// What an output meets: the inputs at start + relative[i], for i from `from` to `to` - 1.
typedef struct {
    int64_t start;
    int64_t from;
    int64_t to;
} meeting;

INLINE int64_t axis_bytes(const window* w, int a) {
    return rounded(8 * (w->stride[a] + 1)) + 2 * rounded(8 * w->kernel[a]);
}

INLINE axis empty_axis(int64_t phases, int64_t kernel, char** scratch) {
    axis made = {.phases = phases};
    made.first = part_of(scratch, 8 * (phases + 1));
    made.number = part_of(scratch, 8 * kernel);
    made.relative = part_of(scratch, 8 * kernel);
    return made;
}

// The axis of `correlate`: q is a place, and its inputs are x.
INLINE axis forward_axis(const window* w, int a, char** scratch) {
    axis made = empty_axis(1, w->kernel[a], scratch);
    made.inputs = w->size[a];
    made.outputs = w->places[a];
    made.advance = w->stride[a];
    made.first[0] = 0;
    made.first[1] = w->kernel[a];
    for (int64_t k = 0; k < w->kernel[a]; k++) {
        made.number[k] = k;
        made.relative[k] = k * w->dilation[a] - w->before[a];
    }
    return made;
}

// The axis of `spread`: q is a position in x, and its inputs are the places that met it.
INLINE axis backward_axis(const window* w, int a, char** scratch) {
    axis made = empty_axis(w->stride[a], w->kernel[a], scratch);
    made.inputs = w->places[a];
    made.outputs = w->size[a];
    made.advance = 1;
    made.shift = w->before[a];
    int64_t i = 0;
    for (int64_t phase = 0; phase < w->stride[a]; phase++) {
        made.first[phase] = i;
        for (int64_t k = 0; k < w->kernel[a]; k++) {
            const int64_t distance = k * w->dilation[a] - phase;
            if (distance % w->stride[a] != 0) continue;
            made.number[i] = k;
            made.relative[i] = -(distance / w->stride[a]);
            i++;
        }
    }
    made.first[w->stride[a]] = i;
    return made;
}

INLINE meeting meet(const axis* a, int64_t q) {
    const int64_t phase = remainder_of(q + a->shift, a->phases);
    meeting found = {.start = quotient(q + a->shift, a->phases) * a->advance};
    const int64_t last = a->first[phase + 1];
    int64_t i = a->first[phase];
    while (i < last && !((uint64_t)(found.start + a->relative[i]) < (uint64_t)a->inputs)) i++;
    found.from = i;
    while (i < last && (uint64_t)(found.start + a->relative[i]) < (uint64_t)a->inputs) i++;
    found.to = i;
    return found;
}

// Neighbouring outputs of one phase that meet the same numbers of the kernel: first, first +
// phases...
typedef struct {
    int64_t first;
    int64_t count;
    meeting meets;  // of the first one
} stretch;

// All stretches of an axis; returns their number, at most outputs.
INLINE int64_t find_stretches(const axis* a, stretch* found) {
    int64_t n = 0;
    for (int64_t q0 = 0; q0 < least(a->phases, a->outputs); q0++) {
        int64_t same = 0;
        for (int64_t q = q0; q < a->outputs; q += a->phases) {
            const meeting m = meet(a, q);
            same = same && m.from == found[n - 1].meets.from && m.to == found[n - 1].meets.to;
            if (same) {
                found[n - 1].count++;
            } else {
                found[n++] = (stretch){.first = q, .count = 1, .meets = m};
                same = 1;
            }
        }
    }
    return n;
}

// The numbers of the window along one axis that lie inside the image, at place p.
INLINE void find_visible(const window* w, int a, int64_t p, visible* found) {
    const int64_t start = p * w->stride[a] - w->before[a];
    const int64_t from = -quotient(least(start, 0), w->dilation[a]);
    const int64_t to = quotient(w->size[a] - 1 - start, w->dilation[a]) + 1;
    found->from[a] = least(from, w->kernel[a]);
    found->to[a] = most(least(to, w->kernel[a]), found->from[a]);
    found->start[a] = start + found->from[a] * w->dilation[a];
}

#endif  // XPNET_WINDOW_AXES_H
