# PCI, virtio and its devices; above bus.c and gmem.c of libvmm.a
noinst_LIBRARIES += libvmmdev.a
libvmmdev_a_SOURCES = \
	hypervisor-backend/vmm/pci-private.h hypervisor-backend/vmm/pci_bar.c \
	hypervisor-backend/vmm/pci.c hypervisor-backend/vmm/pci.h \
	hypervisor-backend/vmm/msix.c hypervisor-backend/vmm/msix.h \
	hypervisor-backend/vmm/virtq.c hypervisor-backend/vmm/virtq.h \
	hypervisor-backend/vmm/virtio.c hypervisor-backend/vmm/virtio.h \
	hypervisor-backend/vmm/virtio_pci.c \
	hypervisor-backend/vmm/virtio_pci.h \
	hypervisor-backend/vmm/rate.c hypervisor-backend/vmm/rate.h \
	hypervisor-backend/vmm/be_loop.c hypervisor-backend/vmm/be_loop.h \
	hypervisor-backend/vmm/be_timer.c hypervisor-backend/vmm/be_timer.h \
	hypervisor-backend/vmm/be_file.c hypervisor-backend/vmm/be_file.h \
	hypervisor-backend/vmm/dev_blk.c hypervisor-backend/vmm/dev_blk.h \
	hypervisor-backend/vmm/be_tap.c hypervisor-backend/vmm/be_tap.h \
	hypervisor-backend/vmm/dev_net.c hypervisor-backend/vmm/dev_net.h \
	hypervisor-backend/vmm/dev_net-private.h \
	hypervisor-backend/vmm/dev_net_ctrl.c \
	hypervisor-backend/vmm/dev_net_path.c \
	hypervisor-backend/vmm/dev_net_vhost.c \
	hypervisor-backend/vmm/vhost_net.c hypervisor-backend/vmm/vhost_net.h \
	hypervisor-backend/vmm/dev_balloon.c \
	hypervisor-backend/vmm/dev_balloon.h \
	hypervisor-backend/vmm/dev_console.c \
	hypervisor-backend/vmm/dev_console.h \
	hypervisor-backend/vmm/dev_vsock.c \
	hypervisor-backend/vmm/dev_vsock-private.h \
	hypervisor-backend/vmm/dev_vsock_packets.c \
	hypervisor-backend/vmm/dev_vsock.h \
	hypervisor-backend/vmm/dev_rng.c hypervisor-backend/vmm/dev_rng.h
VMMDEV_LIBS = libvmmdev.a $(VMM_LIBS) $(LIBURING_LIBS)

VMM_GUEST = tests/unit/vmm-guest.c tests/unit/vmm-guest.h
unit_tests += tests/unit/test-vmm-pci
tests_unit_test_vmm_pci_SOURCES = tests/unit/test-vmm-pci.c $(VMM_GUEST)
tests_unit_test_vmm_pci_LDADD = $(VMMDEV_LIBS) $(UNIT_LIBS)
unit_tests += tests/unit/test-vmm-virtq
tests_unit_test_vmm_virtq_SOURCES = tests/unit/test-vmm-virtq.c
tests_unit_test_vmm_virtq_LDADD = $(VMMDEV_LIBS) $(UNIT_LIBS)
unit_tests += tests/unit/test-vmm-rate
tests_unit_test_vmm_rate_SOURCES = tests/unit/test-vmm-rate.c
tests_unit_test_vmm_rate_LDADD = $(VMMDEV_LIBS) $(UNIT_LIBS)
unit_tests += tests/unit/test-vmm-virtio
tests_unit_test_vmm_virtio_SOURCES = tests/unit/test-vmm-virtio.c $(VMM_GUEST)
tests_unit_test_vmm_virtio_LDADD = $(VMMDEV_LIBS) $(UNIT_LIBS)
unit_tests += tests/unit/test-vmm-rng
tests_unit_test_vmm_rng_SOURCES = tests/unit/test-vmm-rng.c $(VMM_GUEST)
tests_unit_test_vmm_rng_LDADD = $(VMMDEV_LIBS) $(UNIT_LIBS)
unit_tests += tests/unit/test-vmm-blk
tests_unit_test_vmm_blk_SOURCES = tests/unit/test-vmm-blk.c $(VMM_GUEST)
tests_unit_test_vmm_blk_LDADD = $(VMMDEV_LIBS) $(UNIT_LIBS)
unit_tests += tests/unit/test-vmm-net
tests_unit_test_vmm_net_SOURCES = tests/unit/test-vmm-net.c \
	tests/unit/vmm-net.h $(VMM_GUEST)
tests_unit_test_vmm_net_LDADD = $(VMMDEV_LIBS) $(UNIT_LIBS)
unit_tests += tests/unit/test-vmm-balloon
tests_unit_test_vmm_balloon_SOURCES = tests/unit/test-vmm-balloon.c $(VMM_GUEST)
tests_unit_test_vmm_balloon_LDADD = $(VMMDEV_LIBS) $(UNIT_LIBS)
unit_tests += tests/unit/test-vmm-console
tests_unit_test_vmm_console_SOURCES = tests/unit/test-vmm-console.c $(VMM_GUEST)
tests_unit_test_vmm_console_LDADD = $(VMMDEV_LIBS) $(UNIT_LIBS)
unit_tests += tests/unit/test-vmm-vsock
tests_unit_test_vmm_vsock_SOURCES = tests/unit/test-vmm-vsock.c $(VMM_GUEST)
tests_unit_test_vmm_vsock_LDADD = $(VMMDEV_LIBS) $(UNIT_LIBS)

# Fuzz targets; see tests/fuzz/fuzz.mk.
VMM_FUZZ = tests/fuzz/fuzz-vmm.h $(VMM_GUEST) $(fuzz_main)
VMM_FUZZ_LINK = $(fuzz_ldflags)
fuzz_targets += $(vmm_fuzzers)
VMM_FUZZ_LIBS = $(VMMDEV_LIBS) $(UNIT_LIBS)
vmm_fuzzers = tests/fuzz/fuzz-vmm-virtq tests/fuzz/fuzz-vmm-pci \
	tests/fuzz/fuzz-vmm-blk tests/fuzz/fuzz-vmm-net \
	tests/fuzz/fuzz-vmm-vsock
tests_fuzz_fuzz_vmm_virtq_SOURCES = tests/fuzz/fuzz-vmm-virtq.c $(VMM_FUZZ)
tests_fuzz_fuzz_vmm_virtq_LDFLAGS = $(VMM_FUZZ_LINK)
tests_fuzz_fuzz_vmm_virtq_LDADD = $(VMM_FUZZ_LIBS)
tests_fuzz_fuzz_vmm_pci_SOURCES = tests/fuzz/fuzz-vmm-pci.c $(VMM_FUZZ)
tests_fuzz_fuzz_vmm_pci_LDFLAGS = $(VMM_FUZZ_LINK)
tests_fuzz_fuzz_vmm_pci_LDADD = $(VMM_FUZZ_LIBS)
tests_fuzz_fuzz_vmm_blk_SOURCES = tests/fuzz/fuzz-vmm-blk.c $(VMM_FUZZ)
tests_fuzz_fuzz_vmm_blk_LDFLAGS = $(VMM_FUZZ_LINK)
tests_fuzz_fuzz_vmm_blk_LDADD = $(VMM_FUZZ_LIBS)
tests_fuzz_fuzz_vmm_net_SOURCES = tests/fuzz/fuzz-vmm-net.c $(VMM_FUZZ)
tests_fuzz_fuzz_vmm_net_LDFLAGS = $(VMM_FUZZ_LINK)
tests_fuzz_fuzz_vmm_net_LDADD = $(VMM_FUZZ_LIBS)
tests_fuzz_fuzz_vmm_vsock_SOURCES = tests/fuzz/fuzz-vmm-vsock.c $(VMM_FUZZ)
tests_fuzz_fuzz_vmm_vsock_LDFLAGS = $(VMM_FUZZ_LINK)
tests_fuzz_fuzz_vmm_vsock_LDADD = $(VMM_FUZZ_LIBS)
