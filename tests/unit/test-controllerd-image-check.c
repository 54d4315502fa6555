/* test-controllerd-image-check.c - uploads that are not what they say. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include <sys/mman.h>

#include "controllerd/ctl.h"

static void
put(unsigned char *p, int n, uint64_t v)
{
    while (n--) {
        p[n] = (unsigned char)v;
        v >>= 8;
    }
}

/* A good version 3 header: 1 GiB, 64 KiB clusters. */
static void
qcow2(unsigned char h[512])
{
    memset(h, 0, 512);
    memcpy(h, "QFI\xfb", 4);
    put(h + 4, 4, 3);
    put(h + 20, 4, 16);
    put(h + 24, 8, UINT64_C(1) << 30);
    put(h + 100, 4, 104);
}

static int
check(enum api_part part, enum api_format format, const void *data, size_t n,
      int64_t *ret_virtual, struct err *e)
{
    int fd _cleanup_(closep) = memfd_create("upload", MFD_CLOEXEC);

    assert_true(fd >= 0);
    if (n)
        assert_int_equal(write(fd, data, n), n);
    return image_check(part, format, fd, (int64_t)n, ret_virtual, e);
}

static void
assert_disk_refused(const unsigned char *h, size_t n, const char *why)
{
    struct err e _cleanup_(err_release) = {0};
    int64_t v = -1;

    if (check(PART_DISK, FORMAT_QCOW2, h, n, &v, &e) != -EINVAL)
        fail_msg("taken, expected: %s", why);
    assert_string_equal(e.code, "bad_image_part");
    if (!strstr(e.message, why))
        fail_msg("\"%s\" does not say \"%s\"", e.message, why);
    assert_int_equal(v, 0);
}

static void
qcow2__size_is_that_of_the_guest(void **state)
{
    unsigned char h[512];
    int64_t v = 0;

    qcow2(h);
    assert_int_equal(check(PART_DISK, FORMAT_QCOW2, h, 512, &v, NULL), 0);
    assert_int_equal(v, INT64_C(1) << 30);
    put(h + 4, 4, 2);
    assert_int_equal(check(PART_DISK, FORMAT_QCOW2, h, 72, &v, NULL), 0);
    put(h + 4, 4, 3);
    put(h + 72, 8, 0x19); /* dirty, compression type, extended L2 */
    put(h + 24, 8, UINT64_C(64) << 40);
    assert_int_equal(check(PART_DISK, FORMAT_QCOW2, h, 512, &v, NULL), 0);
    assert_int_equal(v, INT64_C(64) << 40);
}

/* Whatever names another file could name any file of a node. */
static void
qcow2__other_files_are_refused(void **state)
{
    unsigned char h[512];

    qcow2(h);
    put(h + 8, 8, 512);
    put(h + 16, 4, 11);
    assert_disk_refused(h, 512, "backing file");
    put(h + 16, 4, 0); /* a length of 0 does not make it harmless */
    assert_disk_refused(h, 512, "backing file");
    put(h + 4, 4, 2);
    assert_disk_refused(h, 512, "backing file");
    qcow2(h);
    put(h + 72, 8, 4);
    assert_disk_refused(h, 512, "another file");
}

static void
qcow2__encrypted_corrupt_and_unknown_are_refused(void **state)
{
    unsigned char h[512];

    for (int method = 1; method <= 2; method++) { /* AES, LUKS */
        qcow2(h);
        put(h + 32, 4, (uint64_t)method);
        assert_disk_refused(h, 512, "encrypted");
    }
    qcow2(h);
    put(h + 72, 8, 2);
    assert_disk_refused(h, 512, "corrupt");
    for (int bit = 5; bit < 64; bit++) {
        qcow2(h);
        put(h + 72, 8, UINT64_C(1) << bit);
        assert_disk_refused(h, 512, "not known");
    }
}

static void
qcow2__truncated_is_refused(void **state)
{
    unsigned char h[512];

    qcow2(h);
    for (size_t n = 1; n < 72; n++)
        assert_disk_refused(h, n, "not a qcow2 image");
    for (size_t n = 72; n < 104; n++)
        assert_disk_refused(h, n, "cut off");
    assert_disk_refused(h, 0, "empty");
}

static void
qcow2__bounds(void **state)
{
    unsigned char h[512];
    static const uint64_t bad_sizes[] = {0, (UINT64_C(64) << 40) + 1,
                                         UINT64_C(1) << 63, UINT64_MAX};
    static const unsigned bad_bits[] = {0, 8, 22, 63, 0xffffffff};
    static const unsigned bad_versions[] = {0, 1, 4, 0x03000000};

    for (size_t i = 0; i < ARRAY_SIZE(bad_sizes); i++) {
        qcow2(h);
        put(h + 24, 8, bad_sizes[i]);
        assert_disk_refused(h, 512, "size is out of range");
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad_bits); i++) {
        qcow2(h);
        put(h + 20, 4, bad_bits[i]);
        assert_disk_refused(h, 512, "cluster size");
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad_versions); i++) {
        qcow2(h);
        put(h + 4, 4, bad_versions[i]);
        assert_disk_refused(h, 512, "version");
    }
    qcow2(h);
    h[3] = 0;
    assert_disk_refused(h, 512, "not a qcow2 image");
}

static void
raw__is_whole_sectors(void **state)
{
    unsigned char h[1024] = {0};
    int64_t v;

    assert_int_equal(check(PART_DISK, FORMAT_RAW, h, 1024, &v, NULL), 0);
    assert_int_equal(v, 1024);
    assert_int_equal(check(PART_DISK, FORMAT_RAW, h, 1023, &v, NULL), -EINVAL);
    assert_int_equal(check(PART_DISK, FORMAT_RAW, h, 0, &v, NULL), -EINVAL);
    /* Declared raw it stays raw, whatever it looks like. */
    qcow2(h);
    assert_int_equal(check(PART_DISK, FORMAT_RAW, h, 512, &v, NULL), 0);
    assert_int_equal(v, 512);
}

static void
kernel__is_bzimage_or_elf(void **state)
{
    unsigned char h[1024] = {0};
    int64_t v = -1;

    memcpy(h + 0x202, "HdrS", 4);
    assert_int_equal(check(PART_KERNEL, FORMAT_RAW, h, 1024, &v, NULL), 0);
    assert_int_equal(v, 0);
    assert_int_equal(check(PART_KERNEL, FORMAT_RAW, h, 0x206, &v, NULL), 0);
    assert_int_equal(check(PART_KERNEL, FORMAT_RAW, h, 0x205, &v, NULL),
                     -EINVAL);
    memset(h, 0, sizeof(h));
    memcpy(h,
           "\x7f"
           "ELF",
           4);
    assert_int_equal(check(PART_KERNEL, FORMAT_RAW, h, 64, &v, NULL), 0);
    assert_int_equal(check(PART_KERNEL, FORMAT_RAW, h, 63, &v, NULL), -EINVAL);
    assert_int_equal(
        check(PART_KERNEL, FORMAT_RAW, "#!/bin/sh\n", 10, &v, NULL), -EINVAL);
    assert_int_equal(check(PART_INITRD, FORMAT_RAW, "anything", 8, &v, NULL),
                     0);
    assert_int_equal(check(PART_INITRD, FORMAT_RAW, "", 0, &v, NULL), -EINVAL);
}

static void
unreadable__is_an_error_of_its_own(void **state)
{
    struct err e _cleanup_(err_release) = {0};
    int64_t v;

    assert_int_equal(image_check(PART_DISK, FORMAT_RAW, -1, 512, &v, &e),
                     -EBADF);
    assert_true(*e.message);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(qcow2__size_is_that_of_the_guest),
        cmocka_unit_test(qcow2__other_files_are_refused),
        cmocka_unit_test(qcow2__encrypted_corrupt_and_unknown_are_refused),
        cmocka_unit_test(qcow2__truncated_is_refused),
        cmocka_unit_test(qcow2__bounds),
        cmocka_unit_test(raw__is_whole_sectors),
        cmocka_unit_test(kernel__is_bzimage_or_elf),
        cmocka_unit_test(unreadable__is_an_error_of_its_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
