# PCI, virtio and its devices; above bus.c and gmem.c of libvmm.a
noinst_LIBRARIES += libvmmdev.a
libvmmdev_a_SOURCES = \
	hypervisor-backend/vmm/pci.c hypervisor-backend/vmm/pci.h \
	hypervisor-backend/vmm/msix.c hypervisor-backend/vmm/msix.h \
	hypervisor-backend/vmm/virtq.c hypervisor-backend/vmm/virtq.h \
	hypervisor-backend/vmm/virtio.c hypervisor-backend/vmm/virtio.h \
	hypervisor-backend/vmm/virtio_pci.c \
	hypervisor-backend/vmm/virtio_pci.h \
	hypervisor-backend/vmm/be_loop.c hypervisor-backend/vmm/be_loop.h
VMMDEV_LIBS = libvmmdev.a $(VMM_LIBS) $(LIBURING_LIBS)

VMM_GUEST = tests/unit/vmm-guest.c tests/unit/vmm-guest.h
unit_tests += tests/unit/test-vmm-pci
tests_unit_test_vmm_pci_SOURCES = tests/unit/test-vmm-pci.c $(VMM_GUEST)
tests_unit_test_vmm_pci_LDADD = $(VMMDEV_LIBS) $(UNIT_LIBS)
unit_tests += tests/unit/test-vmm-virtq
tests_unit_test_vmm_virtq_SOURCES = tests/unit/test-vmm-virtq.c
tests_unit_test_vmm_virtq_LDADD = $(VMMDEV_LIBS) $(UNIT_LIBS)
