/* hypervisor-backend/vmm/rtc.h - CMOS clock and memory (MC146818).
 * Role:      the wall clock (UTC) to be read, and 114 bytes of memory for the
 *            guest's own use. No alarm and no periodic interrupt.
 * Ownership: rtc_free().   Threads: any.   Errors: none. */
#ifndef HYPERVISOR_BACKEND_VMM_RTC_H
#define HYPERVISOR_BACKEND_VMM_RTC_H

#include <stdint.h>

#include "hypervisor-backend/vmm/bus.h"

#define RTC_PORTS 2u

struct rtc;

/* now_us: the time to show; NULL is the host's. */
struct rtc *rtc_new(int64_t (*now_us)(void));
void rtc_free(struct rtc *r);
extern const struct bus_ops rtc_bus_ops;

#endif
