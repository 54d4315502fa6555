# What changes instances, and the operations that do so.
libcontrollerd_a_SOURCES += controllerd/h_verbs.c controllerd/h_operations.c
