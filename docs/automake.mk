# docs/ - guides, and the man pages that no folder's automake.mk has
EXTRA_DIST += \
	README.md \
	docs/ARCHITECTURE.md \
	docs/DEPENDENCIES.md \
	docs/HACKING.md \
	docs/PROTOCOL.md
dist_man_MANS += \
	docs/man/virga-conf.5 \
	docs/man/virga-controllerd.8 \
	docs/man/virga-vmm.1
# What virga-vmm(1) points to.
dist_doc_DATA = hypervisor-backend/vmm/CONTROL.md

integ_tests += tests/integ/61-docs.t
EXTRA_DIST += tests/integ/61-docs.t
