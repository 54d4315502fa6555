# hypervisor-backend/ - the drivers that run VMs, behind hv.h
noinst_LIBRARIES += libhv.a
libhv_a_SOURCES = \
	hypervisor-backend/hv.h hypervisor-backend/hv-driver.h \
	hypervisor-backend/hv-private.h \
	hypervisor-backend/hv.c \
	hypervisor-backend/spec.c \
	hypervisor-backend/console-log.c \
	hypervisor-backend/probe.c \
	hypervisor-backend/libvirt/libvirt.c \
	hypervisor-backend/libvirt/lv-call.c \
	hypervisor-backend/libvirt/lv-ends.c \
	hypervisor-backend/libvirt/lv-process.c \
	hypervisor-backend/libvirt/lv-root.c \
	hypervisor-backend/libvirt/lv-stats.c \
	hypervisor-backend/libvirt/lv-xml.c \
	hypervisor-backend/libvirt/lv-libvirt.h \
	hypervisor-backend/libvirt/lv-private.h \
	hypervisor-backend/sim/sim.c hypervisor-backend/sim/sim-private.h \
	hypervisor-backend/sim/sim-options.c \
	hypervisor-backend/sim/sim-store.c \
	hypervisor-backend/sim/sim-table.c hypervisor-backend/sim/sim-table.h \
	hypervisor-backend/sim/sim-console.c \
	hypervisor-backend/sim/sim-console.h
EXTRA_DIST += hypervisor-backend/sim/README.md
HV_LIBS = libhv.a $(COMMON_LIBS) $(LIBVIRT_LIBS)
