/* hypervisor-backend/sim/sim-console.h - serial consoles that echo.
 * Role:    the far ends of the sockets that console_open hands out, served by
 *          the driver's one thread through its epoll set.
 * Threads: used under the driver's lock. */
#ifndef HYPERVISOR_BACKEND_SIM_CONSOLE_H
#define HYPERVISOR_BACKEND_SIM_CONSOLE_H

#include <stdint.h>

struct sim_console;
struct sim_vm;

struct sim_console *sim_console_new(int epoll_fd);
void sim_console_free(struct sim_console *c);
int sim_console_attach(struct sim_console *c, struct sim_vm *vm, int *ret_fd);
/* The VM ended: its streams see the end of file. */
void sim_console_detach(struct sim_console *c, struct sim_vm *vm);
/* ptr is the epoll data of one of our sockets. */
void sim_console_serve(struct sim_console *c, void *ptr, uint32_t events);

#endif
