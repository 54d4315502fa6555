# Devices that come and go: the list of a VM's devices and ACPI PCI hot-plug
libvmmdev_a_SOURCES += \
	hypervisor-backend/vmm/devices.c hypervisor-backend/vmm/devices.h \
	hypervisor-backend/vmm/devices-control.c \
	hypervisor-backend/vmm/devices-hotplug.c \
	hypervisor-backend/vmm/devices-make.c \
	hypervisor-backend/vmm/devices-private.h \
	hypervisor-backend/vmm/hotplug.c hypervisor-backend/vmm/hotplug.h

unit_tests += tests/unit/test-vmm-hotplug
tests_unit_test_vmm_hotplug_SOURCES = tests/unit/test-vmm-hotplug.c $(VMM_GUEST)
tests_unit_test_vmm_hotplug_LDADD = $(VMMDEV_LIBS) $(UNIT_LIBS)

integ_tests += tests/integ/75-vmm-hotplug.t
EXTRA_DIST += tests/integ/75-vmm-hotplug.t tests/vmm/hotplug-init
