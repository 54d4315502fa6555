/* test-agentd-seed.c - the disk by which a guest gets its user data and keys:
 * what is on it, read by nobody's library but by ECMA-119's own fields, and
 * that no text of a tenant means anything but itself there. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "agentd/seed.h"
#include "common/fs.h"
#include "common/mem.h"
#include "common/proc.h"

#define ID "01890a5d-ac96-774b-bcce-b302099a8057"
#define SECTOR 2048

static int
setup(void **state)
{
    char *dir = xstrdup("/tmp/virga-seed-XXXXXX");

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

static uint32_t
le32(const unsigned char *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
           (uint32_t)p[3] << 24;
}

/* The name in a Rock Ridge NM field of a directory record, or "". */
static void
rock_ridge_name(const unsigned char *rec, char out[64])
{
    size_t at = 33 + rec[32] + (rec[32] % 2 == 0);

    out[0] = '\0';
    while (at + 5 < rec[0] && rec[at + 2] >= 4) {
        if (memcmp(rec + at, "NM", 2) == 0)
            snprintf(out, 64, "%.*s", rec[at + 2] - 5, rec + at + 5);
        at += rec[at + 2];
    }
}

/* Contents of a file in the root folder (ECMA-119, 9.1). */
static const unsigned char *
find(const struct buf *iso, const char *name, size_t *ret_len)
{
    const unsigned char *d = (const unsigned char *)iso->data;
    const unsigned char *root = d + 16 * SECTOR + 156;
    size_t dir = (size_t)le32(root + 2) * SECTOR, end = dir + le32(root + 10);

    assert_true(end <= iso->len);
    for (size_t at = dir; at < end && d[at]; at += d[at]) {
        char got[64];

        rock_ridge_name(d + at, got);
        if (!streq(got, name))
            continue;
        *ret_len = le32(d + at + 10);
        size_t from = (size_t)le32(d + at + 2) * SECTOR;
        assert_true(from + *ret_len <= iso->len);
        return d + from;
    }
    fail_msg("there is no %s", name);
    return NULL;
}

static void
has(const struct buf *iso, const char *name, const char *text)
{
    size_t n = 0;
    const unsigned char *p = find(iso, name, &n);

    if (n != strlen(text) || memcmp(p, text, n) != 0)
        fail_msg("%s is \"%.*s\", not \"%s\"", name, (int)n, p, text);
}

static void
make(const char *dir, const struct seed *seed, struct buf *ret)
{
    struct err e _cleanup_(err_release) = {0};
    char *path _cleanup_(freep) = NULL;

    if (seed_make(dir, seed, &path, &e) < 0)
        fail_msg("%s", e.message);
    assert_non_null(path);
    buf_clear(ret);
    assert_int_equal(fs_read(path, 8 << 20, ret, NULL), 0);
}

static void
seed__has_the_label_and_the_files(void **state)
{
    static char *const keys[] = {
        (char *)"ssh-ed25519 AAAAC3Nz ada@example.org",
        (char *)"ssh-rsa AAAAB3Nz \"quoted\" \\ and: more # all",
    };
    struct codec_list list = {.items = (void *)keys, .n = 2};
    struct seed seed = {.instance_id = ID,
                        .hostname = "web-1",
                        .user_data = "#!/bin/sh\necho 'hello: \xc3\xa4'\n",
                        .keys = &list};
    struct buf iso _cleanup_(buf_release) = {0};
    char *path _cleanup_(freep) = xasprintf("%s/seed.iso", (char *)*state);
    struct stat st;

    make(*state, &seed, &iso);
    assert_true(iso.len > 16 * SECTOR && iso.len % SECTOR == 0);
    /* Primary volume descriptor: ECMA-119, 8.4. */
    assert_memory_equal(iso.data + 16 * SECTOR, "\1CD001\1", 7);
    assert_memory_equal(iso.data + 16 * SECTOR + 40,
                        "cidata                          ", 32);
    /* Joliet: a supplementary one with the escape sequence of level 3. */
    assert_memory_equal(iso.data + 17 * SECTOR, "\2CD001\1", 7);
    assert_memory_equal(iso.data + 17 * SECTOR + 88, "%/E", 3);
    has(&iso, "user-data", seed.user_data);
    has(&iso, "vendor-data", "");
    has(&iso, "meta-data",
        "instance-id: \"" ID "\"\nlocal-hostname: \"web-1\"\npublic-keys:\n"
        "  - \"ssh-ed25519 AAAAC3Nz ada@example.org\"\n"
        "  - \"ssh-rsa AAAAB3Nz \\\"quoted\\\" \\\\ and: more # all\"\n");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
}

static void
seed__nothing_to_tell_is_no_disk(void **state)
{
    struct codec_list none = {0};
    struct seed seed = {.instance_id = ID,
                        .hostname = "web-1",
                        .user_data = "x",
                        .keys = &none};
    struct buf iso _cleanup_(buf_release) = {0};
    char *file _cleanup_(freep) = xasprintf("%s/seed.iso", (char *)*state);
    char *path = file;

    make(*state, &seed, &iso);
    assert_int_equal(access(file, F_OK), 0);
    seed.user_data = "";
    assert_int_equal(seed_make(*state, &seed, &path, NULL), 0);
    assert_null(path);
    assert_int_not_equal(access(file, F_OK), 0);
    seed.user_data = NULL;
    seed.keys = NULL;
    assert_int_equal(seed_make(*state, &seed, &path, NULL), 0);
    assert_null(path);
}

/* Keys alone: NoCloud wants a user-data all the same. */
static void
seed__keys_alone_make_one(void **state)
{
    static char *const keys[] = {(char *)"ssh-ed25519 A b"};
    struct codec_list list = {.items = (void *)keys, .n = 1};
    struct seed seed = {.instance_id = ID, .hostname = "web-1", .keys = &list};
    struct buf iso _cleanup_(buf_release) = {0};

    make(*state, &seed, &iso);
    has(&iso, "user-data", "#cloud-config\n");
}

/* A guest that has the old one open keeps it: a new file takes its place. */
static void
seed__each_one_is_a_new_file(void **state)
{
    struct seed seed = {
        .instance_id = ID, .hostname = "web-1", .user_data = "one"};
    struct buf iso _cleanup_(buf_release) = {0};
    char *path _cleanup_(freep) = xasprintf("%s/seed.iso", (char *)*state);
    char *tmp _cleanup_(freep) = xasprintf("%s.tmp", path);
    struct stat a, b;

    make(*state, &seed, &iso);
    assert_int_equal(stat(path, &a), 0);
    int held _cleanup_(closep) = open(path, O_RDONLY | O_CLOEXEC);
    /* Something that a crash has left. */
    assert_int_equal(symlink("/etc/passwd", tmp), 0);
    seed.user_data = "two";
    make(*state, &seed, &iso);
    assert_int_equal(stat(path, &b), 0);
    assert_int_not_equal(a.st_ino, b.st_ino);
    assert_true(S_ISREG(b.st_mode));
    has(&iso, "user-data", "two");
    assert_int_not_equal(access(tmp, F_OK), 0);
}

static void
seed__large_user_data_arrives_whole(void **state)
{
    struct buf text _cleanup_(buf_release) = {0};
    struct buf iso _cleanup_(buf_release) = {0};
    struct seed seed = {.instance_id = ID, .hostname = "web-1"};

    while (text.len < 65536)
        buf_addf(&text, "line %zu\r\n\t\x7f", text.len);
    seed.user_data = buf_str(&text);
    make(*state, &seed, &iso);
    has(&iso, "user-data", buf_str(&text));
}

static void
meta_data__hostile_text_stays_one_scalar(void **state)
{
    static const struct {
        const char *text, *quoted;
    } cases[] = {
        {"plain", "plain"},
        {"a\"\nuser-data: evil", "a\\\"\\x0Auser-data: evil"},
        {"\\", "\\\\"},
        {"{{ jinja }} *alias &anchor !tag", "{{ jinja }} *alias &anchor !tag"},
        {"\xc3\xa4", "\\xE4"},
        {"\xe2\x80\xa8", "\\u2028"},
        {"\xf0\x9f\x98\x80", "\\U0001F600"},
        {"\xef\xbb\xbf", "\\uFEFF"},
        {"\x7f\x01\t", "\\x7F\\x01\\x09"},
        /* What is no UTF-8: overlong, a surrogate, cut short, a lone byte. */
        {"\xc0\xaf", "\\uFFFD\\uFFFD"},
        {"\xed\xa0\x80", "\\uFFFD\\uFFFD\\uFFFD"},
        {"\xe2\x82", "\\uFFFD\\uFFFD"},
        {"\xff"
         "a",
         "\\uFFFDa"},
        {"\xf5\x80\x80\x80", "\\uFFFD\\uFFFD\\uFFFD\\uFFFD"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char *keys[] = {(char *)cases[i].text};
        struct codec_list list = {.items = keys, .n = 1};
        struct seed seed = {
            .instance_id = ID, .hostname = "web", .keys = &list};
        struct buf got _cleanup_(buf_release) = {0};
        char *expect _cleanup_(freep) =
            xasprintf("instance-id: \"" ID "\"\nlocal-hostname: \"web\"\n"
                      "public-keys:\n  - \"%s\"\n",
                      cases[i].quoted);

        seed_meta_data(&seed, &got);
        assert_string_equal(buf_str(&got), expect);
    }
}

static void
seed__no_folder_is_an_error(void **state)
{
    struct seed seed = {
        .instance_id = ID, .hostname = "web-1", .user_data = "one"};
    struct err e _cleanup_(err_release) = {0};
    char *dir _cleanup_(freep) = xasprintf("%s/none", (char *)*state);
    char *path = NULL;

    assert_int_equal(seed_make(dir, &seed, &path, &e), -ENOENT);
    assert_null(path);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(seed__has_the_label_and_the_files),
        T(seed__nothing_to_tell_is_no_disk),
        T(seed__keys_alone_make_one),
        T(seed__each_one_is_a_new_file),
        T(seed__large_user_data_arrives_whole),
        T(seed__no_folder_is_an_error),
        T(meta_data__hostile_text_stays_one_scalar),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
