# tools/ - demo image, helpers of ./check and ./quickstart; checks.mk holds
# the checks on the sources.
# Tests named *.t speak TAP: each of their cases is a result of its own.
TEST_EXTENSIONS = .t
T_LOG_DRIVER = env AM_TAP_AWK='$(AWK)' $(SHELL) \
	$(top_srcdir)/build-aux/tap-driver.sh

demo_image_files = \
	tools/virga-demo-image tools/packages \
	tools/guest/init tools/guest/inittab tools/guest/power \
	tools/guest/rc tools/guest/udhcpc.script
dist_noinst_SCRIPTS += quickstart .ci/run

# The script is called as a target of every Makefile is; in any list of files
# its name would run all tests.
dist-hook: dist-check-script
.PHONY: dist-check-script
dist-check-script:
	cp $(srcdir)/check $(distdir)/check
EXTRA_DIST += $(demo_image_files) tools/lib.sh tools/count-tests \
	tools/test-tiers

tool_tests = \
	tests/integ/10-demo-image.t \
	tests/integ/11-count-tests.t \
	tests/integ/12-quickstart.t \
	tests/integ/13-shellcheck.t
integ_tests += $(tool_tests)
EXTRA_DIST += tests/integ/tap.sh $(tool_tests)

clean-local: clean-demo-image
.PHONY: clean-demo-image
clean-demo-image:
	-rm -rf demo-image
