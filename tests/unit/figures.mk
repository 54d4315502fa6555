# What monitoring sees.
unit_tests += tests/unit/test-common-metrics
tests_unit_test_common_metrics_SOURCES = tests/unit/test-common-metrics.c
tests_unit_test_common_metrics_LDADD = $(COMMON_LIBS) $(UNIT_LIBS)
