# Hostile guests: whole machines, and fuzz targets; see TESTS.md.
unit_tests += tests/unit/test-vmm-hostile
tests_unit_test_vmm_hostile_SOURCES = tests/unit/test-vmm-hostile.c
tests_unit_test_vmm_hostile_CPPFLAGS = $(AM_CPPFLAGS) \
	-DGUEST_DIR='"$(abs_top_builddir)/tests/vmm"'
tests_unit_test_vmm_hostile_LDADD = $(VMMDEV_LIBS) $(UNIT_LIBS)

fuzz_targets += tests/fuzz/fuzz-vmm-balloon tests/fuzz/fuzz-vmm-common \
	tests/fuzz/fuzz-vmm-rng
tests_fuzz_fuzz_vmm_balloon_SOURCES = tests/fuzz/fuzz-vmm-balloon.c $(VMM_FUZZ)
tests_fuzz_fuzz_vmm_balloon_LDFLAGS = $(VMM_FUZZ_LINK)
tests_fuzz_fuzz_vmm_balloon_LDADD = $(VMM_FUZZ_LIBS)
tests_fuzz_fuzz_vmm_common_SOURCES = tests/fuzz/fuzz-vmm-common.c $(VMM_FUZZ)
tests_fuzz_fuzz_vmm_common_LDFLAGS = $(VMM_FUZZ_LINK)
tests_fuzz_fuzz_vmm_common_LDADD = $(VMM_FUZZ_LIBS)
tests_fuzz_fuzz_vmm_rng_SOURCES = tests/fuzz/fuzz-vmm-rng.c $(VMM_FUZZ)
tests_fuzz_fuzz_vmm_rng_LDFLAGS = $(VMM_FUZZ_LINK)
tests_fuzz_fuzz_vmm_rng_LDADD = $(VMM_FUZZ_LIBS)

hostile_integ = tests/integ/78-vmm-devices.t
integ_tests += $(hostile_integ)
EXTRA_DIST += $(hostile_integ) tests/vmm/stream-echo hypervisor-backend/vmm/TESTS.md
