# What monitoring sees.
integ_tests += tests/integ/37-metrics.t
EXTRA_DIST += tests/integ/37-metrics.t
