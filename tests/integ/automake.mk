# tests/integ/ - tests of whole daemons, in Python.
chaos_tests = \
	tests/integ/40-chaos-sim.t \
	tests/integ/41-crash-real.t \
	tests/integ/42-lost-and-repeated.t
integ_tests += $(chaos_tests)
EXTRA_DIST += $(chaos_tests) \
	tests/integ/lib_checks.py \
	tests/integ/lib_cloud.py \
	tests/integ/lib_proxy.py \
	tests/integ/lib_traffic.py
