# tests/targets.mk - whole test runs in build folders of their own, inside the
# present one: sanitizers, libFuzzer, coverage; and static analysis.
#   make check-asan check-tsan [SAN_TESTS=…]   unit tests, fuzz replays, and
#        the VMM's guests; SAN_INTEG=1 adds the other integration tests
#   make fuzz [FUZZ_SECONDS=10] [FUZZ_NAMES="ws codec"]
#   make coverage     lines that the unit tests and fuzz replays run
#   make analyze      clang-tidy over our sources
dist_check_SCRIPTS += tests/check-schemas
TESTS += tests/check-schemas
dist_noinst_SCRIPTS += tests/run-fuzz tests/coverage tests/analyze
EXTRA_DIST += tests/analyze.h tests/analyze.supp

FUZZ_SECONDS = 10
FUZZ_NAMES = $(fuzz_names)
SAN_INTEG = 0
# The VMM's own are quick (a minute with each sanitizer), and what they run has
# to stand hostile guests and clients.
san_integ = tests/integ/71-vmm-run.t tests/integ/72-vmm-control.t \
	tests/integ/78-vmm-devices.t
# The model tests' calls come one at a time, and their gate in the writer's queue
# is not fit for the thread sanitizer yet: it runs without them.
SAN_TESTS = $(unit_tests) $$more $(fuzz_targets) `test $(SAN_INTEG) = 0 && \
	echo $(san_integ) || echo $(integ_tests)`

# MODEL_SEEDS, MODEL_POINTS: a sanitizer takes 10 times the time.
san_env = MODEL_SEEDS=150 MODEL_POINTS=60 \
	ASAN_OPTIONS=halt_on_error=1:detect_leaks=1:abort_on_error=0 \
	UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
	TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1

# Configures $$dir once; its own rules follow later changes.
sub_configure = $(MKDIR_P) $$dir && cd $$dir && \
	{ test -f config.status || CC='$(CC)' CFLAGS='-g -O1' \
		$(abs_srcdir)/configure -q $$options; }

.PHONY: check-asan check-tsan fuzz coverage analyze
check-asan:
	dir=build-asan; \
	options='--enable-werror --enable-sanitizers=address,undefined'; \
	more='$(model_tests)'; \
	$(sub_configure) && $(san_env) $(MAKE) check TESTS="$(SAN_TESTS)"
check-tsan:
	dir=build-tsan; options='--enable-werror --enable-sanitizers=thread'; \
	more=; \
	$(sub_configure) && $(san_env) $(MAKE) check TESTS="$(SAN_TESTS)"

fuzz:
	dir=build-fuzz; options='CC=clang --enable-fuzzers'; \
	options="$$options --enable-sanitizers=address,undefined"; \
	$(sub_configure) && $(MAKE) $(fuzz_targets) && \
	$(san_env) $(SHELL) $(abs_srcdir)/tests/run-fuzz $(abs_srcdir) \
		$(FUZZ_SECONDS) $(FUZZ_NAMES)

coverage:
	dir=build-coverage; options='--enable-coverage'; \
	$(sub_configure) && find . -name '*.gcda' -delete && \
	$(MAKE) check TESTS="$(SAN_TESTS)" && \
	$(SHELL) $(abs_srcdir)/tests/coverage $(abs_srcdir) .

analyze:
	srcdir=$(abs_srcdir) $(SHELL) $(srcdir)/tests/analyze \
		$(DEFS) $(DEFAULT_INCLUDES) $(INCLUDES) $(AM_CPPFLAGS) \
		$(CPPFLAGS) $(AM_CFLAGS)

mostlyclean-local: clean-test-builds
.PHONY: clean-test-builds
clean-test-builds:
	-rm -rf build-asan build-tsan build-fuzz build-coverage
