/* controllerd/traits.h - what nodes' drivers can do, as bits.
 * Role:      pure. Agents report traits as words (hv_cap_name() in
 *            hypervisor-backend/hv.h); the scheduler compares bits. A word
 *            that is not in the table is stored and shown, but asked for by
 *            nobody.
 * Ownership: plain values.   Threads: reentrant.   Errors: none. */
#ifndef CONTROLLERD_TRAITS_H
#define CONTROLLERD_TRAITS_H

#include <stdint.h>

#include "api/resources.h"

/* Of a list of words. A node that tells none says nothing about itself: it is
 * taken to have them all. */
uint64_t traits_of_node(const struct codec_list *words);
/* What a node needs to boot the image. */
uint64_t traits_of_image(const struct api_image *image);
/* What it needs so that an instance can be asked for that. */
enum traits_need { NEED_PAUSE, NEED_CONSOLE, NEED_STATS };
uint64_t traits_of_need(enum traits_need need);
/* A node that lacks one of these, for people and behind a count: "without
 * firmware to boot a disk (disk-boot)". */
const char *traits_lacking(uint64_t traits);

#endif
