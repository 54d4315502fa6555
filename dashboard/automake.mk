# dashboard/ - the page at /. What Vite builds is committed under dist/, so
# that a build of Virga needs no node; its names change with its contents,
# hence folders rather than lists of files.
EXTRA_DIST += \
	dashboard/build.sh \
	dashboard/dist \
	dashboard/eslint.config.js \
	dashboard/index.html \
	dashboard/package-lock.json \
	dashboard/package.json \
	dashboard/src \
	dashboard/test \
	dashboard/tsconfig.json \
	dashboard/vite.config.ts \
	dashboard/.prettierignore \
	dashboard/.prettierrc.json

dashboarddir = $(pkgdatadir)/dashboard
install-data-local: install-dashboard
uninstall-local: uninstall-dashboard
.PHONY: install-dashboard uninstall-dashboard dashboard
install-dashboard:
	$(MKDIR_P) '$(DESTDIR)$(dashboarddir)'
	$(INSTALL_DATA) $(srcdir)/dashboard/dist/* \
		'$(DESTDIR)$(dashboarddir)'
uninstall-dashboard:
	cd $(srcdir)/dashboard/dist && for f in *; do \
		rm -f '$(DESTDIR)$(dashboarddir)'/$$f; done
	-rmdir '$(DESTDIR)$(dashboarddir)' 2>/dev/null

# Builds it anew, with node and npm.
dashboard:
	dir=`$(srcdir)/dashboard/build.sh .` && \
		rm -rf $(srcdir)/dashboard/dist && \
		cp -R "$$dir/dist" $(srcdir)/dashboard/dist

clean-local: clean-npm
.PHONY: clean-npm
clean-npm:
	-rm -rf npm

page_tests = \
	tests/integ/60-dashboard.t \
	tests/integ/60-dashboard-build.t
integ_tests += $(page_tests)
EXTRA_DIST += $(page_tests) \
	tests/browser/cloud.mjs \
	tests/browser/dashboard.mjs \
	tests/browser/package-lock.json \
	tests/browser/package.json \
	tests/browser/tap.mjs
