# metering/ - usage intervals and their sums, pure
noinst_LIBRARIES += libmeter.a
libmeter_a_SOURCES = \
	metering/interval.c metering/interval.h \
	metering/usage.c metering/usage.h
METER_LIBS = libmeter.a $(COMMON_LIBS)

unit_tests += tests/unit/test-metering-usage
tests_unit_test_metering_usage_SOURCES = tests/unit/test-metering-usage.c
tests_unit_test_metering_usage_LDADD = $(METER_LIBS) $(UNIT_LIBS)

unit_tests += tests/unit/test-metering-interval
tests_unit_test_metering_interval_SOURCES = tests/unit/test-metering-interval.c
tests_unit_test_metering_interval_LDADD = $(METER_LIBS) $(UNIT_LIBS)
