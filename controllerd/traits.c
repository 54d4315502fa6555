/* traits.c - what nodes' drivers can do, as bits; see traits.h. */
#include <config.h>

#include "controllerd/traits.h"

#include <string.h>

#include "common/mem.h"

enum {
    TRAIT_KERNEL_BOOT,
    TRAIT_DISK_BOOT,
    TRAIT_PAUSE,
    TRAIT_CONSOLE,
    TRAIT_STATS,
};

static const struct {
    const char *word, *lacking;
} known[] = {
    [TRAIT_KERNEL_BOOT] = {"kernel-boot", "that cannot boot a kernel directly "
                                          "(kernel-boot)"},
    [TRAIT_DISK_BOOT] = {"disk-boot",
                         "without firmware to boot a disk (disk-boot)"},
    [TRAIT_PAUSE] = {"pause", "that cannot halt a guest (pause)"},
    [TRAIT_CONSOLE] = {"console", "without consoles (console)"},
    [TRAIT_STATS] = {"stats", "that counts nothing (stats)"},
};

static uint64_t
bit(unsigned trait)
{
    return UINT64_C(1) << trait;
}

uint64_t
traits_of_node(const struct codec_list *words)
{
    uint64_t mask = 0;

    if (!words->n)
        return UINT64_MAX;
    for (size_t i = 0; i < words->n; i++)
        for (unsigned t = 0; t < ARRAY_SIZE(known); t++)
            if (streq(((char **)words->items)[i], known[t].word))
                mask |= bit(t);
    return mask;
}

uint64_t
traits_of_image(const struct api_image *image)
{
    const struct api_image_part *p = image->parts.items;

    /* A kernel is booted directly, whatever else there is. */
    for (size_t i = 0; i < image->parts.n; i++)
        if (p[i].name == PART_KERNEL)
            return bit(TRAIT_KERNEL_BOOT);
    return bit(TRAIT_DISK_BOOT);
}

uint64_t
traits_of_need(enum traits_need need)
{
    static const unsigned bits[] = {[NEED_PAUSE] = TRAIT_PAUSE,
                                    [NEED_CONSOLE] = TRAIT_CONSOLE,
                                    [NEED_STATS] = TRAIT_STATS};

    return bit(bits[need]);
}

const char *
traits_lacking(uint64_t traits)
{
    for (unsigned t = 0; t < ARRAY_SIZE(known); t++)
        if (traits & bit(t))
            return known[t].lacking;
    return NULL;
}
