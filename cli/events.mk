# What happened, who is told, who did it.
libcli_a_SOURCES += cli/events.c
