/* id.c - UUIDv7, names and random bytes; see id.h. */
#include <config.h>

#include "common/id.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/random.h>
#include <uuid/uuid.h>

#include "common/clock.h"

void
id_random(void *out, size_t n)
{
    char *p = out;

    while (n) {
        ssize_t r = getrandom(p, n, 0);

        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            abort(); /* no secret may ever be made without entropy */
        p += r;
        n -= (size_t)r;
    }
}

void
id_new(char out[ID_SIZE])
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static uint64_t last_tick; /* ms << 12 | 12-bit counter */
    static unsigned char pool[8 * 128];
    static size_t pool_left;
    uuid_t u;

    pthread_mutex_lock(&lock);
    /* RFC 9562 section 6.2 method 3: the 12 bits after the milliseconds carry
     * the sub-millisecond clock, stepped when the clock did not move. */
    uint64_t now = (uint64_t)clock_now_us();
    uint64_t tick = (now / 1000) << 12 | (now % 1000) * 4096 / 1000;
    if (tick <= last_tick)
        tick = last_tick + 1;
    last_tick = tick;
    if (pool_left == 0) {
        id_random(pool, sizeof(pool));
        pool_left = sizeof(pool);
    }
    pool_left -= 8;
    for (int i = 0; i < 8; i++)
        u[8 + i] = pool[pool_left + (size_t)i];
    pthread_mutex_unlock(&lock);

    uint64_t ms = tick >> 12;
    for (int i = 0; i < 6; i++)
        u[i] = (unsigned char)(ms >> (40 - 8 * i));
    u[6] = (unsigned char)(0x70 | (tick >> 8 & 0x0f));
    u[7] = (unsigned char)tick;
    u[8] = (unsigned char)(0x80 | (u[8] & 0x3f));
    uuid_unparse_lower(u, out);
}

bool
id_valid(const char *s)
{
    if (!s || strnlen(s, ID_SIZE) != ID_LEN)
        return false;
    for (int i = 0; i < ID_LEN; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        bool hex = (s[i] >= '0' && s[i] <= '9') || (s[i] >= 'a' && s[i] <= 'f');

        if (dash ? s[i] != '-' : !hex)
            return false;
    }
    return true;
}

static bool
alnum_lower(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool
id_name_valid(const char *s)
{
    size_t n = s ? strnlen(s, 64) : 0;

    if (n == 0 || n > 63 || !alnum_lower(s[0]) || !alnum_lower(s[n - 1]))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!alnum_lower(s[i]) && s[i] != '-')
            return false;
    return !id_valid(s);
}

void
id_hex(const void *bytes, size_t n_bytes, char *out)
{
    static const char hex[] = "0123456789abcdef";
    const unsigned char *p = bytes;

    for (size_t i = 0; i < n_bytes; i++) {
        out[2 * i] = hex[p[i] >> 4];
        out[2 * i + 1] = hex[p[i] & 15];
    }
    out[2 * n_bytes] = '\0';
}

static int
nibble(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

int
id_unhex(const char *s, void *out, size_t n_bytes)
{
    unsigned char *p = out;

    if (strnlen(s, 2 * n_bytes + 1) != 2 * n_bytes)
        return -1;
    for (size_t i = 0; i < n_bytes; i++) {
        int hi = nibble(s[2 * i]), lo = nibble(s[2 * i + 1]);

        if (hi < 0 || lo < 0)
            return -1;
        p[i] = (unsigned char)(hi << 4 | lo);
    }
    return 0;
}
