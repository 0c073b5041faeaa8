// Rows of tables in a plan: see gather.h. An index out of range ends the run.
#include "gather.h"
#include "plan.h"
#include "real.h"
#include "threads.h"

static int report(const context* c, int64_t position, int32_t index_type, const void* indices) {
    if (position < 0) return 0;
    c->failed->position = position;
    c->failed->value = index_type == TYPE_INT32 ? ((const int32_t*)indices)[position]
                                                : ((const int64_t*)indices)[position];
    return BAD_INDEX;
}

// Numbers that are worth a thread.
#define LEAST_NUMBERS (24 << 10)

typedef struct {
    const gather* gather;
    int axis;  // of a row: each part has some of its indices
    int64_t parts;
    int64_t type_bytes;  // of the table
    const char* table;
    const void* indices;
    const void* next;  // those of the next step, or NULL
    fetch* ahead;
    real* result;
    int64_t wrong[MOST_PARTS];
} gather_job;

// Some of each row: it is then where the operations that read it divide it, as products do.
static void gather_part(void* data, int64_t part) {
    gather_job* j = data;
    gather g = *j->gather;
    const int64_t from = start_of_part(g.shape[j->axis], 1, part, j->parts);
    const int64_t to = start_of_part(g.shape[j->axis], 1, part + 1, j->parts);
    int64_t distance = j->type_bytes;  // in the table, of neighbours along the axis
    for (int axis = j->axis + 1; axis < GATHER_DIMENSIONS; axis++) distance *= g.shape[axis];
    g.shape[j->axis] = to - from;
    const char* table = j->table + from * distance;
    j->wrong[part] =
        NAME(gather_rows)(&g, table, j->indices, j->result + from * g.strides[j->axis]);
    j->ahead[part] = (fetch){.table = table,
                             .rows = g.table_rows,
                             .stride = g.table_stride * j->type_bytes,
                             .bytes = (to - from) * distance,
                             .indices = j->next,
                             .count = j->next ? g.count : 0,
                             .index_type = g.index_type};
}

// operands: result, table, indices. detail: a gather.
int NAME(run_gather)(const context* c, const instruction* x) {
    const gather* g = x->detail;
    gather_job j = {.gather = g, .type_bytes = TYPE_BYTES[g->table_type], .ahead = c->ahead};
    j.table = address(c, x->operands[1]);
    j.indices = address(c, x->operands[2]);
    j.next = c->advances[x->operands[2].slot] ? next_address(c, x->operands[2]) : NULL;
    j.result = address(c, x->operands[0]);
    while (j.axis < GATHER_DIMENSIONS - 1 && g->shape[j.axis] == 1) j.axis++;
    const int64_t row = g->shape[0] * g->shape[1] * g->shape[2];
    j.parts = parts_of_work(row * g->count, LEAST_NUMBERS, c->threads);
    if (j.parts > 1 && j.parts > g->shape[j.axis]) j.parts = g->shape[j.axis];
    xpnet_parallel(gather_part, &j, j.parts);
    int64_t wrong = -1;
    for (int64_t part = 0; part < j.parts; part++) {
        if (j.wrong[part] > wrong) wrong = j.wrong[part];
    }
    return report(c, wrong, g->index_type, j.indices);
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

// Whether all indices are from 0 to below a bound. operands: indices. sizes: the bound, type and
// count of the indices.
int run_within(const context* c, const instruction* x) {
    const int64_t* s = x->sizes;
    const void* indices = address(c, x->operands[0]);
    return report(c, first_outside(indices, (int32_t)s[1], s[2], s[0]), (int32_t)s[1], indices);
}
#endif
