// Convolution and pooling of images whose batch lies innermost in memory.
//
// An image has the layout (channels, height, width, batch), without gaps; a signal has height 1. A
// kernel W has the layout (outputs, channels / groups, kernel height, kernel width). The window at
// place p meets, with its number k, the number p stride + k dilation - before of each axis; what
// lies outside of the image is padding. In the formulas, x[c, p under k, n] is that number.
#ifndef XPNET_WINDOW_H
#define XPNET_WINDOW_H

#include "real.h"

typedef struct {
    int64_t batch;
    int64_t channels;     // of x
    int64_t outputs;      // channels of y; for pooling, the same as `channels`
    int64_t groups;       // a group of outputs depends on the same group of channels
    int64_t size[2];      // height and width of x
    int64_t places[2];    // height and width of y
    int64_t kernel[2];    // height and width of the window
    int64_t stride[2];    // how far the window moves
    int64_t before[2];    // padding above and on the left; negative where x is cut off
    int64_t dilation[2];  // the distance between neighbouring numbers of the window
} window;

// What `maxima` writes for a window that no gradient passes through.
#define NOWHERE (-1)

// The numbers of a window that lie inside the image, along each axis: those from `from` to `to`
// - 1.
typedef struct {
    int64_t from[2];
    int64_t to[2];
    int64_t start[2];  // where the first of them lies in the image
} visible;

// Bytes of scratch memory, aligned to 64, that a function on this window needs.
EXPORT int64_t NAME(correlate_scratch)(const window* w);
EXPORT int64_t NAME(spread_scratch)(const window* w);
EXPORT int64_t NAME(weigh_scratch)(const window* w);
EXPORT int64_t NAME(correlate_maxima_scratch)(const window* w, const window* pool);

EXPORT void NAME(correlate)(const window* w, const real* x, const real* W, const real* bias,
                            int64_t rectified, real* y, void* scratch);
EXPORT void NAME(spread)(const window* w, const real* gy, const real* W, const real* bias, real* gx,
                         void* scratch);
EXPORT void NAME(weigh)(const window* w, const real* x, const real* gy, real* gW, real* gb,
                        void* scratch);
EXPORT void NAME(correlate_maxima)(const window* w, const window* pool, const real* x,
                                   const real* W, const real* bias, int64_t rectified, real* y,
                                   int8_t* index, void* scratch);

EXPORT void NAME(maxima)(const window* w, const real* x, real* y, int8_t* index);
EXPORT void NAME(place)(const window* w, const real* gy, const int8_t* index, real* gx,
                        real* total);
EXPORT void NAME(place_by_values)(const window* w, const real* gy, const real* x, const real* y,
                                  real* gx);
EXPORT void NAME(sums)(const window* w, const real* x, real* y);
EXPORT void NAME(shares)(const window* w, const real* gy, real* gx);

EXPORT void NAME(transpose)(int64_t rows, int64_t columns, const real* x, int64_t x_row, real* y,
                            int64_t y_row);

// Parts of these operations, for threads: the rows of y from `from` to `to` - 1 (of gx, for
// `spread`). `weigh_rows` and `place_rows` add up only what these rows of gy contribute to gW, gb
// and total. `place_rows` is for windows of which place_is_apart() is true: each number of gx then
// lies under exactly one of them.
void NAME(correlate_rows)(const window* w, int64_t from, int64_t to, const real* x, const real* W,
                          const real* bias, int64_t rectified, real* y, void* scratch);
void NAME(spread_rows)(const window* w, int64_t from, int64_t to, const real* gy, const real* W,
                       const real* bias, real* gx, void* scratch);
void NAME(weigh_rows)(const window* w, int64_t from, int64_t to, const real* x, const real* gy,
                      real* gW, real* gb, void* scratch);
void NAME(correlate_maxima_rows)(const window* w, const window* pool, int64_t from, int64_t to,
                                 const real* x, const real* W, const real* bias, int64_t rectified,
                                 real* y, int8_t* index, void* scratch);
void NAME(maxima_rows)(const window* w, int64_t from, int64_t to, const real* x, real* y,
                       int8_t* index);
int64_t NAME(place_is_apart)(const window* w);
void NAME(place_rows)(const window* w, int64_t from, int64_t to, const real* gy,
                      const int8_t* index, real* gx, real* total);

// The maxima of one place: used by `maxima`, and by `correlate_maxima` on a strip of outputs.
void NAME(maxima_at_place)(const visible* inside, int64_t kernel_width, const real* x, int64_t row,
                           int64_t column, int64_t batch, int rectified, real* y, int8_t* index);

#endif  // XPNET_WINDOW_H
