/* hypervisor-backend/sim/sim-table.h - the simulated VMs, by id and by when
 * they end.
 * Role:    a hash table and a binary heap over the same VMs.
 * Threads: used under the driver's lock. */
#ifndef HYPERVISOR_BACKEND_SIM_TABLE_H
#define HYPERVISOR_BACKEND_SIM_TABLE_H

#include <uthash.h>

#include "hypervisor-backend/sim/sim-private.h"

struct sim_conn;

struct sim_vm {
    struct sim_record rec;
    bool starting;          /* the record is not valid yet */
    size_t heap_at;         /* place in the heap plus one; 0: not in it */
    int64_t timer_us;       /* the heap's key */
    struct sim_conn *conns; /* see sim-console.c */
    char key[ID_SIZE];
    UT_hash_handle hh;
};

struct sim_table {
    struct sim_vm *vms;
    struct sim_vm **heap;
    size_t n_heap, cap_heap;
};

void sim_table_release(struct sim_table *t);
struct sim_vm *sim_table_find(const struct sim_table *t, const char *id);
struct sim_vm *sim_table_add(struct sim_table *t, const char *id);
/* Frees the VM. */
void sim_table_remove(struct sim_table *t, struct sim_vm *vm);
size_t sim_table_count(const struct sim_table *t);

/* at_us 0 takes the VM out of the heap. */
void sim_table_set_timer(struct sim_table *t, struct sim_vm *vm, int64_t at_us);
/* The time of the first; INT64_MAX when there is none. */
int64_t sim_table_next_us(const struct sim_table *t);
/* A VM whose time has come, or NULL. It stays in the heap. */
struct sim_vm *sim_table_due(const struct sim_table *t, int64_t now_us);

#endif
