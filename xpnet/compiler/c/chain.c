// Runs a chain, block by block. See chain.h.
#include "chain.h"

#include "axes.h"
#include "convert.h"
#include "vector.h"
#include "vector_math.h"

// ---- functions of two numbers that math.h does not have -----------------------------------------

// x - y floor(x / y), with the sign of y, as in Python and NumPy.
static real floor_remainder(real x, real y) {
    const real rest = REAL(fmod)(x, y);
    if (rest == 0) return REAL(copysign)(rest, y);
    return (rest < 0) != (y < 0) ? rest + y : rest;
}

// floor(x / y), from the exact remainder: x / y itself may be rounded up to an integer.
static real floor_quotient(real x, real y) {
    if (y == 0) return x / y;
    const real rest = REAL(fmod)(x, y);
    real quotient = (x - rest) / y;  // an integer but for its rounding
    if (rest != 0 && (rest < 0) != (y < 0)) quotient -= 1;
    return quotient == 0 ? REAL(copysign)(0, x / y) : REAL(rint)(quotient);
}

// log(exp(x) + exp(y)), without overflow
static real log_of_sum(real x, real y) {
    if (x == y) return x + REAL(log)(2);  // also where both are infinite
    const real larger_one = x > y ? x : y;
    return larger_one + REAL(log1p)(REAL(exp)(-REAL(fabs)(x - y)));
}

// ---- the operations on a block ------------------------------------------------------------------

// A value within a block: its numbers follow `at`. A uniform value is LANES copies of one number
// there, and advance is 0; else advance is LANES, for the next vector.
typedef struct {
    const real* at;
    int64_t advance;
} source;

// Writes n numbers to r, from one to three sources. For an operation on vectors, n is a multiple of
// LANES.
typedef void (*kernel)(real* r, const source* s, int64_t n);

// One loop over a block. FIRST to THIRD advance the pointers a, b, c; constants make it faster.
#define LOOP(formula, inputs, FIRST, SECOND, THIRD)                             \
    for (int64_t i = 0; i < n; i += LANES, a += FIRST, b += SECOND, c += THIRD) \
        store(r + i,                                                            \
              formula(load(a), inputs > 1 ? load(b) : splat(0), inputs > 2 ? load(c) : splat(0)));

// (The only input of an operation is not uniform, or n is LANES.)
#define OPERATION(name, inputs, ...)                                                          \
    INLINE vreal name##_formula(vreal x, vreal y, vreal z) {                                  \
        (void)x, (void)y, (void)z;                                                            \
        return __VA_ARGS__;                                                                   \
    }                                                                                         \
    static void name##_block(real* r, const source* s, int64_t n) {                           \
        const real *a = s[0].at, *b = s[1].at, *c = s[2].at;                                  \
        if (inputs == 1 || (s[0].advance && s[1].advance && (inputs == 2 || s[2].advance))) { \
            LOOP(name##_formula, inputs, LANES, LANES, LANES)                                 \
        } else {                                                                              \
            const int64_t first = s[0].advance, second = s[1].advance, third = s[2].advance;  \
            LOOP(name##_formula, inputs, first, second, third)                                \
        }                                                                                     \
    }

#define SCALAR(name, inputs, ...)                                   \
    INLINE real name##_formula(real x, real y) {                    \
        (void)y;                                                    \
        return __VA_ARGS__;                                         \
    }                                                               \
    static void name##_block(real* r, const source* s, int64_t n) { \
        const real *a = s[0].at, *b = s[1].at;                      \
        const int64_t next_a = s[0].advance != 0;                   \
        const int64_t next_b = s[1].advance != 0;                   \
        for (int64_t i = 0; i < n; i++, a += next_a, b += next_b)   \
            r[i] = name##_formula(*a, inputs > 1 ? *b : 0);         \
    }
#include "chain_operations.h"
#undef OPERATION
#undef SCALAR

typedef struct {
    kernel run;
    int takes_any_length;
} kernel_entry;

#define OPERATION(name, inputs, ...) {name##_block, 0},
#define SCALAR(name, inputs, ...) {name##_block, 1},
static const kernel_entry KERNELS[] = {
#include "chain_operations.h"
};
#undef OPERATION
#undef SCALAR

// ---- reading and writing blocks -----------------------------------------------------------------

// Copies `size` numbers at the start of a buffer over and over, until it holds n of them.
static void repeat(real* buffer, int64_t size, int64_t n) {
    for (int64_t done = size; done < n; done *= 2) {
        const int64_t more = done < n - done ? done : n - done;
        memcpy(buffer + done, buffer, (size_t)more * sizeof(real));
    }
}

// Reads n numbers of a block that begins at `offset`.
static void read_block(const chain* c, const chain_operand* o, const void* array, int64_t offset,
                       real* to, int64_t n) {
    const int last = c->dimensions - 1;
    const int repeats = o->strides[c->split] == 0 && c->split < last;
    const int64_t wanted = repeats ? c->slice_size : n;
    const int64_t length = c->split < last ? c->shape[last] : n;
    int64_t index[CHAIN_DIMENSIONS] = {0};
    for (int64_t done = 0; done < wanted; done += length) {
        NAME(read_row)(to + done, array, o->type, offset, o->strides[last], length);
        offset += next_index(last - c->split, c->shape + c->split, o->strides + c->split, index);
    }
    if (repeats) repeat(to, wanted, n);
}

static void write_block(const chain* c, const chain_operand* o, void* array, int64_t offset,
                        const real* from, int64_t n) {
    const int last = c->dimensions - 1;
    const int64_t length = c->split < last ? c->shape[last] : n;
    int64_t index[CHAIN_DIMENSIONS] = {0};
    for (int64_t done = 0; done < n; done += length) {
        NAME(write_row)(array, from + done, o->type, offset, o->strides[last], length);
        offset += next_index(last - c->split, c->shape + c->split, o->strides + c->split, index);
    }
}

// ---- a run --------------------------------------------------------------------------------------

typedef struct {
    const chain* c;
    void* const* arrays;
    real* buffers;
    real* uniforms;  // LANES copies of one number for each value
    source values[CHAIN_VALUES];
    real* targets[CHAIN_STEPS];       // where each step writes in this block
    int8_t direct[CHAIN_OPERANDS];    // whether a step writes into the array of a result
    int64_t offsets[CHAIN_OPERANDS];  // of the present block
    int64_t index[CHAIN_DIMENSIONS];
    int64_t end;  // of the first axis, for this run
} run_state;

INLINE real* buffer_of(const run_state* r, int value) {
    return r->buffers + r->c->buffer[value] * r->c->capacity;
}

static void fill_uniform(run_state* r, int value, real number) {
    store(r->uniforms + value * LANES, splat(number));
}

// Whether a step may write a result into its array: not where an input is the same array, and a
// later step reads it.
static int may_be_direct(const run_state* r, int result) {
    const chain* c = r->c;
    const chain_operand* o = &c->operands[c->inputs + result];
    if (o->access != ACCESS_DIRECT) return 0;
    const int step = o->value - c->inputs - c->numbers;
    for (int input = 0; input < c->inputs; input++)
        if (r->arrays[input] == r->arrays[c->inputs + result] && c->last_use[input] > step)
            return 0;
    return 1;
}

// Sets what all blocks have in common; the first of them begins at index `from` of the first axis.
static void start(run_state* r, const double* numbers, int64_t from) {
    const chain* c = r->c;
    const int first_step = c->inputs + c->numbers;
    for (int i = 0; i < c->inputs; i++) {
        const int uniform = c->uniform[i];
        r->values[i].at = uniform ? r->uniforms + i * LANES : buffer_of(r, i);
        r->values[i].advance = uniform ? 0 : LANES;
    }
    for (int i = 0; i < c->numbers; i++) {
        const int value = c->inputs + i;
        fill_uniform(r, value, (real)numbers[i]);
        r->values[value] = (source){r->uniforms + value * LANES, 0};
    }
    for (int i = 0; i < c->steps; i++) {
        const int value = first_step + i;
        const int uniform = c->uniform[value];
        r->targets[i] = uniform ? r->uniforms + value * LANES : buffer_of(r, value);
        r->values[value] = (source){r->targets[i], uniform ? 0 : LANES};
    }
    for (int i = 0; i < c->inputs + c->results; i++) {
        r->offsets[i] = from * c->operands[i].strides[0];
    }
    for (int i = 0; i < c->results; i++) r->direct[c->inputs + i] = (int8_t)may_be_direct(r, i);
    for (int i = 0; i < CHAIN_DIMENSIONS; i++) r->index[i] = 0;
    r->index[0] = from;
}

// Reads the inputs of a block, or points to them where they lie.
static void read_inputs(run_state* r, int64_t n, int is_first) {
    const chain* c = r->c;
    for (int i = 0; i < c->inputs; i++) {
        const chain_operand* o = &c->operands[i];
        if (o->access == ACCESS_DIRECT) {
            r->values[i].at = (const real*)r->arrays[i] + r->offsets[i];
        } else if (o->fixed && !is_first) {
            continue;
        } else if (o->access == ACCESS_UNIFORM) {
            real number;
            NAME(read_row)(&number, r->arrays[i], o->type, r->offsets[i], 1, 1);
            fill_uniform(r, i, number);
        } else {
            read_block(c, o, r->arrays[i], r->offsets[i], buffer_of(r, i), n);
        }
    }
}

// The last n < LANES numbers of a block, by vectors of their own: nothing after the end of an array
// may be read or written.
static void run_rest(kernel run, real* to, const source* from, int64_t n) {
    real given[3][LANES];
    real result[LANES];
    source copies[3];
    for (int k = 0; k < 3; k++) {
        store(given[k], load_first(from[k].at, n));
        copies[k] = (source){given[k], LANES};
    }
    run(result, copies, LANES);
    store_first(to, load(result), n);
}

// One operation on n numbers.
static void run_step(const kernel_entry* k, real* to, source* from, int64_t n) {
    const int64_t rest = k->takes_any_length ? 0 : n % LANES;
    const int64_t whole = n - rest;
    if (whole > 0) k->run(to, from, whole);
    if (rest == 0) return;
    for (int i = 0; i < 3; i++)
        if (from[i].advance) from[i].at += whole;
    run_rest(k->run, to + whole, from, rest);
}

static void run_steps(run_state* r, int64_t n) {
    const chain* c = r->c;
    const int first_step = c->inputs + c->numbers;
    for (int i = 0; i < c->steps; i++) {
        const chain_step* s = &c->step[i];
        if (s->operation < 0) continue;
        source from[] = {r->values[s->first], r->values[s->second], r->values[s->third]};
        const int64_t count = c->uniform[first_step + i] ? LANES : n;
        run_step(&KERNELS[s->operation], r->targets[i], from, count);
    }
}

// Points the steps that write into arrays to their places for this block.
static void point_to_results(run_state* r) {
    const chain* c = r->c;
    for (int i = c->inputs; i < c->inputs + c->results; i++) {
        if (!r->direct[i]) continue;
        const int value = c->operands[i].value;
        real* place = (real*)r->arrays[i] + r->offsets[i];
        r->targets[value - c->inputs - c->numbers] = place;
        r->values[value].at = place;
    }
}

static void write_results(run_state* r, int64_t n) {
    const chain* c = r->c;
    for (int i = c->inputs; i < c->inputs + c->results; i++) {
        if (r->direct[i]) continue;
        const source* value = &r->values[c->operands[i].value];
        const real* from = value->at;
        if (value->advance == 0) {
            real* copies = r->buffers + (c->buffers - 1) * c->capacity;  // kept free for this
            copies[0] = from[0];
            repeat(copies, 1, n);
            from = copies;
        }
        write_block(c, &c->operands[i], r->arrays[i], r->offsets[i], from, n);
    }
}

// Where an axis ends: the first one may be cut.
INLINE int64_t end_of(const run_state* r, int axis) { return axis ? r->c->shape[axis] : r->end; }

// The numbers of the block at the present index.
INLINE int64_t block_size(const run_state* r) {
    const chain* c = r->c;
    const int64_t left = end_of(r, c->split) - r->index[c->split];
    return (left < c->slices ? left : c->slices) * c->slice_size;
}

// Moves to the next block; returns 0 after the last one.
static int next_block(run_state* r) {
    const chain* c = r->c;
    const int operands = c->inputs + c->results;
    int64_t moved = c->slices;
    for (int axis = c->split; axis >= 0; axis--) {
        r->index[axis] += moved;
        if (r->index[axis] < end_of(r, axis)) {
            for (int i = 0; i < operands; i++)
                r->offsets[i] += moved * c->operands[i].strides[axis];
            return 1;
        }
        const int64_t back = r->index[axis] - moved;
        for (int i = 0; i < operands; i++) r->offsets[i] -= back * c->operands[i].strides[axis];
        r->index[axis] = 0;
        moved = 1;
    }
    return 0;
}

void NAME(chain_run_part)(const chain* c, int64_t from, int64_t to, void* const* operands,
                          const double* numbers, void* scratch) {
    if (from == to) return;
    for (int axis = 0; axis < c->dimensions; axis++)
        if (c->shape[axis] == 0) return;
    run_state r;
    r.c = c;
    r.arrays = operands;
    r.uniforms = scratch;
    r.buffers = r.uniforms + (c->inputs + c->numbers + c->steps) * LANES;
    r.end = to;
    start(&r, numbers, from);
    int is_first = 1;
    do {
        const int64_t n = block_size(&r);
        read_inputs(&r, n, is_first);
        point_to_results(&r);
        run_steps(&r, n);
        write_results(&r, n);
        is_first = 0;
    } while (next_block(&r));
}

void NAME(chain_run)(const chain* c, void* const* operands, const double* numbers, void* scratch) {
    NAME(chain_run_part)(c, 0, c->shape[0], operands, numbers, scratch);
}
