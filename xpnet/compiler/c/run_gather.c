// Rows of tables in a plan: see gather.h. An index out of range ends the run.
#include "gather.h"
#include "plan.h"
#include "real.h"

static int report(const context* c, int64_t position, int32_t index_type, const void* indices) {
    if (position < 0) return 0;
    c->failed->position = position;
    c->failed->value = index_type == TYPE_INT32 ? ((const int32_t*)indices)[position]
                                                : ((const int64_t*)indices)[position];
    return BAD_INDEX;
}

// operands: result, table, indices. detail: a gather.
int NAME(run_gather)(const context* c, const instruction* x) {
    const gather* g = x->detail;
    const void* indices = address(c, x->operands[2]);
    const void* next = c->advances[x->operands[2].slot] ? next_address(c, x->operands[2]) : NULL;
    const int64_t wrong =
        NAME(gather_rows)(g, address(c, x->operands[1]), indices, next, address(c, x->operands[0]));
    return report(c, wrong, g->index_type, indices);
}

// result = table; result[indices[i]] += rows[i]. operands: result, indices, rows.
// sizes: rows of the table, distance of its rows, type and count of the indices, distance and
// length of the rows. Numbers: the factor.
int NAME(run_scatter_add)(const context* c, const instruction* x) {
    const int64_t* s = x->sizes;
    const void* indices = address(c, x->operands[1]);
    const int64_t wrong =
        NAME(scatter_add)(address(c, x->operands[0]), s[0], s[1], (int32_t)s[2], indices, s[3],
                          address(c, x->operands[2]), s[4], s[5], number_value(c, x->numbers[0]));
    return report(c, wrong, (int32_t)s[2], indices);
}

#if REAL_BITS == 32  // once for both sizes

// operands: result, table, indices. sizes: bytes of a row, distance of the table's rows in bytes,
// rows of the table, type and count of the indices, distance of the result's rows in bytes.
int run_take(const context* c, const instruction* x) {
    const int64_t* s = x->sizes;
    const void* indices = address(c, x->operands[2]);
    const int64_t wrong = take_rows(s[0], s[1], s[2], address(c, x->operands[1]), (int32_t)s[3],
                                    indices, s[4], address(c, x->operands[0]), s[5]);
    return report(c, wrong, (int32_t)s[3], indices);
}
#endif
