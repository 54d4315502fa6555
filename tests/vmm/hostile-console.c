/* hostile-console.c - everything that is wrong with any ring, and with the
 * console's buffers. What is printed must arrive: the peer counts "."s. */
#include "tests/vmm/lib-hostile.h"

#define RX 0
#define TX 1

void guest_main(void);

static char *text;
static unsigned sent;

static bool
good(struct target *t)
{
    struct seg s = OUT(text, 1);

    text[0] = '.';
    vq_do(&t->d, &t->d.q[TX], &s, 1);
    sent++;
    return true;
}

void
guest_main(void)
{
    struct target t = {.n_queues = 2, .q = TX, .good = good};
    struct seg s;

    put("hostile console begin\n");
    text = alloc(4096, 4096);
    t.work[0] = OUT(text + 1, 16);
    t.n_work = 1;
    if (!hostile_begin(&t, VIRTIO_ID_CONSOLE))
        return;
    hostile_registers(&t);
    hostile_queues(&t);
    hostile_rings(&t);
    s = IN(text, 16);
    hostile_send(&t, TX, &s, 1);
    hostile_must_fail(&t, "output that is writable");
    t.q = RX;
    t.work[0] = IN(text + 64, 16);
    hostile_queues(&t);
    hostile_reset(&t);
    hostile_end(&t);
    put("sent ");
    put_number(sent);
    put("\nhostile console end\n");
}
