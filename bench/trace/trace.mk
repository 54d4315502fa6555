# Quality of placement: a cloud's history replayed against policies
noinst_LIBRARIES += libtrace.a
libtrace_a_SOURCES = \
	bench/trace/azure.c \
	bench/trace/bound.c bench/trace/bound.h \
	bench/trace/columns.c bench/trace/columns.h \
	bench/trace/gen.c \
	bench/trace/policy.c bench/trace/policy.h \
	bench/trace/replay.c bench/trace/replay.h \
	bench/trace/table.c bench/trace/table.h \
	bench/trace/trace.c bench/trace/trace.h
TRACE_LIBS = libtrace.a $(SCHED_LIBS) -lm
EXTRA_DIST += bench/trace/README.md

EXTRA_PROGRAMS += bench/bench-trace
bench_programs += bench/bench-trace
bench_bench_trace_SOURCES = bench/trace/bench-trace.c
bench_bench_trace_LDADD = $(TRACE_LIBS)

unit_tests += tests/unit/test-bench-trace
tests_unit_test_bench_trace_SOURCES = tests/unit/test-bench-trace.c
tests_unit_test_bench_trace_LDADD = $(TRACE_LIBS) $(UNIT_LIBS)
unit_tests += tests/unit/test-bench-azure
tests_unit_test_bench_azure_SOURCES = tests/unit/test-bench-azure.c
tests_unit_test_bench_azure_LDADD = $(TRACE_LIBS) $(UNIT_LIBS)
