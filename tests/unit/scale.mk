# What bears thousands of nodes: checkpoints, limits of addresses, long polls
unit_tests += tests/unit/test-common-db-checkpoint
tests_unit_test_common_db_checkpoint_SOURCES = \
	tests/unit/test-common-db-checkpoint.c
tests_unit_test_common_db_checkpoint_LDADD = $(COMMON_LIBS) $(UNIT_LIBS)
unit_tests += tests/unit/test-api-http-limit
tests_unit_test_api_http_limit_SOURCES = tests/unit/test-api-http-limit.c
tests_unit_test_api_http_limit_LDADD = $(API_LIBS) $(UNIT_LIBS)
unit_tests += tests/unit/test-api-http-loop
tests_unit_test_api_http_loop_SOURCES = tests/unit/test-api-http-loop.c
tests_unit_test_api_http_loop_LDADD = $(API_LIBS) $(UNIT_LIBS)
unit_tests += tests/unit/test-controllerd-waiters
tests_unit_test_controllerd_waiters_SOURCES = \
	tests/unit/test-controllerd-waiters.c
tests_unit_test_controllerd_waiters_LDADD = $(CTL_LIBS) $(UNIT_LIBS)
tests_unit_test_controllerd_waiters_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=http_query,--wrap=http_suspend,--wrap=http_resume
