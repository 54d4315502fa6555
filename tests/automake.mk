# tests/ - unit tests (cmocka), integration tests (TAP), fuzz replays.
# A folder's own automake.mk appends to unit_tests, integ_tests, fuzz_targets.
TESTS += $(unit_tests) $(integ_tests) $(fuzz_targets)
check_PROGRAMS += $(fuzz_targets)
if HAVE_CMOCKA
check_PROGRAMS += $(unit_tests)
endif
UNIT_LIBS = $(CMOCKA_LIBS)

unit_tests += tests/unit/test-common-basics
tests_unit_test_common_basics_SOURCES = tests/unit/test-common-basics.c
tests_unit_test_common_basics_LDADD = $(COMMON_LIBS) $(UNIT_LIBS)

unit_tests += tests/unit/test-common-conf
tests_unit_test_common_conf_SOURCES = tests/unit/test-common-conf.c
tests_unit_test_common_conf_LDADD = $(COMMON_LIBS) $(UNIT_LIBS)
unit_tests += tests/unit/test-common-db
tests_unit_test_common_db_SOURCES = tests/unit/test-common-db.c
tests_unit_test_common_db_LDADD = $(COMMON_LIBS) $(UNIT_LIBS)
unit_tests += tests/unit/test-common-db-writer
tests_unit_test_common_db_writer_SOURCES = tests/unit/test-common-db-writer.c
tests_unit_test_common_db_writer_LDADD = $(COMMON_LIBS) $(UNIT_LIBS)
unit_tests += tests/unit/test-common-httpc
tests_unit_test_common_httpc_SOURCES = tests/unit/test-common-httpc.c
tests_unit_test_common_httpc_LDADD = $(API_LIBS) $(UNIT_LIBS)
unit_tests += tests/unit/test-common-pki
tests_unit_test_common_pki_SOURCES = tests/unit/test-common-pki.c
tests_unit_test_common_pki_LDADD = $(COMMON_LIBS) $(UNIT_LIBS)

unit_tests += tests/unit/test-api-codec
tests_unit_test_api_codec_SOURCES = tests/unit/test-api-codec.c
tests_unit_test_api_codec_LDADD = $(API_LIBS) $(UNIT_LIBS)
unit_tests += tests/unit/test-api-codec-out
tests_unit_test_api_codec_out_SOURCES = tests/unit/test-api-codec-out.c
tests_unit_test_api_codec_out_LDADD = $(API_LIBS) $(UNIT_LIBS)
unit_tests += tests/unit/test-api-routes
tests_unit_test_api_routes_SOURCES = tests/unit/test-api-routes.c
tests_unit_test_api_routes_LDADD = $(API_LIBS) $(UNIT_LIBS)
unit_tests += tests/unit/test-api-ws
tests_unit_test_api_ws_SOURCES = tests/unit/test-api-ws.c
tests_unit_test_api_ws_LDADD = $(API_LIBS) $(UNIT_LIBS)

unit_tests += tests/unit/test-controllerd-handlers
tests_unit_test_controllerd_handlers_SOURCES = \
	tests/unit/test-controllerd-handlers.c
tests_unit_test_controllerd_handlers_LDADD = $(CTL_LIBS) $(UNIT_LIBS)
unit_tests += tests/unit/test-controllerd-image-check
tests_unit_test_controllerd_image_check_SOURCES = \
	tests/unit/test-controllerd-image-check.c
tests_unit_test_controllerd_image_check_LDADD = $(CTL_LIBS) $(UNIT_LIBS)
unit_tests += tests/unit/test-controllerd-observe
tests_unit_test_controllerd_observe_SOURCES = \
	tests/unit/test-controllerd-observe.c
tests_unit_test_controllerd_observe_LDADD = $(CTL_LIBS) $(UNIT_LIBS)
unit_tests += tests/unit/test-controllerd-store
tests_unit_test_controllerd_store_SOURCES = tests/unit/test-controllerd-store.c
tests_unit_test_controllerd_store_LDADD = $(CTL_LIBS) $(UNIT_LIBS)
unit_tests += tests/unit/test-controllerd-store-rows
tests_unit_test_controllerd_store_rows_SOURCES = \
	tests/unit/test-controllerd-store-rows.c
tests_unit_test_controllerd_store_rows_LDADD = $(CTL_LIBS) $(UNIT_LIBS)
EXTRA_DIST += tests/data/controller-schema.sql tests/unit/store-fixture.h

include $(top_srcdir)/tests/fuzz/fuzz.mk
include $(top_srcdir)/tests/model/model.mk
include $(top_srcdir)/tests/unit/scale.mk
include $(top_srcdir)/tests/unit/figures.mk
include $(top_srcdir)/tests/targets.mk

