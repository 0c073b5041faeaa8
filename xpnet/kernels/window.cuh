// How a window slides over the spatial axes of C-contiguous arrays.
//
// The code before this file defines
//   T  the type of the arrays' numbers
//   A  the type in which they are added up: float for half, else T
//   I  the type of indices: int, or long long for arrays too large for it
//   D  how many axes the window moves along

struct Window {
  long long size[D], out[D], kernel[D], stride[D], before[D], dilation[D];
  long long inputs, places, numbers;  // the products of size, out and kernel
};

__device__ I thread() { return (I)blockIdx.x * (I)blockDim.x + (I)threadIdx.x; }

// A flat index as one for each axis.
__device__ void split(I flat, const long long (&lengths)[D], I (&at)[D]) {
  for (int axis = D - 1; axis >= 0; --axis) {
    at[axis] = flat % (I)lengths[axis];
    flat /= (I)lengths[axis];
  }
}

// The next number of the window, row by row.
__device__ void advance(const Window& w, I (&number)[D]) {
  for (int axis = D - 1; axis >= 0; --axis) {
    if (++number[axis] < (I)w.kernel[axis]) return;
    number[axis] = 0;
  }
}

// The input that a number of the window meets at a place; -1 in the padding.
__device__ I input_met(const Window& w, const I (&place)[D], const I (&number)[D]) {
  I flat = 0;
  for (int axis = 0; axis < D; ++axis) {
    I at = place[axis] * (I)w.stride[axis] + number[axis] * (I)w.dilation[axis] - (I)w.before[axis];
    if (at < 0 || at >= (I)w.size[axis]) return -1;
    flat = flat * (I)w.size[axis] + at;
  }
  return flat;
}

// The place at which a number of the window meets an input; -1 if there is none.
__device__ I place_met(const Window& w, const I (&input)[D], const I (&number)[D]) {
  I flat = 0;
  for (int axis = 0; axis < D; ++axis) {
    I at = input[axis] + (I)w.before[axis] - number[axis] * (I)w.dilation[axis];
    if (at < 0) return -1;
    if (w.stride[axis] != 1) {
      const I steps = at / (I)w.stride[axis];
      if (steps * (I)w.stride[axis] != at) return -1;
      at = steps;
    }
    if (at >= (I)w.out[axis]) return -1;
    flat = flat * (I)w.out[axis] + at;
  }
  return flat;
}
