# Devices that come and go: the list of a VM's devices and ACPI PCI hot-plug
libvmmdev_a_SOURCES += \
	hypervisor-backend/vmm/devices.c hypervisor-backend/vmm/devices.h \
	hypervisor-backend/vmm/devices-control.c \
	hypervisor-backend/vmm/devices-hotplug.c \
	hypervisor-backend/vmm/devices-make.c \
	hypervisor-backend/vmm/devices-private.h \
	hypervisor-backend/vmm/hotplug.c hypervisor-backend/vmm/hotplug.h
