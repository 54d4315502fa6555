# What nodes' drivers can do, for placement.
libcontrollerd_a_SOURCES += controllerd/traits.c controllerd/traits.h
unit_tests += tests/unit/test-controllerd-traits
tests_unit_test_controllerd_traits_SOURCES = \
	tests/unit/test-controllerd-traits.c
tests_unit_test_controllerd_traits_LDADD = $(CTL_LIBS) $(UNIT_LIBS)
