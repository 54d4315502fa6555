# Control groups and jail directories of VMs.
libhv_a_SOURCES += \
	hypervisor-backend/vmm-driver/cgroup.c \
	hypervisor-backend/vmm-driver/cgroup.h \
	hypervisor-backend/vmm-driver/cgroup-private.h \
	hypervisor-backend/vmm-driver/cgroup_end.c \
	hypervisor-backend/vmm-driver/cgroup_file.c \
	hypervisor-backend/vmm-driver/cgroup_limits.c \
	hypervisor-backend/vmm-driver/jaildir.c \
	hypervisor-backend/vmm-driver/jaildir.h

unit_tests += tests/unit/test-hv-cgroup
tests_unit_test_hv_cgroup_SOURCES = tests/unit/test-hv-cgroup.c
tests_unit_test_hv_cgroup_LDADD = $(HV_LIBS) $(UNIT_LIBS)
unit_tests += tests/unit/test-hv-jaildir
tests_unit_test_hv_jaildir_SOURCES = tests/unit/test-hv-jaildir.c
tests_unit_test_hv_jaildir_LDADD = $(HV_LIBS) $(UNIT_LIBS)
