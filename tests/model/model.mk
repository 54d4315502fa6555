# tests/model/ - the controller in the test's own process: random interleavings
# against a model, and storage that fails at every step. The linker's --wrap
# puts the test's transport, clock and random bytes beneath the daemon's code.
model_ldflags = $(AM_LDFLAGS) -Wl,--wrap=http_header,--wrap=http_query \
	-Wl,--wrap=http_each_query,--wrap=http_peer,--wrap=http_suspend \
	-Wl,--wrap=http_well_formed \
	-Wl,--wrap=http_resume,--wrap=clock_now_us,--wrap=clock_mono_us \
	-Wl,--wrap=getrandom,--wrap=nodes_tick,--wrap=log_write \
	-Wl,--wrap=db_checkpoint_start
model_sources = tests/model/rig.c tests/model/rig.h tests/model/vfs.c \
	tests/model/vfs.h tests/model/cloud.c tests/model/cloud.h \
	tests/model/life.h tests/model/agents.c tests/model/tenants.c \
	tests/model/check.c tests/model/template.c

model_tests = tests/model/test-model-cloud tests/model/test-model-crash
TESTS += $(model_tests)
check_PROGRAMS += $(model_tests)
tests_model_test_model_cloud_SOURCES = tests/model/test-model-cloud.c \
	$(model_sources)
tests_model_test_model_cloud_LDADD = $(CTL_LIBS)
tests_model_test_model_cloud_LDFLAGS = $(model_ldflags)
tests_model_test_model_crash_SOURCES = tests/model/test-model-crash.c \
	$(model_sources)
tests_model_test_model_crash_LDADD = $(CTL_LIBS)
tests_model_test_model_crash_LDFLAGS = $(model_ldflags)
