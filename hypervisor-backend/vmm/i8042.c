/* i8042.c - the keyboard controller's reset line; see i8042.h. */
#include <config.h>

#include "hypervisor-backend/vmm/i8042.h"

#include "hypervisor-backend/vmm/end.h"
#include "hypervisor-backend/vmm/platform.h"

static uint64_t
i8042_read(void *dev, uint64_t offset, unsigned size)
{
    return 0; /* both buffers are empty */
}

static void
i8042_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    if (value == PLATFORM_I8042_RESET)
        end_tell(dev, VM_END_RESET);
}

const struct bus_ops i8042_bus_ops = {.name = "i8042",
                                      .read = i8042_read,
                                      .write = i8042_write,
                                      .min_size = 1,
                                      .max_size = 1};
