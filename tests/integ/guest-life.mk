# What is done to instances that run: with simulated guests, and with real ones.
guest_life_tests = tests/integ/46-node-life.t tests/integ/46-guest-life.t
integ_tests += $(guest_life_tests)
EXTRA_DIST += $(guest_life_tests) tests/integ/e2e-life.sh
