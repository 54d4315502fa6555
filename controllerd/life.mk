# What changes instances, and the operations that do so.
libcontrollerd_a_SOURCES += controllerd/h_verbs.c controllerd/h_change.c \
	controllerd/h_resize.c controllerd/h_operations.c \
	controllerd/ops/ops.h controllerd/ops/progress.c controllerd/ops/size.c \
	controllerd/ops/undo.c controllerd/ops/verb.c
