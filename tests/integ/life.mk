# An instance's life, from end to end and with the test in the agent's place.
life_tests = tests/integ/45-life.t
integ_tests += $(life_tests)
EXTRA_DIST += $(life_tests)
