/* conf.c - settings from file and command line; see conf.h. */
#include <config.h>

#include "common/conf.h"

#include <ctype.h>
#include <string.h>

#include "common/clock.h"
#include "common/fs.h"
#include "common/mem.h"

#define CONF_FILE_MAX (1 << 20)

int
conf_parse_size(const char *s, int64_t *ret)
{
    static const char units[] = "KMGT";
    int64_t v = 0;
    const char *p = s, *u;

    if (!isdigit((unsigned char)*p))
        return -EINVAL;
    for (; isdigit((unsigned char)*p); p++)
        if (__builtin_mul_overflow(v, 10, &v) ||
            __builtin_add_overflow(v, *p - '0', &v))
            return -EINVAL;
    if (*p && (u = strchr(units, toupper((unsigned char)*p)))) {
        for (long i = 0; i <= u - units; i++)
            if (__builtin_mul_overflow(v, 1024, &v))
                return -EINVAL;
        p++;
        if (*p == 'i')
            p++;
        if (*p == 'B')
            p++;
    } else if (*p == 'B') {
        p++;
    }
    if (*p)
        return -EINVAL;
    *ret = v;
    return 0;
}

static int
set_value(const struct conf_key *k, const char *value, void *out,
          struct err *reterr)
{
    void *slot = (char *)out + k->offset;
    int64_t v = 0;
    char *end;
    int r = 0;

    switch (k->type) {
    case CONF_STRING:
        xstrset(slot, value);
        return 0;
    case CONF_INT:
        errno = 0;
        v = strtoll(value, &end, 10);
        r = errno || *end || end == value ? -EINVAL : 0;
        break;
    case CONF_SIZE:
        r = conf_parse_size(value, &v);
        break;
    case CONF_DURATION:
        r = clock_parse_duration(value, &v);
        break;
    case CONF_FLAG:
        v = streq(value, "yes") || streq(value, "true") || streq(value, "1");
        if (!v && !streq(value, "no") && !streq(value, "false") &&
            !streq(value, "0"))
            r = -EINVAL;
        break;
    }
    if (r < 0)
        return err_set(reterr, -EINVAL, "bad_config",
                       "%s: \"%s\" is not a valid %s", k->key, value,
                       k->type == CONF_INT        ? "number"
                       : k->type == CONF_SIZE     ? "size (such as 512M)"
                       : k->type == CONF_DURATION ? "duration (such as 30s)"
                                                  : "yes or no");
    if ((k->min || k->max) && (v < k->min || v > k->max))
        return err_set(reterr, -EINVAL, "bad_config",
                       "%s: %s is out of range (%lld to %lld)", k->key, value,
                       (long long)k->min, (long long)k->max);
    memcpy(slot, &v, sizeof(v));
    return 0;
}

static const struct conf_key *
find(const struct conf_key *keys, size_t n, const char *name, size_t len)
{
    for (size_t i = 0; i < n; i++)
        if (strlen(keys[i].key) == len && strncmp(keys[i].key, name, len) == 0)
            return &keys[i];
    return NULL;
}

static int
load_file(const struct conf_key *keys, size_t n, const char *path, void *out,
          struct err *reterr)
{
    struct buf text _cleanup_(buf_release) = {0};
    int line_no = 0;
    int r = fs_read(path, CONF_FILE_MAX, &text, reterr);

    if (r < 0)
        return r;
    for (char *line = text.data, *next; line; line = next) {
        line_no++;
        next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        line += strspn(line, " \t\r");
        if (!*line || *line == '#')
            continue;
        char *eq = strchr(line, '=');
        if (!eq)
            return err_set(reterr, -EINVAL, "bad_config",
                           "%s:%d: expected \"key = value\"", path, line_no);
        char *key_end = eq, *value = eq + 1 + strspn(eq + 1, " \t");
        while (key_end > line && isspace((unsigned char)key_end[-1]))
            key_end--;
        char *value_end = value + strlen(value);
        while (value_end > value && isspace((unsigned char)value_end[-1]))
            *--value_end = '\0';
        const struct conf_key *k =
            find(keys, n, line, (size_t)(key_end - line));
        if (!k)
            return err_set(reterr, -EINVAL, "bad_config",
                           "%s:%d: unknown key \"%.*s\"", path, line_no,
                           (int)(key_end - line), line);
        r = set_value(k, value, out, reterr);
        if (r < 0) {
            err_prefix(reterr, "%s:%d", path, line_no);
            return r;
        }
    }
    return 0;
}

static void
print_help(const struct conf_key *keys, size_t n, const char *prog,
           const char *default_file)
{
    printf("Usage: %s [--config FILE] [--KEY VALUE]...\n\n"
           "Settings come from FILE (default %s, if it exists) and from the\n"
           "command line, which wins. Keys:\n\n",
           prog, default_file);
    for (size_t i = 0; i < n; i++)
        printf("  --%-22s %s%s%s%s\n", keys[i].key, keys[i].doc,
               keys[i].dflt ? " [" : "", keys[i].dflt ? keys[i].dflt : "",
               keys[i].dflt ? "]" : "");
    printf("  --%-22s %s\n  --%-22s %s\n", "help", "print this and exit",
           "version", "print the version and exit");
}

/* Splits --key=value / --key value; *i moves past what was used. */
static int
next_option(const struct conf_key *keys, size_t n, int argc, char *const *argv,
            int *i, const struct conf_key **ret_key, const char **ret_value,
            struct err *reterr)
{
    static const struct conf_key config_key = {.key = "config"};
    const char *arg = argv[*i];

    if (strncmp(arg, "--", 2) != 0)
        return err_set(reterr, -EINVAL, "usage", "unexpected argument \"%s\"",
                       arg);
    const char *name = arg + 2, *eq = strchr(name, '=');
    size_t len = eq ? (size_t)(eq - name) : strlen(name);
    const struct conf_key *k = find(keys, n, name, len);
    if (!k && len == 6 && strncmp(name, "config", 6) == 0)
        k = &config_key;
    if (!k)
        return err_set(reterr, -EINVAL, "usage",
                       "unknown option \"%s\" (see --help)", arg);
    if (eq)
        *ret_value = eq + 1;
    else if (k->type == CONF_FLAG &&
             (*i + 1 >= argc || strncmp(argv[*i + 1], "--", 2) == 0))
        *ret_value = "yes";
    else if (*i + 1 < argc)
        *ret_value = argv[++*i];
    else
        return err_set(reterr, -EINVAL, "usage", "option %s needs a value",
                       arg);
    *ret_key = k;
    return 0;
}

int
conf_load(const struct conf_key *keys, size_t n, int argc, char *const *argv,
          const char *prog, const char *default_file, void *out,
          struct err *reterr)
{
    const char *file = NULL, *value = NULL;
    const struct conf_key *k = NULL;
    int r;

    for (size_t i = 0; i < n; i++)
        if (keys[i].dflt) {
            r = set_value(&keys[i], keys[i].dflt, out, reterr);
            if (r < 0)
                return r;
        }
    for (int i = 1; i < argc; i++) {
        if (streq(argv[i], "--help")) {
            print_help(keys, n, prog, default_file);
            return 1;
        }
        if (streq(argv[i], "--version")) {
            printf("%s %s\n", prog, PACKAGE_VERSION);
            return 1;
        }
        r = next_option(keys, n, argc, argv, &i, &k, &value, reterr);
        if (r < 0)
            return r;
        if (streq(k->key, "config"))
            file = value;
    }
    if (file || access(default_file, F_OK) == 0) {
        r = load_file(keys, n, file ? file : default_file, out, reterr);
        if (r < 0)
            return r;
    }
    for (int i = 1; i < argc; i++) {
        r = next_option(keys, n, argc, argv, &i, &k, &value, reterr);
        if (r == 0 && !streq(k->key, "config"))
            r = set_value(k, value, out, reterr);
        if (r < 0)
            return r;
    }
    return 0;
}

void
conf_release(const struct conf_key *keys, size_t n, void *out)
{
    for (size_t i = 0; i < n; i++)
        if (keys[i].type == CONF_STRING)
            freep((char *)out + keys[i].offset);
}
