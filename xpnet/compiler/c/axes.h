// Axes of strided arrays: as few of them as possible, and the way through them.
#ifndef XPNET_AXES_H
#define XPNET_AXES_H

#include "real.h"

// The axes that some arrays have in common.
typedef struct {
    int32_t* dimensions;
    int64_t* shape;
    int64_t** strides;  // of each array
    int arrays;
} axes;

INLINE int64_t count_of(int32_t dimensions, const int64_t* shape) {
    int64_t count = 1;
    for (int axis = 0; axis < dimensions; axis++) count *= shape[axis];
    return count;
}

// Moves an index to the next one, and returns how far an array's offset moves by it.
INLINE int64_t next_index(int32_t dimensions, const int64_t* shape, const int64_t* strides,
                          int64_t* index) {
    int64_t moved = 0;
    for (int axis = dimensions - 1; axis >= 0; axis--) {
        moved += strides[axis];
        if (++index[axis] < shape[axis]) return moved;
        moved -= strides[axis] * shape[axis];
        index[axis] = 0;
    }
    return moved;
}

static inline void remove_axis(const axes* a, int axis) {
    for (int next = axis + 1; next < *a->dimensions; next++) {
        a->shape[next - 1] = a->shape[next];
        for (int i = 0; i < a->arrays; i++) a->strides[i][next - 1] = a->strides[i][next];
    }
    --*a->dimensions;
}

static inline void exchange_with_previous(int64_t* numbers, int i) {
    const int64_t kept = numbers[i];
    numbers[i] = numbers[i - 1];
    numbers[i - 1] = kept;
}

// Orders the axes such that the strides of the first array decrease.
static inline void sort_axes(const axes* a) {
    for (int done = 1; done < *a->dimensions; done++)
        for (int axis = done; axis > 0; axis--) {
            if (a->strides[0][axis - 1] >= a->strides[0][axis]) break;
            exchange_with_previous(a->shape, axis);
            for (int i = 0; i < a->arrays; i++) exchange_with_previous(a->strides[i], axis);
        }
}

// Whether an axis and the next one are one axis for every array.
static inline int are_mergeable(const axes* a, int axis) {
    for (int i = 0; i < a->arrays; i++) {
        const int64_t* strides = a->strides[i];
        if (strides[axis] != strides[axis + 1] * a->shape[axis + 1]) return 0;
    }
    return 1;
}

// Leaves as few axes as possible, and one at least: if there is none, one number with that stride.
static inline void merge_axes(const axes* a, int keep_order, int64_t stride) {
    for (int axis = *a->dimensions - 1; axis >= 0; axis--)
        if (a->shape[axis] == 1) remove_axis(a, axis);
    if (!keep_order) sort_axes(a);
    for (int axis = *a->dimensions - 2; axis >= 0; axis--)
        if (are_mergeable(a, axis)) {
            a->shape[axis + 1] *= a->shape[axis];
            remove_axis(a, axis);
        }
    if (*a->dimensions > 0) return;
    *a->dimensions = 1;
    a->shape[0] = 1;
    for (int i = 0; i < a->arrays; i++) a->strides[i][0] = stride;
}

#endif  // XPNET_AXES_H
