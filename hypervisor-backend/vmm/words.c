/* words.c - "name=value,flag,…"; see words.h. */
#include <config.h>

#include "hypervisor-backend/vmm/words.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "common/conf.h"
#include "common/mem.h"

int
words_number(const char *s, int64_t min, int64_t max, int64_t *ret)
{
    char *end;
    long long v;

    if (!isdigit((unsigned char)*s))
        return -EINVAL;
    errno = 0;
    v = strtoll(s, &end, 10);
    if (errno || *end || v < min || v > max)
        return -EINVAL;
    *ret = v;
    return 0;
}

int
words_size(const char *s, int64_t *ret)
{
    int64_t v;

    if (conf_parse_size(s, &v) < 0 || v <= 0)
        return -EINVAL;
    *ret = v;
    return 0;
}

static int
set(const struct word *w, char *value)
{
    if ((w->type == WORD_FLAG) != (value == NULL))
        return -EINVAL;
    switch (w->type) {
    case WORD_FLAG:
        *(bool *)w->to = true;
        return 0;
    case WORD_TEXT:
        *(const char **)w->to = value;
        return *value ? 0 : -EINVAL;
    case WORD_NUMBER:
        return words_number(value, w->min, w->max, w->to);
    default:
        return words_size(value, w->to);
    }
}

int
words_parse(char *s, const struct word *words, size_t n, struct err *reterr)
{
    while (s) {
        char *value = strsep(&s, ","), *name = strsep(&value, "=");
        size_t i = 0;

        while (i < n && !streq(words[i].name, name))
            i++;
        if (i == n)
            return err_set(reterr, -EINVAL, "invalid",
                           "\"%s\" is not an option of it", name);
        if (set(&words[i], value) < 0)
            return err_set(reterr, -EINVAL, "invalid",
                           "\"%s\" has no such value", name);
    }
    return 0;
}
