// Max pooling, for real numbers. window.cuh comes before this file, and explains T, A, I and D.
//
// One thread computes one number of the result: where windows overlap, the derivative checks for each
// window over a number whether that number is its first maximum. Nothing is added atomically.

// y[p] = the largest x under the window at p, NaN if one of them is NaN; `lowest` if there is none.
extern "C" __global__ void maxima(const T* x, const T lowest, T* y, long long images, Window w) {
  const I i = thread(), image = i / (I)w.places;
  if (image >= (I)images) return;
  I place[D], number[D] = {};
  split(i % (I)w.places, w.out, place);
  A most = (A)lowest;
  for (I k = 0; k < (I)w.numbers; ++k, advance(w, number)) {
    const I input = input_met(w, place, number);
    if (input < 0) continue;
    const A value = (A)x[image * (I)w.inputs + input];
    if (value > most || value != value) most = value;
  }
  y[i] = (T)most;
}

// The first input under the window at a place that is not less than the maximum y; NaN counts, since
// no comparison with it is true. -1 if there is none.
__device__ I first_maximum(const T* x, A y, const Window& w, const I (&place)[D]) {
  I number[D] = {};
  for (I k = 0; k < (I)w.numbers; ++k, advance(w, number)) {
    const I input = input_met(w, place, number);
    if (input >= 0 && !((A)x[input] < y)) return input;
  }
  return -1;
}

// Zeros, but g[p] added where the maximum y[p] of x lies: at the first of equal ones.
extern "C" __global__ void place(const T* g, const T* x, const T* y, T* gx, long long images,
                                 Window w) {
  const I i = thread(), image = i / (I)w.inputs, own = i % (I)w.inputs;
  if (image >= (I)images) return;
  const T* inputs = x + image * (I)w.inputs;
  const A value = (A)inputs[own];
  I input[D], number[D] = {};
  split(own, w.size, input);
  A sum = (A)0;
  for (I k = 0; k < (I)w.numbers; ++k, advance(w, number)) {
    const I p = place_met(w, input, number);
    if (p < 0) continue;
    const A most = (A)y[image * (I)w.places + p];
    if (value < most) continue;
    I at[D];
    split(p, w.out, at);
    if (first_maximum(inputs, most, w, at) == own) sum += (A)g[image * (I)w.places + p];
  }
  gx[i] = (T)sum;
}

// For each place the z that lies where the maximum y of x does.
extern "C" __global__ void choose(const T* z, const T* x, const T* y, T* chosen, long long images,
                                  Window w) {
  const I i = thread(), image = i / (I)w.places;
  if (image >= (I)images) return;
  I at[D];
  split(i % (I)w.places, w.out, at);
  const I input = first_maximum(x + image * (I)w.inputs, (A)y[i], w, at);
  chosen[i] = input < 0 ? (T)0 : z[image * (I)w.inputs + input];
}
