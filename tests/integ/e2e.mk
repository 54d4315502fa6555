# Instances with the driver vmm: from end to end in a test host, and many.
vmm_e2e_tests = tests/integ/79-vmm-e2e.t tests/integ/80-vmm-many.t
integ_tests += $(vmm_e2e_tests)
EXTRA_DIST += $(vmm_e2e_tests) tests/integ/e2e.sh tests/integ/e2e-vmm.sh \
	tests/vmm/e2e-init

check_PROGRAMS += tests/vmm/many
tests_vmm_many_SOURCES = tests/vmm/many.c
tests_vmm_many_LDADD = $(HV_LIBS)

unit_tests += tests/unit/test-hv-vmm-spawn
tests_unit_test_hv_vmm_spawn_SOURCES = tests/unit/test-hv-vmm-spawn.c
tests_unit_test_hv_vmm_spawn_LDADD = $(HV_LIBS) $(UNIT_LIBS)
