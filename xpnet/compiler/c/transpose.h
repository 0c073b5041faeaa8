// The transpose of a block of LANES x LANES numbers in registers.
#ifndef XPNET_TRANSPOSE_H
#define XPNET_TRANSPOSE_H

#include "vector.h"

// Blocks of `by` x `by` numbers are exchanged between two rows that lie `by` apart. LOWER is, for
// each lane of the new upper row, its lane in the two old rows together; UPPER for the new lower
// row.
#define LOWER(lane, by) (((lane) & (by)) ? LANES + (lane) - (by) : (lane))
#define UPPER(lane, by) (((lane) & (by)) ? LANES + (lane) : (lane) + (by))

#if LANES == 2
#define LANE_LIST(F, by) F(0, by), F(1, by)
#elif LANES == 4
#define LANE_LIST(F, by) F(0, by), F(1, by), F(2, by), F(3, by)
#elif LANES == 8
#define LANE_LIST(F, by) \
    F(0, by), F(1, by), F(2, by), F(3, by), F(4, by), F(5, by), F(6, by), F(7, by)
#else
#define LANE_LIST(F, by)                                                                      \
    F(0, by), F(1, by), F(2, by), F(3, by), F(4, by), F(5, by), F(6, by), F(7, by), F(8, by), \
        F(9, by), F(10, by), F(11, by), F(12, by), F(13, by), F(14, by), F(15, by)
#endif

#define EXCHANGE(rows, by)                                            \
    UNROLL for (int i = 0; i < LANES; i++) {                          \
        if (i & (by)) continue;                                       \
        const vreal upper = rows[i];                                  \
        const vreal lower = rows[i + (by)];                           \
        rows[i] = SHUFFLE(upper, lower, LANE_LIST(LOWER, by));        \
        rows[i + (by)] = SHUFFLE(upper, lower, LANE_LIST(UPPER, by)); \
    }

// rows[i][j] becomes rows[j][i].
INLINE void transpose_block(vreal* rows) {
    EXCHANGE(rows, 1)
#if LANES > 2
    EXCHANGE(rows, 2)
#endif
#if LANES > 4
    EXCHANGE(rows, 4)
#endif
#if LANES > 8
    EXCHANGE(rows, 8)
#endif
}

#endif  // XPNET_TRANSPOSE_H
