/* api/res-private.h - how the files of the field tables write them down.
 * Role:   macros for resources.c and res_*.c only.
 * Flags:  I given in requests, R required there, C a CLI column, O left out
 *         of replies while empty, B bytes. */
#ifndef API_RES_PRIVATE_H
#define API_RES_PRIVATE_H

#include "api/resources.h"

#include "common/cleanup.h"

#define I CODEC_IN
#define R (CODEC_IN | CODEC_REQUIRED)
#define C CODEC_COL
#define O CODEC_OMIT
#define B CODEC_BYTES
#define TIB (INT64_C(1) << 40)

#define F(S, M, TYPE, FLAGS, DOC, ...)                                         \
    {                                                                          \
        .name = #M, .type = CODEC_##TYPE,                                      \
        .offset = offsetof(struct api_##S, M), .flags = (FLAGS), .doc = DOC,   \
        __VA_ARGS__                                                            \
    }
/* The members of struct api_limits, which travel beside the others. */
#define LIMIT(S, M, FLAGS, DOC, ...)                                           \
    {                                                                          \
        .name = #M, .type = CODEC_INT,                                         \
        .offset = offsetof(struct api_##S, limits.M), .flags = (FLAGS),        \
        .doc = DOC, __VA_ARGS__                                                \
    }
/* SHARES is the least and the usual one of cpu_shares. */
#define LIMITS(S, FLAGS, SHARES_MIN, SHARES_DFLT)                              \
    LIMIT(S, cpu_shares, FLAGS,                                                \
          "Weight of each vCPU where instances contend for processors",        \
          .min = (SHARES_MIN), .max = 10000, .dflt = (SHARES_DFLT)),           \
        LIMIT(S, cpu_limit_percent, FLAGS,                                     \
              "Most of a processor that each vCPU gets; 0: no limit",          \
              .max = 100),                                                     \
        LIMIT(                                                                 \
            S, cpu_reservation_percent, FLAGS,                                 \
            "Part of a processor below which contention does not take a vCPU", \
            .max = 100),                                                       \
        LIMIT(S, disk_iops, FLAGS,                                             \
              "Operations per second of each disk; 0: no limit",               \
              .max = 1000000000),                                              \
        LIMIT(S, disk_bytes_per_second, (FLAGS) | CODEC_BYTES,                 \
              "Bytes per second read from and written to each disk; 0: no "    \
              "limit",                                                         \
              .max = TIB),                                                     \
        LIMIT(S, net_bytes_per_second, (FLAGS) | CODEC_BYTES,                  \
              "Bytes per second of each NIC in each direction; 0: no limit",   \
              .max = TIB)
#define TABLE(V, S, NAME, DOC)                                                 \
    const struct codec_table table_##V = {.name = NAME,                        \
                                          .doc = DOC,                          \
                                          .size = sizeof(struct api_##S),      \
                                          .fields = fields_##V,                \
                                          .n_fields = ARRAY_SIZE(fields_##V)}

#endif
