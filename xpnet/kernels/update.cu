// The update of many parameters of type T at once; their state, and all arithmetic, is of type A.
//
// The code before this file defines, for each optimizer: COUNT, the number of coefficients; ROOM, the
// most parameters of a launch; WIDTH, the words per parameter; NUMBERS, LOAD and STORE, which give
// names to the coefficients and the state; and FORMULA, which changes p and the state, given g. A
// block computes SHARE numbers of one parameter.

struct Moved {
  long long parameters;
  double numbers[COUNT];
  long long words[ROOM][WIDTH];  // of each parameter: p, g, the state, its length, its last block + 1
};

// Read directly from the argument: with a pointer to it, each thread would copy all of it.
#define WORD(i) all.words[which][i]

extern "C" __global__ void xpnet_update(const Moved all) {
  int which = 0;
  for (int above = (int)all.parameters - 1; which < above;) {  // which parameter is this block's?
    const int middle = (which + above) / 2;
    if (blockIdx.x < all.words[middle][WIDTH - 1]) above = middle; else which = middle + 1;
  }
  const long long before = which > 0 ? all.words[which - 1][WIDTH - 1] : 0;
  const long long start = (blockIdx.x - before) * SHARE, count = all.words[which][WIDTH - 2];
  const long long stop = start + SHARE < count ? start + SHARE : count;
  NUMBERS
  for (long long i = start + threadIdx.x; i < stop; i += blockDim.x) {
    A p = (A)((T*)WORD(0))[i];
    A g = (A)((const T*)WORD(1))[i];
    LOAD
    FORMULA
    ((T*)WORD(0))[i] = (T)p;
    STORE
  }
}
