# An instance's life: from end to end and with the test in the agent's place;
# what is done to instances that run, with simulated guests and with real ones.
life_tests = tests/integ/45-life.t tests/integ/46-node-life.t \
	tests/integ/46-guest-life.t
integ_tests += $(life_tests)
EXTRA_DIST += $(life_tests) tests/integ/e2e-life.sh
# An instance's life, from end to end and with the test in the agent's place.
life_tests = tests/integ/45-life.t
integ_tests += $(life_tests)
EXTRA_DIST += $(life_tests)
