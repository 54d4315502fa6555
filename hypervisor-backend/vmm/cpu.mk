# Processor models, console ports and what tests them.
libvmmdev_a_SOURCES += \
	hypervisor-backend/vmm/dev_console-private.h \
	hypervisor-backend/vmm/dev_console_ctl.c
