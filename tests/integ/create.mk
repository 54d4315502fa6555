# The create path.
create_tests = tests/integ/32-create.t
integ_tests += $(create_tests)
EXTRA_DIST += $(create_tests)
