# hypervisor-backend/usernet/ - virga-usernet: a network for one VM, by libslirp
sbin_PROGRAMS += virga-usernet
virga_usernet_SOURCES = \
	hypervisor-backend/usernet/main.c \
	hypervisor-backend/usernet/reach.c \
	hypervisor-backend/usernet/rights.c \
	hypervisor-backend/usernet/seccomp.c \
	hypervisor-backend/usernet/seccomp-calls.inc \
	hypervisor-backend/usernet/usernet.c \
	hypervisor-backend/usernet/usernet.h
virga_usernet_LDADD = libcommon.a $(SLIRP_LIBS)

# Its filter, by the generator of the VMM's (vmm/jail.mk).
usernet_filter = hypervisor-backend/usernet/seccomp-filter.h
nodist_virga_usernet_SOURCES = $(usernet_filter)
BUILT_SOURCES += $(usernet_filter)
CLEANFILES += $(usernet_filter)
$(usernet_filter): hypervisor-backend/vmm/seccomp-gen$(EXEEXT)
	$(AM_V_GEN)$(MKDIR_P) $(@D) && \
		hypervisor-backend/vmm/seccomp-gen$(EXEEXT) usernet >$@.tmp && \
		mv $@.tmp $@
# For "make virga-usernet", which does not look at BUILT_SOURCES.
hypervisor-backend/usernet/seccomp.$(OBJEXT): $(usernet_filter)

unit_tests += tests/unit/test-usernet-seccomp
tests_unit_test_usernet_seccomp_SOURCES = tests/unit/test-usernet-seccomp.c \
	hypervisor-backend/usernet/seccomp.c
nodist_tests_unit_test_usernet_seccomp_SOURCES = $(usernet_filter)
tests_unit_test_usernet_seccomp_LDADD = libcommon.a $(UNIT_LIBS)

integ_tests += tests/integ/65-usernet.t
EXTRA_DIST += tests/integ/65-usernet.t tests/integ/usernet-talk.py
dist_man_MANS += docs/man/virga-usernet.8
