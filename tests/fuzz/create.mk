# Parsers of the create path.
fuzz_names += filter
fuzz_targets += tests/fuzz/fuzz-filter
tests_fuzz_fuzz_filter_SOURCES = tests/fuzz/fuzz-filter.c $(fuzz_main)
tests_fuzz_fuzz_filter_LDADD = $(CTL_LIBS)
tests_fuzz_fuzz_filter_LDFLAGS = $(fuzz_ldflags)
fuzz_names += sshkey
fuzz_targets += tests/fuzz/fuzz-sshkey
tests_fuzz_fuzz_sshkey_SOURCES = tests/fuzz/fuzz-sshkey.c $(fuzz_main)
tests_fuzz_fuzz_sshkey_LDADD = $(CTL_LIBS)
tests_fuzz_fuzz_sshkey_LDFLAGS = $(fuzz_ldflags)
