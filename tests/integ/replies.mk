# What the API answered in the tests written in Python is kept, and checked
# when all of them have run.
AM_TESTS_ENVIRONMENT = VIRGA_RECORD='$(abs_top_builddir)/npm/replies'; \
	export VIRGA_RECORD;
integ_tests += tests/integ/90-replies.t
EXTRA_DIST += tests/integ/90-replies.t tests/integ/lib_record.py \
	tests/openapi/replies.mjs
tests/integ/90-replies.log: \
	tests/integ/30-bad-input.log tests/integ/31-tenants.log \
	tests/integ/32-create.log tests/integ/32-users.log \
	tests/integ/33-events.log tests/integ/37-metrics.log \
	tests/integ/40-chaos-sim.log tests/integ/41-crash-real.log \
	tests/integ/42-lost-and-repeated.log \
	tests/integ/43-restart-policy.log tests/integ/44-placement.log \
	tests/integ/45-life.log tests/integ/46-node-life.log \
	tests/integ/47-abuse.log
