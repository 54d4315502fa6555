/* test-agentd-core.c - the core with the simulated hypervisor, without a
 * controller: starts, stops, deletions, restarts, strangers. Over 800 lines:
 * all cases share the agent that is killed and opened again around them. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>
#include <semaphore.h>
#include <string.h>

#include "agentd/core.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/mem.h"

#define WAIT_US (30 * US_PER_S)

struct node {
    char dir[64];
    struct state *st;
    struct hv *hv;
    struct core *core;
    int64_t grace_us;
    enum api_restart restart; /* of all that is wanted */
};

static void
on_event(const char *id, void *arg)
{
    core_wake(((struct node *)arg)->core, id);
}

static void
node_open(struct node *n, const char *sim_options)
{
    char *db _cleanup_(freep) = xasprintf("%s/agent.db", n->dir);
    char *instances _cleanup_(freep) = xasprintf("%s/instances", n->dir);
    struct err e _cleanup_(err_release) = {0};

    int r = fs_mkdirs(instances, &e);
    if (r == 0)
        r = state_open(db, &n->st, &e);
    if (r < 0)
        fail_msg("%s", e.message);
    struct core_config cc = {
        .st = n->st, .dir = n->dir, .workers = 4, .stop_grace_us = n->grace_us};
    n->core = core_new(&cc);
    struct hv_config hc = {.driver = "sim",
                           .state_dir = n->dir,
                           .sim_options = sim_options,
                           .on_event = on_event,
                           .arg = n};
    r = hv_open(&hc, &n->hv, &e);
    if (r == 0)
        r = core_start(n->core, n->hv, NULL, &e);
    if (r < 0)
        fail_msg("%s", e.message);
}

static void
node_close(struct node *n)
{
    core_stop(n->core);
    hv_close(n->hv);
    state_close(n->st);
    core_free(n->core);
    n->core = NULL;
    n->hv = NULL;
    n->st = NULL;
}

/* What want() asks beside its arguments, until it is set otherwise. */
static struct {
    bool paused;
    int64_t vcpus; /* 0: 1 */
} also;

static int
setup(void **state)
{
    struct node *n = xnew(struct node);

    memset(&also, 0, sizeof(also));
    snprintf(n->dir, sizeof(n->dir), "/tmp/virga-core-XXXXXX");
    assert_non_null(mkdtemp(n->dir));
    n->grace_us = 60 * US_PER_S;
    *state = n;
    return 0;
}

static int
teardown(void **state)
{
    struct node *n = *state;

    if (n->core)
        node_close(n);
    int r = fs_remove_tree(n->dir, NULL);
    free(n);
    return r;
}

static void
add(struct node *n, struct api_desired *d, const char *id, int64_t run,
    enum api_power power, bool force)
{
    struct api_desired_instance *i =
        codec_list_add(&table_desired_instance, &d->instances);

    i->id = xstrdup(id);
    i->project_id = xstrdup("01890a5d-ac96-774b-bcce-b302099a8057");
    i->name = xstrdup("web");
    i->seq = ++d->seq;
    i->run = run;
    i->power = power;
    i->force = force;
    i->restart_policy = (int)n->restart;
    i->paused = also.paused;
    i->vcpus = also.vcpus ? also.vcpus : 1;
    i->memory_bytes = 64 << 20;
}

static void
apply(struct node *n, struct api_desired *d)
{
    assert_int_equal(core_apply(n->core, d, d->full), 0);
    codec_list_clear(&table_desired_instance, &d->instances);
}

static void
want(struct node *n, int64_t *seq, const char *id, int64_t run,
     enum api_power power, bool force)
{
    struct api_desired d = {.seq = *seq};

    add(n, &d, id, run, power, force);
    apply(n, &d);
    *seq = d.seq;
    assert_true(core_wait_idle(n->core, WAIT_US));
}

/* Waits until the spool has this many observations, and gives them. */
static struct api_observation *
observed(struct node *n, size_t count, struct codec_list *ret)
{
    int64_t end = clock_mono_us() + WAIT_US;

    for (;;) {
        codec_list_clear(&table_observation, ret);
        assert_int_equal(state_spool_read(n->st, 100000, ret), 0);
        if (ret->n >= count || clock_mono_us() > end)
            break;
        usleep(2000);
    }
    assert_int_equal(ret->n, count);
    return ret->items;
}

static void
is(const struct api_observation *o, enum api_observed state, int64_t run,
   const char *reason)
{
    assert_int_equal(o->state, state);
    assert_int_equal(o->run, run);
    if (reason)
        assert_string_equal(o->reason, reason);
    else
        assert_null(o->reason);
}

static enum hv_state
vm_state(struct node *n, const char *id, uint64_t *ret_run)
{
    struct hv_vm vm;

    assert_int_equal(hv_info(n->hv, id, &vm, NULL), 0);
    *ret_run = vm.run;
    return vm.state;
}

static void
core__whole_life_is_observed_in_order(void **state)
{
    struct node *n = *state;
    struct codec_list l = {0};
    char id[ID_SIZE];
    int64_t seq = 0;
    struct hv_vm vm;
    uint64_t run;

    id_new(id);
    node_open(n, NULL);
    want(n, &seq, id, 1, POWER_RUNNING, false);
    assert_int_equal(vm_state(n, id, &run), HV_RUNNING);
    want(n, &seq, id, 2, POWER_RUNNING, false); /* reboot */
    observed(n, 3, &l);
    assert_int_equal(vm_state(n, id, &run), HV_RUNNING);
    assert_int_equal(run, 2);
    want(n, &seq, id, 2, POWER_STOPPED, false);
    observed(n, 4, &l);
    want(n, &seq, id, 3, POWER_RUNNING, false);
    observed(n, 5, &l);
    want(n, &seq, id, 3, POWER_DELETED, false);
    struct api_observation *o = observed(n, 7, &l);
    is(&o[0], OBSERVED_RUNNING, 1, NULL);
    is(&o[1], OBSERVED_STOPPED, 1, "requested");
    is(&o[2], OBSERVED_RUNNING, 2, NULL);
    is(&o[3], OBSERVED_STOPPED, 2, "requested");
    is(&o[4], OBSERVED_RUNNING, 3, NULL);
    is(&o[5], OBSERVED_STOPPED, 3, "requested");
    is(&o[6], OBSERVED_DELETED, 3, NULL);
    assert_int_equal(hv_info(n->hv, id, &vm, NULL), -ENOENT);
    char *dir _cleanup_(freep) = xasprintf("%s/instances/%s", n->dir, id);
    assert_int_not_equal(access(dir, F_OK), 0);
    assert_true(core_knows(n->core, id));
    assert_int_equal(core_acked(n->core, o[6].seq), 0);
    assert_false(core_knows(n->core, id));
    codec_list_clear(&table_observation, &l);
}

static void
core__stop_amid_a_reboot_is_answered(void **state)
{
    struct node *n = *state;
    struct codec_list l = {0};
    char id[ID_SIZE];
    int64_t seq = 0;

    id_new(id);
    node_open(n, "stop_delay_ms=100");
    want(n, &seq, id, 1, POWER_RUNNING, false);
    want(n, &seq, id, 2, POWER_RUNNING, false); /* waits for the end of 1 */
    want(n, &seq, id, 2, POWER_STOPPED, false);
    struct api_observation *o = observed(n, 3, &l);
    is(&o[0], OBSERVED_RUNNING, 1, NULL);
    is(&o[1], OBSERVED_STOPPED, 1, "requested");
    is(&o[2], OBSERVED_STOPPED, 2, "requested");
    codec_list_clear(&table_observation, &l);
}

static void
core__guest_that_powers_off_stays_off(void **state)
{
    struct node *n = *state;
    struct codec_list l = {0};
    char id[ID_SIZE];
    int64_t seq = 0;

    id_new(id);
    node_open(n, "guest_exit_after_ms=50");
    want(n, &seq, id, 1, POWER_RUNNING, false);
    struct api_observation *o = observed(n, 2, &l);
    is(&o[1], OBSERVED_STOPPED, 1, "guest");
    int64_t ran = o[0].age_us - o[1].age_us;
    assert_true(ran > 40000 && ran < 70000);
    assert_true(core_wait_idle(n->core, WAIT_US));
    observed(n, 2, &l);
    codec_list_clear(&table_observation, &l);
}

static void
core__deaf_guest_is_ended_after_the_grace(void **state)
{
    struct node *n = *state;
    struct codec_list l = {0};
    char id[ID_SIZE];
    int64_t seq = 0;

    id_new(id);
    n->grace_us = US_PER_S / 5;
    node_open(n, "ignore_acpi_permille=1000");
    want(n, &seq, id, 1, POWER_RUNNING, false);
    int64_t t0 = clock_mono_us();
    want(n, &seq, id, 1, POWER_STOPPED, false);
    struct api_observation *o = observed(n, 2, &l);
    assert_true(clock_mono_us() - t0 >= n->grace_us);
    is(&o[1], OBSERVED_STOPPED, 1, "requested");
    codec_list_clear(&table_observation, &l);
}

static void
core__force_overtakes_a_polite_stop(void **state)
{
    struct node *n = *state;
    struct codec_list l = {0};
    char id[ID_SIZE];
    int64_t seq = 0;

    id_new(id);
    node_open(n, "ignore_acpi_permille=1000");
    want(n, &seq, id, 1, POWER_RUNNING, false);
    want(n, &seq, id, 1, POWER_STOPPED, false);
    observed(n, 1, &l);
    want(n, &seq, id, 1, POWER_STOPPED, true);
    struct api_observation *o = observed(n, 2, &l);
    is(&o[1], OBSERVED_STOPPED, 1, "requested");
    codec_list_clear(&table_observation, &l);
}

static void
core__start_that_fails_is_told_once(void **state)
{
    struct node *n = *state;
    struct codec_list l = {0};
    char id[ID_SIZE];
    int64_t seq = 0;

    id_new(id);
    node_open(n, "start_fail_permille=1000");
    want(n, &seq, id, 1, POWER_RUNNING, false);
    struct api_observation *o = observed(n, 1, &l);
    is(&o[0], OBSERVED_FAILED, 1, NULL);
    assert_string_equal(o[0].problem->code, "hypervisor_failed");
    want(n, &seq, id, 1, POWER_STOPPED, false);
    o = observed(n, 2, &l);
    is(&o[1], OBSERVED_STOPPED, 1, "requested");
    codec_list_clear(&table_observation, &l);
}

/* Ends by itself, is started again; the wait grows, and it is told at once. */
static void
core__crash_is_told_at_once_and_started_again(void **state)
{
    struct node *n = *state;
    struct codec_list l = {0};
    char id[ID_SIZE];
    int64_t seq = 0;

    id_new(id);
    n->restart = RESTART_ON_FAILURE;
    node_open(n, "guest_crash_after_ms=50");
    want(n, &seq, id, 1, POWER_RUNNING, false);
    struct api_observation *o = observed(n, 2, &l);
    is(&o[1], OBSERVED_STOPPED, 1, "crashed");
    assert_true(o[1].restart);
    assert_true(o[1].age_us < US_PER_S / 2); /* of a wait of 1 s */
    o = observed(n, 5, &l);
    is(&o[2], OBSERVED_RUNNING, 2, NULL);
    is(&o[3], OBSERVED_STOPPED, 2, "crashed");
    is(&o[4], OBSERVED_RUNNING, 3, NULL);
    assert_in_range(o[1].age_us - o[2].age_us, US_PER_S, 10 * US_PER_S);
    assert_in_range(o[3].age_us - o[4].age_us, 2 * US_PER_S, 11 * US_PER_S);
    codec_list_clear(&table_observation, &l);
}

static void
core__policy_never_stays_stopped(void **state)
{
    struct node *n = *state;
    struct codec_list l = {0};
    char id[ID_SIZE];
    int64_t seq = 0;

    id_new(id);
    n->restart = RESTART_NEVER;
    node_open(n, "guest_crash_after_ms=50");
    want(n, &seq, id, 1, POWER_RUNNING, false);
    struct api_observation *o = observed(n, 2, &l);
    is(&o[1], OBSERVED_STOPPED, 1, "crashed");
    assert_false(o[1].restart);
    assert_true(core_wait_idle(n->core, WAIT_US));
    observed(n, 2, &l);
    codec_list_clear(&table_observation, &l);
}

static void
core__policy_always_brings_a_guest_back(void **state)
{
    struct node *n = *state;
    struct codec_list l = {0};
    char id[ID_SIZE];
    int64_t seq = 0;

    id_new(id);
    n->restart = RESTART_ALWAYS;
    node_open(n, "guest_exit_after_ms=50");
    want(n, &seq, id, 1, POWER_RUNNING, false);
    struct api_observation *o = observed(n, 3, &l);
    is(&o[1], OBSERVED_STOPPED, 1, "guest");
    assert_true(o[1].restart);
    is(&o[2], OBSERVED_RUNNING, 2, NULL);
    codec_list_clear(&table_observation, &l);
}

/* The wait is on disk: an agent that comes back neither forgets it nor takes
 * it for over. Then the instance is deleted in it. */
static void
core__back_off_outlives_the_agent(void **state)
{
    struct node *n = *state;
    struct codec_list l = {0};
    char id[ID_SIZE];
    int64_t seq = 0;

    id_new(id);
    n->restart = RESTART_ON_FAILURE;
    node_open(n, "guest_crash_after_ms=20");
    want(n, &seq, id, 1, POWER_RUNNING, false);
    observed(n, 4, &l); /* run 2 has crashed: 2 s */
    for (int i = 0; i < 5; i++) {
        node_close(n);
        node_open(n, "guest_crash_after_ms=20");
        assert_true(core_wait_idle(n->core, WAIT_US));
    }
    struct api_observation *o = observed(n, 6, &l);
    is(&o[4], OBSERVED_RUNNING, 3, NULL);
    assert_in_range(o[3].age_us - o[4].age_us, 2 * US_PER_S, 11 * US_PER_S);
    want(n, &seq, id, 1, POWER_DELETED, true);
    o = observed(n, 7, &l);
    is(&o[6], OBSERVED_DELETED, 4, NULL);
    codec_list_clear(&table_observation, &l);
}

static void
core__stop_in_back_off_is_answered(void **state)
{
    struct node *n = *state;
    struct codec_list l = {0};
    char id[ID_SIZE];
    int64_t seq = 0;

    id_new(id);
    n->restart = RESTART_ON_FAILURE;
    node_open(n, "guest_crash_after_ms=20");
    want(n, &seq, id, 1, POWER_RUNNING, false);
    observed(n, 4, &l); /* run 2 has crashed: 2 s */
    want(n, &seq, id, 1, POWER_STOPPED, false);
    struct api_observation *o = observed(n, 5, &l);
    is(&o[4], OBSERVED_STOPPED, 3, "requested");
    assert_false(o[4].restart);
    /* The start that follows is above it, and does not wait. */
    int64_t t0 = clock_mono_us();
    want(n, &seq, id, 4, POWER_RUNNING, false);
    o = observed(n, 6, &l);
    is(&o[5], OBSERVED_RUNNING, 4, NULL);
    assert_true(clock_mono_us() - t0 < US_PER_S);
    codec_list_clear(&table_observation, &l);
}

/* A restart that cannot be carried out: the row of waits goes on. */
static void
core__failed_restart_is_told_and_tried_again(void **state)
{
    struct node *n = *state;
    struct codec_list l = {0};
    char id[ID_SIZE];
    int64_t seq = 0;

    id_new(id);
    n->restart = RESTART_ON_FAILURE;
    node_open(n, "guest_crash_after_ms=200");
    want(n, &seq, id, 1, POWER_RUNNING, false);
    observed(n, 1, &l);
    node_close(n);
    node_open(n, "guest_crash_after_ms=200,start_fail_permille=1000");
    struct api_observation *o = observed(n, 3, &l);
    is(&o[1], OBSERVED_STOPPED, 1, "crashed");
    is(&o[2], OBSERVED_FAILED, 2, NULL);
    assert_true(o[2].restart);
    node_close(n);
    node_open(n, NULL);
    o = observed(n, 4, &l);
    is(&o[3], OBSERVED_RUNNING, 3, NULL);
    codec_list_clear(&table_observation, &l);
}

/* ---- pausing ---- */

static void
core__pause_and_resume_are_observed(void **state)
{
    struct node *n = *state;
    struct codec_list l = {0};
    char id[ID_SIZE];
    int64_t seq = 0;
    uint64_t run;

    id_new(id);
    node_open(n, "pause_delay_ms=20");
    want(n, &seq, id, 1, POWER_RUNNING, false);
    int64_t began = clock_mono_us();
    struct api_observation *o = observed(n, 1, &l);
    began -= o[0].age_us;
    also.paused = true;
    want(n, &seq, id, 1, POWER_RUNNING, false);
    o = observed(n, 2, &l);
    assert_int_equal(vm_state(n, id, &run), HV_PAUSED);
    is(&o[1], OBSERVED_PAUSED, 1, NULL);
    assert_true(o[1].age_us < o[0].age_us);
    also.paused = false;
    want(n, &seq, id, 1, POWER_RUNNING, false);
    o = observed(n, 3, &l);
    assert_int_equal(vm_state(n, id, &run), HV_RUNNING);
    /* A run's age counts from its begin, however often it was halted. */
    is(&o[2], OBSERVED_RUNNING, 1, NULL);
    assert_in_range(o[2].age_us - (clock_mono_us() - began) + US_PER_S / 2, 0,
                    US_PER_S);
    codec_list_clear(&table_observation, &l);
}

static void
core__paused_vm_outlives_the_agent(void **state)
{
    struct node *n = *state;
    struct codec_list l = {0};
    char id[ID_SIZE];
    int64_t seq = 0;
    uint64_t run;

    id_new(id);
    also.paused = true;
    node_open(n, NULL);
    want(n, &seq, id, 1, POWER_RUNNING, false);
    observed(n, 2, &l);
    node_close(n);
    node_open(n, NULL);
    assert_true(core_wait_idle(n->core, WAIT_US));
    observed(n, 2, &l); /* nothing new */
    assert_int_equal(vm_state(n, id, &run), HV_PAUSED);
    assert_int_equal(run, 1);
    node_close(n);
    /* Somebody else resumes it meanwhile: it is as wanted again, and so was
     * it told. */
    struct hv_config hc = {.driver = "sim", .state_dir = n->dir};
    assert_int_equal(hv_open(&hc, &n->hv, NULL), 0);
    assert_int_equal(hv_resume(n->hv, id, NULL), 0);
    hv_close(n->hv);
    node_open(n, NULL);
    assert_true(core_wait_idle(n->core, WAIT_US));
    observed(n, 2, &l);
    assert_int_equal(vm_state(n, id, &run), HV_PAUSED);
    codec_list_clear(&table_observation, &l);
}

static void
core__paused_vm_is_stopped_and_deleted(void **state)
{
    struct node *n = *state;
    struct codec_list l = {0};
    char id[ID_SIZE];
    int64_t seq = 0;

    id_new(id);
    also.paused = true;
    node_open(n, "stop_delay_ms=20");
    want(n, &seq, id, 1, POWER_RUNNING, false);
    observed(n, 2, &l);
    /* By the button, long before the grace time is over. */
    want(n, &seq, id, 1, POWER_STOPPED, false);
    struct api_observation *o = observed(n, 3, &l);
    is(&o[2], OBSERVED_STOPPED, 1, "requested");
    want(n, &seq, id, 2, POWER_RUNNING, false);
    o = observed(n, 5, &l);
    is(&o[4], OBSERVED_PAUSED, 2, NULL);
    want(n, &seq, id, 2, POWER_STOPPED, true);
    o = observed(n, 6, &l);
    is(&o[5], OBSERVED_STOPPED, 2, "requested");
    want(n, &seq, id, 3, POWER_RUNNING, false);
    observed(n, 8, &l);
    want(n, &seq, id, 4, POWER_RUNNING, false); /* reboot */
    o = observed(n, 11, &l);
    is(&o[8], OBSERVED_STOPPED, 3, "requested");
    is(&o[9], OBSERVED_RUNNING, 4, NULL);
    is(&o[10], OBSERVED_PAUSED, 4, NULL);
    want(n, &seq, id, 4, POWER_DELETED, false);
    o = observed(n, 13, &l);
    is(&o[11], OBSERVED_STOPPED, 4, "requested");
    is(&o[12], OBSERVED_DELETED, 4, NULL);
    codec_list_clear(&table_observation, &l);
}

/* Also where it cannot be resumed for its button. */
static void
core__deaf_paused_guest_is_ended_after_the_grace(void **state)
{
    struct node *n = *state;
    struct codec_list l = {0};
    char id[ID_SIZE];
    int64_t seq = 0;

    id_new(id);
    n->grace_us = US_PER_S / 5;
    also.paused = true;
    node_open(n, NULL);
    want(n, &seq, id, 1, POWER_RUNNING, false);
    observed(n, 2, &l);
    node_close(n);
    node_open(n, "pause_fail_permille=1000");
    int64_t t0 = clock_mono_us();
    want(n, &seq, id, 1, POWER_STOPPED, false);
    struct api_observation *o = observed(n, 3, &l);
    is(&o[2], OBSERVED_STOPPED, 1, "requested");
    assert_true(clock_mono_us() - t0 >= n->grace_us);
    codec_list_clear(&table_observation, &l);
}

static void
core__run_to_be_paused_starts_and_is_paused(void **state)
{
    struct node *n = *state;
    struct codec_list l = {0};
    char id[ID_SIZE];
    int64_t seq = 0;

    id_new(id);
    n->restart = RESTART_ON_FAILURE;
    also.paused = true;
    node_open(n, NULL);
    want(n, &seq, id, 1, POWER_RUNNING, false);
    struct api_observation *o = observed(n, 2, &l);
    is(&o[0], OBSERVED_RUNNING, 1, NULL);
    is(&o[1], OBSERVED_PAUSED, 1, NULL);
    /* Its end and the restart of the policy: likewise. */
    node_close(n);
    struct hv_config hc = {.driver = "sim", .state_dir = n->dir};
    assert_int_equal(hv_open(&hc, &n->hv, NULL), 0);
    assert_int_equal(hv_stop(n->hv, id, true, NULL), 0);
    hv_close(n->hv);
    node_open(n, NULL);
    o = observed(n, 5, &l);
    is(&o[2], OBSERVED_STOPPED, 1, "killed");
    assert_true(o[2].restart);
    is(&o[3], OBSERVED_RUNNING, 2, NULL);
    is(&o[4], OBSERVED_PAUSED, 2, NULL);
    codec_list_clear(&table_observation, &l);
}

static void
core__wish_that_changes_nothing_is_answered(void **state)
{
    struct node *n = *state;
    struct codec_list l = {0};
    char id[ID_SIZE];
    int64_t seq = 0;

    id_new(id);
    node_open(n, NULL);
    want(n, &seq, id, 1, POWER_RUNNING, false);
    observed(n, 1, &l);
    want(n, &seq, id, 1, POWER_RUNNING, false);
    struct api_observation *o = observed(n, 2, &l);
    is(&o[1], OBSERVED_RUNNING, 1, NULL);
    assert_int_equal(core_sweep(n->core, NULL), 0);
    assert_true(core_wait_idle(n->core, WAIT_US));
    node_close(n);
    node_open(n, NULL);
    assert_true(core_wait_idle(n->core, WAIT_US));
    observed(n, 2, &l);
    codec_list_clear(&table_observation, &l);
}

static void
core__failing_pause_is_tried_until_it_holds(void **state)
{
    struct node *n = *state;
    struct codec_list l = {0};
    char id[ID_SIZE];
    int64_t seq = 0;

    id_new(id);
    node_open(n, "pause_fail_permille=1000");
    want(n, &seq, id, 1, POWER_RUNNING, false);
    also.paused = true;
    want(n, &seq, id, 1, POWER_RUNNING, false);
    observed(n, 1, &l); /* it was tried, and nothing is told */
    node_close(n);
    node_open(n, NULL);
    struct api_observation *o = observed(n, 2, &l);
    is(&o[1], OBSERVED_PAUSED, 1, NULL);
    node_close(n);
    node_open(n, "pause_fail_permille=1000");
    also.paused = false;
    want(n, &seq, id, 1, POWER_RUNNING, false);
    observed(n, 2, &l);
    node_close(n);
    node_open(n, NULL);
    o = observed(n, 3, &l);
    is(&o[2], OBSERVED_RUNNING, 1, NULL);
    codec_list_clear(&table_observation, &l);
}

static void
core__driver_without_pause_lets_it_run(void **state)
{
    struct node *n = *state;
    struct codec_list l = {0};
    char id[ID_SIZE];
    int64_t seq = 0;
    uint64_t run;

    id_new(id);
    node_open(n, "pause=0");
    want(n, &seq, id, 1, POWER_RUNNING, false);
    also.paused = true;
    want(n, &seq, id, 1, POWER_RUNNING, false);
    struct api_observation *o = observed(n, 2, &l);
    is(&o[1], OBSERVED_RUNNING, 1, NULL);
    assert_int_equal(vm_state(n, id, &run), HV_RUNNING);
    /* With another driver the wish is carried out. */
    node_close(n);
    node_open(n, NULL);
    assert_true(core_wait_idle(n->core, WAIT_US));
    o = observed(n, 3, &l);
    is(&o[2], OBSERVED_PAUSED, 1, NULL);
    codec_list_clear(&table_observation, &l);
}

/* ---- the size of a run ---- */

static void
is_sized(const struct api_observation *o, enum api_observed state, int64_t run,
         int64_t vcpus)
{
    is(o, state, run, NULL);
    assert_int_equal(o->vcpus, vcpus);
    assert_int_equal(o->memory_bytes, vcpus ? 64 << 20 : 0);
}

/* Whatever is wished while it runs: it has what it was started with. A run
 * that the policy reserved is started by the wish of that moment. */
static void
core__size_told_is_that_of_the_start(void **state)
{
    struct node *n = *state;
    struct codec_list l = {0};
    char id[ID_SIZE];
    int64_t seq = 0;

    id_new(id);
    n->restart = RESTART_ALWAYS;
    node_open(n, NULL);
    want(n, &seq, id, 1, POWER_RUNNING, false);
    also.vcpus = 2;
    want(n, &seq, id, 1, POWER_RUNNING, false);
    also.paused = true;
    want(n, &seq, id, 1, POWER_RUNNING, false);
    struct api_observation *o = observed(n, 3, &l);
    is_sized(&o[0], OBSERVED_RUNNING, 1, 1);
    is_sized(&o[1], OBSERVED_RUNNING, 1, 1);
    is_sized(&o[2], OBSERVED_PAUSED, 1, 1);
    also.paused = false;
    want(n, &seq, id, 1, POWER_RUNNING, false);
    assert_int_equal(hv_stop(n->hv, id, true, NULL), 0); /* from outside */
    o = observed(n, 6, &l);
    assert_int_equal(o[4].state, OBSERVED_STOPPED);
    assert_true(o[4].restart);
    assert_int_equal(o[4].vcpus, 0);
    is_sized(&o[5], OBSERVED_RUNNING, 2, 2);
    codec_list_clear(&table_observation, &l);
}

struct forced {
    struct state_change ch; /* first */
    sem_t done;
};

static void
on_forced(struct state_change *ch, int result)
{
    assert_int_equal(result, 0);
    sem_post(&((struct forced *)ch)->done);
}

/* The agent died between making the VM and recording it, and the wish that it
 * finds is another. */
static void
core__size_of_an_adopted_vm_is_that_on_record(void **state)
{
    struct node *n = *state;
    struct codec_list l = {0};
    char id[ID_SIZE];
    int64_t seq = 0;

    id_new(id);
    node_open(n, NULL);
    want(n, &seq, id, 1, POWER_RUNNING, false);
    for (int vcpus = 1; vcpus >= 0; vcpus--) {
        struct forced f = {
            .ch = {.local = {.phase = PHASE_STARTING,
                             .run = 1,
                             .size = {vcpus, vcpus ? 64 << 20 : 0, 0}},
                   .done = on_forced}};

        also.vcpus = 4;
        want(n, &seq, id, 1, POWER_RUNNING, false);
        observed(n, vcpus ? 2 : 4, &l);
        memcpy(f.ch.id, id, ID_SIZE);
        sem_init(&f.done, 0, 0);
        state_submit(n->st, &f.ch);
        sem_wait(&f.done);
        sem_destroy(&f.done);
        node_close(n);
        node_open(n, NULL);
        struct api_observation *o = observed(n, vcpus ? 3 : 5, &l);
        is_sized(&o[vcpus ? 2 : 4], OBSERVED_RUNNING, 1, vcpus);
    }
    codec_list_clear(&table_observation, &l);
}

static void
core__restart_adopts_and_settles(void **state)
{
    struct node *n = *state;
    struct codec_list l = {0};
    char id[ID_SIZE], gone[ID_SIZE];
    int64_t seq = 0;
    uint64_t run;

    id_new(id);
    id_new(gone);
    node_open(n, NULL);
    want(n, &seq, id, 1, POWER_RUNNING, false);
    want(n, &seq, gone, 1, POWER_RUNNING, false);
    assert_int_equal(state_set_alive(n->st, clock_now_us()), 0);
    int64_t alive = clock_now_us();
    node_close(n);
    /* While nobody looks one VM vanishes without a trace. */
    char *rec _cleanup_(freep) = xasprintf("%s/sim/vms/%s", n->dir, gone);
    assert_int_equal(unlink(rec), 0);
    usleep(300000);
    node_open(n, NULL);
    struct api_observation *o = observed(n, 3, &l);
    is(&o[2], OBSERVED_STOPPED, 1, "unknown");
    assert_string_equal(o[2].instance_id, gone);
    /* The time is the last moment the agent was there. */
    assert_true(clock_now_us() - o[2].age_us <= alive + 50000);
    assert_int_equal(vm_state(n, id, &run), HV_RUNNING);
    assert_int_equal(run, 1);
    assert_true(core_wait_idle(n->core, WAIT_US));
    observed(n, 3, &l);
    codec_list_clear(&table_observation, &l);
}

static void
core__end_while_away_has_its_own_time(void **state)
{
    struct node *n = *state;
    struct codec_list l = {0};
    char id[ID_SIZE];
    int64_t seq = 0;

    id_new(id);
    node_open(n, "guest_exit_after_ms=150");
    want(n, &seq, id, 1, POWER_RUNNING, false);
    observed(n, 1, &l);
    node_close(n);
    usleep(400000);
    node_open(n, "guest_exit_after_ms=150");
    struct api_observation *o = observed(n, 2, &l);
    is(&o[1], OBSERVED_STOPPED, 1, "guest");
    int64_t ran = o[0].age_us - o[1].age_us;
    assert_true(ran > 140000 && ran < 170000);
    codec_list_clear(&table_observation, &l);
}

static void
core__stranger_is_quarantined_and_lives(void **state)
{
    struct node *n = *state;
    struct err e _cleanup_(err_release) = {0};
    struct codec_list q = {0};
    char id[ID_SIZE];
    int64_t seq = 0;
    uint64_t run;

    id_new(id);
    node_open(n, NULL);
    want(n, &seq, id, 1, POWER_RUNNING, false);
    /* A full listing that does not name it. */
    struct api_desired d = {.seq = 9, .full = true};
    assert_int_equal(core_apply(n->core, &d, true), 0);
    assert_int_equal(core_sweep(n->core, &e), 0);
    assert_true(core_wait_idle(n->core, WAIT_US));
    core_quarantined(n->core, &q);
    assert_int_equal(q.n, 1);
    assert_string_equal(((char **)q.items)[0], id);
    codec_strings_clear(&q);
    node_close(n);
    node_open(n, NULL);
    assert_int_equal(vm_state(n, id, &run), HV_RUNNING);
    core_quarantined(n->core, &q);
    assert_int_equal(q.n, 1);
    codec_strings_clear(&q);
    /* Wanted again: it is taken back as it is. */
    seq = 20;
    want(n, &seq, id, 1, POWER_RUNNING, false);
    assert_int_equal(vm_state(n, id, &run), HV_RUNNING);
    assert_int_equal(core_sweep(n->core, &e), 0);
    core_quarantined(n->core, &q);
    assert_int_equal(q.n, 0);
}

static void
core__deletion_of_the_unknown_is_told(void **state)
{
    struct node *n = *state;
    struct codec_list l = {0};
    char id[ID_SIZE];
    int64_t seq = 0;

    id_new(id);
    node_open(n, NULL);
    want(n, &seq, id, 1, POWER_DELETED, false);
    is(observed(n, 1, &l), OBSERVED_DELETED, 0, NULL);
    codec_list_clear(&table_observation, &l);
}

static void
core__many_instances_start_and_go(void **state)
{
    struct node *n = *state;
    struct codec_list l = {0};
    struct api_desired d = {0};
    char(*ids)[ID_SIZE] _cleanup_(freep) = xcalloc(2000, ID_SIZE);

    node_open(n, NULL);
    int64_t t0 = clock_mono_us();
    for (int i = 0; i < 2000; i++) {
        id_new(ids[i]);
        add(n, &d, ids[i], 1, POWER_RUNNING, false);
        if (i % 500 == 499)
            apply(n, &d);
    }
    observed(n, 2000, &l);
    print_message("2000 starts in %lld ms\n",
                  (long long)(clock_mono_us() - t0) / 1000);
    for (int i = 0; i < 2000; i++) {
        add(n, &d, ids[i], 1, POWER_DELETED, false);
        if (i % 500 == 499)
            apply(n, &d);
    }
    struct api_observation *o = observed(n, 6000, &l);
    int64_t last = o[l.n - 1].seq;
    codec_list_clear(&table_observation, &l);
    assert_int_equal(core_acked(n->core, last), 0);
    for (int i = 0; i < 2000; i++)
        assert_false(core_knows(n->core, ids[i]));
    struct hv_vm *vms _cleanup_(freep) = NULL;
    size_t n_vms;
    assert_int_equal(hv_list(n->hv, &vms, &n_vms, NULL), 0);
    assert_int_equal(n_vms, 0);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(core__whole_life_is_observed_in_order),
        T(core__stop_amid_a_reboot_is_answered),
        T(core__guest_that_powers_off_stays_off),
        T(core__deaf_guest_is_ended_after_the_grace),
        T(core__force_overtakes_a_polite_stop),
        T(core__start_that_fails_is_told_once),
        T(core__crash_is_told_at_once_and_started_again),
        T(core__policy_never_stays_stopped),
        T(core__policy_always_brings_a_guest_back),
        T(core__back_off_outlives_the_agent),
        T(core__stop_in_back_off_is_answered),
        T(core__failed_restart_is_told_and_tried_again),
        T(core__pause_and_resume_are_observed),
        T(core__paused_vm_outlives_the_agent),
        T(core__paused_vm_is_stopped_and_deleted),
        T(core__deaf_paused_guest_is_ended_after_the_grace),
        T(core__run_to_be_paused_starts_and_is_paused),
        T(core__wish_that_changes_nothing_is_answered),
        T(core__failing_pause_is_tried_until_it_holds),
        T(core__driver_without_pause_lets_it_run),
        T(core__size_told_is_that_of_the_start),
        T(core__size_of_an_adopted_vm_is_that_on_record),
        T(core__restart_adopts_and_settles),
        T(core__end_while_away_has_its_own_time),
        T(core__stranger_is_quarantined_and_lives),
        T(core__deletion_of_the_unknown_is_told),
        T(core__many_instances_start_and_go),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
