# What changes instances, and the operations that do so.
libcontrollerd_a_SOURCES += controllerd/h_verbs.c controllerd/h_change.c \
	controllerd/h_resize.c controllerd/h_operations.c \
	controllerd/ops/lost.c \
	controllerd/ops/ops.h controllerd/ops/progress.c controllerd/ops/size.c \
	controllerd/ops/undo.c controllerd/ops/verb.c
unit_tests += tests/unit/test-controllerd-life
tests_unit_test_controllerd_life_SOURCES = tests/unit/test-controllerd-life.c
tests_unit_test_controllerd_life_LDADD = $(CTL_LIBS) $(UNIT_LIBS)
EXTRA_DIST += tests/unit/life-fixture.h
unit_tests += tests/unit/test-controllerd-size
tests_unit_test_controllerd_size_SOURCES = tests/unit/test-controllerd-size.c
tests_unit_test_controllerd_size_LDADD = $(CTL_LIBS) $(UNIT_LIBS)
