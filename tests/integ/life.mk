# An instance's life, from end to end and with the test in the agent's place.
life_tests = tests/integ/45-life.t
integ_tests += $(life_tests)
EXTRA_DIST += $(life_tests)
# What is done to instances that run: with simulated guests, and with real ones.
node_life_tests = tests/integ/46-node-life.t tests/integ/46-guest-life.t
integ_tests += $(node_life_tests)
EXTRA_DIST += $(node_life_tests) tests/integ/e2e-life.sh
