# The create path: preconditions, quotas, filters, keypairs, batches.
libcontrollerd_a_SOURCES += controllerd/precondition.c

unit_tests += tests/unit/test-controllerd-precondition
tests_unit_test_controllerd_precondition_SOURCES = \
	tests/unit/test-controllerd-precondition.c
tests_unit_test_controllerd_precondition_LDADD = $(CTL_LIBS) $(UNIT_LIBS)

libcontrollerd_a_SOURCES += controllerd/filter.c controllerd/filter.h
unit_tests += tests/unit/test-controllerd-filter
tests_unit_test_controllerd_filter_SOURCES = \
	tests/unit/test-controllerd-filter.c
tests_unit_test_controllerd_filter_LDADD = $(CTL_LIBS) $(UNIT_LIBS)

libcontrollerd_a_SOURCES += controllerd/store/store_keypair.c \
	controllerd/store/store_quota.c controllerd/store/store_seed.c
unit_tests += tests/unit/test-controllerd-store-create
tests_unit_test_controllerd_store_create_SOURCES = \
	tests/unit/test-controllerd-store-create.c
tests_unit_test_controllerd_store_create_LDADD = $(CTL_LIBS) $(UNIT_LIBS)
