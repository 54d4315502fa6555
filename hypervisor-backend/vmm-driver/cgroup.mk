# Control groups and jail directories of VMs.
libhv_a_SOURCES += \
	hypervisor-backend/vmm-driver/cgroup.c \
	hypervisor-backend/vmm-driver/cgroup.h \
	hypervisor-backend/vmm-driver/cgroup-private.h \
	hypervisor-backend/vmm-driver/cgroup_end.c \
	hypervisor-backend/vmm-driver/cgroup_file.c \
	hypervisor-backend/vmm-driver/cgroup_limits.c \
	hypervisor-backend/vmm-driver/jaildir.c \
	hypervisor-backend/vmm-driver/jaildir.h
