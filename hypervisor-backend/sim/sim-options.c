/* sim-options.c - "key=value,…" for the simulated hypervisor; README.md says
 * what each key does. An unknown key is an error: a fault test with a
 * misspelt fault would otherwise pass for the wrong reason. */
#include <config.h>

#include <string.h>

#include "common/mem.h"
#include "hypervisor-backend/sim/sim-private.h"

static const struct key {
    const char *name;
    size_t offset;
    uint64_t min, max, fallback;
} keys[] = {
#define K(name, min, max, fallback)                                            \
    {                                                                          \
#name, offsetof(struct sim_options, name), min, max, fallback          \
    }
    K(cpus, 1, 1u << 20, 64),
    K(memory_mib, 1, UINT64_C(1) << 34, 256 << 10),
    K(disk_mib, 1, UINT64_C(1) << 40, 4 << 20),
    K(start_delay_ms, 0, 600000, 0),
    K(stop_delay_ms, 0, 600000, 0),
    K(start_fail_permille, 0, 1000, 0),
    K(pause_delay_ms, 0, 600000, 0),
    K(pause_fail_permille, 0, 1000, 0),
    K(ignore_acpi_permille, 0, 1000, 0),
    K(guest_exit_after_ms, 0, UINT64_C(86400000) * 365, 0),
    K(guest_crash_after_ms, 0, UINT64_C(86400000) * 365, 0),
    K(guest_crash_permille, 0, 1000, 1000),
    K(kernel_boot, 0, 1, 1),
    K(disk_boot, 0, 1, 1),
    K(pause, 0, 1, 1),
    K(seed, 0, UINT64_MAX, 1),
#undef K
};

static uint64_t *
slot(struct sim_options *o, const struct key *k)
{
    return (uint64_t *)((char *)o + k->offset);
}

static int
parse_number(const char *s, uint64_t *ret)
{
    char *end;

    if (*s < '0' || *s > '9') /* strtoull takes signs and spaces */
        return -EINVAL;
    errno = 0;
    *ret = strtoull(s, &end, 10);
    return errno || *end ? -EINVAL : 0;
}

static int
parse_one(char *item, struct sim_options *o, struct err *reterr)
{
    char *eq = strchr(item, '=');
    uint64_t v;

    if (!eq)
        return err_field(reterr, "/sim_options", "format",
                         "\"%s\" is not key=value", item);
    *eq = '\0';
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        const struct key *k = &keys[i];

        if (!streq(k->name, item))
            continue;
        if (parse_number(eq + 1, &v) < 0 || v < k->min || v > k->max)
            return err_field(reterr, "/sim_options", "range",
                             "%s must be a whole number %llu..%llu, not "
                             "\"%s\"",
                             item, (unsigned long long)k->min,
                             (unsigned long long)k->max, eq + 1);
        *slot(o, k) = v;
        return 0;
    }
    return err_field(reterr, "/sim_options", "unknown",
                     "there is no option \"%s\"", item);
}

int
sim_options_parse(const char *text, struct sim_options *ret, struct err *reterr)
{
    char *copy _cleanup_(freep) = xstrdup(text ? text : "");
    struct sim_options o = {0};
    char *rest = copy, *item;

    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        *slot(&o, &keys[i]) = keys[i].fallback;
    while (*copy && (item = strsep(&rest, ","))) {
        int r = parse_one(item, &o, reterr);

        if (r < 0)
            return r;
    }
    *ret = o;
    return 0;
}
