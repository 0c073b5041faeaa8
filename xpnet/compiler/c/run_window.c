// Convolution and pooling in a plan: see window.h. The detail of an instruction is its window, or a
// pair of windows: that of the convolution and that of the pool after it. An operand that is
// missing is NULL.
#include "plan.h"
#include "real.h"
#include "window.h"

// operands: x, W, bias, y. sizes: whether ReLU follows.
int NAME(run_correlate)(const context* c, const instruction* x) {
    NAME(correlate)(x->detail, address(c, x->operands[0]), address(c, x->operands[1]),
                    address(c, x->operands[2]), x->sizes[0], address(c, x->operands[3]),
                    c->scratch);
    return 0;
}

// operands: x, W, bias, y, index. sizes: whether ReLU follows.
int NAME(run_correlate_maxima)(const context* c, const instruction* x) {
    const window* windows = x->detail;
    NAME(correlate_maxima)(windows, windows + 1, address(c, x->operands[0]),
                           address(c, x->operands[1]), address(c, x->operands[2]), x->sizes[0],
                           address(c, x->operands[3]), address(c, x->operands[4]), c->scratch);
    return 0;
}

// operands: gy, W, bias, gx.
int NAME(run_spread)(const context* c, const instruction* x) {
    NAME(spread)(x->detail, address(c, x->operands[0]), address(c, x->operands[1]),
                 address(c, x->operands[2]), address(c, x->operands[3]), c->scratch);
    return 0;
}

// operands: x, gy, gW, the sums of gy.
int NAME(run_weigh)(const context* c, const instruction* x) {
    NAME(weigh)(x->detail, address(c, x->operands[0]), address(c, x->operands[1]),
                address(c, x->operands[2]), address(c, x->operands[3]), c->scratch);
    return 0;
}

// operands: x, y, index. sizes: whether ReLU comes first.
int NAME(run_maxima)(const context* c, const instruction* x) {
    NAME(maxima)(x->detail, address(c, x->operands[0]), address(c, x->operands[1]),
                 address(c, x->operands[2]));
    return 0;
}

// operands: gy, index, gx, the sums of gx.
int NAME(run_place)(const context* c, const instruction* x) {
    NAME(place)(x->detail, address(c, x->operands[0]), address(c, x->operands[1]),
                address(c, x->operands[2]), address(c, x->operands[3]));
    return 0;
}

// operands: gy, x, y, gx.
int NAME(run_place_by_values)(const context* c, const instruction* x) {
    NAME(place_by_values)(x->detail, address(c, x->operands[0]), address(c, x->operands[1]),
                          address(c, x->operands[2]), address(c, x->operands[3]));
    return 0;
}

// operands: x, y.
int NAME(run_sums)(const context* c, const instruction* x) {
    NAME(sums)(x->detail, address(c, x->operands[0]), address(c, x->operands[1]));
    return 0;
}

// operands: gy, gx.
int NAME(run_shares)(const context* c, const instruction* x) {
    NAME(shares)(x->detail, address(c, x->operands[0]), address(c, x->operands[1]));
    return 0;
}

// y = the transpose of x. operands: y, x. sizes: rows and columns of x, distance of the rows of x,
// of y.
int NAME(run_transpose)(const context* c, const instruction* x) {
    const int64_t* s = x->sizes;
    NAME(transpose)(s[0], s[1], address(c, x->operands[1]), s[2], address(c, x->operands[0]), s[3]);
    return 0;
}
