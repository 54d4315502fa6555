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

libcontrollerd_a_SOURCES += controllerd/quota.c controllerd/quota.h

libcontrollerd_a_SOURCES += controllerd/create.c controllerd/create.h \
	controllerd/h_create.c controllerd/h_dry_run.c \
	controllerd/h_keypairs.c controllerd/h_quota.c \
	controllerd/price.c controllerd/price.h \
	controllerd/sshkey.c controllerd/sshkey.h

unit_tests += tests/unit/test-controllerd-price
tests_unit_test_controllerd_price_SOURCES = tests/unit/test-controllerd-price.c
tests_unit_test_controllerd_price_LDADD = $(CTL_LIBS) $(UNIT_LIBS)
unit_tests += tests/unit/test-controllerd-quota
tests_unit_test_controllerd_quota_SOURCES = tests/unit/test-controllerd-quota.c
tests_unit_test_controllerd_quota_LDADD = $(CTL_LIBS) $(UNIT_LIBS)
unit_tests += tests/unit/test-controllerd-sshkey
tests_unit_test_controllerd_sshkey_SOURCES = \
	tests/unit/test-controllerd-sshkey.c
tests_unit_test_controllerd_sshkey_LDADD = $(CTL_LIBS) $(UNIT_LIBS)
EXTRA_DIST += tests/data/ssh-keys.txt
unit_tests += tests/unit/test-api-codec-labels
tests_unit_test_api_codec_labels_SOURCES = tests/unit/test-api-codec-labels.c
tests_unit_test_api_codec_labels_LDADD = $(API_LIBS) $(UNIT_LIBS)
