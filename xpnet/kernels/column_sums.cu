// The sum of each column of a matrix, of type T, computed in A.
//
// A block sums the columns of one tile. Its threads cover as many rows of the tile at once as there
// is room for (a row of threads is a lane); then the lanes are added in pairs until one is left. The
// order of a sum depends only on the sizes.
extern "C" __global__ void xpnet_column_sums(
    const T* x, T* y, const long long rows, const long long columns, const long long tile
) {
  __shared__ A sums[1024];
  const int lanes = blockDim.x / tile, lane = threadIdx.x / tile;
  const long long column = blockIdx.x * tile + threadIdx.x % tile;
  const bool mine = lane < lanes && column < columns;
  A sum = 0;
  if (mine) {
    for (long long row = lane; row < rows; row += lanes) sum += (A)x[row * columns + column];
  }
  sums[threadIdx.x] = sum;
  __syncthreads();
  for (int left = lanes; left > 1;) {
    const int half = (left + 1) / 2;
    if (lane + half < left) sums[threadIdx.x] += sums[threadIdx.x + half * tile];
    __syncthreads();
    left = half;
  }
  if (mine && lane == 0) y[column] = (T)sums[threadIdx.x];
}
