/* price.c - exact decimal arithmetic; see price.h. */
#include <config.h>

#include "controllerd/price.h"

#include <ctype.h>
#include <string.h>

#include "common/mem.h"

static size_t
digits(const char *s)
{
    return strspn(s, "0123456789");
}

bool
price_valid(const char *s)
{
    size_t n = digits(s);

    if (n == 0 || (n > 1 && s[0] == '0'))
        return false;
    s += n;
    if (!*s)
        return true;
    return *s == '.' && digits(s + 1) > 0 && s[1 + digits(s + 1)] == '\0';
}

/* By hand, as on paper: digit by digit from the right. */
char *
price_times(const char *price, unsigned n)
{
    size_t len = strlen(price);
    /* A factor of 32 bits makes up to 10 digits more. */
    char *out = xmalloc(len + 11);
    size_t at = len + 10;
    unsigned long long carry = 0;

    out[at] = '\0';
    for (size_t i = len; i > 0; i--) {
        if (price[i - 1] == '.') {
            out[--at] = '.';
            continue;
        }
        carry += (unsigned long long)(price[i - 1] - '0') * n;
        out[--at] = (char)('0' + carry % 10);
        carry /= 10;
    }
    for (; carry; carry /= 10)
        out[--at] = (char)('0' + carry % 10);
    /* Times 0 leaves zeros in front: one before the point is enough. */
    while (out[at] == '0' && isdigit((unsigned char)out[at + 1]))
        at++;
    memmove(out, out + at, strlen(out + at) + 1);
    return out;
}
