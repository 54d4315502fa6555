# tests/integ/ - tests of whole daemons, in bash (cloud.sh) and Python.
cloud_tests = \
	tests/integ/20-e2e-libvirt.t \
	tests/integ/21-quickstart.t \
	tests/integ/30-bad-input.t \
	tests/integ/31-tenants.t \
	tests/integ/50-cli.t
integ_tests += $(cloud_tests)
EXTRA_DIST += $(cloud_tests) tests/integ/cloud.sh tests/integ/cloud.py \
	tests/integ/lib_bad.py \
	tests/integ/pty-talk.py

chaos_tests = \
	tests/integ/40-chaos-sim.t \
	tests/integ/41-crash-real.t \
	tests/integ/42-lost-and-repeated.t \
	tests/integ/43-restart-policy.t
integ_tests += $(chaos_tests)
EXTRA_DIST += $(chaos_tests) \
	tests/integ/lib_checks.py \
	tests/integ/lib_cloud.py \
	tests/integ/lib_guests.py \
	tests/integ/lib_proxy.py \
	tests/integ/lib_traffic.py
include $(top_srcdir)/tests/integ/placement.mk
include $(top_srcdir)/tests/integ/e2e.mk
include $(top_srcdir)/tests/integ/events.mk
include $(top_srcdir)/tests/integ/create.mk
include $(top_srcdir)/tests/integ/identity.mk
include $(top_srcdir)/tests/integ/openapi.mk
include $(top_srcdir)/tests/integ/life.mk
include $(top_srcdir)/tests/integ/abuse.mk
include $(top_srcdir)/tests/integ/guest-life.mk
include $(top_srcdir)/tests/integ/figures.mk
include $(top_srcdir)/tests/integ/replies.mk
