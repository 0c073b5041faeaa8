// The end of a classifier in one launch of one block: the scores by a chain, the mean of their softmax
// cross entropy with class numbers, its gradient by the scores, and the sums of the gradient's columns.
//
// The code before this file defines PARAMETERS, LOAD and CHAIN as for columns.cu; SCORE, the chain's
// result; CLASSES; Target, the type of a class number; and FACTOR, the gradient of the loss, which is
// `factor` or what it points to.
//
// A thread computes a row, and `lanes` rows of threads add up the columns. The order of a sum depends
// only on the sizes: the results are bit for bit those of cross_entropy.cu and column_sums.cu.
__device__ A of_warp(A x) {
  for (int step = 16; step > 0; step /= 2) x += __shfl_xor_sync(0xffffffffu, x, step);
  return x;
}

__device__ A of_block(A x) {  // the sum over a block, in its first thread
  __shared__ A sums[32];
  x = of_warp(x);
  if (threadIdx.x % 32 == 0) sums[threadIdx.x / 32] = x;
  __syncthreads();
  x = of_warp(threadIdx.x < blockDim.x / 32 ? sums[threadIdx.x] : A(0));
  __syncthreads();
  return x;
}

extern "C" __global__ void xpnet_head(
    PARAMETERS const Target* t, const Factor factor, T* loss, T* gx, T* columns,
    const long long rows, const long long lanes
) {
  __shared__ A shared[1024];
  const A infinity = (A)__int_as_float(0x7f800000), share = A(FACTOR) / A(rows);
  A loss_here = 0, unknown = 0;
  for (long long row = threadIdx.x; row < rows; row += blockDim.x) {
    A scores[CLASSES];
    A most = -infinity, total = 0;
    for (int column = 0; column < CLASSES; ++column) {
      const long long i = row * CLASSES + column;
      LOAD
      CHAIN
      scores[column] = SCORE;
      most = fmax(most, scores[column]);
    }
    for (int column = 0; column < CLASSES; ++column) total += exp(scores[column] - most);
    const long long wanted = (long long)t[row];
    if (wanted < 0 || wanted >= CLASSES) unknown += 1;
    for (int column = 0; column < CLASSES; ++column) {
      const A above = scores[column] - most;
      if (column == wanted) loss_here += log(total) - above;
      const A softmax = exp(above) / total;
      gx[row * CLASSES + column] = (softmax - (column == wanted ? A(1) : A(0))) * share;
    }
  }
  loss_here = of_block(loss_here);
  unknown = of_block(unknown);
  if (threadIdx.x == 0) loss[0] = unknown > 0 ? infinity : loss_here / A(rows);
  if (!columns) return;
  const int lane = threadIdx.x / CLASSES;
  const int column = threadIdx.x % CLASSES;
  A sum = 0;  // all threads of the block see the gradient, since `of_block` has a barrier
  if (lane < lanes) {
    for (long long row = lane; row < rows; row += lanes) sum += gx[row * CLASSES + column];
  }
  shared[threadIdx.x] = sum;
  __syncthreads();
  for (int left = lanes; left > 1;) {
    const int half = (left + 1) / 2;
    if (lane + half < left) shared[threadIdx.x] += shared[threadIdx.x + half * CLASSES];
    __syncthreads();
    left = half;
  }
  if (lane == 0) columns[column] = shared[threadIdx.x];
}
