// Arrays copied, and numbers of the host stored, in one launch.
//
// The code before this file defines WORDS, the 8-byte words of the argument, and SHARE, the bytes that
// a block copies. The words are: how many copies there are; how many numbers; where the numbers go; for
// each copy its source, its target, its bytes and its last block + 1; and the numbers.

struct Given {
  long long words[WORDS];
};

struct alignas(16) Line {
  long long low, high;
};

template <class Part>
__device__ void copy(const char* from, char* to, long long start, long long stop) {
  const long long last = stop / (long long)sizeof(Part);
  for (long long i = start / (long long)sizeof(Part) + threadIdx.x; i < last; i += blockDim.x) {
    ((Part*)to)[i] = ((const Part*)from)[i];
  }
}

// Read directly from the argument: with a pointer to it, each thread would copy all of it.
#define WORD(i) all.words[3 + 4 * which + i]

extern "C" __global__ void xpnet_copies(const Given all) {
  const int copies = (int)all.words[0], numbers = (int)all.words[1];
  if (blockIdx.x == 0) {
    for (int i = threadIdx.x; i < numbers; i += blockDim.x) {
      ((long long*)all.words[2])[i] = all.words[3 + 4 * copies + i];
    }
  }
  if (copies == 0) return;
  int which = 0;
  for (int above = copies - 1; which < above;) {  // which copy is this block's?
    const int middle = (which + above) / 2;
    if (blockIdx.x < all.words[3 + 4 * middle + 3]) above = middle; else which = middle + 1;
  }
  const long long before = which > 0 ? all.words[3 + 4 * (which - 1) + 3] : 0;
  const long long start = (blockIdx.x - before) * SHARE, bytes = WORD(2);
  const long long stop = start + SHARE < bytes ? start + SHARE : bytes;
  const char* from = (const char*)WORD(0);
  char* to = (char*)WORD(1);
  if (((WORD(0) | WORD(1) | bytes) & 15) == 0) {
    copy<Line>(from, to, start, stop);
  } else if (((WORD(0) | WORD(1) | bytes) & 3) == 0) {
    copy<int>(from, to, start, stop);
  } else {
    copy<char>(from, to, start, stop);
  }
}
