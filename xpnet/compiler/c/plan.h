// A plan: a step of training as a list of instructions, which run.c carries out.
//
// Python makes all of it (executors/c.py), and keeps its memory. The structures have no padding
// that differs between compilers: each field is 8 bytes, or one of a pair of 4.
#ifndef XPNET_PLAN_H
#define XPNET_PLAN_H

#include <stddef.h>
#include <stdint.h>

#include "fetch.h"

// Where an array begins: `offset` bytes after the address in a slot. The slots hold the addresses
// of the arena, of the constants, of each state, argument and output. Slot -1: there is no array.
typedef struct {
    int64_t slot;
    int64_t offset;
} operand;

// A number: one of the step's numbers (the learning rate), times a constant; or, if the index is
// -1, the constant itself.
typedef struct {
    int64_t index;
    double constant;
} number;

// One call of an operation. What the lists hold is documented where the operation is defined.
typedef struct {
    int64_t code;  // its place in the list of operations: see OPERATIONS
    const operand* operands;
    const int64_t* sizes;  // sizes, strides in elements, flags
    const number* numbers;
    const void* detail;  // a structure of the operation's own, or NULL
} instruction;

// Why a run stopped.
typedef struct {
    int64_t step;  // also of a run that was not stopped: then the number of its steps
    int64_t instruction;
    int64_t code;      // what the operation returned
    int64_t value;     // such as the index that is out of range
    int64_t position;  // and where it stands
} failure;

typedef struct {
    int64_t count;
    const instruction* instructions;
    int64_t slot_count;
    int64_t number_count;
    void* scratch;  // memory that each operation may overwrite, 64-byte aligned
    int64_t scratch_bytes;
    int64_t threads;  // that compute an operation, at most
} plan;

// What an operation knows of the run.
typedef struct {
    char* const* slots;
    const int64_t* advances;  // the bytes by which each slot moves from step to step
    const double* numbers;    // of this step
    int64_t steps_left;       // after this one
    void* scratch;
    int64_t scratch_bytes;
    int64_t threads;
    fetch* ahead;  // for each part of an operation, what it may fetch for the next step
    failure* failed;
} context;

// An operation returns 0, or the code of an error; it then fills in failed->value and position.
typedef int (*operation)(const context*, const instruction*);

enum { BAD_INDEX = 1 };

// The operations: ONE takes a name, for which there is run_name(); BOTH those which exist for
// float32 and for float64: run_name_f32() and run_name_f64().
#define OPERATIONS(ONE, BOTH) \
    ONE(copy)                 \
    ONE(count)                \
    ONE(take)                 \
    ONE(within)               \
    BOTH(product)             \
    BOTH(blas_product)        \
    BOTH(epilogue)            \
    BOTH(chain)               \
    BOTH(reduce)              \
    BOTH(gather)              \
    BOTH(scatter_add)         \
    BOTH(cross_entropy)       \
    BOTH(correlate)           \
    BOTH(correlate_maxima)    \
    BOTH(spread)              \
    BOTH(weigh)               \
    BOTH(maxima)              \
    BOTH(place)               \
    BOTH(place_by_values)     \
    BOTH(sums)                \
    BOTH(shares)              \
    BOTH(transpose)

static inline void* address(const context* c, operand x) {
    return x.slot < 0 ? NULL : c->slots[x.slot] + x.offset;
}

// The array's place in the next step, to fetch it in advance; NULL if this is the last one.
static inline void* next_address(const context* c, operand x) {
    if (x.slot < 0 || c->steps_left == 0) return NULL;
    return c->slots[x.slot] + c->advances[x.slot] + x.offset;
}

static inline double number_value(const context* c, number x) {
    return x.index < 0 ? x.constant : c->numbers[x.index] * x.constant;
}

#endif  // XPNET_PLAN_H
