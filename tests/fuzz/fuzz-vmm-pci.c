/* fuzz-vmm-pci.c - any access to ports, config space and BARs, with two
 * virtio devices on the bus. */
#include <config.h>

#include "tests/fuzz/fuzz-vmm.h"

#include "hypervisor-backend/vmm/dev_balloon.h"
#include "hypervisor-backend/vmm/dev_rng.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct guest g;
    static struct io_loop *loop;
    struct input in = {data, n};
    struct dev_balloon *balloon;
    struct virtio_pci *second;
    struct dev_rng *rng;

    if (!g.mem)
        guest_new(&g, GUEST_MIB);
    loop = g.loop;
    g.heap = 0x10000;
    g.n_all = 0;
    assert_int_equal(dev_rng_new(g.mem, loop, &rng), 0);
    assert_int_equal(dev_balloon_new(g.mem, loop, true, &balloon), 0);
    guest_plug(&g, dev_rng_virtio(rng), DEV_RNG_CLASS);
    assert_int_equal(virtio_pci_new(g.pci, dev_balloon_virtio(balloon),
                                    DEV_BALLOON_CLASS, NULL, &second),
                     0);
    while (in.n) {
        unsigned op = (unsigned)take(&in, 1), size = 1U << (op >> 6);
        uint64_t value = 0, at;

        switch (op % 8) {
        case 0: /* where is the BAR now? */
            at = pci_dev_bar_base(virtio_pci_dev(op & 8 ? g.t : second), 0);
            if (at != PCI_UNMAPPED &&
                (at < GUEST_WINDOW ||
                 at > GUEST_WINDOW + GUEST_WINDOW_SIZE - VPCI_BAR_SIZE))
                abort();
            if (at != PCI_UNMAPPED)
                g.bar = at;
            break;
        case 1:
        case 2: /* a config register, through the front door */
            value = 0x80000000 | (take(&in, 1) % 4) << 11 | take(&in, 1);
            bus_access(g.bus, BUS_PIO, 0xcf8, 4, true, &value);
            value = take(&in, 4);
            bus_access(g.bus, BUS_PIO, 0xcfc + (op >> 4 & 3), size & 7, op & 8,
                       &value);
            break;
        case 3: /* ports at random */
            at = 0xcf8 + take(&in, 1) % 16;
            value = take(&in, 4);
            bus_access(g.bus, BUS_PIO, at, size & 7, op & 8, &value);
            break;
        case 4: /* common configuration and tables, often */
        case 5:
            at = g.bar + (take(&in, 1) % 6) * 0x1000 + take(&in, 1);
            value = take(&in, 1);
            bus_access(g.bus, BUS_MMIO, at, size, op & 8, &value);
            break;
        case 6:
            at = g.bar + take(&in, 2) % (VPCI_BAR_SIZE + 16);
            value = take(&in, 8);
            bus_access(g.bus, BUS_MMIO, at, size, op & 8, &value);
            break;
        default:
            at = take_address(&in, GUEST_WINDOW);
            value = take(&in, 8);
            bus_access(g.bus, BUS_MMIO, at, size, op & 8, &value);
            break;
        }
    }
    virtio_pci_free(second);
    guest_unplug(&g);
    dev_balloon_free(balloon);
    dev_rng_free(rng);
    return 0;
}
