// Convolution and mean pooling: kernels that move numbers between images and the windows over them.
//
// window.cuh comes before this file, and explains T, A, I and D. One thread computes one number of the
// result. Where windows overlap, it adds up the contributions in the order of the window's numbers:
// nothing is added atomically, and the result is the same each time.

// --- convolution ---------------------------------------------------------------------------------

// The rows of a matrix with one column for each image n and place p:
//   rows[(c, k), (n, p)] = x[n, c, p under k]    for each channel c and number k of the window
//   rows[o, (n, p)] = u[n, o, p]                 after them, for each output o
template <class R>
__device__ void gather_as(const T* x, I channels, const T* u, I outputs, R* rows, I images,
                          const Window& w) {
  const I i = thread(), columns = images * (I)w.places, above = channels * (I)w.numbers;
  if (i >= (above + outputs) * columns) return;
  const I row = i / columns, column = i % columns;
  const I n = column / (I)w.places, p = column % (I)w.places;
  if (row >= above) {
    rows[i] = (R)u[(n * outputs + row - above) * (I)w.places + p];
    return;
  }
  I place[D], number[D];
  split(p, w.out, place);
  split(row % (I)w.numbers, w.kernel, number);
  const I input = input_met(w, place, number);
  const I image = n * channels + row / (I)w.numbers;
  rows[i] = input < 0 ? (R)0 : (R)x[image * (I)w.inputs + input];
}

extern "C" __global__ void gather(const T* x, long long channels, const T* u, long long outputs,
                                  T* rows, long long images, Window w) {
  gather_as(x, (I)channels, u, (I)outputs, rows, (I)images, w);
}

extern "C" __global__ void gather_wide(const T* x, long long channels, const T* u,
                                       long long outputs, A* rows, long long images, Window w) {
  gather_as(x, (I)channels, u, (I)outputs, rows, (I)images, w);
}

// y[n, o, p] = rows[o, (n, p)] + b[o]; b may be null.
extern "C" __global__ void outward(const T* rows, const T* b, T* y, long long images,
                                   long long outputs, Window w) {
  const I i = thread(), places = (I)w.places;
  if (i >= (I)images * (I)outputs * places) return;
  const I image = i / places, n = image / (I)outputs, o = image % (I)outputs;
  A sum = (A)rows[(o * (I)images + n) * places + i % places];
  if (b) sum += (A)b[o];
  y[i] = (T)sum;
}

// x[n, c, p under k] += rows[(c, k), (n, p)], beginning with b[c]; b may be null.
extern "C" __global__ void fold(const A* rows, const T* b, T* x, long long images,
                                long long channels, Window w) {
  const I i = thread(), inputs = (I)w.inputs;
  if (i >= (I)images * (I)channels * inputs) return;
  const I image = i / inputs, n = image / (I)channels, c = image % (I)channels;
  I input[D], number[D] = {};
  split(i % inputs, w.size, input);
  A sum = b ? (A)b[c] : (A)0;
  for (I k = 0; k < (I)w.numbers; ++k, advance(w, number)) {
    const I place = place_met(w, input, number);
    if (place >= 0) {
      sum += rows[((c * (I)w.numbers + k) * (I)images + n) * (I)w.places + place];
    }
  }
  x[i] = (T)sum;
}

// --- mean pooling -------------------------------------------------------------------------------------

// y[p] = the sum of the x under the window at p.
extern "C" __global__ void sums(const T* x, T* y, long long images, Window w) {
  const I i = thread(), image = i / (I)w.places;
  if (image >= (I)images) return;
  I place[D], number[D] = {};
  split(i % (I)w.places, w.out, place);
  A sum = (A)0;
  for (I k = 0; k < (I)w.numbers; ++k, advance(w, number)) {
    const I input = input_met(w, place, number);
    if (input >= 0) sum += (A)x[image * (I)w.inputs + input];
  }
  y[i] = (T)sum;
}

// x[p under k] += g[p].
extern "C" __global__ void shares(const T* g, T* x, long long images, Window w) {
  const I i = thread(), image = i / (I)w.inputs;
  if (image >= (I)images) return;
  I input[D], number[D] = {};
  split(i % (I)w.inputs, w.size, input);
  A sum = (A)0;
  for (I k = 0; k < (I)w.numbers; ++k, advance(w, number)) {
    const I place = place_met(w, input, number);
    if (place >= 0) sum += (A)g[image * (I)w.places + place];
  }
  x[i] = (T)sum;
}
