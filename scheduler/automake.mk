# scheduler/ - placement, pure
noinst_LIBRARIES += libsched.a
libsched_a_SOURCES = \
	scheduler/batch.c \
	scheduler/best.c scheduler/best.h \
	scheduler/check.c \
	scheduler/claim.c \
	scheduler/copy.c \
	scheduler/evict.c \
	scheduler/explain.c scheduler/explain.h \
	scheduler/fair.c \
	scheduler/fit.c scheduler/fit.h \
	scheduler/group.c \
	scheduler/instance.c \
	scheduler/place.c scheduler/place.h scheduler/plan.h scheduler/view.h \
	scheduler/project.c \
	scheduler/query.c \
	scheduler/reserve.c \
	scheduler/sched.c scheduler/sched.h scheduler/sched-private.h \
	scheduler/view.c
SCHED_LIBS = libsched.a $(COMMON_LIBS)

unit_tests += tests/unit/test-scheduler-sched
tests_unit_test_scheduler_sched_SOURCES = tests/unit/test-scheduler-sched.c
tests_unit_test_scheduler_sched_LDADD = $(SCHED_LIBS) $(UNIT_LIBS)

unit_tests += tests/unit/test-scheduler-place
tests_unit_test_scheduler_place_SOURCES = tests/unit/test-scheduler-place.c
tests_unit_test_scheduler_place_LDADD = $(SCHED_LIBS) $(UNIT_LIBS)

unit_tests += tests/unit/test-scheduler-best
tests_unit_test_scheduler_best_SOURCES = tests/unit/test-scheduler-best.c
tests_unit_test_scheduler_best_LDADD = $(SCHED_LIBS) $(UNIT_LIBS)

sched_model_sources = tests/unit/sched-model.c tests/unit/sched-model.h \
	tests/unit/sched-model-plans.c tests/unit/sched-model-private.h \
	tests/unit/sched-model-steps.c
unit_tests += tests/unit/test-scheduler-model
tests_unit_test_scheduler_model_SOURCES = tests/unit/test-scheduler-model.c \
	$(sched_model_sources)
tests_unit_test_scheduler_model_LDADD = $(SCHED_LIBS) $(UNIT_LIBS)

unit_tests += tests/unit/test-scheduler-plan
tests_unit_test_scheduler_plan_SOURCES = tests/unit/test-scheduler-plan.c
tests_unit_test_scheduler_plan_LDADD = $(SCHED_LIBS) $(UNIT_LIBS)

EXTRA_PROGRAMS += bench/bench-scheduler
bench_programs += bench/bench-scheduler
bench_bench_scheduler_SOURCES = bench/bench-scheduler.c
bench_bench_scheduler_LDADD = $(SCHED_LIBS)

include $(top_srcdir)/tools/checks.mk
