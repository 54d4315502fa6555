# Signing in, users and members.
libcli_a_SOURCES += cli/login.c cli/password.c cli/saved.c
