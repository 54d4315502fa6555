# What happened, and who is told.
events_tests = tests/integ/33-events.t
integ_tests += $(events_tests)
EXTRA_DIST += $(events_tests) tests/integ/lib_events.py
