/* cli/console.h - what the console's tests see of it.
 * Role:      pure parts of `virga instance console`.
 * Threads:   reentrant.   Errors: see each function. */
#ifndef CLI_CONSOLE_H
#define CLI_CONSOLE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buf.h"

#define CONSOLE_ESCAPE 0x1d /* Ctrl-] */

/* How many bytes of typed input go to the guest; *ret_leave says that
 * Ctrl-] came behind them. */
size_t console_typed(const char *data, size_t n, bool *ret_leave);
/* Takes every whole frame off `in`: the guest's bytes go to `out`, what must
 * be answered (a ping) to `reply`. 1 while open, 0 when the server closed,
 * -EPROTO. */
int console_frames(struct buf *in, struct buf *out, struct buf *reply);

#endif
