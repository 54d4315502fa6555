/* hypervisor-backend/vmm/serial.h - a 16550A serial port.
 * Role:      registers, FIFOs and interrupt for the guest; on the other side
 *            a bounded ring each way for the one thread that moves bytes
 *            between here and descriptors.
 * Ownership: serial_free(); irq is borrowed.
 * Threads:   the bus side from any vCPU, the host side from one thread.
 * Errors:    none. The guest never waits for a slow reader: output beyond the
 *            ring is dropped and counted, as a console must not be able to
 *            stop what it shows.
 * Source:    National Semiconductor PC16550D data sheet. */
#ifndef HYPERVISOR_BACKEND_VMM_SERIAL_H
#define HYPERVISOR_BACKEND_VMM_SERIAL_H

#include <stddef.h>
#include <stdint.h>

#include "hypervisor-backend/vmm/bus.h"
#include "hypervisor-backend/vmm/irq.h"

#define SERIAL_OUT_RING 16384u
#define SERIAL_PORTS 8u

struct serial;

/* wake is called from a vCPU thread, under the port's lock, when output has
 * come into an empty ring or input has made room in a full one. */
struct serial *serial_new(const struct irq *irq, unsigned gsi,
                          void (*wake)(void *arg), void *arg);
void serial_free(struct serial *s);
extern const struct bus_ops serial_bus_ops;

/* Takes up to cap bytes of output out of the ring. */
size_t serial_output(struct serial *s, void *data, size_t cap);
/* Whether any is there. */
bool serial_has_output(struct serial *s);
/* How many bytes serial_input() would take now. */
size_t serial_room(struct serial *s);
/* Bytes for the guest; returns how many were taken. */
size_t serial_input(struct serial *s, const void *data, size_t n);
/* Bytes of output that were dropped. */
uint64_t serial_dropped(struct serial *s);

#endif
