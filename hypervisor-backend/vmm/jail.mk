# The jail of virga-vmm, and the generator of its seccomp filters.
libvmm_a_SOURCES += \
	hypervisor-backend/vmm/jail.c hypervisor-backend/vmm/jail.h \
	hypervisor-backend/vmm/jail-private.h \
	hypervisor-backend/vmm/jail_landlock.c \
	hypervisor-backend/vmm/jail_root.c \
	hypervisor-backend/vmm/jail_seccomp.c

noinst_PROGRAMS += hypervisor-backend/vmm/seccomp-gen
hypervisor_backend_vmm_seccomp_gen_SOURCES = \
	hypervisor-backend/vmm/seccomp-gen.c
hypervisor_backend_vmm_seccomp_gen_CFLAGS = $(AM_CFLAGS) $(LIBSECCOMP_CFLAGS)
hypervisor_backend_vmm_seccomp_gen_LDADD = $(LIBSECCOMP_LIBS)

seccomp_filters = hypervisor-backend/vmm/seccomp-filters.h
nodist_libvmm_a_SOURCES = $(seccomp_filters)
BUILT_SOURCES += $(seccomp_filters)
CLEANFILES += $(seccomp_filters)
$(seccomp_filters): hypervisor-backend/vmm/seccomp-gen$(EXEEXT)
	$(AM_V_GEN)hypervisor-backend/vmm/seccomp-gen$(EXEEXT) >$@.tmp && \
		mv $@.tmp $@
# For "make virga-vmm", which does not look at BUILT_SOURCES.
hypervisor-backend/vmm/jail_seccomp.$(OBJEXT): $(seccomp_filters)


unit_tests += tests/unit/test-vmm-jail
tests_unit_test_vmm_jail_SOURCES = tests/unit/test-vmm-jail.c
tests_unit_test_vmm_jail_LDADD = $(VMMDEV_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/vmm/jail-run
tests_vmm_jail_run_SOURCES = tests/vmm/jail-run.c
tests_vmm_jail_run_LDADD = $(HV_LIBS)

integ_tests += tests/integ/73-vmm-jail.t
EXTRA_DIST += tests/integ/73-vmm-jail.t tests/vmm/jail-init
