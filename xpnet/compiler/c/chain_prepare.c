// Completes the description of a chain, once, so that its runs find all choices made. See chain.h.
#include "axes.h"
#include "chain.h"
#include "convert.h"
#include "real.h"

#define BLOCK_BYTES 4096  // a few such buffers fill a first-level cache of 32 or 48 kB

// ---- the names of the operations ----------------------------------------------------------------

typedef struct {
    const char* name;
    int32_t inputs;
} operation_entry;

#define OPERATION(name, inputs, ...) {#name, inputs},
#define SCALAR(name, inputs, ...) {#name, inputs},
static const operation_entry OPERATIONS[] = {
#include "chain_operations.h"
};
#undef OPERATION
#undef SCALAR
enum { OPERATIONS_KNOWN = sizeof(OPERATIONS) / sizeof(OPERATIONS[0]) };

#define OPERATION(name, inputs, ...) OP_##name,
#define SCALAR(name, inputs, ...) OP_##name,
enum {
#include "chain_operations.h"
};
#undef OPERATION
#undef SCALAR

#if REAL_BITS == 32  // once for both sizes
int32_t chain_operation(const char* name) {
    for (int32_t i = 0; i < OPERATIONS_KNOWN; i++)
        if (strcmp(OPERATIONS[i].name, name) == 0) return i;
    return -1;
}

int32_t chain_operation_inputs(int32_t operation) {
    return operation < 0 || operation >= OPERATIONS_KNOWN ? -1 : OPERATIONS[operation].inputs;
}
#endif

INLINE int first_step_value(const chain* c) { return c->inputs + c->numbers; }

// ---- checks -------------------------------------------------------------------------------------

static int is_between(int32_t number, int32_t low, int32_t high) {
    return low <= number && number <= high;
}

static int32_t check_sizes(const chain* c) {
    const int fits = is_between(c->dimensions, 0, CHAIN_DIMENSIONS) &&
                     is_between(c->inputs, 0, CHAIN_OPERANDS) &&
                     is_between(c->results, 0, CHAIN_OPERANDS - c->inputs) &&
                     is_between(c->numbers, 0, CHAIN_NUMBERS) &&
                     is_between(c->steps, 0, CHAIN_STEPS);
    return fits ? CHAIN_READY : CHAIN_TOO_LARGE;
}

// Checks the steps, and makes the values that an operation does not take the same as its first.
static int32_t check_steps(chain* c) {
    for (int i = 0; i < c->steps; i++) {
        chain_step* s = &c->step[i];
        if (!is_between(s->operation, 0, OPERATIONS_KNOWN - 1)) return CHAIN_UNKNOWN_OPERATION;
        const int32_t inputs = OPERATIONS[s->operation].inputs;
        if (inputs < 2) s->second = s->first;
        if (inputs < 3) s->third = s->first;
        const int32_t last = first_step_value(c) + i - 1;
        if (!is_between(s->first, 0, last) || !is_between(s->second, 0, last) ||
            !is_between(s->third, 0, last))
            return CHAIN_WRONG_VALUE;
    }
    return CHAIN_READY;
}

static int32_t check_operands(const chain* c) {
    const int32_t values = first_step_value(c) + c->steps;
    for (int i = 0; i < c->inputs + c->results; i++) {
        const chain_operand* o = &c->operands[i];
        if (!is_between(o->type, 0, TYPES - 1)) return CHAIN_WRONG_TYPE;
        if (i >= c->inputs && !is_between(o->value, 0, values - 1)) return CHAIN_WRONG_VALUE;
    }
    return CHAIN_READY;
}

// ---- axes ---------------------------------------------------------------------------------------

// Leaves as few axes as possible, in the order in which the first result lies in memory.
static void simplify_axes(chain* c) {
    int64_t* strides[CHAIN_OPERANDS];
    const int operands = c->inputs + c->results;
    for (int i = 0; i < operands; i++) strides[i] = c->operands[(c->inputs + i) % operands].strides;
    const axes all = {&c->dimensions, c->shape, strides, operands};
    merge_axes(&all, operands == 0, 0);
}

// ---- steps --------------------------------------------------------------------------------------

static int uses_of(const chain* c, int32_t value) {
    int uses = 0;
    for (int i = 0; i < c->steps; i++) {
        const chain_step* s = &c->step[i];
        if (s->operation < 0) continue;
        const int inputs = OPERATIONS[s->operation].inputs;
        uses += s->first == value;
        uses += inputs > 1 && s->second == value;
        uses += inputs > 2 && s->third == value;
    }
    for (int i = 0; i < c->results; i++) uses += c->operands[c->inputs + i].value == value;
    return uses;
}

// The step that computes a value by an operation, if nothing else reads the value; else NULL.
static chain_step* only_used_here(chain* c, int32_t value, int32_t operation) {
    const int step = value - first_step_value(c);
    if (step < 0 || c->step[step].operation != operation || c->uniform[value]) return NULL;
    return uses_of(c, value) == 1 ? &c->step[step] : NULL;
}

// Replaces a step by `operation` on the two values of a product and one more value.
static void join_product(chain_step* s, chain_step* product, int32_t operation, int32_t other) {
    *s = (chain_step){operation, product->first, product->second, other};
    product->operation = -1;
}

static void join_sum(chain* c, chain_step* s) {
    const int32_t first = s->first, second = s->second;
    chain_step* product = only_used_here(c, second, OP_multiply);
    if (product && first != second) {
        join_product(s, product, s->operation == OP_add ? OP_multiply_add : OP_subtract_product,
                     first);
        return;
    }
    product = only_used_here(c, first, OP_multiply);
    if (product && first != second)
        join_product(s, product, s->operation == OP_add ? OP_multiply_add : OP_multiply_subtract,
                     second);
}

// Joins a product with the sum that it is added to, and a sum with the ReLU of it.
static void join_steps(chain* c) {
    for (int i = 0; i < c->steps; i++) {
        chain_step* s = &c->step[i];
        if (c->uniform[first_step_value(c) + i]) continue;
        if (s->operation == OP_relu) {
            chain_step* sum = only_used_here(c, s->first, OP_add);
            if (sum) {
                *s = (chain_step){OP_add_relu, sum->first, sum->second, sum->first};
                sum->operation = -1;
            }
        } else if (s->operation == OP_add || s->operation == OP_subtract) {
            join_sum(c, s);
        }
    }
}

static void find_last_uses(chain* c) {
    for (int value = 0; value < CHAIN_VALUES; value++) c->last_use[value] = -1;
    for (int i = 0; i < c->steps; i++) {
        if (c->step[i].operation < 0) continue;
        c->last_use[c->step[i].first] = i;
        c->last_use[c->step[i].second] = i;
        c->last_use[c->step[i].third] = i;
    }
}

// ---- blocks and buffers -------------------------------------------------------------------------

// Chooses the axis along which blocks are cut: a block holds a number of its slices. (A chain of no
// numbers has no block; what is chosen for it does not matter.)
static void choose_blocks(chain* c) {
    const int64_t most = BLOCK_BYTES / (int64_t)sizeof(real);
    c->split = c->dimensions - 1;
    c->slice_size = 1;
    while (c->split > 0 && c->slice_size * c->shape[c->split] <= most) {
        c->slice_size *= c->shape[c->split] > 0 ? c->shape[c->split] : 1;
        c->split--;
    }
    const int64_t extent = c->shape[c->split];
    c->slices = extent > 0 ? divide_up(extent, divide_up(extent, most / c->slice_size)) : 1;
    if (c->slice_size == 1) c->slices = divide_up(c->slices, LANES) * LANES;
    c->capacity = divide_up(c->slices * c->slice_size, 64) * 64 + 64;
}

static int is_contiguous(const chain* c, const chain_operand* o) {
    int64_t stride = 1;
    for (int axis = c->dimensions - 1; axis >= c->split; axis--) {
        if (o->strides[axis] != stride) return 0;
        stride *= c->shape[axis];
    }
    return 1;
}

static int is_repeated(const chain_operand* o, int first, int last) {
    for (int axis = first; axis <= last; axis++)
        if (o->strides[axis] != 0) return 0;
    return 1;
}

static int is_result(const chain* c, int32_t value) {
    for (int i = c->inputs; i < c->inputs + c->results; i++)
        if (c->operands[i].value == value) return 1;
    return 0;
}

// An input that is also written to a result is copied first: the result may be in the place of
// another input.
static void choose_access(chain* c) {
    const int last = c->dimensions - 1;
    for (int i = 0; i < c->inputs; i++) {
        chain_operand* o = &c->operands[i];
        o->fixed = is_repeated(o, 0, c->split);
        o->access = ACCESS_BUFFER;
        if (o->type == REAL_TYPE && is_contiguous(c, o) && !is_result(c, i))
            o->access = ACCESS_DIRECT;
        if (is_repeated(o, c->split, last)) o->access = ACCESS_UNIFORM;
        c->uniform[i] = o->access == ACCESS_UNIFORM;
    }
    for (int i = 0; i < c->numbers; i++) c->uniform[c->inputs + i] = 1;
    for (int i = 0; i < c->steps; i++) {
        const chain_step* s = &c->step[i];
        c->uniform[first_step_value(c) + i] =
            c->uniform[s->first] && c->uniform[s->second] && c->uniform[s->third];
    }
}

// A step can write a result where it lies if no result before is the same value.
static void choose_access_of_results(chain* c) {
    for (int i = c->inputs; i < c->inputs + c->results; i++) {
        chain_operand* o = &c->operands[i];
        int direct = o->type == REAL_TYPE && is_contiguous(c, o) &&
                     o->value >= first_step_value(c) && !c->uniform[o->value];
        for (int before = c->inputs; before < i; before++)
            direct = direct && c->operands[before].value != o->value;
        o->access = direct ? ACCESS_DIRECT : ACCESS_BUFFER;
        o->fixed = 0;
    }
}

// Gives each value that needs one a buffer. A step's buffer is free again after the last step that
// reads it; those of inputs and results are their own. One more is left for write_results.
static void choose_buffers(chain* c) {
    int32_t free_buffers[CHAIN_VALUES];
    int free_count = 0;
    c->buffers = 0;
    for (int value = 0; value < CHAIN_VALUES; value++) c->buffer[value] = -1;
    for (int i = 0; i < c->inputs; i++)
        if (c->operands[i].access == ACCESS_BUFFER) c->buffer[i] = c->buffers++;
    for (int i = 0; i < c->steps; i++) {
        const int32_t value = first_step_value(c) + i;
        if (c->step[i].operation < 0) continue;
        if (!c->uniform[value])
            c->buffer[value] = free_count > 0 ? free_buffers[--free_count] : c->buffers++;
        for (int before = first_step_value(c); before < value; before++)
            if (c->last_use[before] == i && c->buffer[before] >= 0 && !is_result(c, before))
                free_buffers[free_count++] = c->buffer[before];
    }
    c->buffers++;
    const int64_t uniforms = (int64_t)(first_step_value(c) + c->steps) * LANES;
    c->scratch_bytes = (uniforms + c->buffers * c->capacity) * (int64_t)sizeof(real);
}

static int64_t work_of(int32_t operation) {
    if (operation >= OP_tan) return WORK_OF_SCALARS;  // the first SCALAR
    switch (operation) {
        case OP_sqrt:
        case OP_reciprocal:
        case OP_divide:
        case OP_exp:
        case OP_expm1:
        case OP_log:
        case OP_log1p:
        case OP_tanh:
        case OP_sigmoid:
        case OP_erf:
        case OP_sin:
        case OP_cos:
            return WORK_OF_VECTORS;
        default:
            return WORK_OF_SIMPLE;
    }
}

// Counts what is computed for each number, and not once in a block; and the operands.
static void count_work(chain* c) {
    c->work = c->inputs + c->results;
    for (int i = 0; i < c->steps; i++) {
        const int32_t operation = c->step[i].operation;
        if (operation >= 0 && !c->uniform[first_step_value(c) + i]) c->work += work_of(operation);
    }
}

int32_t NAME(chain_prepare)(chain* c) {
    int32_t problem = check_sizes(c);
    if (problem == CHAIN_READY) problem = check_steps(c);
    if (problem == CHAIN_READY) problem = check_operands(c);
    if (problem != CHAIN_READY) return problem;
    simplify_axes(c);
    choose_blocks(c);
    choose_access(c);
    join_steps(c);
    find_last_uses(c);
    choose_access_of_results(c);
    choose_buffers(c);
    count_work(c);
    return CHAIN_READY;
}
