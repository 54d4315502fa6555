/* hostile-flip.c - a second processor changes rings and requests while devices
 * read them: the first letter of the command line says whose. */
#include "tests/vmm/lib-hostile.h"

#include <linux/virtio_blk.h>

void guest_main(void);

static struct virtio_blk_outhdr *h;
static uint8_t *data;

static bool
good_blk(struct target *t)
{
    volatile uint8_t *status = data + 600;
    struct seg s[] = {OUT(h, sizeof(*h)), IN(data, 512), IN(status, 1)};

    *h = (struct virtio_blk_outhdr){.type = VIRTIO_BLK_T_IN};
    *status = 0xff;
    vq_do(&t->d, &t->d.q[0], s, 3);
    return *status == VIRTIO_BLK_S_OK;
}

static bool
good_rng(struct target *t)
{
    struct seg s = IN(data, 64);

    return vq_do(&t->d, &t->d.q[0], &s, 1) == 64;
}

void
guest_main(void)
{
    bool blk = cmdline()[0] == 'b';
    struct target t = {.n_queues = 1, .good = blk ? good_blk : good_rng};

    put("hostile flip begin\n");
    h = alloc(sizeof(*h), 16);
    data = alloc(4096, 4096);
    t.work[0] = blk ? OUT(h, sizeof(*h)) : IN(data, 64);
    t.work[1] = IN(data, 512);
    t.work[2] = IN(data + 600, 1);
    t.n_work = blk ? 3 : 1;
    if (!hostile_begin(&t, blk ? VIRTIO_ID_BLOCK : VIRTIO_ID_RNG))
        return;
    hostile_flip(&t);
    put("seen "); /* there may have been more: a reset hides them */
    put_number(t.d.faults);
    put("\nhostile flip end\n");
}
