# dashboard/ - the page at /; served as it is, nothing is built
dashboarddir = $(pkgdatadir)/dashboard
dist_dashboard_DATA = \
	dashboard/app.js \
	dashboard/icon.svg \
	dashboard/index.html \
	dashboard/style.css

integ_tests += tests/integ/60-dashboard.t
EXTRA_DIST += tests/integ/60-dashboard.t
