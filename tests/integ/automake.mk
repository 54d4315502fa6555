# tests/integ/ - whole clouds: real guests, bad input, tenants, the command
cloud_tests = \
	tests/integ/20-e2e-libvirt.t \
	tests/integ/21-quickstart.t \
	tests/integ/30-bad-input.t \
	tests/integ/31-tenants.t \
	tests/integ/50-cli.t
integ_tests += $(cloud_tests)
EXTRA_DIST += $(cloud_tests) tests/integ/cloud.sh tests/integ/cloud.py \
	tests/integ/pty-talk.py
