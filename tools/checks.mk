# tools/checks.mk - the checks on the sources themselves, as tests
check_scripts = \
	tools/check-layers \
	tools/check-headers \
	tools/check-format \
	tools/check-selftest
dist_check_SCRIPTS += $(check_scripts)
TESTS += $(check_scripts)
EXTRA_DIST += .clang-format tools/layers

.PHONY: check-layers check-headers check-format
check-layers check-headers check-format:
	srcdir='$(srcdir)' $(srcdir)/tools/$@
