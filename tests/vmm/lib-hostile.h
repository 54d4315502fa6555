/* tests/vmm/lib-hostile.h - what a guest may do wrong with any device.
 * Role:    each lie is told once, alone: the device must say NEEDS_RESET (or
 *          take no notice, where the specification has it so), another one
 *          must go on meanwhile, and after its reset it must serve again.
 * Errors:  as check(): one line for each lie.
 * Source:  VIRTIO 1.2, sections 2.1, 2.7 and 4.1.4.3. */
#ifndef TESTS_VMM_LIB_HOSTILE_H
#define TESTS_VMM_LIB_HOSTILE_H

#include "tests/vmm/lib-virtio.h"

struct target {
    struct vdev d;
    uint64_t features;    /* beside indirect descriptors */
    unsigned n_queues, q; /* the ring to lie in */
    /* One request that must succeed, on a device that has just started. */
    bool (*good)(struct target *t);
    /* A chain of ring q that the device serves, whatever it answers. */
    struct seg work[3];
    unsigned n_work;
    struct vdev bystander;
    bool (*bystander_good)(struct vdev *d);
};

/* Finds the device and, as the one that goes on, entropy (disk 0 for it). */
bool hostile_begin(struct target *t, unsigned id);
/* Starts with t->features or `features` more. */
bool hostile_start(struct target *t, uint64_t features);
/* The lie was told: the device must fail, alone, and come back. */
void hostile_must_fail(struct target *t, const char *what);
/* The device must take no notice of what was done. */
void hostile_must_serve(struct target *t, const char *what);
/* Offers one chain of these segments and notifies. */
void hostile_send(struct target *t, unsigned q, const struct seg *s,
                  unsigned n);
/* Notifies whether or not the device wants it. */
void hostile_kick(struct target *t, unsigned q);

void hostile_rings(struct target *t);
void hostile_queues(struct target *t);
void hostile_registers(struct target *t);
void hostile_reset(struct target *t);
/* With a second processor: it changes descriptors, lengths, indexes and
 * buffers between any two reads of the device's. */
void hostile_flip(struct target *t);
/* "faults N": how often NEEDS_RESET was seen. */
void hostile_end(struct target *t);

#endif
