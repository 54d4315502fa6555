# Placement, beside its model.
fuzz_names += sched
fuzz_targets += tests/fuzz/fuzz-sched
tests_fuzz_fuzz_sched_SOURCES = tests/fuzz/fuzz-sched.c \
	$(sched_model_sources) $(fuzz_main)
tests_fuzz_fuzz_sched_LDADD = $(SCHED_LIBS)
tests_fuzz_fuzz_sched_LDFLAGS = $(fuzz_ldflags)
