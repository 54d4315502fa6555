# Where instances are placed.
placement_tests = tests/integ/44-placement.t
integ_tests += $(placement_tests)
EXTRA_DIST += $(placement_tests)
