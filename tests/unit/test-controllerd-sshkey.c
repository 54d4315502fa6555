/* test-controllerd-sshkey.c - public keys: those that ssh-keygen made pass
 * with its fingerprint; anything that is not quite one does not. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "common/buf.h"
#include "common/fs.h"
#include "common/mem.h"
#include "controllerd/sshkey.h"

#define KEYS_MAX 16

static char *keys[KEYS_MAX], *fingerprints[KEYS_MAX];
static size_t n_keys;

static int
setup(void **state)
{
    const char *src = getenv("srcdir");
    char *path _cleanup_(freep) =
        xasprintf("%s/tests/data/ssh-keys.txt", src ? src : ".");
    struct buf text _cleanup_(buf_release) = {0};
    char *save = NULL;

    if (fs_read(path, 65536, &text, NULL) < 0)
        return -1;
    for (char *l = strtok_r(text.data, "\n", &save); l;
         l = strtok_r(NULL, "\n", &save)) {
        if (l[0] == '#')
            continue;
        char *key = strchr(l, ' ');
        fingerprints[n_keys] = xstrndup(l, (size_t)(key - l));
        keys[n_keys++] = xstrdup(key + 1);
    }
    return n_keys == 7 ? 0 : -1;
}

static int
teardown(void **state)
{
    for (size_t i = 0; i < n_keys; i++) {
        free(keys[i]);
        free(fingerprints[i]);
    }
    return 0;
}

static int
check(const char *line, char fingerprint[SSHKEY_FINGERPRINT_SIZE])
{
    struct err e _cleanup_(err_release) = {0};
    int r = sshkey_check(line, "/public_key", fingerprint, &e);

    if (r < 0) {
        assert_int_equal(r, -EINVAL);
        assert_int_equal(e.n_details, 1);
        assert_string_equal(e.details[0].pointer, "/public_key");
    }
    return r;
}

static void
sshkey__has_the_fingerprint_that_ssh_keygen_prints(void **state)
{
    char fp[SSHKEY_FINGERPRINT_SIZE];

    for (size_t i = 0; i < n_keys; i++) {
        assert_int_equal(check(keys[i], fp), 0);
        assert_string_equal(fp, fingerprints[i]);
    }
}

/* Of a key's own bytes nothing can be left out. */
static void
sshkey__cut_short_is_refused(void **state)
{
    char fp[SSHKEY_FINGERPRINT_SIZE];

    for (size_t i = 0; i < n_keys; i++) {
        char *line _cleanup_(freep) = xstrdup(keys[i]);
        size_t type = strcspn(line, " ") + 1;
        size_t end = type + strcspn(line + type, " ");

        for (size_t n = end; n-- > 0;) {
            line[n] = '\0';
            if (check(line, fp) == 0)
                fail_msg("key %zu cut to %zu bytes was taken", i, n);
        }
    }
}

/* One that is another key has another fingerprint; most are none. */
static void
sshkey__changed_is_never_taken_for_the_same(void **state)
{
    char fp[SSHKEY_FINGERPRINT_SIZE];

    for (size_t i = 0; i < n_keys; i++) {
        char *line _cleanup_(freep) = xstrdup(keys[i]);
        size_t type = strcspn(line, " ") + 1;
        size_t end = type + strcspn(line + type, " ");

        for (size_t at = 0; at < end; at++) {
            static const char others[] = "AB/+=-\n\x01\x80 ";

            for (const char *o = others; *o; o++) {
                char was = line[at];

                if (*o == was)
                    continue;
                line[at] = *o;
                if (check(line, fp) == 0 && strcmp(fp, fingerprints[i]) == 0)
                    fail_msg("key %zu with 0x%02x at %zu", i, (unsigned)*o, at);
                line[at] = was;
            }
        }
    }
}

static void
sshkey__line_with_more_than_a_key_is_refused(void **state)
{
    char fp[SSHKEY_FINGERPRINT_SIZE];
    static const struct {
        const char *before, *after;
    } cases[] = {
        {"no-pty ", ""},
        {"command=\"x\" ", ""},
        {" ", ""},
        {"#", ""},
        {"", "\n"},
        {"", "\r"},
        {"", "\nssh-rsa x"},
        {"", "\t"},
        {"@cert-authority ", ""},
        {"from=\"*\" ", " x"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char *line _cleanup_(freep) =
            xasprintf("%s%s%s", cases[i].before, keys[0], cases[i].after);

        if (check(line, fp) == 0)
            fail_msg("%s was taken", line);
    }
    /* A comment may be any text. */
    char *line _cleanup_(freep) = xasprintf("%s and \"more\" =", keys[0]);
    assert_int_equal(check(line, fp), 0);
    char *swapped _cleanup_(freep) =
        xasprintf("ssh-rsa%s", strchr(keys[0], ' '));
    assert_int_equal(check(swapped, fp), -EINVAL);
    assert_int_equal(check("", fp), -EINVAL);
    assert_int_equal(check("ssh-ed25519", fp), -EINVAL);
    assert_int_equal(check("ssh-ed25519 ", fp), -EINVAL);
    char *huge _cleanup_(freep) = xmalloc(SSHKEY_MAX + 2);
    memset(huge, 'A', SSHKEY_MAX + 1);
    huge[SSHKEY_MAX + 1] = '\0';
    assert_int_equal(check(huge, fp), -EINVAL);
}

/* 1024 bits, from ssh-keygen. */
static void
sshkey__weak_rsa_is_refused(void **state)
{
    char fp[SSHKEY_FINGERPRINT_SIZE];

    assert_int_equal(
        check("ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQC/8PoIDQ2FkCYV8BEB10vpX"
              "HIdUKPeV97pmDPaZn821r8fq+pFfceML4rvjn9sKOpZR8zIbdPdxLGmEmGVFl"
              "NH5GerMyGTA5Gbx8tVlyBbUoaEE50i3mw/1AonOy9AtrF2yR3yFFxot8L8FIV"
              "O9pgHN2+GINA7yqU65DpqAa15Ww== me@here",
              fp),
        -EINVAL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sshkey__has_the_fingerprint_that_ssh_keygen_prints),
        cmocka_unit_test(sshkey__cut_short_is_refused),
        cmocka_unit_test(sshkey__changed_is_never_taken_for_the_same),
        cmocka_unit_test(sshkey__line_with_more_than_a_key_is_refused),
        cmocka_unit_test(sshkey__weak_rsa_is_refused),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
