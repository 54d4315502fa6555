# agentd/ - the node daemon
noinst_LIBRARIES += libagent.a
libagent_a_SOURCES = \
	agentd/agent.h \
	agentd/config.c agentd/config.h \
	agentd/console.c agentd/console.h \
	agentd/core.c agentd/core.h agentd/core-private.h \
	agentd/disk.c agentd/disk.h \
	agentd/image.c agentd/image.h \
	agentd/join.c agentd/join.h \
	agentd/keep.c \
	agentd/link.c agentd/link.h \
	agentd/metrics.c \
	agentd/poll.c \
	agentd/progress.c \
	agentd/reconcile.c agentd/reconcile.h \
	agentd/report.c \
	agentd/request.c \
	agentd/seed.c agentd/seed.h \
	agentd/work.c \
	agentd/state/state.c agentd/state/state.h \
	agentd/state/state-private.h \
	agentd/state/instance.c \
	agentd/state/spool.c
nodist_libagent_a_SOURCES = common/migrations-agent.c
AGENT_LIBS = libagent.a $(HV_LIBS) $(API_LIBS) $(LIBISOFS_LIBS)

agent_migrations = \
	$(srcdir)/schemas/migrations/agent/0001-init.sql \
	$(srcdir)/schemas/migrations/agent/0002-restart.sql \
	$(srcdir)/schemas/migrations/agent/0003-pause.sql \
	$(srcdir)/schemas/migrations/agent/0004-size.sql
EXTRA_DIST += schemas/embed.sh \
	schemas/migrations/agent/0001-init.sql \
	schemas/migrations/agent/0002-restart.sql \
	schemas/migrations/agent/0003-pause.sql \
	schemas/migrations/agent/0004-size.sql
CLEANFILES += common/migrations-agent.c
common/migrations-agent.c: $(agent_migrations) $(srcdir)/schemas/embed.sh
	$(AM_V_GEN)$(MKDIR_P) common && \
	$(SHELL) $(srcdir)/schemas/embed.sh agent_migrations \
		$(agent_migrations) > $@.tmp && mv $@.tmp $@

sbin_PROGRAMS += virga-agentd
virga_agentd_SOURCES = agentd/main.c
virga_agentd_LDADD = $(AGENT_LIBS)
dist_man_MANS += docs/man/virga-agentd.8

unit_tests += tests/unit/test-agentd-reconcile
tests_unit_test_agentd_reconcile_SOURCES = tests/unit/test-agentd-reconcile.c
tests_unit_test_agentd_reconcile_LDADD = $(AGENT_LIBS) $(UNIT_LIBS)
unit_tests += tests/unit/test-agentd-state
tests_unit_test_agentd_state_SOURCES = tests/unit/test-agentd-state.c
tests_unit_test_agentd_state_LDADD = $(AGENT_LIBS) $(UNIT_LIBS)
unit_tests += tests/unit/test-agentd-image
tests_unit_test_agentd_image_SOURCES = tests/unit/test-agentd-image.c
tests_unit_test_agentd_image_LDADD = $(AGENT_LIBS) $(UNIT_LIBS)
unit_tests += tests/unit/test-agentd-core
tests_unit_test_agentd_core_SOURCES = tests/unit/test-agentd-core.c
tests_unit_test_agentd_core_LDADD = $(AGENT_LIBS) $(UNIT_LIBS)
unit_tests += tests/unit/test-agentd-wire
tests_unit_test_agentd_wire_SOURCES = tests/unit/test-agentd-wire.c
tests_unit_test_agentd_wire_LDADD = $(API_LIBS) $(UNIT_LIBS)
include $(top_srcdir)/agentd/restart.mk
include $(top_srcdir)/agentd/life.mk
