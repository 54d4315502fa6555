/* hostile-rng.c - everything that is wrong with any ring, and with requests
 * for entropy. */
#include "tests/vmm/lib-hostile.h"

void guest_main(void);

static uint8_t *p;

static bool
good(struct target *t)
{
    struct seg s = IN(p, 64);

    memset(p, 0, 64);
    return vq_do(&t->d, &t->d.q[0], &s, 1) == 64;
}

void
guest_main(void)
{
    struct target t = {.n_queues = 1, .good = good};
    struct seg out_only, both[2];

    put("hostile rng begin\n");
    p = alloc(4096, 4096);
    t.work[0] = IN(p, 64);
    t.n_work = 1;
    if (!hostile_begin(&t, VIRTIO_ID_RNG))
        return;
    hostile_registers(&t);
    hostile_queues(&t);
    hostile_rings(&t);
    out_only = OUT(p, 16);
    hostile_send(&t, 0, &out_only, 1);
    hostile_must_fail(&t, "nothing to fill");
    both[0] = OUT(p, 16);
    both[1] = IN(p, 16);
    hostile_send(&t, 0, both, 2);
    hostile_must_fail(&t, "readable beside writable");
    hostile_reset(&t);
    hostile_end(&t);
    put("hostile rng end\n");
}
