# Commands of an instance's life.
libcli_a_SOURCES += cli/life.c
