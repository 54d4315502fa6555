# tests/ - unit tests (cmocka), integration tests (TAP), fuzz replays.
# A folder's own automake.mk appends to unit_tests, integ_tests, fuzz_targets.
TESTS += $(unit_tests) $(integ_tests)
if HAVE_CMOCKA
check_PROGRAMS += $(unit_tests)
endif
UNIT_LIBS = $(CMOCKA_LIBS)

unit_tests += tests/unit/test-common-basics
tests_unit_test_common_basics_SOURCES = tests/unit/test-common-basics.c
tests_unit_test_common_basics_LDADD = $(COMMON_LIBS) $(UNIT_LIBS)
