# Parsers of the create path.
fuzz_names += filter
fuzz_targets += tests/fuzz/fuzz-filter
tests_fuzz_fuzz_filter_SOURCES = tests/fuzz/fuzz-filter.c $(fuzz_main)
tests_fuzz_fuzz_filter_LDADD = $(CTL_LIBS)
tests_fuzz_fuzz_filter_LDFLAGS = $(fuzz_ldflags)
