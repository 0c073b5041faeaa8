// One step of an LSTM, forward and backward: all but the product of the state and the weights.
//
// T is the type of the arrays, A the type of the computation. Arrays of all steps are C-contiguous, of
// shape (steps, rows, units), or (steps, rows, 4 units) with the gates i, f, g and o side by side. A
// thread computes one unit of one row. A row whose mask is false is padding: its state and cell pass
// through unchanged. The mask may be null.

__device__ A sigmoid(A x) { return tanh(x * (A)0.5) * (A)0.5 + (A)0.5; }

// The gates, the cell and the state of step t; `product` is the state before it times the weights.
extern "C" __global__ void lstm_step(const T* z, const T* product, const T* h, const T* c,
                                     const bool* mask, T* states, T* cells, T* gates, long long t,
                                     long long rows, long long units) {
  const long long k = blockIdx.x * (long long)blockDim.x + threadIdx.x;
  if (k >= rows * units) return;
  const long long row = k / units, unit = k % units, size = rows * units;
  const long long wide = row * 4 * units + unit, at = t * 4 * size + wide;
  const T* before = t ? cells + (t - 1) * size : c;
  const T* was = t ? states + (t - 1) * size : h;
  const A i = sigmoid((A)z[at] + (A)product[wide]);
  const A f = sigmoid((A)z[at + units] + (A)product[wide + units]);
  const A g = tanh((A)z[at + 2 * units] + (A)product[wide + 2 * units]);
  const A o = sigmoid((A)z[at + 3 * units] + (A)product[wide + 3 * units]);
  const A cell = f * (A)before[k] + i * g;
  const bool padding = mask && !mask[t * rows + row];
  states[t * size + k] = padding ? was[k] : (T)(o * tanh(cell));
  cells[t * size + k] = padding ? before[k] : (T)cell;
  gates[at] = (T)i;
  gates[at + units] = (T)f;
  gates[at + 2 * units] = (T)g;
  gates[at + 3 * units] = (T)o;
}

// The gradient by z at step t, from what step t + 1 left: `product`, its gz times the weights; `kept`,
// the gradient of the state that passed through it; and gc, that of the cell. At the last step there
// are none of these yet. The kernel replaces kept and gc by those of step t; kept is null if there is
// no mask. The gradients of the outputs are gh, g_cells and g_gates, of which the last may be null.
extern "C" __global__ void lstm_step_back(const T* gh, const T* g_cells, const T* g_gates,
                                          const T* product, T* kept, T* gc, const T* c,
                                          const T* cells, const T* gates, const bool* mask, T* gz,
                                          long long t, long long steps, long long rows,
                                          long long units) {
  const long long k = blockIdx.x * (long long)blockDim.x + threadIdx.x;
  if (k >= rows * units) return;
  const long long row = k / units, unit = k % units, size = rows * units;
  const long long at = t * 4 * size + row * 4 * units + unit;
  const bool last = t == steps - 1, padding = mask && !mask[t * rows + row];
  A of_state = (A)gh[t * size + k], of_cell = (A)g_cells[t * size + k];
  if (!last) {
    of_state += (A)product[k];
    if (kept) of_state += (A)kept[k];
    of_cell += (A)gc[k];
  }
  const A past_state = padding ? of_state : (A)0, past_cell = padding ? of_cell : (A)0;
  if (padding) of_state = of_cell = (A)0;
  const A i = (A)gates[at], f = (A)gates[at + units];
  const A g = (A)gates[at + 2 * units], o = (A)gates[at + 3 * units];
  const A before = t ? (A)cells[(t - 1) * size + k] : (A)c[k];
  const A now = tanh((A)cells[t * size + k]);
  of_cell += of_state * (o * ((A)1 - now * now));
  A gi = of_cell * g, gf = of_cell * before, gg = of_cell * i, go = of_state * now;
  if (g_gates) {
    gi += (A)g_gates[at];
    gf += (A)g_gates[at + units];
    gg += (A)g_gates[at + 2 * units];
    go += (A)g_gates[at + 3 * units];
  }
  gz[at] = (T)(gi * (i * ((A)1 - i)));
  gz[at + units] = (T)(gf * (f * ((A)1 - f)));
  gz[at + 2 * units] = (T)(gg * ((A)1 - g * g));
  gz[at + 3 * units] = (T)(go * (o * ((A)1 - o)));
  if (kept) kept[k] = (T)past_state;
  gc[k] = (T)(of_cell * f + past_cell);
}
