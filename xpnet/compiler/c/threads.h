// Threads that compute parts of one operation at the same time.
#ifndef XPNET_THREADS_H
#define XPNET_THREADS_H

#include <stdint.h>

#include "export.h"

// An operation is cut into at most so many parts.
#define MOST_PARTS 256

// Computes one part of an operation. Which thread calls it, and when, must not change the result.
typedef void (*part_function)(void* data, int64_t part);

// Calls task(data, part) for each part from 0 to parts - 1, and returns when all have been
// computed. The calling thread computes parts as well, and all of them where no other thread is
// free: where another caller has the threads, or none can be started.
EXPORT void xpnet_parallel(part_function task, void* data, int64_t parts);

// How many parts of at least `least` (of any measure of work) there are in `work`, but no more than
// threads, and no fewer than one.
static inline int64_t parts_of_work(int64_t work, int64_t least, int64_t threads) {
    const int64_t parts = work / least < threads ? work / least : threads;
    if (parts > MOST_PARTS) return MOST_PARTS;
    return parts > 1 ? parts : 1;
}

// Where a part begins if n things are divided into blocks of `unit`, and these among the parts.
// Part number `parts` begins where the last one ends, at n.
static inline int64_t start_of_part(int64_t n, int64_t unit, int64_t part, int64_t parts) {
    const int64_t blocks = (n + unit - 1) / unit;
    const int64_t start = blocks * part / parts * unit;
    return start < n ? start : n;
}

#endif  // XPNET_THREADS_H
