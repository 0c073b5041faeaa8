// Normalization over groups of numbers.
//
// T is the type of the arrays, A the type in which sums are taken, and I that of indices: int, or long
// long for arrays too large for int.
//
// An array is viewed as (outer, groups, inner): a group is what lies at one index of the middle axis.
// Each weight applies to `run` numbers in a row, in turn: number i has weight (i / run) % period.

struct Layout {
  long long outer, groups, inner;
};

__device__ I group_of(I i, const Layout& l) { return i / (I)l.inner % (I)l.groups; }

// The numbers of a group, shared among the threads of a block: a thread visits every blockDim.x-th.
struct Numbers {
  I at;      // the index of the thread's current number in the array
  I left;    // how many numbers of the group lie from there to the end
  I within;  // the position in the current stretch, a run of `inner` adjacent numbers
  I inner;
  I gap;     // from the end of a stretch of the group to the start of the next
  I step;    // how far `at` moves for blockDim.x numbers of the group, apart from `gap`
  I carry;   // how far `within` moves

  __device__ Numbers(const Layout& l, I group) {
    const I threads = blockDim.x, me = threadIdx.x;
    inner = l.inner;
    gap = ((I)l.groups - 1) * inner;
    at = (me / inner * (I)l.groups + group) * inner + me % inner;
    within = me % inner;
    step = threads / inner * ((I)l.groups * inner) + threads % inner;
    carry = threads % inner;
    left = (I)l.outer * inner - me;
  }
  __device__ bool more() const { return left > 0; }
  __device__ void next() {
    at += step;
    within += carry;
    if (within >= inner) {
      within -= inner;
      at += gap;
    }
    left -= blockDim.x;
  }
};

// The sum of one number per thread over a block, whose size is a power of two; all threads get it.
__device__ A summed(A number, A* room) {
  room[threadIdx.x] = number;
  __syncthreads();
  for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) room[threadIdx.x] += room[threadIdx.x + half];
    __syncthreads();
  }
  const A sum = room[0];
  __syncthreads();  // before the room is used again
  return sum;
}

// The mean of each group, its variance, and 1 / sqrt(variance + eps): one block per group.
//
// Running statistics, if there are any (otherwise all their pointers are null), move towards those of
// the group by `momentum`; if that is negative, they become the plain average over all batches seen.
extern "C" __global__ void moments(const T* x, T* mean, T* var, T* r, double eps, Layout l,
                                   const T* running_mean, const T* running_var,
                                   const long long* seen, T* next_mean, T* next_var,
                                   long long* next_seen, double momentum) {
  __shared__ A room[1024];
  const I group = blockIdx.x;
  const A count = l.outer * l.inner;
  A sum = 0;
  for (Numbers n(l, group); n.more(); n.next()) sum += x[n.at];
  const A m = summed(sum, room) / count;
  sum = 0;
  for (Numbers n(l, group); n.more(); n.next()) sum += (x[n.at] - m) * (x[n.at] - m);
  const A v = summed(sum, room) / count;
  if (threadIdx.x) return;
  mean[group] = m;
  var[group] = v;
  r[group] = (A)1 / sqrt(v + (A)eps);
  if (!running_mean) return;
  const A share = momentum < 0 ? (A)1 / (A)(*seen + 1) : (A)momentum;
  const A unbiased = v * (count / (count > 2 ? count - 1 : 1));
  next_mean[group] = running_mean[group] + (m - running_mean[group]) * share;
  next_var[group] = running_var[group] + (unbiased - running_var[group]) * share;
  if (group == 0) *next_seen = *seen + 1;
}

// y = (x - mean) r w + b; w and b may be null.
extern "C" __global__ void normalize(const T* x, const T* mean, const T* r, const T* w, const T* b,
                                     T* y, long long size, Layout l, long long run,
                                     long long period) {
  const I i = (I)blockIdx.x * (I)blockDim.x + (I)threadIdx.x;
  if (i >= (I)size) return;
  const I group = group_of(i, l), weight = i / (I)run % (I)period;
  A value = (x[i] - mean[group]) * r[group];
  if (w) value *= w[weight];
  if (b) value += b[weight];
  y[i] = value;
}

// The sums of g and of g (x - mean) r over each group of `over`; g is gy, or gy w if there is w.
extern "C" __global__ void gradient_sums(const T* gy, const T* x, const T* mean, const T* r,
                                         const T* w, T* first, T* second, Layout over, Layout l,
                                         long long run, long long period) {
  __shared__ A room[1024];
  const I group = blockIdx.x;
  A plain = 0, scaled = 0;
  for (Numbers n(over, group); n.more(); n.next()) {
    const I of = group_of(n.at, l);
    const A g = w ? gy[n.at] * w[n.at / (I)run % (I)period] : gy[n.at];
    plain += g;
    scaled += g * ((x[n.at] - mean[of]) * r[of]);
  }
  plain = summed(plain, room);
  scaled = summed(scaled, room);
  if (threadIdx.x) return;
  first[group] = plain;
  second[group] = scaled;
}

// gx = (g - mean(g) - z mean(g z)) r with z = (x - mean) r, from the sums of g and of g z.
// With `even` weights, one for each group, g is gy and the weights scale the result; else g is gy w.
extern "C" __global__ void normalize_gradient(const T* gy, const T* x, const T* mean, const T* r,
                                              const T* w, const T* first, const T* second, T* gx,
                                              long long size, Layout l, long long run,
                                              long long period, long long even) {
  const I i = (I)blockIdx.x * (I)blockDim.x + (I)threadIdx.x;
  if (i >= (I)size) return;
  const I group = group_of(i, l);
  const A weight = w ? w[i / (I)run % (I)period] : (T)1, count = l.outer * l.inner;
  const A g = even ? gy[i] : gy[i] * weight, z = (x[i] - mean[group]) * r[group];
  const A value = (g - first[group] / count - z * (second[group] / count)) * r[group];
  gx[i] = even ? value * weight : value;
}
