# A VM's share of its node, with real virga-vmm processes.
unit_tests += tests/unit/test-hv-vmm-limits
tests_unit_test_hv_vmm_limits_SOURCES = tests/unit/test-hv-vmm-limits.c
tests_unit_test_hv_vmm_limits_CPPFLAGS = \
	$(tests_unit_test_hv_vmm_CPPFLAGS)
tests_unit_test_hv_vmm_limits_LDADD = $(HV_LIBS) $(UNIT_LIBS)
EXTRA_tests_unit_test_hv_vmm_limits_DEPENDENCIES = virga-vmm$(EXEEXT) \
	$(vmm_guests) $(vmm_c_guests)
