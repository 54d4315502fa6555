# Description, control socket, and the command's own parts of virga-vmm.
# Decoding is tested without KVM, so it is a library.
noinst_LIBRARIES += libvmmctl.a
libvmmctl_a_SOURCES = \
	hypervisor-backend/vmm/control-private.h \
	hypervisor-backend/vmm/control_conn.c \
	hypervisor-backend/vmm/control.c hypervisor-backend/vmm/control.h \
	hypervisor-backend/vmm/control_request.c \
	hypervisor-backend/vmm/control_request.h \
	hypervisor-backend/vmm/spec.c hypervisor-backend/vmm/spec_fds.c \
	hypervisor-backend/vmm/spec.h
# Of libapi only the codec's objects are drawn in.
VMMCTL_LIBS = libvmmctl.a libapi.a $(VMMDEV_LIBS) $(JANSSON_LIBS) $(UUID_LIBS)

virga_vmm_SOURCES += \
	hypervisor-backend/vmm/ctl.c hypervisor-backend/vmm/ctl.h \
	hypervisor-backend/vmm/ctl_request.c \
	hypervisor-backend/vmm/ctl_request.h \
	hypervisor-backend/vmm/options_open.c \
	hypervisor-backend/vmm/run_console.c \
	hypervisor-backend/vmm/run_facts.c \
	hypervisor-backend/vmm/run_verbs.c \
	hypervisor-backend/vmm/run-private.h \
	hypervisor-backend/vmm/serve.c hypervisor-backend/vmm/serve.h \
	hypervisor-backend/vmm/words.c hypervisor-backend/vmm/words.h
virga_vmm_LDADD = $(VMMCTL_LIBS)

unit_tests += tests/unit/test-vmm-control
tests_unit_test_vmm_control_SOURCES = tests/unit/test-vmm-control.c
tests_unit_test_vmm_control_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=clock_mono_us
tests_unit_test_vmm_control_LDADD = $(VMMCTL_LIBS) $(UNIT_LIBS)
unit_tests += tests/unit/test-vmm-spec
tests_unit_test_vmm_spec_SOURCES = tests/unit/test-vmm-spec.c
tests_unit_test_vmm_spec_LDADD = $(VMMCTL_LIBS) $(UNIT_LIBS)
# With a vm_serial() of its own.
unit_tests += tests/unit/test-vmm-run_console
tests_unit_test_vmm_run_console_SOURCES = tests/unit/test-vmm-run_console.c \
	hypervisor-backend/vmm/run_console.c
tests_unit_test_vmm_run_console_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=fs_write_all -Wl,--wrap=rate_now_ns
tests_unit_test_vmm_run_console_LDADD = $(VMMCTL_LIBS) $(UNIT_LIBS)

fuzz_targets += tests/fuzz/fuzz-vmm-control
tests_fuzz_fuzz_vmm_control_SOURCES = tests/fuzz/fuzz-vmm-control.c $(fuzz_main)
tests_fuzz_fuzz_vmm_control_LDADD = $(VMMCTL_LIBS)
tests_fuzz_fuzz_vmm_control_LDFLAGS = $(fuzz_ldflags)
