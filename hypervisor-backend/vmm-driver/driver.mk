# The driver over the embedded VMM.
libhv_a_SOURCES += \
	hypervisor-backend/vmm-driver/vd.c \
	hypervisor-backend/vmm-driver/vd-adopt.c \
	hypervisor-backend/vmm-driver/vd-ctl.c \
	hypervisor-backend/vmm-driver/vd-metrics.c \
	hypervisor-backend/vmm-driver/vd-programs.c \
	hypervisor-backend/vmm-driver/vd-record.c \
	hypervisor-backend/vmm-driver/vd-spawn.c \
	hypervisor-backend/vmm-driver/vd-start.c \
	hypervisor-backend/vmm-driver/vd-stats.c \
	hypervisor-backend/vmm-driver/vd-stats.h \
	hypervisor-backend/vmm-driver/vd-watch.c \
	hypervisor-backend/vmm-driver/vd-private.h
EXTRA_DIST += hypervisor-backend/vmm-driver/README.md

# Starts real virga-vmm processes with the guests of tests/vmm.
unit_tests += tests/unit/test-hv-vmm
tests_unit_test_hv_vmm_SOURCES = tests/unit/test-hv-vmm.c
tests_unit_test_hv_vmm_CPPFLAGS = $(AM_CPPFLAGS) \
	-DGUEST_DIR='"$(abs_top_builddir)/tests/vmm"' \
	-DUSERNET_BINARY='"$(abs_top_builddir)/virga-usernet"' \
	-DVMM_BINARY='"$(abs_top_builddir)/virga-vmm"'
tests_unit_test_hv_vmm_LDADD = $(HV_LIBS) $(UNIT_LIBS)
EXTRA_tests_unit_test_hv_vmm_DEPENDENCIES = virga-vmm$(EXEEXT) $(vmm_guests)

vmm_driver_integ = tests/integ/74-vmm-agent.t
integ_tests += $(vmm_driver_integ)
EXTRA_DIST += $(vmm_driver_integ)

vmm_guests += tests/vmm/talk.elf
tests/vmm/talk.elf: tests/vmm/guest.inc tests/vmm/guest.ld
