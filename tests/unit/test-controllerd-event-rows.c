/* test-controllerd-event-rows.c - the event log and the audit log as rows,
 * who may see which event, how it looks in a stream, and what a webhook makes
 * of the log. */
#include <config.h>

#include "tests/unit/store-fixture.h"

#include "common/clock.h"
#include "common/db_writer.h"
#include "controllerd/log_room.h"
#include "controllerd/store/store_event.h"
#include "controllerd/store/store_webhook.h"
#include "controllerd/webhooks-private.h"

static struct store_fixture f;

static int
setup(void **state)
{
    store_fixture_open(&f);
    add_project(f.db, P1, "one");
    add_project(f.db, P2, "two");
    return 0;
}

static int
teardown(void **state)
{
    return store_fixture_close(&f);
}

static void
emit(const char *kind, const char *project, int64_t at)
{
    struct api_event e = {.kind = (char *)kind,
                          .project_id = (char *)project,
                          .resource_type = (char *)"thing",
                          .at = at};

    assert_int_equal(store_event_insert(f.db, &e), 0);
}

static size_t
count_events(const char *project, int64_t after)
{
    struct codec_list l = {0};

    assert_int_equal(store_event_list(f.db, project, after, 1000, &l), 0);
    size_t n = l.n;
    codec_list_clear(&table_event, &l);
    return n;
}

/* ---- rows ---- */

static void
event__comes_back_as_it_was(void **state)
{
    struct api_event e = {.kind = (char *)"instance.state",
                          .project_id = P1,
                          .resource_type = (char *)"instance",
                          .resource_id = IMG1,
                          .resource_name = (char *)"web",
                          .state = (char *)"running",
                          .request_id = (char *)"rq",
                          .at = T0};
    struct codec_list l = {0};
    int64_t seq = 0;

    assert_int_equal(store_event_insert(f.db, &e), 0);
    assert_int_equal(store_event_list(f.db, NULL, 0, 10, &l), 0);
    assert_int_equal(l.n, 1);
    struct api_event *got = l.items;
    assert_true(id_valid(got->id));
    assert_int_equal(store_log_seq(got->id, &seq), 0);
    assert_int_equal(seq, got->seq);
    e.seq = got->seq;
    e.id = got->id;
    assert_same(&table_event, got, &e);
    codec_list_clear(&table_event, &l);
}

static void
log_id__holds_every_seq(void **state)
{
    static const int64_t seqs[] = {0, 1, 255, INT64_C(1) << 40,
                                   (INT64_C(1) << 62) - 1};
    char id[ID_SIZE], before[ID_SIZE] = "";
    int64_t seq = 0;

    for (size_t i = 0; i < ARRAY_SIZE(seqs); i++) {
        store_log_id(STORE_LOG_AUDIT, T0, seqs[i], id);
        assert_true(id_valid(id));
        assert_int_equal(store_log_seq(id, &seq), 0);
        assert_int_equal(seq, seqs[i]);
        assert_true(strcmp(before, id) < 0);
        memcpy(before, id, ID_SIZE);
    }
    store_log_id(STORE_LOG_EVENT, T0, 7, before);
    store_log_id(STORE_LOG_AUDIT, T0, 7, id);
    assert_string_not_equal(before, id);
    assert_int_equal(store_log_seq(P1, &seq), -EINVAL); /* of version 7 */
    assert_int_equal(store_log_seq("nonsense", &seq), -EINVAL);
}

static void
expire__goes_by_age_and_number_and_keeps_the_last(void **state)
{
    int64_t first = 0, last = 0;

    for (int i = 0; i < 20; i++)
        emit("a.b", P1, T0 + i);
    /* By age, in steps. */
    assert_int_equal(store_event_expire(f.db, T0 + 5, 1000, 3), 3);
    assert_int_equal(store_event_expire(f.db, T0 + 5, 1000, 3), 2);
    assert_int_equal(store_event_expire(f.db, T0 + 5, 1000, 3), 0);
    /* By number. */
    assert_int_equal(store_event_expire(f.db, 0, 10, 1000), 5);
    assert_int_equal(count_events(NULL, 0), 10);
    /* All of them are too old, but numbers must go on from there. */
    assert_int_equal(store_event_expire(f.db, INT64_MAX, 1, 1000), 9);
    assert_int_equal(store_event_bounds(f.db, NULL, &first, &last), 0);
    assert_int_equal(first, 20);
    assert_int_equal(last, 20);
    emit("a.b", P1, T0);
    assert_int_equal(store_event_bounds(f.db, NULL, &first, &last), 0);
    assert_int_equal(last, 21);
}

static void
level__is_the_even_share_of_who_has_most(void **state)
{
    static const int64_t counts[] = {5, 1000, 0, 90, 90};

    assert_int_equal(log_room_level(counts, 5, 2000), 1000); /* all fits */
    assert_int_equal(log_room_level(counts, 5, 1185), 1000);
    assert_int_equal(log_room_level(counts, 5, 1184), 999);
    assert_int_equal(log_room_level(counts, 5, 285), 100);
    assert_int_equal(log_room_level(counts, 5, 185), 60);
    assert_int_equal(log_room_level(counts, 5, 3), 0);
    assert_int_equal(log_room_level(NULL, 0, 7), 7);
    /* Of any counts the sum fits, and is all that may be. */
    unsigned seed = 1;
    for (int i = 0; i < 2000; i++) {
        int64_t some[20], max = rand_r(&seed) % 5000, sum = 0, more = 0;
        size_t n = 1 + (size_t)(rand_r(&seed) % 20);

        for (size_t k = 0; k < n; k++)
            some[k] = rand_r(&seed) % 700;
        int64_t level = log_room_level(some, n, max);
        for (size_t k = 0; k < n; k++) {
            sum += MIN(some[k], level);
            more += MIN(some[k], level + 1);
        }
        assert_true(sum <= max);
        assert_true(more > max || more == sum);
    }
}

/* One project floods both logs: what others did stays, and who looks at the
 * project's own is told what is gone. */
static void
room__flood_of_one_pushes_out_its_own_only(void **state)
{
    struct err e _cleanup_(err_release) = {0};
    struct ctl ctl = {0};
    struct db *db;
    int64_t first = 0, last = 0;

    for (int i = 0; i < 50; i++) {
        emit("a.b", P2, T0);
        emit("node.up", NULL, T0);
    }
    for (int i = 0; i < 5000; i++) {
        struct api_audit a = {.at = T0,
                              .project_id = P1,
                              .actor_type = (char *)"token",
                              .remote = (char *)"::1",
                              .method = (char *)"POST",
                              .path = (char *)"/v1/x",
                              .status = 200};

        emit("a.b", P1, T0);
        assert_int_equal(store_audit_insert(f.db, &a), 0);
    }
    assert_int_equal(store_open(f.path, true, &db, &e), 0);
    assert_int_equal(db_writer_start(db, &ctl.writer), 0);
    assert_int_equal(log_room_make(&ctl, f.db, STORE_LOG_EVENT, 5100), 0);
    assert_int_equal(count_events(P1, 4100), 1000); /* it all fits */
    assert_int_equal(log_room_make(&ctl, f.db, STORE_LOG_EVENT, 300), 0);
    assert_int_equal(count_events(P1, 0), 200);
    assert_int_equal(count_events(P2, 0), 50);
    assert_int_equal(count_events(NULL, 0), 300);
    assert_int_equal(store_event_bounds(f.db, P1, &first, &last), 0);
    assert_int_equal(first, 4901);
    assert_int_equal(last, 5100);
    assert_int_equal(store_event_bounds(f.db, P2, &first, &last), 0);
    assert_int_equal(first, 1);
    assert_int_equal(store_event_bounds(f.db, NULL, &first, &last), 0);
    assert_int_equal(first, 4901);
    /* The newest row stays, so that no number comes twice. */
    assert_int_equal(log_room_make(&ctl, f.db, STORE_LOG_EVENT, 1), 0);
    assert_int_equal(store_event_bounds(f.db, P1, &first, &last), 0);
    assert_int_equal(last, 5100);
    assert_int_equal(log_room_make(&ctl, f.db, STORE_LOG_AUDIT, 1000), 0);
    struct codec_list l = {0};
    assert_int_equal(store_audit_list(f.db, P1, 0, 10000, &l), 0);
    assert_int_equal(l.n, 1000);
    codec_list_clear(&table_audit, &l);
    db_writer_stop(ctl.writer);
}

static void
audit__newest_first_by_project(void **state)
{
    struct codec_list l = {0};

    for (int i = 0; i < 6; i++) {
        struct api_audit a = {.at = T0 + i,
                              .project_id = i % 2 ? P1 : P2,
                              .actor_type = (char *)"token",
                              .remote = (char *)"::1",
                              .method = (char *)"POST",
                              .path = (char *)"/v1/x",
                              .status = 200 + i};
        assert_int_equal(store_audit_insert(f.db, &a), 0);
    }
    assert_int_equal(store_audit_list(f.db, P1, 0, 2, &l), 0);
    const struct api_audit *a = l.items;
    assert_int_equal(l.n, 2);
    assert_int_equal(a[0].status, 205);
    assert_int_equal(a[1].status, 203);
    int64_t seq = a[1].seq;
    codec_list_clear(&table_audit, &l);
    assert_int_equal(store_audit_list(f.db, P1, seq, 2, &l), 0);
    assert_int_equal(l.n, 1);
    codec_list_clear(&table_audit, &l);
    assert_int_equal(store_audit_expire(f.db, T0 + 3, 100, 100), 3);
}

static void
state__changes_are_events_others_are_not(void **state)
{
    struct store_instance i = {0};

    i.a = (struct api_instance){.id = UUID("0041"),
                                .name = (char *)"web",
                                .project_id = P1,
                                .state = INSTANCE_CREATING,
                                .flavor = (char *)"s",
                                .flavor_id = FLV1,
                                .image = (char *)"i",
                                .image_id = IMG1,
                                .node_id = NODE1,
                                .operation_id = UUID("0051"),
                                .created_at = T0};
    assert_int_equal(store_instance_insert(f.db, &i), 0);
    assert_int_equal(count_events(P1, 0), 1);
    struct store_instance got = {0};
    assert_int_equal(store_instance_get(f.db, P1, P1, "web", &got), 0);
    assert_int_equal(store_instance_update(f.db, &got, 0), 0);
    assert_int_equal(count_events(P1, 0), 1);
    got.a.state = INSTANCE_RUNNING;
    assert_int_equal(store_instance_update(f.db, &got, 0), 0);
    assert_int_equal(count_events(P1, 0), 2);
    assert_int_equal(store_instance_update(f.db, &got, T0 + 1), 0);
    struct codec_list l = {0};
    assert_int_equal(store_event_list(f.db, P1, 2, 10, &l), 0);
    assert_int_equal(l.n, 1);
    assert_string_equal(((struct api_event *)l.items)->kind,
                        "instance.deleted");
    codec_list_clear(&table_event, &l);
    store_instance_release(&got);
}

/* ---- who sees what, and how ---- */

static void
wanted__goes_by_project_kind_and_role(void **state)
{
    struct api_event e = {.kind = (char *)"instance.state", .project_id = P1};
    struct event_filter any = {.admin = true};
    struct event_filter p1 = {.project_id = ""}, p2 = p1;

    memcpy(p1.project_id, P1, ID_SIZE);
    memcpy(p2.project_id, P2, ID_SIZE);
    assert_true(event_wanted(&any, &e));
    assert_true(event_wanted(&p1, &e));
    assert_false(event_wanted(&p2, &e));
    static const struct {
        const char *kinds;
        bool wanted;
    } cases[] = {
        {"", true},
        {"instance.state", true},
        {"instance.*", true},
        {"*", true},
        {"instance.", false},
        {"instance.stat", false},
        {"instance.states", false},
        {"node.up,instance.*", true},
        {"node.up,operation.*", false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        snprintf(p1.kinds, sizeof(p1.kinds), "%s", cases[i].kinds);
        if (event_wanted(&p1, &e) != cases[i].wanted)
            fail_msg("%s", cases[i].kinds);
    }
    /* Nobody's, and what readers may not list. */
    p1.kinds[0] = '\0';
    e.project_id = NULL;
    assert_false(event_wanted(&p1, &e));
    assert_true(event_wanted(&any, &e));
    e = (struct api_event){.kind = (char *)"token.created", .project_id = P1};
    assert_false(event_wanted(&p1, &e));
    p1.admin = true;
    assert_true(event_wanted(&p1, &e));
}

static void
kinds__bad_patterns_are_refused(void **state)
{
    static const char *const good[] = {"", "a", "a.b", "a.*", "*", "a.*,b_c"};
    static const char *const bad[] = {",",  "a,",  ",a",  "a,,b", "A",    "a*b",
                                      "**", "a b", "a\n", "a.*b", "a.*.", "é"};

    for (size_t i = 0; i < ARRAY_SIZE(good); i++)
        if (!event_kinds_valid(good[i]))
            fail_msg("%s", good[i]);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        if (event_kinds_valid(bad[i]))
            fail_msg("%s", bad[i]);
}

/* Section 9.2.5: whatever a name holds, the event is three lines and an empty
 * one. */
static void
sse__event_cannot_break_its_frame(void **state)
{
    struct buf b _cleanup_(buf_release) = {0};
    struct api_event e = {.seq = 7,
                          .id = IMG1,
                          .at = T0,
                          .kind = (char *)"thing.made",
                          .resource_type = (char *)"thing",
                          .resource_name = (char *)"a\n\ndata: x\r\rid: 9\n"};

    event_sse(&e, &b);
    const char *p = buf_str(&b);
    assert_memory_equal(p, "id: 7\nevent: thing.made\ndata: {", 31);
    size_t lines = 0;
    for (const char *s = p; *s; s++) {
        lines += *s == '\n';
        assert_true(*s != '\r');
    }
    assert_int_equal(lines, 4);
    assert_string_equal(p + b.len - 3, "}\n\n");
}

/* ---- a webhook and the log ---- */

static const struct ctl_config cfg = {.webhook_retry_us = 5 * US_PER_S,
                                      .webhook_retry_max_us = 600 * US_PER_S,
                                      .webhook_attempts = 3};

static struct hook *
new_hook(const char *kinds)
{
    struct codec_list l = {0};
    struct api_webhook w = {
        .id = UUID("0061"),
        .project_id = P1,
        .name = (char *)"hook",
        .url = (char *)"http://x/",
        .secret = (char *)"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        .created_at = T0};
    struct hook *h = xnew(struct hook);

    if (*kinds)
        codec_strings_add(&w.kinds, kinds);
    assert_int_equal(store_webhook_insert(f.db, &w), 0);
    codec_strings_clear(&w.kinds);
    assert_int_equal(store_webhook_all(f.db, &l), 0);
    hook_take(h, l.items);
    codec_list_clear(&table_webhook, &l);
    return h;
}

static void
answer(struct hook *h, long status)
{
    struct post_outcome o = {.arg = h, .status = status};

    snprintf(o.error, sizeof(o.error), "answered %ld", status);
    h->state = HOOK_SENDING;
    hook_result(h, &cfg, &o);
    assert_int_equal(h->state, HOOK_UNSAVED);
    assert_int_equal(hook_store(h, f.db), 0);
    hook_stored(h);
}

static void
hook__finds_its_own_in_order(void **state)
{
    struct hook *h = new_hook("a.*");
    int64_t first, last;

    for (int i = 0; i < 500; i++)
        emit(i % 100 == 50 ? "a.b" : "x.y", i % 3 ? P1 : P2, T0);
    assert_int_equal(store_event_bounds(f.db, NULL, &first, &last), 0);
    int64_t seen = 0, n = 0;
    for (;;) {
        while (hook_find(h, f.db, last))
            ;
        if (h->state != HOOK_READY)
            break;
        assert_true(h->event.seq > seen);
        seen = h->event.seq;
        n++;
        answer(h, 200);
        assert_int_equal(h->w.delivered_seq, seen);
    }
    assert_int_equal(h->scanned, last);
    /* 51, 151, 251, 351, 451; those of the other project are left out. */
    int64_t want = 0;
    for (int i = 50; i < 500; i += 100)
        want += i % 3 != 0;
    assert_int_equal(n, want);
    hook_free(h);
}

static void
hook__gives_up_after_as_many_attempts(void **state)
{
    struct hook *h = new_hook("");
    struct codec_list l = {0};

    emit("a.b", P1, T0);
    emit("a.c", P1, T0);
    assert_false(hook_find(h, f.db, 2));
    answer(h, 500);
    assert_int_equal(h->state, HOOK_READY);
    assert_int_equal(h->w.failures, 1);
    assert_true(h->w.next_attempt_at > clock_now_us());
    answer(h, 0);
    answer(h, 301);
    assert_int_equal(h->state, HOOK_IDLE);
    assert_int_equal(h->w.delivered_seq, 1);
    assert_int_equal(h->w.failures, 0);
    assert_int_equal(store_letter_list(f.db, h->w.id, "", 10, &l), 0);
    assert_int_equal(l.n, 1);
    const struct api_dead_letter *d = l.items;
    assert_int_equal(d->attempts, 3);
    assert_string_equal(d->event->kind, "a.b");
    assert_string_equal(d->last_error, "answered 301");
    codec_list_clear(&table_dead_letter, &l);
    /* The next one goes on. */
    hook_find(h, f.db, 2);
    assert_string_equal(h->event.kind, "a.c");
    hook_free(h);
}

static void
hook__what_expired_is_told_once(void **state)
{
    struct hook *h = new_hook("");
    struct codec_list l = {0};

    for (int i = 0; i < 10; i++)
        emit("a.b", P1, T0 + i);
    assert_int_equal(store_event_expire(f.db, T0 + 6, 100, 100), 6);
    assert_false(hook_find(h, f.db, 10));
    assert_int_equal(h->state, HOOK_UNSAVED);
    assert_int_equal(hook_store(h, f.db), 0);
    hook_stored(h);
    assert_int_equal(store_letter_list(f.db, h->w.id, "", 10, &l), 0);
    assert_int_equal(l.n, 1);
    assert_string_equal(((struct api_dead_letter *)l.items)->event->kind,
                        "webhook.events_expired");
    codec_list_clear(&table_dead_letter, &l);
    assert_int_equal(h->w.delivered_seq, 6);
    hook_find(h, f.db, 10);
    assert_int_equal(h->event.seq, 7);
    hook_free(h);
}

static void
hook__letters_are_bounded(void **state)
{
    struct hook *h = new_hook("");
    int64_t n = STORE_LETTERS_MAX + 20;

    for (int64_t i = 0; i < n; i++) {
        struct api_event e = {.id = IMG1,
                              .seq = i + 1,
                              .at = T0,
                              .kind = (char *)"a.b",
                              .resource_type = (char *)"a"};
        char id[ID_SIZE];
        struct api_dead_letter d = {.id = id,
                                    .webhook_id = h->w.id,
                                    .event = &e,
                                    .attempts = 1,
                                    .created_at = T0};
        id_new(id);
        assert_int_equal(store_letter_insert(f.db, &d), 0);
    }
    struct codec_list l = {0};
    assert_int_equal(store_letter_list(f.db, h->w.id, "", 5000, &l), 0);
    assert_int_equal(l.n, STORE_LETTERS_MAX);
    assert_int_equal(((struct api_dead_letter *)l.items)->event->seq, 21);
    codec_list_clear(&table_dead_letter, &l);
    /* They go with it. */
    assert_int_equal(store_webhook_delete(f.db, h->w.id), 0);
    assert_int_equal(store_letter_list(f.db, h->w.id, "", 5000, &l), 0);
    assert_int_equal(l.n, 0);
    hook_free(h);
}

static void
backoff__doubles_to_its_end_with_jitter(void **state)
{
    int64_t want = cfg.webhook_retry_us;

    for (int64_t n = 1; n < 80; n++) {
        int64_t us = hook_backoff_us(&cfg, n);

        assert_in_range(us, want * 4 / 5, want * 6 / 5 + 1);
        want = MIN(2 * want, cfg.webhook_retry_max_us);
    }
}

static void
posts__are_counted_by_project(void **state)
{
    struct project_posts *t = NULL;
    char id[ID_SIZE];

    assert_int_equal(posts_of(&t, P1), 0);
    for (int i = 0; i < 3; i++)
        posts_begin(&t, P1);
    posts_begin(&t, NULL);
    assert_int_equal(posts_of(&t, P1), 3);
    assert_int_equal(posts_of(&t, P2), 0);
    assert_int_equal(posts_of(&t, NULL), 1);
    posts_end(&t, P1);
    assert_int_equal(posts_of(&t, P1), 2);
    for (int i = 0; i < 1000; i++) {
        snprintf(id, sizeof(id), "0197b3a0-0000-7000-8000-00000000%04x",
                 i + 4096);
        posts_begin(&t, id);
    }
    for (int i = 0; i < 1000; i++) {
        snprintf(id, sizeof(id), "0197b3a0-0000-7000-8000-00000000%04x",
                 i + 4096);
        assert_int_equal(posts_of(&t, id), 1);
        posts_end(&t, id);
    }
    posts_end(&t, P1);
    posts_end(&t, P1);
    posts_end(&t, NULL);
    assert_null(t); /* what counts nothing is gone */
}

int
main(void)
{
#define TEST(x) cmocka_unit_test_setup_teardown(x, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(event__comes_back_as_it_was),
        TEST(log_id__holds_every_seq),
        TEST(expire__goes_by_age_and_number_and_keeps_the_last),
        TEST(level__is_the_even_share_of_who_has_most),
        TEST(room__flood_of_one_pushes_out_its_own_only),
        TEST(audit__newest_first_by_project),
        TEST(state__changes_are_events_others_are_not),
        TEST(wanted__goes_by_project_kind_and_role),
        TEST(kinds__bad_patterns_are_refused),
        TEST(sse__event_cannot_break_its_frame),
        TEST(hook__finds_its_own_in_order),
        TEST(hook__gives_up_after_as_many_attempts),
        TEST(hook__what_expired_is_told_once),
        TEST(hook__letters_are_bounded),
        TEST(posts__are_counted_by_project),
        TEST(backoff__doubles_to_its_end_with_jitter),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
