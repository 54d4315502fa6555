/* hypervisor-backend/vmm/end.h - the ways in which a guest's run ends.
 * Role: devices that end a run tell a sink; the first to tell is believed. */
#ifndef HYPERVISOR_BACKEND_VMM_END_H
#define HYPERVISOR_BACKEND_VMM_END_H

enum vm_end {
    VM_END_NONE,         /* it runs, or has not begun */
    VM_END_POWEROFF,     /* ACPI S5 */
    VM_END_RESET,        /* keyboard controller, reset control register */
    VM_END_TRIPLE_FAULT, /* the processor shut down */
    VM_END_PANIC,        /* the guest's kernel said so (pvpanic) */
    VM_END_STOPPED,      /* from outside */
    VM_END_ERROR,        /* KVM cannot go on; the log says why */
};

struct end_sink {
    void (*tell)(void *arg, enum vm_end end);
    void *arg;
};

static inline void
end_tell(const struct end_sink *s, enum vm_end end)
{
    s->tell(s->arg, end);
}

#endif
