# The controller with thousands of nodes, loaded and abused
EXTRA_PROGRAMS += bench/bench-fleet
bench_programs += bench/bench-fleet
bench_bench_fleet_SOURCES = bench/bench-fleet.c bench/fleet-nodes.c \
	bench/fleet-nodes.h bench/fleet-load.c bench/fleet-abuse.c \
	bench/fleet-load.h bench/wire.c bench/wire.h
bench_bench_fleet_LDADD = $(API_LIBS)
dist_noinst_SCRIPTS += bench/fleet.sh
