// Elementwise operations in a plan: see chain.h. The detail of an instruction is its chain; its
// operands are the inputs, then the results; its numbers are the chain's.
#include "chain.h"
#include "plan.h"
#include "real.h"
#include "threads.h"

// Simple operations on float32 that are worth a thread: they take some 8 us. A vector has half as
// many numbers of float64.
#define LEAST_WORK (800000 / (int64_t)sizeof(real))

typedef struct {
    const chain* steps;
    void* operands[CHAIN_OPERANDS];
    double numbers[CHAIN_NUMBERS];
    int64_t parts;
    char* scratch;
} chain_job;

static void compute_part(void* data, int64_t part) {
    const chain_job* j = data;
    const chain* steps = j->steps;
    const int64_t unit = steps->split == 0 ? steps->slices : 1;
    const int64_t bytes = (steps->scratch_bytes + 63) / 64 * 64;
    NAME(chain_run_part)(steps, start_of_part(steps->shape[0], unit, part, j->parts),
                         start_of_part(steps->shape[0], unit, part + 1, j->parts), j->operands,
                         j->numbers, j->scratch + part * bytes);
}

// Each thread needs scratch memory of its own: Python gives as much as the threads need.
int NAME(run_chain)(const context* c, const instruction* x) {
    chain_job j = {.steps = x->detail, .scratch = c->scratch};
    const int count = j.steps->inputs + j.steps->results;
    for (int i = 0; i < count; i++) j.operands[i] = address(c, x->operands[i]);
    for (int i = 0; i < j.steps->numbers; i++) j.numbers[i] = number_value(c, x->numbers[i]);
    int64_t size = 1;
    for (int i = 0; i < j.steps->dimensions; i++) size *= j.steps->shape[i];
    j.parts = parts_of_work(size * j.steps->work, LEAST_WORK, c->threads);
    xpnet_parallel(compute_part, &j, j.parts);
    return 0;
}
