/* sim-table.c - hash table and timer heap of the simulated VMs. */
#include <config.h>

#include "hypervisor-backend/sim/sim-table.h"

#include <string.h>

#include "common/mem.h"

void
sim_table_release(struct sim_table *t)
{
    struct sim_vm *vm, *next;

    HASH_ITER(hh, t->vms, vm, next)
    {
        HASH_DEL(t->vms, vm);
        free(vm);
    }
    free(t->heap);
    *t = (struct sim_table){0};
}

struct sim_vm *
sim_table_find(const struct sim_table *t, const char *id)
{
    struct sim_vm *vm;

    HASH_FIND_STR(t->vms, id, vm);
    return vm;
}

struct sim_vm *
sim_table_add(struct sim_table *t, const char *id)
{
    struct sim_vm *vm = xnew(struct sim_vm);

    memcpy(vm->key, id, ID_SIZE);
    HASH_ADD_STR(t->vms, key, vm);
    return vm;
}

void
sim_table_remove(struct sim_table *t, struct sim_vm *vm)
{
    sim_table_set_timer(t, vm, 0);
    HASH_DEL(t->vms, vm);
    free(vm);
}

size_t
sim_table_count(const struct sim_table *t)
{
    return HASH_COUNT(t->vms);
}

static void
place(struct sim_table *t, size_t i, struct sim_vm *vm)
{
    t->heap[i] = vm;
    vm->heap_at = i + 1;
}

static void
sift(struct sim_table *t, size_t i)
{
    struct sim_vm *vm = t->heap[i];

    while (i && t->heap[(i - 1) / 2]->timer_us > vm->timer_us) {
        place(t, i, t->heap[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    for (;;) {
        size_t child = 2 * i + 1;

        if (child >= t->n_heap)
            break;
        if (child + 1 < t->n_heap &&
            t->heap[child + 1]->timer_us < t->heap[child]->timer_us)
            child++;
        if (t->heap[child]->timer_us >= vm->timer_us)
            break;
        place(t, i, t->heap[child]);
        i = child;
    }
    place(t, i, vm);
}

static void
heap_remove(struct sim_table *t, struct sim_vm *vm)
{
    size_t i = vm->heap_at - 1;
    struct sim_vm *last = t->heap[--t->n_heap];

    vm->heap_at = 0;
    if (last == vm)
        return;
    place(t, i, last);
    sift(t, i);
}

void
sim_table_set_timer(struct sim_table *t, struct sim_vm *vm, int64_t at_us)
{
    if (!at_us) {
        if (vm->heap_at)
            heap_remove(t, vm);
        return;
    }
    vm->timer_us = at_us;
    if (!vm->heap_at) {
        if (t->n_heap == t->cap_heap) {
            t->cap_heap = t->cap_heap ? t->cap_heap * 2 : 64;
            t->heap = xrealloc(t->heap, t->cap_heap * sizeof(struct sim_vm *));
        }
        place(t, t->n_heap++, vm);
    }
    sift(t, vm->heap_at - 1);
}

int64_t
sim_table_next_us(const struct sim_table *t)
{
    return t->n_heap ? t->heap[0]->timer_us : INT64_MAX;
}

struct sim_vm *
sim_table_due(const struct sim_table *t, int64_t now_us)
{
    return t->n_heap && t->heap[0]->timer_us <= now_us ? t->heap[0] : NULL;
}
