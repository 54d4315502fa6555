# The NIC on a test host: several queues, vhost-net, virga-usernet
check_PROGRAMS += tests/vmm/pair
tests_vmm_pair_SOURCES = tests/vmm/pair.c

integ_tests += tests/integ/76-vmm-net.t
EXTRA_DIST += tests/integ/76-vmm-net.t tests/vmm/host-init-net
