# Processor models, console ports and what tests them.
libvmm_a_SOURCES += \
	hypervisor-backend/vmm/cpuid_model.c \
	hypervisor-backend/vmm/cpuid_model.h \
	hypervisor-backend/vmm/cpuid_model-private.h \
	hypervisor-backend/vmm/cpuid_table.c
virga_vmm_SOURCES += \
	hypervisor-backend/vmm/cpu_models.c hypervisor-backend/vmm/cpu_models.h
libvmmdev_a_SOURCES += \
	hypervisor-backend/vmm/dev_console-private.h \
	hypervisor-backend/vmm/dev_console_ctl.c

unit_tests += tests/unit/test-vmm-console-ports
tests_unit_test_vmm_console_ports_SOURCES = \
	tests/unit/test-vmm-console-ports.c $(VMM_GUEST)
tests_unit_test_vmm_console_ports_LDADD = $(VMMDEV_LIBS) $(UNIT_LIBS)

fuzz_targets += tests/fuzz/fuzz-vmm-console
tests_fuzz_fuzz_vmm_console_SOURCES = tests/fuzz/fuzz-vmm-console.c $(VMM_FUZZ)
tests_fuzz_fuzz_vmm_console_LDFLAGS = $(VMM_FUZZ_LINK)
tests_fuzz_fuzz_vmm_console_LDADD = $(VMM_FUZZ_LIBS)

unit_tests += tests/unit/test-vmm-cpuid-model
tests_unit_test_vmm_cpuid_model_SOURCES = tests/unit/test-vmm-cpuid-model.c
tests_unit_test_vmm_cpuid_model_LDADD = $(VMM_LIBS) $(UNIT_LIBS)

unit_tests += tests/unit/test-vmm-blk-host
tests_unit_test_vmm_blk_host_SOURCES = \
	tests/unit/test-vmm-blk-host.c $(VMM_GUEST)
tests_unit_test_vmm_blk_host_LDADD = $(VMMDEV_LIBS) $(UNIT_LIBS)

unit_tests += tests/unit/test-vmm-memory
tests_unit_test_vmm_memory_SOURCES = tests/unit/test-vmm-memory.c $(VMM_GUEST)
tests_unit_test_vmm_memory_LDADD = $(VMMDEV_LIBS) $(UNIT_LIBS)

# Static and without the build's flags: it runs in guests, too.
tests/vmm/vsock-echo: tests/vmm/vsock-echo.c
	$(AM_V_CC)$(MKDIR_P) $(@D) && $(CC) -O2 -Wall -D_GNU_SOURCE -static -o $@ $<
check_DATA += tests/vmm/vsock-echo
CLEANFILES += tests/vmm/vsock-echo
EXTRA_DIST += tests/vmm/vsock-echo.c
check_PROGRAMS += tests/vmm/unix-talk
tests_vmm_unix_talk_SOURCES = tests/vmm/unix-talk.c
tests_vmm_unix_talk_LDADD = libcommon.a

integ_tests += tests/integ/77-vmm-cpu-mem.t
EXTRA_DIST += tests/integ/77-vmm-cpu-mem.t tests/vmm/cpu-mem-init
