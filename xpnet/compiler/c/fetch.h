// Memory that will be read soon, fetched bit by bit while something else is computed.
//
// The rows of a batch lie all over the data set. A step that waits for them waits for a sixth of
// its time if it is small; to fetch them all at once does not help, since a core waits for some
// twenty lines at a time. So the rows of the next batch are fetched in the loops of the products
// before it.
#ifndef XPNET_FETCH_H
#define XPNET_FETCH_H

#include <stddef.h>

#include "real.h"
#include "types.h"

#define LINE 64  // bytes of a cache line

// The rows of a table to fetch, or a part of each row. All zero: nothing.
typedef struct {
    const char* table;
    int64_t rows;    // of the table
    int64_t stride;  // bytes from one row to the next one
    int64_t bytes;   // of a row to fetch
    const void* indices;
    int64_t count;  // of indices
    int64_t next;   // the index whose row is fetched next, from byte `done` on
    int64_t done;
    int32_t index_type;  // TYPE_INT32 or TYPE_INT64
    int32_t reserved;
} fetch;

// Index number i, from the front; -1 if it is out of range.
INLINE int64_t row_number(const void* indices, int32_t type, int64_t i, int64_t rows) {
    int64_t index =
        type == TYPE_INT32 ? ((const int32_t*)indices)[i] : ((const int64_t*)indices)[i];
    if (index < 0) index += rows;
    return index >= 0 && index < rows ? index : -1;
}

// What a loop of some rounds is to fetch: the line at `from`, and in each round `step` bytes on.
typedef struct {
    const char* from;
    int64_t step;
} lines;

// The next part of a row, divided evenly among the loops that it takes; `idle` if nothing is left.
INLINE lines next_lines(fetch* f, int64_t rounds, const void* idle) {
    const lines nothing = {idle, 0};
    if (f == NULL || f->next >= f->count || f->bytes <= 0 || rounds <= 0) return nothing;
    const int64_t row = row_number(f->indices, f->index_type, f->next, f->rows);
    const int64_t from = f->done;
    const int64_t left = f->bytes - from;
    const int64_t loops = divide_up(left, rounds * LINE);
    const int64_t step = divide_up(left, loops * rounds);
    f->done += rounds * step;
    if (f->done >= f->bytes) {
        f->done = 0;
        f->next++;
    }
    return row < 0 ? nothing : (lines){f->table + row * f->stride + from, step};
}

#endif  // XPNET_FETCH_H
