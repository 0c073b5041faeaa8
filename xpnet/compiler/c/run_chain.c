// Elementwise operations in a plan: see chain.h. The detail of an instruction is its chain; its
// operands are the inputs, then the results; its numbers are the chain's.
#include "chain.h"
#include "plan.h"
#include "real.h"

int NAME(run_chain)(const context* c, const instruction* x) {
    const chain* steps = x->detail;
    void* operands[CHAIN_OPERANDS];
    double numbers[CHAIN_NUMBERS];
    const int count = steps->inputs + steps->results;
    for (int i = 0; i < count; i++) operands[i] = address(c, x->operands[i]);
    for (int i = 0; i < steps->numbers; i++) numbers[i] = number_value(c, x->numbers[i]);
    NAME(chain_run)(steps, operands, numbers, c->scratch);
    return 0;
}
