# What is done to instances that run: with simulated guests, and with real ones.
life_tests = tests/integ/46-node-life.t tests/integ/46-guest-life.t
integ_tests += $(life_tests)
EXTRA_DIST += $(life_tests) tests/integ/e2e-life.sh
