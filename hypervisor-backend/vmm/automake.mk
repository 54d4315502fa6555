# hypervisor-backend/vmm/ - the embedded VMM: virga-vmm, one process per VM.
# libvmm.a holds what tests link as well.
noinst_LIBRARIES += libvmm.a
libvmm_a_SOURCES = \
	hypervisor-backend/vmm/bus.c hypervisor-backend/vmm/bus.h \
	hypervisor-backend/vmm/gmem.c hypervisor-backend/vmm/gmem.h \
	hypervisor-backend/vmm/acpi.c hypervisor-backend/vmm/acpi.h \
	hypervisor-backend/vmm/aml.c hypervisor-backend/vmm/aml.h \
	hypervisor-backend/vmm/boot.c hypervisor-backend/vmm/boot.h \
	hypervisor-backend/vmm/boot-private.h \
	hypervisor-backend/vmm/boot_bzimage.c \
	hypervisor-backend/vmm/boot_elf.c \
	hypervisor-backend/vmm/platform.h \
	hypervisor-backend/vmm/irq.h
# Nothing of libcommon that needs a library of its own.
VMM_LIBS = libvmm.a libcommon.a

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
