// The softmax cross entropy in a plan: see head.h. The detail of an instruction is its shape; its
// operands are the scores, the class numbers, the loss and the gradient; its number is the factor.
#include "head.h"
#include "plan.h"
#include "real.h"

int NAME(run_cross_entropy)(const context* c, const instruction* x) {
    NAME(cross_entropy_run)(x->detail, address(c, x->operands[0]), address(c, x->operands[1]),
                            address(c, x->operands[2]), address(c, x->operands[3]),
                            number_value(c, x->numbers[0]), c->scratch);
    return 0;
}
