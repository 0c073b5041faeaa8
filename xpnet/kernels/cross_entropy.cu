// Softmax cross entropy for rows of scores of type T. The target is one class number per row or, with
// WEIGHTS, a weight for each score.
//
// `lanes` threads share a row: 1, or the 32 of a warp. `kept` is what the gradient needs: the maximum of
// each row, then the sum of each row's exponentials, then, with WEIGHTS, the sum of each row's weights.
//
// All threads of a block make the same number of rounds, whether they have a row or not, so that all
// of them reach each shuffle and each barrier. The order of a sum depends only on the sizes.

__device__ T infinity() { return (T)__int_as_float(0x7f800000); }  // NVRTC does not define INFINITY

__device__ T of_row(T x, const int lanes) {  // the sum over the lanes of a row, in each of them
  for (int step = lanes / 2; step > 0; step /= 2) x += __shfl_xor_sync(0xffffffffu, x, step);
  return x;
}

__device__ T of_block(T x) {  // the sum over a block, in its first thread
  __shared__ T sums[32];
  x = of_row(x, 32);
  if (threadIdx.x % 32 == 0) sums[threadIdx.x / 32] = x;
  __syncthreads();
  x = of_row(threadIdx.x < blockDim.x / 32 ? sums[threadIdx.x] : T(0), 32);
  __syncthreads();
  return x;
}

// The loss, if there is one block; otherwise for each block, in `sums`, the sum of its rows' losses and
// the number of rows whose class number is invalid.
extern "C" __global__ void xpnet_cross_entropy(
    const T* x, const Target* t, T* kept, T* loss, T* sums,
    const long long rows, const long long classes, const long long lanes
) {
  const int lane = threadIdx.x % lanes, together = blockDim.x / lanes;
  T loss_here = 0, unknown = 0;
  for (long long first = (long long)blockIdx.x * together; first < rows;
       first += (long long)gridDim.x * together) {
    const long long row = first + threadIdx.x / lanes;
    const bool mine = row < rows;
    const T* scores = x + (mine ? row * classes : 0);
    T most = -infinity(), total = 0, weights = 0, term = 0;
    for (long long c = lane; c < classes; c += lanes) most = fmax(most, scores[c]);
    for (int step = lanes / 2; step > 0; step /= 2) {
      most = fmax(most, __shfl_xor_sync(0xffffffffu, most, step));
    }
    for (long long c = lane; c < classes; c += lanes) total += exp(scores[c] - most);
    total = of_row(total, lanes);
#if WEIGHTS
    const Target* wanted = t + (mine ? row * classes : 0);
    for (long long c = lane; c < classes; c += lanes) {
      const T weight = wanted[c];
      weights += weight;
      if (weight != 0) term += (log(total) - (scores[c] - most)) * weight;
    }
    weights = of_row(weights, lanes);
    term = of_row(term, lanes);
    if (mine && lane == 0) kept[2 * rows + row] = weights;
#else
    const long long wanted = (long long)t[mine ? row : 0];
    const bool known = wanted >= 0 && wanted < classes;
    if (known) term = log(total) - (scores[wanted] - most);
    if (mine && lane == 0 && !known) unknown += 1;
#endif
    if (mine && lane == 0) {
      kept[row] = most;
      kept[rows + row] = total;
      loss_here += term;
    }
  }
  loss_here = of_block(loss_here);
  unknown = of_block(unknown);
  if (threadIdx.x != 0) return;
  if (gridDim.x == 1) {
    loss[0] = unknown > 0 ? infinity() : loss_here / T(rows);
  } else {
    sums[2 * blockIdx.x] = loss_here;
    sums[2 * blockIdx.x + 1] = unknown;
  }
}

// The loss, from the sums of all blocks.
extern "C" __global__ void xpnet_cross_entropy_mean(
    const T* sums, T* loss, const long long blocks, const long long rows
) {
  T loss_here = 0, unknown = 0;
  for (long long i = threadIdx.x; i < blocks; i += blockDim.x) {
    loss_here += sums[2 * i];
    unknown += sums[2 * i + 1];
  }
  loss_here = of_block(loss_here);
  unknown = of_block(unknown);
  if (threadIdx.x == 0) loss[0] = unknown > 0 ? infinity() : loss_here / T(rows);
}

// The gradient by x. The gradient of the loss is gy[0] or, if gy is null, `number`.
extern "C" __global__ void xpnet_cross_entropy_gradient(
    const T* x, const Target* t, const T* kept, const T* gy, const double number, T* gx,
    const long long rows, const long long classes
) {
  const T share = (gy ? gy[0] : T(number)) / T(rows);
  const long long count = rows * classes, apart = (long long)gridDim.x * blockDim.x;
  for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += apart) {
    const long long row = i / classes;
    const T softmax = exp(x[i] - kept[row]) / kept[rows + row];
#if WEIGHTS
    gx[i] = (softmax * kept[2 * rows + row] - t[i]) * share;
#else
    gx[i] = (softmax - ((long long)t[row] == i - row * classes ? T(1) : T(0))) * share;
#endif
  }
}
