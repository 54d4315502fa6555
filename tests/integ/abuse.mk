# Clients that mean harm cost others little.
integ_tests += tests/integ/47-abuse.t
EXTRA_DIST += tests/integ/47-abuse.t
