# hypervisor-backend/vmm/ - the embedded VMM: virga-vmm, one process per VM.
# libvmm.a holds what tests link as well.
noinst_LIBRARIES += libvmm.a
libvmm_a_SOURCES = \
	hypervisor-backend/vmm/acpi.c hypervisor-backend/vmm/acpi.h \
	hypervisor-backend/vmm/aml.c hypervisor-backend/vmm/aml.h \
	hypervisor-backend/vmm/boot.c hypervisor-backend/vmm/boot.h \
	hypervisor-backend/vmm/boot_bzimage.c \
	hypervisor-backend/vmm/boot_elf.c \
	hypervisor-backend/vmm/bus.c hypervisor-backend/vmm/bus.h \
	hypervisor-backend/vmm/cpuid.c hypervisor-backend/vmm/cpuid.h \
	hypervisor-backend/vmm/gmem.c hypervisor-backend/vmm/gmem.h \
	hypervisor-backend/vmm/i8042.c hypervisor-backend/vmm/i8042.h \
	hypervisor-backend/vmm/irq_kvm.c hypervisor-backend/vmm/irq_kvm.h \
	hypervisor-backend/vmm/kvm.c hypervisor-backend/vmm/kvm.h \
	hypervisor-backend/vmm/metrics.c hypervisor-backend/vmm/metrics.h \
	hypervisor-backend/vmm/msr.c hypervisor-backend/vmm/msr.h \
	hypervisor-backend/vmm/pm.c hypervisor-backend/vmm/pm.h \
	hypervisor-backend/vmm/rtc.c hypervisor-backend/vmm/rtc.h \
	hypervisor-backend/vmm/serial.c hypervisor-backend/vmm/serial.h \
	hypervisor-backend/vmm/vcpu.c hypervisor-backend/vmm/vcpu.h \
	hypervisor-backend/vmm/vm.c hypervisor-backend/vmm/vm.h \
	hypervisor-backend/vmm/boot-private.h \
	hypervisor-backend/vmm/end.h hypervisor-backend/vmm/irq.h \
	hypervisor-backend/vmm/platform.h
# Nothing of libcommon that needs a library of its own.
VMM_LIBS = libvmm.a libcommon.a

bin_PROGRAMS += virga-vmm
virga_vmm_SOURCES = \
	hypervisor-backend/vmm/main.c \
	hypervisor-backend/vmm/options.c hypervisor-backend/vmm/options.h \
	hypervisor-backend/vmm/run.c hypervisor-backend/vmm/run.h

unit_tests += tests/unit/test-vmm-gmem
tests_unit_test_vmm_gmem_SOURCES = tests/unit/test-vmm-gmem.c
tests_unit_test_vmm_gmem_LDADD = $(VMM_LIBS) $(UNIT_LIBS)
unit_tests += tests/unit/test-vmm-bus
tests_unit_test_vmm_bus_SOURCES = tests/unit/test-vmm-bus.c
tests_unit_test_vmm_bus_LDADD = $(VMM_LIBS) $(UNIT_LIBS)
unit_tests += tests/unit/test-vmm-boot
tests_unit_test_vmm_boot_SOURCES = tests/unit/test-vmm-boot.c
tests_unit_test_vmm_boot_LDADD = $(VMM_LIBS) $(UNIT_LIBS)
unit_tests += tests/unit/test-vmm-acpi
tests_unit_test_vmm_acpi_SOURCES = tests/unit/test-vmm-acpi.c
tests_unit_test_vmm_acpi_LDADD = $(VMM_LIBS) $(UNIT_LIBS)
unit_tests += tests/unit/test-vmm-serial
tests_unit_test_vmm_serial_SOURCES = tests/unit/test-vmm-serial.c
tests_unit_test_vmm_serial_LDADD = $(VMM_LIBS) $(UNIT_LIBS)
unit_tests += tests/unit/test-vmm-vm-cpuid
tests_unit_test_vmm_vm_cpuid_SOURCES = tests/unit/test-vmm-vm-cpuid.c
tests_unit_test_vmm_vm_cpuid_LDADD = $(VMM_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/vmm/vmlinux
tests_vmm_vmlinux_SOURCES = tests/vmm/vmlinux.c
tests_vmm_vmlinux_LDADD = libcommon.a

# Bare-metal guests; no compiler flag of the project may reach them.
vmm_guests = tests/vmm/end.elf tests/vmm/io.elf tests/vmm/irq.elf \
	tests/vmm/mem.elf tests/vmm/smp.elf
SUFFIXES = .S .elf
.S.elf:
	$(AM_V_GEN)$(MKDIR_P) $(@D) && $(CC) -m64 -nostdlib -static -no-pie \
		-Wl,--build-id=none -Wl,--no-warn-rwx-segments \
		-Wl,-z,noexecstack -Wl,-e,0x100000 \
		-Wl,-T,$(srcdir)/tests/vmm/guest.ld -o $@ $<
$(vmm_guests): tests/vmm/guest.inc tests/vmm/guest.ld
check_DATA = $(vmm_guests)
CLEANFILES += $(vmm_guests)
EXTRA_DIST += tests/vmm/guest.inc tests/vmm/guest.ld $(vmm_guests:.elf=.S)

unit_tests += tests/unit/test-vmm-vm
tests_unit_test_vmm_vm_SOURCES = tests/unit/test-vmm-vm.c
tests_unit_test_vmm_vm_CPPFLAGS = $(AM_CPPFLAGS) \
	-DGUEST_DIR='"$(abs_top_builddir)/tests/vmm"'
tests_unit_test_vmm_vm_LDADD = $(VMM_LIBS) $(UNIT_LIBS)

include $(top_srcdir)/hypervisor-backend/vmm/virtio.mk
include $(top_srcdir)/hypervisor-backend/vmm/control.mk
include $(top_srcdir)/hypervisor-backend/vmm/jail.mk
include $(top_srcdir)/hypervisor-backend/vmm/cpu.mk
include $(top_srcdir)/hypervisor-backend/vmm/hotplug.mk
include $(top_srcdir)/hypervisor-backend/vmm/net.mk

vmm_integ = tests/integ/70-vmm-boot.t tests/integ/71-vmm-run.t \
	tests/integ/72-vmm-control.t
integ_tests += $(vmm_integ)
EXTRA_DIST += $(vmm_integ) tests/integ/testhost.sh \
	tests/vmm/host-init tests/vmm/host-lib tests/vmm/serve.py \
	hypervisor-backend/vmm/CONTROL.md hypervisor-backend/vmm/README.md

fuzz_targets += tests/fuzz/fuzz-vmm-boot
tests_fuzz_fuzz_vmm_boot_SOURCES = tests/fuzz/fuzz-vmm-boot.c $(fuzz_main)
tests_fuzz_fuzz_vmm_boot_LDADD = $(VMM_LIBS)
tests_fuzz_fuzz_vmm_boot_LDFLAGS = $(fuzz_ldflags)

include $(top_srcdir)/tests/vmm/guests.mk
include $(top_srcdir)/hypervisor-backend/vmm/hostile.mk
