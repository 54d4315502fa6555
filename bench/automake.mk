# bench/ - benchmarks; `make bench` builds and runs them all (JSON lines)
EXTRA_PROGRAMS += bench/bench-api
bench_programs += bench/bench-api
bench_bench_api_SOURCES = bench/bench-api.c
bench_bench_api_LDADD = $(COMMON_LIBS)
dist_noinst_SCRIPTS += bench/api.sh
EXTRA_DIST += bench/RESULTS.md

# virga-vmm beside QEMU: bare-metal guests by the rule of the tests' own
bench_guests = bench/guests/first.elf bench/guests/exits.elf
$(bench_guests): tests/vmm/guest.inc tests/vmm/guest.ld
bench/first-run.so: bench/first-run.c
	$(AM_V_CC)$(MKDIR_P) $(@D) && $(CC) -O2 -Wall -D_GNU_SOURCE -shared -fPIC -o $@ $<
bench/guests/load: bench/guests/load.c
	$(AM_V_CC)$(MKDIR_P) $(@D) && $(CC) -O2 -Wall -D_GNU_SOURCE -static $(LIBURING_CFLAGS) \
		-o $@ $< -luring
bench/guests/vmm-watch: bench/guests/vmm-watch.c
	$(AM_V_CC)$(MKDIR_P) $(@D) && $(CC) -O2 -Wall -D_GNU_SOURCE -static -o $@ $<
dist_noinst_SCRIPTS += bench/vmm.py bench/vmm-host.sh
EXTRA_DIST += bench/guests/load.c bench/guests/vmm-watch.c \
	bench/guests/guest-init bench/guests/host-init
CLEANFILES += bench/guests/load bench/guests/vmm-watch
bench_programs += bench/guests/load bench/guests/vmm-watch tests/vmm/vmlinux
EXTRA_DIST += bench/first-run.c $(bench_guests:.elf=.S)
CLEANFILES += $(bench_guests) bench/first-run.so
bench_programs += $(bench_guests) bench/first-run.so

.PHONY: bench
bench: $(bench_programs) all
	$(srcdir)/bench/api.sh
	$(srcdir)/bench/fleet.sh
	bench/bench-scheduler
	bench/bench-trace
	$(srcdir)/bench/vmm.py
	$(srcdir)/bench/vmm-host.sh

include $(top_srcdir)/bench/fleet.mk
include $(top_srcdir)/bench/trace/trace.mk
