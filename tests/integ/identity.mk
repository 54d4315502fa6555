# Users, sessions and what slows down guessing.
identity_tests = tests/integ/32-users.t
integ_tests += $(identity_tests)
EXTRA_DIST += $(identity_tests)
