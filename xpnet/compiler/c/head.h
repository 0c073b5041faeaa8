// The softmax of scores, and the cross entropy with the numbers of the right classes.
#ifndef XPNET_HEAD_H
#define XPNET_HEAD_H

#include <stdint.h>

#include "export.h"
#include "types.h"

// The scores of row i and class j are at i * row_stride + j * class_stride; the gradient has
// strides of its own. Either layout is fast: class_stride 1, or row_stride 1 (the batch is the last
// axis).
typedef struct {
    int64_t rows;
    int64_t classes;
    int64_t row_stride;
    int64_t class_stride;
    int64_t gradient_row_stride;
    int64_t gradient_class_stride;
    int32_t index_type;  // of the class numbers: TYPE_INT32 or TYPE_INT64
    int32_t reserved;
} cross_entropy;

// The bytes of scratch memory that a call needs.
EXPORT int64_t cross_entropy_scratch_f32(const cross_entropy* h);
EXPORT int64_t cross_entropy_scratch_f64(const cross_entropy* h);

// loss = mean of -log softmax(scores)[class]
// gradient = (softmax(scores) - one_hot(class)) * factor
//
// Each of loss and gradient may be NULL. The gradient may be the scores' own memory, with the same
// strides. A class that is not from 0 to classes - 1 makes the loss infinite, and its row of
// one_hot 0.
EXPORT void cross_entropy_run_f32(const cross_entropy* h, const float* scores,
                                  const void* class_numbers, float* loss, float* gradient,
                                  double factor, void* scratch);
EXPORT void cross_entropy_run_f64(const cross_entropy* h, const double* scores,
                                  const void* class_numbers, double* loss, double* gradient,
                                  double factor, void* scratch);

#endif  // XPNET_HEAD_H
