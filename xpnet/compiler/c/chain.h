// Chains: several elementwise operations over arrays of one common shape, block by block, so that
// all that is computed in between stays in the processor's first cache.
//
// The values of a chain are numbered: its inputs first, then its numbers, then the result of each
// step. A step reads values of smaller numbers only. All arithmetic is done in `real` (float32 or
// float64, by the function that is called); arrays of other types are converted when they are read
// and written. A truth value is 1 or 0; every number but 0 counts as true.
#ifndef XPNET_CHAIN_H
#define XPNET_CHAIN_H

#include <stdint.h>

#include "export.h"
#include "types.h"

#define CHAIN_DIMENSIONS 8
#define CHAIN_OPERANDS 48
#define CHAIN_NUMBERS 64
#define CHAIN_STEPS 128
#define CHAIN_VALUES (CHAIN_OPERANDS + CHAIN_NUMBERS + CHAIN_STEPS)

typedef struct {
    int32_t operation;  // from chain_operation()
    int32_t first;      // values; those that the operation does not take are ignored
    int32_t second;
    int32_t third;
} chain_step;

typedef struct {
    int32_t type;
    int32_t value;                      // of a result: the value that is written
    int64_t strides[CHAIN_DIMENSIONS];  // in elements; 0 repeats an input along an axis
    // Set by chain_prepare:
    int32_t access;  // how a block of it is read or written
    int32_t fixed;   // 1 if every block of an input is the same
} chain_operand;

typedef struct {
    int32_t dimensions;
    int32_t inputs;
    int32_t numbers;
    int32_t steps;
    int32_t results;
    int32_t reserved;
    int64_t shape[CHAIN_DIMENSIONS];
    chain_operand operands[CHAIN_OPERANDS];  // the inputs, then the results
    chain_step step[CHAIN_STEPS];
    // Set by chain_prepare:
    int64_t scratch_bytes;  // needed by each call, aligned to 64 bytes
    int64_t capacity;       // the numbers of a buffer
    int64_t work;           // for each number of the shape: see WORK_OF_SIMPLE
    int64_t slices;         // a block takes so many indices of the axis `split`,
    int64_t slice_size;     // each with all numbers of the axes after it
    int32_t split;
    int32_t buffers;
    int32_t buffer[CHAIN_VALUES];    // of each value, or -1
    int32_t last_use[CHAIN_VALUES];  // the last step that reads it, or -1
    int32_t uniform[CHAIN_VALUES];   // 1 if it is one number within each block
} chain;

// How a block of an operand is read or written: through a buffer, where it lies, or as one number.
enum { ACCESS_BUFFER, ACCESS_DIRECT, ACCESS_UNIFORM };

// The work of a step for one number. A vector of simple ones takes about as long as reading it, a
// quotient or a root some eight times as long, a function of math.h fifty times.
enum { WORK_OF_SIMPLE = 1, WORK_OF_VECTORS = 8, WORK_OF_SCALARS = 50 };

// What chain_prepare returns.
enum { CHAIN_READY, CHAIN_TOO_LARGE, CHAIN_UNKNOWN_OPERATION, CHAIN_WRONG_VALUE, CHAIN_WRONG_TYPE };

// The code of an operation ("add", "where", ...), or -1; and the number of values that it takes.
EXPORT int32_t chain_operation(const char* name);
EXPORT int32_t chain_operation_inputs(int32_t operation);

// Completes a chain whose public part is set. Merges axes, joins products with the sums that they
// are added to, and chooses blocks and buffers.
EXPORT int32_t chain_prepare_f32(chain* c);
EXPORT int32_t chain_prepare_f64(chain* c);

// Runs a chain. operands: the addresses of the inputs, then of the results. A result may be an
// input (the same address and strides): it is then replaced; otherwise the memory of a result
// overlaps nothing. numbers: read at each call. scratch: c->scratch_bytes, for this call only,
// aligned to 64 bytes.
EXPORT void chain_run_f32(const chain* c, void* const* operands, const double* numbers,
                          void* scratch);
EXPORT void chain_run_f64(const chain* c, void* const* operands, const double* numbers,
                          void* scratch);

// The same for the indices `from` to `to` - 1 of the first axis, as chain_prepare has left it. If
// blocks are cut along this axis (split is 0), `from` is a multiple of `slices`.
EXPORT void chain_run_part_f32(const chain* c, int64_t from, int64_t to, void* const* operands,
                               const double* numbers, void* scratch);
EXPORT void chain_run_part_f64(const chain* c, int64_t from, int64_t to, void* const* operands,
                               const double* numbers, void* scratch);

#endif  // XPNET_CHAIN_H
