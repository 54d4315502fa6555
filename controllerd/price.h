/* controllerd/price.h - prices as exact decimal numbers.
 * Role:      text in, text out: no float ever holds money.
 * Ownership: the caller frees results.
 * Threads:   reentrant.   Errors: none. */
#ifndef CONTROLLERD_PRICE_H
#define CONTROLLERD_PRICE_H

#include <stdbool.h>

#include "common/cleanup.h"

/* 0 or more, without sign or leading zeros: "0", "12", "0.0125". */
bool price_valid(const char *s);
/* price (a valid one) x n, with as many decimals: "0.0125" x 4 is "0.0500". */
char *price_times(const char *price, unsigned n) _must_check_;

#endif
