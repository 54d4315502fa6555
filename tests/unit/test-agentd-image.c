/* test-agentd-image.c - what the cache takes for a part, root disks, join
 * tokens and settings: the places where others' bytes come in. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "agentd/config.h"
#include "agentd/disk.h"
#include "agentd/image.h"
#include "agentd/join.h"
#include "common/fs.h"
#include "common/hash.h"
#include "common/mem.h"
#include "common/proc.h"

static int
setup(void **state)
{
    char *dir = xstrdup("/tmp/virga-image-XXXXXX");

    assert_non_null(mkdtemp(dir));
    *state = dir;
    return 0;
}

static int
teardown(void **state)
{
    int r = fs_remove_tree(*state, NULL);

    free(*state);
    return r;
}

/* A file with these bytes, and its description as a part. */
static int
make(const char *dir, const void *data, size_t n, int name, int format,
     char hex[HASH_HEX_SIZE], struct api_image_part *ret)
{
    char *path _cleanup_(freep) = xasprintf("%s/part", dir);

    assert_int_equal(fs_write_atomic(path, data, n, 0600, NULL), 0);
    hash_sha256_hex(data, n, hex);
    *ret = (struct api_image_part){.name = name,
                                   .format = format,
                                   .size_bytes = (int64_t)n,
                                   .sha256 = hex};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static void
image_verify__good_part_passes(void **state)
{
    struct err e _cleanup_(err_release) = {0};
    struct api_image_part part;
    char hex[HASH_HEX_SIZE];
    int fd _cleanup_(closep) =
        make(*state, "kernel", 6, PART_KERNEL, FORMAT_RAW, hex, &part);

    assert_int_equal(image_verify(fd, &part, &e), 0);
}

static void
image_verify__wrong_bytes_are_refused(void **state)
{
    struct err e _cleanup_(err_release) = {0};
    struct api_image_part part;
    char hex[HASH_HEX_SIZE];
    int fd _cleanup_(closep) =
        make(*state, "kernel", 6, PART_KERNEL, FORMAT_RAW, hex, &part);

    hex[0] = hex[0] == '0' ? '1' : '0';
    assert_int_equal(image_verify(fd, &part, &e), -EBADMSG);
    assert_string_equal(e.code, "image_digest_mismatch");
    part.size_bytes = 7;
    assert_int_equal(image_verify(fd, &part, &e), -EBADMSG);
    assert_string_equal(e.code, "image_unreadable");
}

static void
image_verify__disk_naming_another_file_is_refused(void **state)
{
    struct api_image_part part;
    char hex[HASH_HEX_SIZE];
    /* Magic, version 3; then the backing file's offset at byte 8 and the
     * incompatible features at byte 72. */
    unsigned char h[104] = {'Q', 'F', 'I', 0xfb, 0, 0, 0, 3};

    for (int i = 0; i < 3; i++) {
        struct err e _cleanup_(err_release) = {0};

        h[15] = i == 1 ? 104 : 0;
        h[79] = i == 2 ? 4 : 0;
        int fd _cleanup_(closep) =
            make(*state, h, sizeof(h), PART_DISK, FORMAT_QCOW2, hex, &part);
        assert_int_equal(image_verify(fd, &part, &e), i ? -EBADMSG : 0);
        if (i)
            assert_string_equal(e.code, "image_unsafe");
    }
    struct err e _cleanup_(err_release) = {0};
    int fd _cleanup_(closep) =
        make(*state, "raw", 3, PART_DISK, FORMAT_QCOW2, hex, &part);
    assert_int_equal(image_verify(fd, &part, &e), -EBADMSG);
    assert_string_equal(e.code, "image_unreadable");
}

static bool
have_qemu_img(void)
{
    const char *argv[] = {"qemu-img", "--version", NULL};

    return proc_run(argv, 10000, NULL, NULL) == 0;
}

static int
ensure_epoch(const char *dir, enum api_format format, const char *base_path,
             const struct api_image_part *base, int64_t size_bytes,
             int64_t epoch, char **ret_path, struct err *reterr)
{
    struct disk_spec spec = {.dir = dir,
                             .format = format,
                             .base_path = base_path,
                             .base = base,
                             .size_bytes = size_bytes,
                             .epoch = epoch};

    return disk_ensure(&spec, ret_path, reterr);
}

static int
ensure(const char *dir, enum api_format format, const char *base_path,
       const struct api_image_part *base, int64_t size_bytes, char **ret_path,
       struct err *reterr)
{
    return ensure_epoch(dir, format, base_path, base, size_bytes, 0, ret_path,
                        reterr);
}

static void
disk_info(const char *dir, struct buf *ret)
{
    char *path _cleanup_(freep) = xasprintf("%s/root.qcow2", dir);
    const char *argv[] = {"qemu-img", "info", "--output=json", "-f", "qcow2",
                          path,       NULL};
    struct err e _cleanup_(err_release) = {0};

    if (proc_run(argv, 10000, ret, &e) < 0)
        fail_msg("%s", e.message);
}

static void
disk_ensure__overlay_names_its_format_and_grows(void **state)
{
    char *base _cleanup_(freep) = xasprintf("%s/base", (char *)*state);
    struct err e _cleanup_(err_release) = {0};
    struct buf info _cleanup_(buf_release) = {0};
    struct api_image_part part = {.name = PART_DISK,
                                  .format = FORMAT_RAW,
                                  .size_bytes = 1 << 20,
                                  .virtual_bytes = 1 << 20};
    char *zeros _cleanup_(freep) = xcalloc(1, 1 << 20);

    if (!have_qemu_img()) {
        print_message("# SKIP no qemu-img here\n");
        skip();
    }
    /* A raw disk that looks like a qcow2: only the named format saves us. */
    memcpy(zeros, "QFI\xfb\0\0\0\3", 8);
    assert_int_equal(fs_write_atomic(base, zeros, 1 << 20, 0600, NULL), 0);
    char *path _cleanup_(freep) = NULL, *again _cleanup_(freep) = NULL;
    assert_int_equal(
        ensure(*state, FORMAT_QCOW2, base, &part, 8 << 20, &path, &e), 0);
    disk_info(*state, &info);
    assert_non_null(strstr(buf_str(&info), "\"virtual-size\": 8388608"));
    assert_non_null(
        strstr(buf_str(&info), "\"backing-filename-format\": \"raw\""));
    /* A second call leaves it alone, even with other wishes. */
    assert_int_equal(
        ensure(*state, FORMAT_QCOW2, NULL, NULL, 1 << 20, &again, &e), 0);
    assert_string_equal(again, path);
}

static void
disk_ensure__raw_is_a_sparse_copy_that_grows(void **state)
{
    char *base _cleanup_(freep) = xasprintf("%s/base", (char *)*state);
    char *raw _cleanup_(freep) = NULL, *qcow2 _cleanup_(freep) = NULL;
    char *back _cleanup_(freep) = NULL;
    struct err e _cleanup_(err_release) = {0};
    struct api_image_part part = {.name = PART_DISK,
                                  .format = FORMAT_RAW,
                                  .size_bytes = 1 << 20,
                                  .virtual_bytes = 1 << 20};
    char *bytes _cleanup_(freep) = xcalloc(1, 1 << 20);
    struct buf got _cleanup_(buf_release) = {0};
    struct stat st;

    if (!have_qemu_img()) {
        print_message("# SKIP no qemu-img here\n");
        skip();
    }
    memcpy(bytes, "QFI\xfb\0\0\0\3", 8);
    memcpy(bytes + 500000, "content", 7);
    assert_int_equal(fs_write_atomic(base, bytes, 1 << 20, 0600, NULL), 0);
    assert_int_equal(ensure(*state, FORMAT_RAW, base, &part, 8 << 20, &raw, &e),
                     0);
    assert_non_null(strstr(raw, "/root.raw"));
    assert_int_equal(stat(raw, &st), 0);
    assert_int_equal(st.st_size, 8 << 20);
    assert_true(st.st_blocks * 512 < 1 << 20);
    assert_int_equal(fs_read(raw, 16 << 20, &got, NULL), 0);
    assert_memory_equal(got.data, bytes, 1 << 20);
    /* Another driver wants it otherwise: the same content, and one file. */
    int fd _cleanup_(closep) = open(raw, O_WRONLY | O_CLOEXEC);
    assert_int_equal(pwrite(fd, "guest", 5, 7 << 20), 5);
    assert_int_equal(
        ensure(*state, FORMAT_QCOW2, base, &part, 8 << 20, &qcow2, &e), 0);
    assert_int_not_equal(access(raw, F_OK), 0);
    assert_int_equal(
        ensure(*state, FORMAT_RAW, base, &part, 8 << 20, &back, &e), 0);
    assert_int_not_equal(access(qcow2, F_OK), 0);
    assert_int_equal(fs_read(back, 16 << 20, &got, NULL), 0);
    assert_int_equal(got.len, 8 << 20);
    assert_memory_equal(got.data, bytes, 1 << 20);
    assert_memory_equal(got.data + (7 << 20), "guest", 5);
    /* A blank one. */
    char *blank _cleanup_(freep) = NULL;
    unlink(back);
    assert_int_equal(
        ensure(*state, FORMAT_RAW, NULL, NULL, 1 << 20, &blank, &e), 0);
    assert_int_equal(stat(blank, &st), 0);
    assert_int_equal(st.st_size, 1 << 20);
    assert_int_equal(st.st_blocks, 0);
}

/* How many files of disks there are in the folder. */
static int
disk_files(const char *dir)
{
    DIR *d _cleanup_(closedirp) = opendir(dir);
    struct dirent *de;
    int n = 0;

    while ((de = readdir(d)))
        n += strncmp(de->d_name, DISK_FILE, strlen(DISK_FILE)) == 0;
    return n;
}

static void
mark(const char *path, off_t at, const char *text)
{
    int fd _cleanup_(closep) = open(path, O_WRONLY | O_CLOEXEC);

    assert_int_equal(pwrite(fd, text, strlen(text), at), strlen(text));
}

static bool
has_mark(const char *path, off_t at, const char *text)
{
    int fd _cleanup_(closep) = open(path, O_RDONLY | O_CLOEXEC);
    char got[64] = "";

    assert_true(pread(fd, got, strlen(text), at) >= 0);
    return streq(got, text);
}

static void
disk_ensure__older_epoch_is_made_anew(void **state)
{
    struct err e _cleanup_(err_release) = {0};
    char *old _cleanup_(freep) = NULL, *new _cleanup_(freep) = NULL;
    char *same _cleanup_(freep) = NULL;
    char *junk _cleanup_(freep) =
        xasprintf("%s/root-3.raw.tmp", (char *)*state);

    assert_int_equal(ensure(*state, FORMAT_RAW, NULL, NULL, 1 << 20, &old, &e),
                     0);
    mark(old, 4096, "the old system");
    /* A rebuild that died half-way: neither disk is taken for the other, and
     * it is done the next time. */
    assert_int_equal(fs_write_atomic(junk, "half", 4, 0600, NULL), 0);
    assert_int_equal(
        ensure_epoch(*state, FORMAT_RAW, NULL, NULL, 1 << 20, 3, &new, &e), 0);
    assert_non_null(strstr(new, "/root-3.raw"));
    assert_false(has_mark(new, 4096, "the old system"));
    assert_int_equal(disk_files(*state), 1);
    mark(new, 4096, "the new system");
    assert_int_equal(
        ensure_epoch(*state, FORMAT_RAW, NULL, NULL, 1 << 20, 3, &same, &e), 0);
    assert_string_equal(same, new);
    assert_true(has_mark(same, 4096, "the new system"));
}

/* A restored controller counts from an older number on: what there is stays,
 * and its next rebuild is one. */
static void
disk_ensure__newer_epoch_is_kept_under_the_older(void **state)
{
    struct err e _cleanup_(err_release) = {0};
    char *a _cleanup_(freep) = NULL, *b _cleanup_(freep) = NULL;
    char *c _cleanup_(freep) = NULL;

    assert_int_equal(
        ensure_epoch(*state, FORMAT_RAW, NULL, NULL, 1 << 20, 5, &a, &e), 0);
    mark(a, 0, "kept");
    assert_int_equal(
        ensure_epoch(*state, FORMAT_RAW, NULL, NULL, 1 << 20, 4, &b, &e), 0);
    assert_true(has_mark(b, 0, "kept"));
    assert_int_equal(disk_files(*state), 1);
    assert_int_equal(
        ensure_epoch(*state, FORMAT_RAW, NULL, NULL, 1 << 20, 5, &c, &e), 0);
    assert_false(has_mark(c, 0, "kept"));
    assert_int_equal(disk_files(*state), 1);
}

/* What cannot be made must not cost the disk that there is, as far as that is
 * known before. */
static void
disk_ensure__rebuild_that_cannot_be_keeps_the_old_disk(void **state)
{
    struct err e _cleanup_(err_release) = {0};
    struct api_image_part part = {
        .name = PART_DISK, .format = FORMAT_RAW, .virtual_bytes = 2 << 20};
    char *old _cleanup_(freep) = NULL, *new _cleanup_(freep) = NULL;

    assert_int_equal(ensure(*state, FORMAT_RAW, NULL, NULL, 1 << 20, &old, &e),
                     0);
    assert_int_equal(ensure_epoch(*state, FORMAT_RAW, "/nonexistent", &part,
                                  1 << 20, 1, &new, &e),
                     -EINVAL);
    assert_string_equal(e.code, "disk_too_small");
    assert_int_equal(access(old, F_OK), 0);
}

static void
disk_ensure__disk_grows_and_never_shrinks(void **state)
{
    struct err e _cleanup_(err_release) = {0};
    char *raw _cleanup_(freep) = NULL;
    struct stat st;

    for (int mib = 1; mib <= 3; mib++) {
        freep(&raw);
        raw = NULL;
        assert_int_equal(ensure(*state, FORMAT_RAW, NULL, NULL,
                                (mib == 3 ? 1 : mib) * (INT64_C(1) << 20), &raw,
                                &e),
                         0);
        assert_int_equal(stat(raw, &st), 0);
        assert_int_equal(st.st_size, MIN(mib, 2) << 20);
        if (mib == 1)
            mark(raw, 1000, "kept");
    }
    assert_true(has_mark(raw, 1000, "kept"));
    /* No file system takes so much. */
    char *none _cleanup_(freep) = NULL;
    assert_int_equal(
        ensure(*state, FORMAT_RAW, NULL, NULL, INT64_C(1) << 62, &none, &e),
        -EIO);
    assert_non_null(strstr(e.message, "cannot grow the disk"));
    assert_int_equal(stat(raw, &st), 0);
    assert_int_equal(st.st_size, 2 << 20);
    assert_true(has_mark(raw, 1000, "kept"));
}

static void
disk_ensure__qcow2_grows_as_far_as_there_is_room(void **state)
{
    char *dir _cleanup_(freep) = xasprintf("%s/small", (char *)*state);
    char *path _cleanup_(freep) = NULL, *again _cleanup_(freep) = NULL;
    struct err e _cleanup_(err_release) = {0};
    struct buf info _cleanup_(buf_release) = {0};

    if (!have_qemu_img()) {
        print_message("# SKIP no qemu-img here\n");
        skip();
    }
    assert_int_equal(mkdir(dir, 0700), 0);
    /* A file system of its own, in a mount namespace that ends with us. */
    bool small = geteuid() == 0 && unshare(CLONE_NEWNS) == 0 &&
                 mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
                 mount("tmpfs", dir, "tmpfs", 0, "size=512k") == 0;
    assert_int_equal(ensure(dir, FORMAT_QCOW2, NULL, NULL, 1 << 20, &path, &e),
                     0);
    disk_info(dir, &info);
    assert_non_null(strstr(buf_str(&info), "\"virtual-size\": 1048576"));
    assert_int_equal(ensure(dir, FORMAT_QCOW2, NULL, NULL, 5 << 20, &again, &e),
                     0);
    buf_release(&info);
    disk_info(dir, &info);
    assert_non_null(strstr(buf_str(&info), "\"virtual-size\": 5242880"));
    freep(&again);
    again = NULL;
    if (!small) {
        print_message("# SKIP the part that needs root for a file system\n");
        return;
    }
    /* The table of so large a disk alone has 1 MiB. */
    assert_int_equal(
        ensure(dir, FORMAT_QCOW2, NULL, NULL, INT64_C(64) << 40, &again, &e),
        -ENOSPC);
    assert_string_equal(e.code, "no_space");
    assert_null(again);
    buf_release(&info);
    disk_info(dir, &info);
    assert_non_null(strstr(buf_str(&info), "\"virtual-size\": 5242880"));
    const char *check[] = {"qemu-img", "check", "-q", "-f",
                           "qcow2",    path,    NULL};
    assert_int_equal(proc_run(check, 10000, NULL, NULL), 0);
    assert_int_equal(umount(dir), 0);
}

static void
disk_ensure__failure_leaves_nothing(void **state)
{
    struct api_image_part part = {
        .name = PART_DISK, .format = FORMAT_QCOW2, .virtual_bytes = 1 << 20};

    for (int f = FORMAT_RAW; f <= FORMAT_QCOW2; f++) {
        struct err e _cleanup_(err_release) = {0};
        char *path _cleanup_(freep) = NULL;
        DIR *d _cleanup_(closedirp) = NULL;
        struct dirent *de;

        assert_int_equal(
            ensure(*state, f, "/nonexistent/base", &part, 1 << 19, &path, &e),
            -EINVAL);
        assert_string_equal(e.code, "disk_too_small");
        assert_int_equal(
            ensure(*state, f, "/nonexistent/base", &part, 1 << 20, &path, &e),
            -EIO);
        assert_string_equal(e.code, "disk_failed");
        assert_null(path);
        d = opendir(*state);
        while ((de = readdir(d)))
            assert_null(strstr(de->d_name, DISK_FILE));
    }
}

static void
join_token_parse__only_the_exact_form(void **state)
{
    static const char hash[] = "0123456789abcdef0123456789abcdef"
                               "0123456789abcdef0123456789abcdef";
    static const char *const heads[] = {
        "",        "vj1",     "vj1.",       "vj2.a.b.",   "vj1.a.",
        "vj1..b.", "vj1.a..", "vj1.a.b.c.", "vj1.a b.c.", "xvj1.a.b.",
    };
    struct err e _cleanup_(err_release) = {0};
    struct join_token t;
    char text[400];

    snprintf(text, sizeof(text), "vj1.id.secret.%s", hash);
    assert_int_equal(join_token_parse(text, &t, &e), 0);
    assert_string_equal(t.ca_hash, hash);
    assert_string_equal(t.text, text);
    text[strlen(text) - 1] = '\0';
    assert_int_equal(join_token_parse(text, &t, NULL), -EINVAL);
    for (size_t i = 0; i < ARRAY_SIZE(heads); i++) {
        snprintf(text, sizeof(text), "%s%s", heads[i], hash);
        if (join_token_parse(text, &t, NULL) != -EINVAL)
            fail_msg("\"%s\" was taken", text);
    }
    memset(text, 'a', sizeof(text));
    memcpy(text, "vj1.", 4);
    text[sizeof(text) - 1] = '\0';
    assert_int_equal(join_token_parse(text, &t, NULL), -EINVAL);
}

static void
config_label__any_host_name_gives_a_label(void **state)
{
    static const char *const cases[][2] = {
        {"node-1", "node-1"},
        {"Node_1.example.org", "node-1"},
        {"", "node"},
        {"---", "node"},
        {".local", "node"},
        {"a__b", "a-b"},
        {"-x-", "x"},
        {"\xc3\xa4pfel", "pfel"},
        {"01890a5d-ac96-774b-bcce-b302099a8057", "node"},
    };
    char out[64], longest[100];

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        config_label(cases[i][0], out);
        assert_string_equal(out, cases[i][1]);
    }
    memset(longest, 'a', sizeof(longest));
    longest[sizeof(longest) - 1] = '\0';
    config_label(longest, out);
    assert_int_equal(strlen(out), 63);
}

static int
load(const char *const *args, size_t n, struct err *e)
{
    char *argv[16] = {(char *)"virga-agentd"};
    struct agent_config cfg = {0};

    for (size_t i = 0; i < n; i++)
        argv[i + 1] = (char *)args[i];
    int r = config_load((int)n + 1, argv, &cfg, e);
    if (r == 0)
        config_release(&cfg);
    return r;
}

static void
config_load__bad_settings_are_named(void **state)
{
    static const struct {
        const char *arg, *word;
    } cases[] = {
        {"--driver=xen", "driver"},
        {"--accel=hvf", "accel"},
        {"--guest-network=bridge", "guest-network"},
        {"--name=Bad_Name", "name"},
        {"--controller=http://x:1", "controller"},
        {"--workers=0", "workers"},
        {"--heartbeat=1ms", "heartbeat"},
        {"--log-level=loud", "log-level"},
        {"--memory=lots", "memory"},
        {"--color=red", "color"},
        {"--state-dir=/a/path/that/is/much/too/long/for/unix/sockets/to/have/"
         "room",
         "state-dir"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct err e _cleanup_(err_release) = {0};
        const char *args[] = {"--controller=https://127.0.0.1:1", cases[i].arg};

        assert_int_equal(load(args, 2, &e), -EINVAL);
        if (!strstr(e.message, cases[i].word))
            fail_msg("%s: %s", cases[i].arg, e.message);
    }
    struct err e _cleanup_(err_release) = {0};
    assert_int_equal(load(NULL, 0, &e), -EINVAL);
    assert_non_null(strstr(e.message, "controller"));
    const char *good[] = {"--controller=https://127.0.0.1:1"};
    assert_int_equal(load(good, 1, NULL), 0);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(image_verify__good_part_passes),
        T(image_verify__wrong_bytes_are_refused),
        T(image_verify__disk_naming_another_file_is_refused),
        T(disk_ensure__overlay_names_its_format_and_grows),
        T(disk_ensure__raw_is_a_sparse_copy_that_grows),
        T(disk_ensure__failure_leaves_nothing),
        T(disk_ensure__older_epoch_is_made_anew),
        T(disk_ensure__newer_epoch_is_kept_under_the_older),
        T(disk_ensure__rebuild_that_cannot_be_keeps_the_old_disk),
        T(disk_ensure__disk_grows_and_never_shrinks),
        T(disk_ensure__qcow2_grows_as_far_as_there_is_room),
        cmocka_unit_test(join_token_parse__only_the_exact_form),
        cmocka_unit_test(config_label__any_host_name_gives_a_label),
        cmocka_unit_test(config_load__bad_settings_are_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
