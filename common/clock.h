/* common/clock.h - time in whole microseconds.
 * Role:    *_us are int64 microseconds; wall time counts from the Unix epoch
 *          (UTC, leap seconds smeared or ignored as the kernel does).
 * Threads: reentrant.
 * Source:  RFC 3339 for the text form. */
#ifndef COMMON_CLOCK_H
#define COMMON_CLOCK_H

#include <stdint.h>

#include "common/cleanup.h"

#define CLOCK_TEXT_MAX 32
#define US_PER_S INT64_C(1000000)

int64_t clock_now_us(void);  /* wall clock */
int64_t clock_mono_us(void); /* monotonic, counts while running */
/* "2026-11-22T16:30:10.123456Z"; out holds CLOCK_TEXT_MAX bytes. Returns out.
 */
char *clock_format(int64_t us, char *out);
/* Accepts RFC 3339 with any offset and up to 9 fraction digits. -EINVAL, also
 * for what is not within the years 0 to 9999 in UTC. */
int clock_parse(const char *s, int64_t *ret_us) _must_check_;
/* A duration such as "30s", "5m", "1h", "250ms"; a bare number is seconds.
 * -EINVAL when malformed or over ten years. */
int clock_parse_duration(const char *s, int64_t *ret_us) _must_check_;

#endif
