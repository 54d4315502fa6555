# What others' programs say of the API.
integ_tests += tests/integ/35-openapi.t tests/integ/36-backup.t
EXTRA_DIST += tests/integ/35-openapi.t tests/integ/36-backup.t tests/integ/npm.sh \
	tests/openapi/package.json tests/openapi/package-lock.json \
	tests/openapi/.spectral.yaml tests/openapi/schema.mjs \
	tests/openapi/live.mjs
