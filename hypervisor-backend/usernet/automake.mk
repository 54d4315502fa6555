# hypervisor-backend/usernet/ - virga-usernet: a network for one VM, by libslirp
sbin_PROGRAMS += virga-usernet
virga_usernet_SOURCES = \
	hypervisor-backend/usernet/main.c \
	hypervisor-backend/usernet/reach.c \
	hypervisor-backend/usernet/rights.c \
	hypervisor-backend/usernet/usernet.c \
	hypervisor-backend/usernet/usernet.h
virga_usernet_LDADD = libcommon.a $(SLIRP_LIBS)

integ_tests += tests/integ/65-usernet.t
EXTRA_DIST += tests/integ/65-usernet.t tests/integ/usernet-talk.py
dist_man_MANS += docs/man/virga-usernet.8
