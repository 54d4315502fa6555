# Description, control socket, and the command's own parts of virga-vmm.
# Decoding is tested without KVM, so it is a library.
noinst_LIBRARIES += libvmmctl.a
libvmmctl_a_SOURCES = \
	hypervisor-backend/vmm/control.c hypervisor-backend/vmm/control.h \
	hypervisor-backend/vmm/control_request.c \
	hypervisor-backend/vmm/control_request.h \
	hypervisor-backend/vmm/spec.c hypervisor-backend/vmm/spec_fds.c \
	hypervisor-backend/vmm/spec.h
# Of libapi only the codec's objects are drawn in.
VMMCTL_LIBS = libvmmctl.a libapi.a $(VMMDEV_LIBS) $(JANSSON_LIBS) $(UUID_LIBS)

virga_vmm_SOURCES += \
	hypervisor-backend/vmm/options_open.c \
	hypervisor-backend/vmm/run_console.c \
	hypervisor-backend/vmm/run_facts.c \
	hypervisor-backend/vmm/run_verbs.c \
	hypervisor-backend/vmm/run-private.h \
	hypervisor-backend/vmm/serve.c hypervisor-backend/vmm/serve.h
virga_vmm_LDADD = $(VMMCTL_LIBS)
