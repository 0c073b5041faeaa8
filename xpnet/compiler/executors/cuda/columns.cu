// A chain over a matrix, and the sums of the columns of some of its results, in one launch.
//
// The code before this file defines PARAMETERS, the pointers of inputs and outputs; LOAD, which reads
// the inputs at `i`, the place of a number, and at its `row` and `column`; CHAIN, which computes the
// results; STORE, which writes them; COUNT, how many of them are added up; ADD, which adds them to
// `sum`; and STORE_SUMS.
//
// A block computes a tile of columns, as in column_sums.cu: a row of its threads is a lane, and lanes
// are added in pairs until one is left. The order of a sum depends only on the sizes.
extern "C" __global__ void xpnet_columns(
    PARAMETERS const long long rows, const long long columns, const long long tile
) {
  __shared__ A shared[1024];
  const int lanes = blockDim.x / tile, lane = threadIdx.x / tile;
  const long long column = blockIdx.x * tile + threadIdx.x % tile;
  const bool mine = lane < lanes && column < columns;
  A sum[COUNT];
  for (int k = 0; k < COUNT; ++k) sum[k] = 0;
  if (mine) {
    for (long long row = lane; row < rows; row += lanes) {
      const long long i = row * columns + column;
      LOAD
      CHAIN
      STORE
      ADD
    }
  }
  for (int k = 0; k < COUNT; ++k) {
    shared[threadIdx.x] = sum[k];
    __syncthreads();
    for (int left = lanes; left > 1;) {
      const int half = (left + 1) / 2;
      if (lane + half < left) shared[threadIdx.x] += shared[threadIdx.x + half * tile];
      __syncthreads();
      left = half;
    }
    sum[k] = shared[threadIdx.x];
    __syncthreads();
  }
  if (mine && lane == 0) {
    STORE_SUMS
  }
}
