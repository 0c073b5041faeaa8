// Reductions in a plan: see reduce.h. The detail of an instruction is its reduction; its operands
// are the array and the result.
#include "plan.h"
#include "real.h"
#include "reduce.h"

int NAME(run_reduce)(const context* c, const instruction* x) {
    const void* input = address(c, x->operands[0]);
    NAME(reduce_run)(x->detail, input, address(c, x->operands[1]), c->scratch);
    return 0;
}
