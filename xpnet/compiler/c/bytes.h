// Signed bytes (int8) as vectors of integers, and back: the numbers of maxima are kept as bytes.
//
// GCC 12 turns __builtin_convertvector into one instruction per byte here, hence the intrinsics.
#ifndef XPNET_BYTES_H
#define XPNET_BYTES_H

#include "vector.h"

typedef int8_t vbytes __attribute__((vector_size(LANES), aligned(1), may_alias));

// LANES bytes, widened.
INLINE vint load_bytes(const int8_t* p) {
#if VECTOR_BYTES == 64 && REAL_BITS == 32
    return (vint)_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i*)p));
#elif VECTOR_BYTES == 64
    return (vint)_mm512_cvtepi8_epi64(_mm_loadl_epi64((const __m128i*)p));
#elif defined(__AVX2__) && REAL_BITS == 32
    return (vint)_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i*)p));
#elif defined(__SSE4_1__) && VECTOR_BYTES == 16 && REAL_BITS == 32
    int32_t four;
    memcpy(&four, p, sizeof(four));
    return (vint)_mm_cvtepi8_epi32(_mm_cvtsi32_si128(four));
#else
    return __builtin_convertvector(*(const vbytes*)p, vint);
#endif
}

// The first n bytes, widened; the other lanes are 0.
INLINE vint load_first_bytes(const int8_t* p, int64_t n) {
    int8_t bytes[LANES] = {0};
    for (int64_t i = 0; i < n; i++) bytes[i] = p[i];
    return load_bytes(bytes);
}

// The lanes of v, each from -128 to 127, as bytes.
INLINE void store_bytes(int8_t* p, vint v) {
#if defined(__AVX2__) && VECTOR_BYTES == 32 && REAL_BITS == 32
    const __m256i lanes = (__m256i)v;
    const __m128i words =
        _mm_packs_epi32(_mm256_castsi256_si128(lanes), _mm256_extracti128_si256(lanes, 1));
    _mm_storel_epi64((__m128i*)p, _mm_packs_epi16(words, words));
#elif defined(__SSE2__) && VECTOR_BYTES == 16 && REAL_BITS == 32
    const __m128i words = _mm_packs_epi32((__m128i)v, (__m128i)v);
    const int32_t four = _mm_cvtsi128_si32(_mm_packs_epi16(words, words));
    memcpy(p, &four, sizeof(four));
#else
    *(vbytes*)p = __builtin_convertvector(v, vbytes);
#endif
}

INLINE void store_first_bytes(int8_t* p, vint v, int64_t n) {
    int8_t bytes[LANES];
    store_bytes(bytes, v);
    for (int64_t i = 0; i < n; i++) p[i] = bytes[i];
}

#endif  // XPNET_BYTES_H
