# The NIC on a test host: several queues, vhost-net, virga-usernet
check_PROGRAMS += tests/vmm/pair
tests_vmm_pair_SOURCES = tests/vmm/pair.c

integ_tests += tests/integ/76-vmm-net.t
EXTRA_DIST += tests/integ/76-vmm-net.t tests/vmm/host-init-net

unit_tests += tests/unit/test-vmm-net-ctrl
tests_unit_test_vmm_net_ctrl_SOURCES = tests/unit/test-vmm-net-ctrl.c \
	tests/unit/vmm-net.h $(VMM_GUEST)
tests_unit_test_vmm_net_ctrl_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=net_look_again
tests_unit_test_vmm_net_ctrl_LDADD = $(VMMDEV_LIBS) $(UNIT_LIBS)
