# tests/fuzz/ - parsers of hostile input. In an ordinary build each target is
# linked with replay.c and `make check` runs it over its corpus; with
# --enable-fuzzers (CC=clang) it is linked with libFuzzer.
fuzz_names = clock codec conf image-check route ws \
	vmm-balloon vmm-blk vmm-boot vmm-common vmm-console vmm-control \
	vmm-net vmm-pci vmm-rng vmm-virtq vmm-vsock
if FUZZERS
fuzz_main =
fuzz_ldflags = $(AM_LDFLAGS) -fsanitize=fuzzer
else
fuzz_main = tests/fuzz/replay.c
fuzz_ldflags = $(AM_LDFLAGS)
endif

fuzz_targets += tests/fuzz/fuzz-clock
tests_fuzz_fuzz_clock_SOURCES = tests/fuzz/fuzz-clock.c $(fuzz_main)
tests_fuzz_fuzz_clock_LDADD = $(COMMON_LIBS)
tests_fuzz_fuzz_clock_LDFLAGS = $(fuzz_ldflags)
fuzz_targets += tests/fuzz/fuzz-codec
tests_fuzz_fuzz_codec_SOURCES = tests/fuzz/fuzz-codec.c $(fuzz_main)
tests_fuzz_fuzz_codec_LDADD = $(API_LIBS)
tests_fuzz_fuzz_codec_LDFLAGS = $(fuzz_ldflags)
fuzz_targets += tests/fuzz/fuzz-conf
tests_fuzz_fuzz_conf_SOURCES = tests/fuzz/fuzz-conf.c $(fuzz_main)
tests_fuzz_fuzz_conf_LDADD = $(COMMON_LIBS)
tests_fuzz_fuzz_conf_LDFLAGS = $(fuzz_ldflags)
fuzz_targets += tests/fuzz/fuzz-image-check
tests_fuzz_fuzz_image_check_SOURCES = tests/fuzz/fuzz-image-check.c $(fuzz_main)
tests_fuzz_fuzz_image_check_LDADD = $(CTL_LIBS)
tests_fuzz_fuzz_image_check_LDFLAGS = $(fuzz_ldflags)
fuzz_targets += tests/fuzz/fuzz-route
tests_fuzz_fuzz_route_SOURCES = tests/fuzz/fuzz-route.c $(fuzz_main)
tests_fuzz_fuzz_route_LDADD = $(API_LIBS)
tests_fuzz_fuzz_route_LDFLAGS = $(fuzz_ldflags)
fuzz_targets += tests/fuzz/fuzz-ws
tests_fuzz_fuzz_ws_SOURCES = tests/fuzz/fuzz-ws.c $(fuzz_main)
tests_fuzz_fuzz_ws_LDADD = $(API_LIBS)
tests_fuzz_fuzz_ws_LDFLAGS = $(fuzz_ldflags)

EXTRA_DIST += tests/fuzz/corpus tests/fuzz/fuzz.h tests/fuzz/replay.c
include $(top_srcdir)/tests/fuzz/create.mk
include $(top_srcdir)/tests/fuzz/sched.mk
