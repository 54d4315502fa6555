# hypervisor-backend/ - the drivers that run VMs, behind hv.h
noinst_LIBRARIES += libhv.a
libhv_a_SOURCES = \
	hypervisor-backend/hv.h hypervisor-backend/hv-driver.h \
	hypervisor-backend/hv-private.h \
	hypervisor-backend/hv.c \
	hypervisor-backend/meminfo.c \
	hypervisor-backend/metrics.c \
	hypervisor-backend/spec.c \
	hypervisor-backend/console-log.c \
	hypervisor-backend/probe.c \
	hypervisor-backend/libvirt/libvirt.c \
	hypervisor-backend/libvirt/lv-call.c \
	hypervisor-backend/libvirt/lv-ends.c \
	hypervisor-backend/libvirt/lv-process.c \
	hypervisor-backend/libvirt/lv-root.c \
	hypervisor-backend/libvirt/lv-start.c \
	hypervisor-backend/libvirt/lv-stats.c \
	hypervisor-backend/libvirt/lv-watch.c \
	hypervisor-backend/libvirt/lv-xml.c \
	hypervisor-backend/libvirt/lv-libvirt.h \
	hypervisor-backend/libvirt/lv-private.h \
	hypervisor-backend/sim/sim.c hypervisor-backend/sim/sim-private.h \
	hypervisor-backend/sim/sim-options.c \
	hypervisor-backend/sim/sim-store.c \
	hypervisor-backend/sim/sim-table.c hypervisor-backend/sim/sim-table.h \
	hypervisor-backend/sim/sim-console.c \
	hypervisor-backend/sim/sim-console.h
EXTRA_DIST += hypervisor-backend/sim/README.md \
	hypervisor-backend/libvirt/README.md
HV_LIBS = libhv.a $(API_LIBS) $(LIBVIRT_LIBS)

unit_tests += tests/unit/test-hv-spec
tests_unit_test_hv_spec_SOURCES = tests/unit/test-hv-spec.c
tests_unit_test_hv_spec_LDADD = $(HV_LIBS) $(UNIT_LIBS)
unit_tests += tests/unit/test-hv-probe
tests_unit_test_hv_probe_SOURCES = tests/unit/test-hv-probe.c
tests_unit_test_hv_probe_LDADD = $(HV_LIBS) $(UNIT_LIBS)
unit_tests += tests/unit/test-hv-xml
tests_unit_test_hv_xml_SOURCES = tests/unit/test-hv-xml.c
tests_unit_test_hv_xml_LDADD = $(HV_LIBS) $(UNIT_LIBS)
EXTRA_DIST += tests/data/hv-domain-kernel.xml tests/data/hv-domain-disk.xml \
	tests/data/hv-domain-limits.xml
unit_tests += tests/unit/test-hv-sim
tests_unit_test_hv_sim_SOURCES = tests/unit/test-hv-sim.c
tests_unit_test_hv_sim_LDADD = $(HV_LIBS) $(UNIT_LIBS)
unit_tests += tests/unit/test-hv-libvirt
tests_unit_test_hv_libvirt_SOURCES = tests/unit/test-hv-libvirt.c
tests_unit_test_hv_libvirt_LDADD = $(HV_LIBS) $(UNIT_LIBS)

include $(top_srcdir)/hypervisor-backend/vmm-driver/cgroup.mk
include $(top_srcdir)/hypervisor-backend/vmm/automake.mk
include $(top_srcdir)/hypervisor-backend/vmm-driver/driver.mk
include $(top_srcdir)/hypervisor-backend/usernet/automake.mk
