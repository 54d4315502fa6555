# bench/ - benchmarks; `make bench` builds and runs them all (JSON lines)
EXTRA_PROGRAMS += bench/bench-api
bench_programs += bench/bench-api
bench_bench_api_SOURCES = bench/bench-api.c
bench_bench_api_LDADD = $(COMMON_LIBS)
dist_noinst_SCRIPTS += bench/api.sh
EXTRA_DIST += bench/RESULTS.md

.PHONY: bench
bench: $(bench_programs) all
	$(srcdir)/bench/api.sh
	bench/bench-scheduler
