/* test-controllerd-store-rows.c - what goes into a row comes out again, every
 * column of every table: no two values are alike, so that an argument bound
 * in another's place shows. */
#include <config.h>

#include "tests/unit/store-fixture.h"

static int
setup(void **state)
{
    struct store_fixture *f = xnew(struct store_fixture);

    store_fixture_open(f);
    add_project(f->db, P1, "acme");
    add_project(f->db, P2, "bolt");
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    int r = store_fixture_close(*state);

    free(*state);
    return r;
}

#define DB (((struct store_fixture *)*state)->db)

static void
project__round_trip(void **state)
{
    struct api_project in = {.id = UUID("0100"),
                             .name = (char *)"new",
                             .generation = 1,
                             .created_at = T0 + 1};
    struct api_project out = {0};
    struct codec_list l = {0};

    assert_int_equal(store_project_insert(DB, &in), 0);
    assert_int_equal(store_project_get(DB, in.id, &out), 0);
    assert_same(&table_project, &in, &out);
    codec_clear(&table_project, &out);
    assert_int_equal(store_project_get(DB, "new", &out), 0);
    assert_same(&table_project, &in, &out);
    codec_clear(&table_project, &out);
    assert_int_equal(store_project_list(DB, in.id, "", 10, &l), 0);
    assert_int_equal(l.n, 1);
    assert_same(&table_project, &in, l.items);
    codec_list_clear(&table_project, &l);
    assert_int_equal(store_project_get(DB, "none", &out), -ENOENT);
}

static void
save_token(const struct store_token *t, void *arg)
{
    struct store_token *out = arg;

    if (!streq(t->a.name, "ci"))
        return;
    memcpy(out->hash, t->hash, HASH_LEN);
    out->a.role = t->a.role;
    out->a.generation = t->a.generation;
    out->a.created_at = t->a.created_at;
    out->a.expires_at = t->a.expires_at;
    out->a.id = xstrdup(t->a.id);
    out->a.name = xstrdup(t->a.name);
    out->a.project = xstrdup(t->a.project);
}

static void
token__round_trip(void **state)
{
    struct store_token in = {.a = {.id = UUID("0101"),
                                   .name = (char *)"ci",
                                   .role = ROLE_ADMIN,
                                   .project = P1,
                                   .generation = 1,
                                   .created_at = T0 + 2,
                                   .expires_at = T0 + 3}};
    struct store_token each = {0};
    struct api_token out = {0};
    struct codec_list l = {0};

    memset(in.hash, 0xa5, HASH_LEN);
    assert_int_equal(store_token_insert(DB, &in), 0);
    assert_int_equal(store_token_get(DB, P1, "ci", &out), 0);
    assert_same(&table_token, &in.a, &out);
    codec_clear(&table_token, &out);
    assert_int_equal(store_token_list(DB, P1, "", 10, &l), 0);
    assert_int_equal(l.n, 1);
    assert_same(&table_token, &in.a, l.items);
    codec_list_clear(&table_token, &l);
    assert_int_equal(store_token_each(DB, save_token, &each), 0);
    assert_same(&table_token, &in.a, &each.a);
    assert_memory_equal(in.hash, each.hash, HASH_LEN);
    codec_clear(&table_token, &each.a);

    /* An operator's: no project, no end. */
    struct store_token op = {.a = {.id = UUID("0102"),
                                   .name = (char *)"root",
                                   .role = ROLE_OPERATOR,
                                   .generation = 1,
                                   .created_at = T0 + 4}};
    assert_int_equal(store_token_insert(DB, &op), 0);
    assert_int_equal(store_token_get(DB, NULL, op.a.id, &out), 0);
    assert_null(out.project);
    assert_int_equal(out.expires_at, 0);
    assert_same(&table_token, &op.a, &out);
    codec_clear(&table_token, &out);
    assert_int_equal(store_token_get(DB, P1, "root", &out), -ENOENT);
}

static void
flavor__round_trip(void **state)
{
    struct api_flavor in = {.id = UUID("0103"),
                            .name = (char *)"small",
                            .vcpus = 1,
                            .memory_bytes = 2,
                            .disk_bytes = 3,
                            .limits = {4, 5, 6, 7, 8, 9},
                            .price_per_hour = (char *)"0.0125",
                            .generation = 1,
                            .created_at = T0 + 5},
                      out = {0};
    struct codec_list l = {0};

    assert_int_equal(store_flavor_insert(DB, &in), 0);
    assert_int_equal(store_flavor_get(DB, "small", &out), 0);
    assert_same(&table_flavor, &in, &out);
    codec_clear(&table_flavor, &out);
    assert_int_equal(store_flavor_list(DB, "", 10, &l), 0);
    assert_int_equal(l.n, 1);
    assert_same(&table_flavor, &in, l.items);
    codec_list_clear(&table_flavor, &l);
    assert_int_equal(store_flavor_delete(DB, in.id), 0);
    assert_int_equal(store_flavor_delete(DB, in.id), -ENOENT);
}

static struct api_image
image(void)
{
    static struct api_image_part parts[] = {
        {.name = PART_KERNEL}, {.name = PART_DISK, .format = FORMAT_QCOW2}};

    return (struct api_image){.id = IMG1,
                              .name = (char *)"debian",
                              .project_id = P1,
                              .is_public = true,
                              .cmdline = (char *)"quiet",
                              .parts = {parts, 2},
                              .generation = 1,
                              .created_at = T0 + 6};
}

static void
image__round_trip_and_its_parts(void **state)
{
    struct api_image in = image(), out = {0};
    struct codec_list l = {0};
    struct api_image_part up[] = {
        {PART_KERNEL, FORMAT_RAW, 11, 12, (char *)"aa"},
        {PART_DISK, FORMAT_QCOW2, 21, 22, (char *)"bb"}};

    assert_int_equal(store_image_insert(DB, &in), 0);
    assert_int_equal(store_image_get(DB, P1, "debian", &out), 0);
    assert_int_equal(out.state, IMAGE_PENDING);
    assert_same(&table_image, &in, &out);
    codec_clear(&table_image, &out);
    assert_int_equal(store_image_part_set(DB, IMG1, &up[1]), 0);
    assert_int_equal(store_image_part_set(DB, IMG1, &up[1]), -EEXIST);
    assert_int_equal(store_image_get(DB, P1, IMG1, &out), 0);
    assert_int_equal(out.state, IMAGE_PENDING);
    assert_int_equal(out.size_bytes, 21);
    codec_clear(&table_image, &out);
    assert_int_equal(store_image_part_set(DB, IMG1, &up[0]), 0);

    in.parts = (struct codec_list){up, 2};
    in.state = IMAGE_ACTIVE;
    in.size_bytes = 32;
    in.generation = 3; /* one more with each part */
    assert_int_equal(store_image_get(DB, P1, IMG1, &out), 0);
    assert_same(&table_image, &in, &out);
    codec_clear(&table_image, &out);
    assert_int_equal(store_image_list(DB, P1, "", 10, &l), 0);
    assert_int_equal(l.n, 1);
    assert_same(&table_image, &in, l.items);
    codec_list_clear(&table_image, &l);
    assert_int_equal(store_image_delete(DB, IMG1), 0);
    assert_int_equal(store_image_get(DB, P1, IMG1, &out), -ENOENT);
}

static struct api_fault full_fault = {(char *)"boom", (char *)"it broke"};

static struct codec_label labels[] = {{(char *)"a", (char *)""},
                                      {(char *)"env", (char *)"prod/x_1"}};
static char *pair_names[] = {(char *)"laptop", (char *)"ci"};

static struct store_instance
instance(void)
{
    return (struct store_instance){
        .a = {.id = UUID("0104"),
              .name = (char *)"web",
              .project_id = P1,
              .state = INSTANCE_REBOOTING,
              .flavor = (char *)"small",
              .image = (char *)"debian",
              .flavor_id = FLV1,
              .image_id = IMG1,
              .vcpus = 31,
              .memory_bytes = 32,
              .disk_bytes = 33,
              .limits = {91, 92, 93, 94, 95, 96},
              .labels = {labels, 2},
              .keypairs = {pair_names, 2},
              .locked = true,
              .delete_protection = true,
              .restart_policy = RESTART_ALWAYS,
              .restart_count = 38,
              .last_end_reason = (char *)"killed",
              .run = 34,
              .stop_reason = (char *)"guest",
              .fault = &full_fault,
              .node_id = NODE1,
              .operation_id = UUID("0041"),
              .generation = 35,
              .created_at = T0 + 7,
              .started_at = T0 + 8},
        .power = POWER_DELETED,
        .force = true,
        .ended_run = 36,
        .seq = 37,
        .request_id = (char *)"rq-1",
    };
}

static void
assert_instance(struct db *db, const struct store_instance *in)
{
    struct store_instance out _cleanup_(store_instance_release) = {0};
    struct codec_list l = {0};

    assert_int_equal(store_instance_get(db, NULL, NULL, in->a.id, &out), 0);
    assert_same(&table_instance, &in->a, &out.a);
    assert_int_equal(out.power, in->power);
    assert_int_equal(out.force, in->force);
    assert_int_equal(out.paused, in->paused);
    assert_int_equal(out.disk_epoch, in->disk_epoch);
    assert_int_equal(out.ended_run, in->ended_run);
    assert_int_equal(out.seq, in->seq);
    assert_true(streq(out.request_id, in->request_id));
    assert_int_equal(store_instance_list(db, in->a.project_id, "", 10, &l), 0);
    assert_int_equal(l.n, 1);
    assert_same(&table_instance, &in->a, l.items);
    codec_list_clear(&table_instance, &l);
    assert_int_equal(store_instance_list(db, NULL, "", 10, &l), 0);
    assert_same(&table_instance, &in->a, l.items);
    codec_list_clear(&table_instance, &l);
}

static int
save_claim(const char *node, int64_t vcpus, int64_t memory, int64_t disk,
           void *arg)
{
    assert_string_equal(node, NODE1);
    assert_int_equal(vcpus, 31);
    assert_int_equal(memory, 32);
    assert_int_equal(disk, 33);
    ++*(int *)arg;
    return 0;
}

static void
instance__round_trip_and_update(void **state)
{
    struct store_instance i = instance(), out = {0};
    struct api_fault other = {(char *)"bang", (char *)"again"};
    int64_t seq = 0;
    int n = 0;

    assert_int_equal(store_instance_insert(DB, &i), 0);
    assert_instance(DB, &i);
    assert_int_equal(store_instance_get(DB, P1, NULL, "web", &out), 0);
    store_instance_release(&out);
    assert_int_equal(store_instance_each_claim(DB, save_claim, &n), 0);
    assert_int_equal(n, 1);

    /* All that may change, to other values. */
    i.power = POWER_STOPPED;
    i.force = false;
    i.a.restart_policy = RESTART_NEVER;
    i.a.restart_count = 55;
    i.a.last_end_reason = (char *)"unknown";
    i.a.run = 51;
    i.ended_run = 52;
    i.seq = 53;
    i.a.generation = 54;
    i.a.state = INSTANCE_ERROR;
    i.a.stop_reason = (char *)"crashed";
    i.a.fault = &other;
    i.a.operation_id = UUID("0042");
    i.request_id = (char *)"rq-2";
    i.a.started_at = T0 + 9;
    i.a.locked = !i.a.locked;
    i.a.delete_protection = !i.a.delete_protection;
    i.paused = true;
    i.disk_epoch = 56;
    assert_int_equal(store_instance_update(DB, &i, 0), 0);
    assert_instance(DB, &i);
    assert_int_equal(store_instance_max_seq(DB, &seq), 0);
    assert_int_equal(seq, 53);

    /* Name and shape. */
    i.a.name = (char *)"web-2";
    i.a.flavor_id = UUID("0043");
    i.a.flavor = (char *)"large";
    i.a.image_id = UUID("0044");
    i.a.image = (char *)"other";
    i.a.vcpus = 61;
    i.a.memory_bytes = 62;
    i.a.disk_bytes = 63;
    i.a.limits = (struct api_limits){71, 72, 73, 74, 75, 76};
    i.a.labels = (struct codec_list){0}; /* they were constants */
    codec_labels_add(&i.a.labels, "env", "prod");
    codec_labels_add(&i.a.labels, "old", "");
    assert_int_equal(store_instance_reshape(DB, &i), 0);
    assert_instance(DB, &i);
    codec_labels_clear(&i.a.labels);
    assert_int_equal(store_instance_reshape(DB, &i), 0);
    assert_instance(DB, &i);

    /* And to nothing. */
    i.a.stop_reason = NULL;
    i.a.last_end_reason = NULL;
    i.a.fault = NULL;
    i.request_id = NULL;
    i.a.started_at = 0;
    assert_int_equal(store_instance_update(DB, &i, 0), 0);
    assert_instance(DB, &i);

    /* Deleted: the row stays for the bills, nobody finds it. */
    assert_int_equal(store_instance_update(DB, &i, T0 + 10), 0);
    assert_int_equal(store_instance_get(DB, NULL, NULL, i.a.id, &out), -ENOENT);
    n = 0;
    assert_int_equal(store_instance_each_claim(DB, save_claim, &n), 0);
    assert_int_equal(n, 0);
    assert_int_equal(store_instance_max_seq(DB, &seq), 0);
    assert_int_equal(seq, 53);
    i.a.id = UUID("9999");
    assert_int_equal(store_instance_update(DB, &i, 0), -ENOENT);
}

static void
desired__is_the_instance_with_its_image(void **state)
{
    struct store_instance i = instance();
    struct api_image img = image();
    struct api_image_part up[] = {
        {PART_KERNEL, FORMAT_RAW, 11, 12, (char *)"aa"},
        {PART_DISK, FORMAT_QCOW2, 21, 22, (char *)"bb"}};
    struct codec_list l = {0};
    int64_t last = 0;
    bool more;

    assert_int_equal(store_image_insert(DB, &img), 0);
    assert_int_equal(store_image_part_set(DB, IMG1, &up[0]), 0);
    assert_int_equal(store_image_part_set(DB, IMG1, &up[1]), 0);
    i.power = POWER_STOPPED;
    i.paused = true;
    i.disk_epoch = 38;
    assert_int_equal(store_instance_insert(DB, &i), 0);
    struct api_desired_image want_image = {
        .id = IMG1, .cmdline = img.cmdline, .parts = {up, 2}};
    struct api_desired_instance want = {
        .id = i.a.id,
        .project_id = P1,
        .name = i.a.name,
        .seq = 37,
        .run = 34,
        .power = POWER_STOPPED,
        .force = true,
        .paused = true,
        .disk_epoch = 38,
        .restart_policy = RESTART_ALWAYS,
        .vcpus = 31,
        .memory_bytes = 32,
        .disk_bytes = 33,
        .limits = {91, 92, 93, 94, 95, 96},
        .image = &want_image,
        .request_id = i.request_id,
    };
    assert_int_equal(store_desired_list(DB, NODE1, 36, 10, &l, &last, &more),
                     0);
    assert_int_equal(l.n, 1);
    assert_same(&table_desired_instance, &want, l.items);
    assert_int_equal(last, 37);
    codec_list_clear(&table_desired_instance, &l);

    assert_int_equal(store_desired_list(DB, NODE1, 37, 10, &l, &last, &more),
                     0);
    assert_int_equal(l.n, 0);
    assert_int_equal(last, 37);
    assert_int_equal(store_desired_list(DB, NODE2, 0, 10, &l, &last, &more), 0);
    assert_int_equal(l.n, 0);

    /* What is to be deleted needs no image. */
    i.power = POWER_DELETED;
    i.seq = 38;
    assert_int_equal(store_instance_update(DB, &i, 0), 0);
    assert_int_equal(store_desired_list(DB, NODE1, 37, 10, &l, &last, &more),
                     0);
    assert_int_equal(l.n, 1);
    assert_null(((struct api_desired_instance *)l.items)->image);
    codec_list_clear(&table_desired_instance, &l);
}

/* The sizes of former runs, and what is claimed with them. */
static int
save_sum(const char *node, int64_t vcpus, int64_t memory, int64_t disk,
         void *arg)
{
    *(struct store_size *)arg = (struct store_size){1, vcpus, memory, disk};
    return 0;
}

static void
assert_claim(struct db *db, int64_t vcpus, int64_t memory, int64_t disk)
{
    struct store_size s = {0};

    assert_int_equal(store_instance_each_claim(db, save_sum, &s), 0);
    assert_int_equal(s.vcpus, vcpus);
    assert_int_equal(s.memory_bytes, memory);
    assert_int_equal(s.disk_bytes, disk);
}

static void
sizes__of_former_runs_are_found_and_claimed(void **state)
{
    struct store_instance i = instance(); /* 31, 32, 33 */
    const struct store_size a = {3, 40, 1, 1}, b = {4, 1, 50, 1};
    struct store_size s;

    assert_int_equal(store_instance_insert(DB, &i), 0);
    assert_int_equal(store_size_of_run(DB, i.a.id, 1, &s), -ENOENT);
    assert_int_equal(store_size_max(DB, i.a.id, &s), 0);
    assert_int_equal(s.run, 0);
    assert_claim(DB, 31, 32, 33);

    assert_int_equal(store_size_add(DB, i.a.id, &a), 0);
    assert_int_equal(store_size_add(DB, i.a.id, &b), 0);
    assert_int_equal(store_size_add(DB, i.a.id, &b), 0);
    assert_claim(DB, 40, 50, 33);
    assert_int_equal(store_size_of_run(DB, i.a.id, 1, &s), 0);
    assert_int_equal(s.vcpus, 40);
    assert_int_equal(store_size_of_run(DB, i.a.id, 4, &s), 0);
    assert_int_equal(s.memory_bytes, 50);
    assert_int_equal(store_size_of_run(DB, i.a.id, 5, &s), -ENOENT);
    s = (struct store_size){6, 1, 50, 1};
    assert_int_equal(store_size_add(DB, i.a.id, &s), 0);
    s.memory_bytes = 49;
    assert_int_equal(store_size_add(DB, i.a.id, &s), 0); /* beside it */
    assert_int_equal(store_size_of_run(DB, i.a.id, 5, &s), 0);
    assert_int_equal(s.memory_bytes, 49);

    assert_int_equal(store_size_delete(DB, i.a.id, 3), 0);
    assert_claim(DB, 31, 50, 33);
    assert_int_equal(store_size_delete(DB, i.a.id, 6), 0);
    assert_claim(DB, 31, 32, 33);
}

static void
sizes__of_a_reserved_run_are_those_of_both_wishes(void **state)
{
    struct store_instance i = instance();
    const struct store_size a = {3, 40, 1, 1}, b = {4, 1, 50, 1};
    struct store_size s = {4, 40, 1, 1};

    assert_int_equal(store_instance_insert(DB, &i), 0);
    assert_int_equal(store_size_add(DB, i.a.id, &a), 0);
    assert_int_equal(store_size_add(DB, i.a.id, &b), 0);
    assert_int_equal(store_size_is_known(DB, i.a.id, &s), 0);
    assert_int_equal(store_size_reserve(DB, i.a.id, 3), 0);
    assert_int_equal(store_size_reserve(DB, i.a.id, 3), 0);
    assert_int_equal(store_size_is_known(DB, i.a.id, &s), 1);
    assert_int_equal(store_size_is_known(DB, i.a.id, &b), 1);
    assert_int_equal(store_size_delete(DB, i.a.id, 3), 0);
    assert_claim(DB, 40, 50, 33);
    assert_int_equal(store_size_of_run(DB, i.a.id, 4, &s), 0);
    assert_int_equal(s.vcpus, 1); /* the smaller of the two */
    s.disk_bytes = 2;
    assert_int_equal(store_size_is_known(DB, i.a.id, &s), 0);
    assert_int_equal(store_size_delete(DB, i.a.id, INT64_MAX), 0);
    assert_claim(DB, 31, 32, 33);
}

static void
assert_operation(const struct store_operation *a,
                 const struct store_operation *b)
{
    assert_same(&table_operation, &a->a, &b->a);
    assert_true(streq(a->node_id, b->node_id));
    assert_int_equal(a->seq, b->seq);
    assert_true(streq(a->undo, b->undo));
    assert_true(streq(a->undone_by, b->undone_by));
}

static void
operation__round_trip_and_update(void **state)
{
    struct store_operation in = {
        .a = {.id = UUID("0105"),
              .project_id = P1,
              .kind = (char *)"instance.create",
              .resource_type = (char *)"instance",
              .resource_id = UUID("0104"),
              .state = OP_CANCELLED,
              .step = (char *)"placed",
              .reason = (char *)"waits",
              .can_cancel = true,
              .attempt = 2,
              .problem = &full_fault,
              .request_id = (char *)"rq-3",
              .generation = 3,
              .updated_at = T0 + 10,
              .created_at = T0 + 11,
              .finished_at = T0 + 12},
        .node_id = NODE1,
        .seq = 14,
        .undo = (char *)"{}",
        .undone_by = UUID("0106"),
    };
    struct api_fault other = {(char *)"bang", (char *)"again"};
    struct store_operation out = {0};
    struct codec_list l = {0};

    assert_int_equal(store_operation_insert(DB, &in), 0);
    assert_int_equal(store_operation_get(DB, P1, in.a.id, &out), 0);
    assert_operation(&in, &out);
    store_operation_release(&out);
    assert_int_equal(store_operation_list(DB, NULL, "", 10, &l), 0);
    assert_int_equal(l.n, 1);
    assert_operation(&in, l.items);
    store_operations_clear(&l);
    assert_int_equal(store_operation_get(DB, P2, in.a.id, &out), -ENOENT);

    in.a.state = OP_FAILED;
    in.a.step = (char *)"failed";
    in.a.problem = &other;
    in.a.finished_at = T0 + 13;
    in.a.reason = NULL;
    in.a.can_cancel = false;
    in.a.attempt = 4;
    in.a.generation = 5;
    in.a.updated_at = T0 + 14;
    in.seq = 15;
    in.undo = (char *)"{ }";
    in.undone_by = NULL;
    assert_int_equal(store_operation_update(DB, &in), 0);
    assert_int_equal(store_operation_get(DB, NULL, in.a.id, &out), 0);
    assert_operation(&in, &out);
    store_operation_release(&out);

    in.a.state = OP_RUNNING;
    in.a.step = NULL;
    in.a.problem = NULL;
    in.a.finished_at = 0;
    assert_int_equal(store_operation_update(DB, &in), 0);
    assert_int_equal(store_operation_get(DB, NULL, in.a.id, &out), 0);
    assert_operation(&in, &out);
    store_operation_release(&out);
}

static void
assert_node(struct db *db, const struct store_node *in)
{
    struct store_node out _cleanup_(store_node_release) = {0};
    struct codec_list l = {0};

    assert_int_equal(store_node_get(db, in->a.name, &out), 0);
    assert_same(&table_node, &in->a, &out.a);
    assert_string_equal(out.fingerprint, in->fingerprint);
    assert_int_equal(out.observed_seq, in->observed_seq);
    assert_int_equal(store_node_list(db, "", 10, &l), 0);
    assert_int_equal(l.n, 1);
    struct store_node *first = l.items;
    assert_same(&table_node, &in->a, &first->a);
    assert_string_equal(first->fingerprint, in->fingerprint);
    codec_clear(&table_node, &first->a);
    codec_list_clear(&store_node_table, &l);
}

static void
node__round_trip_and_update(void **state)
{
    char *traits[] = {(char *)"kvm", (char *)"uefi"};
    char *strays[] = {(char *)"vm-7"};
    struct store_node n = {
        .a = {.id = NODE1,
              .name = (char *)"n1",
              .schedulable = true,
              .driver = (char *)"libvirt",
              .accel = (char *)"tcg",
              .version = (char *)"0.1",
              .hypervisor = (char *)"qemu 7",
              .vcpus = 61,
              .memory_bytes = 62,
              .disk_bytes = 63,
              .traits = {traits, 2},
              .quarantined = {strays, 1},
              .last_seen_at = T0 + 14,
              .generation = 1,
              .created_at = T0 + 15},
        .fingerprint = (char *)"f1",
        .observed_seq = 64,
    };

    assert_int_equal(store_node_insert(DB, &n), 0);
    assert_node(DB, &n);
    n.a.schedulable = false;
    n.a.driver = (char *)"sim";
    n.a.accel = (char *)"none";
    n.a.version = (char *)"0.2";
    n.a.hypervisor = (char *)"sim 1";
    n.a.vcpus = 71;
    n.a.memory_bytes = 72;
    n.a.disk_bytes = 73;
    n.a.traits = (struct codec_list){strays, 1};
    n.a.quarantined = (struct codec_list){traits, 2};
    n.a.last_seen_at = T0 + 16;
    n.fingerprint = (char *)"f2";
    n.observed_seq = 74;
    n.a.generation = 75;
    assert_int_equal(store_node_update(DB, &n), 0);
    assert_node(DB, &n);
    n.a.traits = n.a.quarantined = (struct codec_list){0};
    n.a.driver = NULL;
    assert_int_equal(store_node_update(DB, &n), 0);
    assert_node(DB, &n);
}

static void
join_token__round_trip_and_use(void **state)
{
    struct store_join_token in = {
        .id = UUID("0106"), .created_at = T0 + 17, .expires_at = T0 + 18};
    struct store_join_token out = {0};

    memset(in.hash, 0x5a, HASH_LEN);
    assert_int_equal(store_join_token_insert(DB, &in), 0);
    assert_int_equal(store_join_token_get(DB, in.id, &out), 0);
    assert_string_equal(out.id, in.id);
    assert_memory_equal(out.hash, in.hash, HASH_LEN);
    assert_int_equal(out.created_at, in.created_at);
    assert_int_equal(out.expires_at, in.expires_at);
    assert_null(out.node_id);
    assert_null(out.key_hash);
    store_join_token_release(&out);
    assert_int_equal(store_join_token_use(DB, in.id, NODE1, "kk"), 0);
    assert_int_equal(store_join_token_get(DB, in.id, &out), 0);
    assert_string_equal(out.node_id, NODE1);
    assert_string_equal(out.key_hash, "kk");
    store_join_token_release(&out);
    assert_int_equal(store_join_token_use(DB, UUID("9999"), NODE1, "k"),
                     -ENOENT);
}

static int
save_interval(const struct store_interval *i, void *arg)
{
    struct store_interval *out = arg;

    assert_string_equal(i->instance_id, UUID("0104"));
    assert_string_equal(i->project_id, P1);
    assert_string_equal(i->instance_name, "web");
    *out = *i;
    return 0;
}

static void
interval__round_trip_and_close(void **state)
{
    struct store_instance i = instance();
    struct store_interval in = {
        .instance_id = i.a.id,
        .project_id = P1,
        .run = 3,
        .iv = {.start_us = T0 + 20,
               .vcpus = 81,
               .memory_bytes = 82,
               .disk_bytes = 83},
    };
    struct store_interval out = {0};

    assert_int_equal(store_instance_insert(DB, &i), 0);
    assert_int_equal(store_interval_last(DB, i.a.id, &out), 0);
    assert_int_equal(out.run, 0);
    assert_int_equal(store_interval_open(DB, &in), 0);
    assert_int_equal(store_interval_open(DB, &in), -EEXIST);
    assert_int_equal(store_interval_last(DB, i.a.id, &out), 0);
    assert_int_equal(out.run, 3);
    assert_memory_equal(&out.iv, &in.iv, sizeof(in.iv));
    assert_int_equal(store_interval_close(DB, i.a.id, 3, T0 + 30), 0);
    assert_int_equal(store_interval_close(DB, i.a.id, 3, T0 + 31), -ENOENT);
    in.iv.end_us = T0 + 30;
    memset(&out, 0, sizeof(out));
    assert_int_equal(
        store_interval_each(DB, P1, NULL, T0, T0 + 99, save_interval, &out), 0);
    assert_int_equal(out.run, 3);
    assert_memory_equal(&out.iv, &in.iv, sizeof(in.iv));
    /* The latest is that of the highest run, not of the last insert. */
    in.run = 2;
    in.iv.end_us = T0 + 21;
    assert_int_equal(store_interval_open(DB, &in), 0);
    assert_int_equal(store_interval_last(DB, i.a.id, &out), 0);
    assert_int_equal(out.run, 3);
}

static void
reply__round_trip(void **state)
{
    struct store_reply in = {
        .status = 201, .location = (char *)"/v1/x", .body = (char *)"{}"};
    struct store_reply out = {0};

    memset(in.request_hash, 0x3c, HASH_LEN);
    assert_int_equal(store_reply_insert(DB, UUID("0101"), "key", &in, T0), 0);
    assert_int_equal(store_reply_get(DB, UUID("0101"), "key", &out), 0);
    assert_int_equal(out.status, 201);
    assert_string_equal(out.location, in.location);
    assert_string_equal(out.body, in.body);
    assert_memory_equal(out.request_hash, in.request_hash, HASH_LEN);
    store_reply_release(&out);
    assert_int_equal(store_reply_get(DB, UUID("0102"), "key", &out), -ENOENT);
    assert_int_equal(store_reply_get(DB, UUID("0101"), "Key", &out), -ENOENT);
    assert_int_equal(store_reply_insert(DB, UUID("0101"), "key", &in, T0),
                     -EEXIST);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        T(project__round_trip),
        T(token__round_trip),
        T(flavor__round_trip),
        T(image__round_trip_and_its_parts),
        T(instance__round_trip_and_update),
        T(desired__is_the_instance_with_its_image),
        T(sizes__of_former_runs_are_found_and_claimed),
        T(sizes__of_a_reserved_run_are_those_of_both_wishes),
        T(operation__round_trip_and_update),
        T(node__round_trip_and_update),
        T(join_token__round_trip_and_use),
        T(interval__round_trip_and_close),
        T(reply__round_trip),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
