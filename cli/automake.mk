# cli/ - virga, the command of tenants and operators
noinst_LIBRARIES += libcli.a
libcli_a_SOURCES = \
	cli/args.c cli/args.h \
	cli/backup.c \
	cli/body.c \
	cli/call.c \
	cli/cli.h \
	cli/commands.c \
	cli/complete.c \
	cli/conlog.c \
	cli/console.c cli/console.h \
	cli/debug.c \
	cli/format.c cli/format.h cli/format_yaml.c \
	cli/generic.c \
	cli/help.c \
	cli/image.c \
	cli/launch.c \
	cli/list.c \
	cli/names.c \
	cli/quota.c \
	cli/report.c \
	cli/show.c \
	cli/text.c cli/text.h \
	cli/usage.c \
	cli/wait.c
CLI_LIBS = libcli.a $(API_LIBS)
include $(top_srcdir)/cli/identity.mk

bin_PROGRAMS += virga
virga_SOURCES = cli/main.c
virga_LDADD = $(CLI_LIBS)

dist_man_MANS += docs/man/virga.1

# bash finds a completion by the command's name, so the file is installed
# under it.
bashcompletiondir = $(datadir)/bash-completion/completions
bashcompletion_DATA = cli/completions/virga
EXTRA_DIST += cli/virga.bash-completion
CLEANFILES += cli/completions/virga
cli/completions/virga: cli/virga.bash-completion
	$(AM_V_GEN)$(MKDIR_P) cli/completions && \
	  cp $(top_srcdir)/cli/virga.bash-completion $@

unit_tests += tests/unit/test-cli-args
tests_unit_test_cli_args_SOURCES = tests/unit/test-cli-args.c
tests_unit_test_cli_args_LDADD = $(CLI_LIBS) $(UNIT_LIBS)
unit_tests += tests/unit/test-cli-format
tests_unit_test_cli_format_SOURCES = tests/unit/test-cli-format.c
tests_unit_test_cli_format_LDADD = $(CLI_LIBS) $(UNIT_LIBS)
unit_tests += tests/unit/test-cli-text
tests_unit_test_cli_text_SOURCES = tests/unit/test-cli-text.c
tests_unit_test_cli_text_LDADD = $(CLI_LIBS) $(UNIT_LIBS)
unit_tests += tests/unit/test-cli-call
tests_unit_test_cli_call_SOURCES = tests/unit/test-cli-call.c
tests_unit_test_cli_call_LDADD = $(CLI_LIBS) $(UNIT_LIBS)
# Runs ./virga on a pseudo-terminal.
unit_tests += tests/unit/test-cli-console
tests_unit_test_cli_console_SOURCES = tests/unit/test-cli-console.c
tests_unit_test_cli_console_LDADD = $(CLI_LIBS) $(UNIT_LIBS) -lutil
include $(top_srcdir)/cli/events.mk
include $(top_srcdir)/cli/life.mk
