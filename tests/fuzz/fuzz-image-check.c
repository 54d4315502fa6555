/* fuzz-image-check.c - the head of an upload. The first byte picks part and
 * format. A qcow2 that is taken may name no other file. */
#include <config.h>

#include <string.h>
#include <sys/mman.h>

#include "common/fs.h"
#include "controllerd/ctl.h"
#include "tests/fuzz/fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t zero[8];
    struct err e _cleanup_(err_release) = {0};
    int fd _cleanup_(closep) = memfd_create("image", MFD_CLOEXEC);
    int64_t v = -1;

    if (size == 0)
        return 0;
    enum api_part part = (enum api_part)(data[0] % 3);
    enum api_format format = data[0] & 4 ? FORMAT_QCOW2 : FORMAT_RAW;
    data++;
    size--;
    if (fd < 0 || fs_write_all(fd, data, size) < 0)
        abort();
    int r = image_check(part, format, fd, (int64_t)size, &v, &e);
    FUZZ_CHECK(r == 0 || (r == -EINVAL && *e.message && v == 0));
    if (r == 0 && part == PART_DISK && format == FORMAT_QCOW2) {
        FUZZ_CHECK(v > 0 && v <= INT64_C(64) << 40);
        FUZZ_CHECK(size >= 72 && memcmp(data + 8, zero, 8) == 0);
        FUZZ_CHECK(memcmp(data + 32, zero, 4) == 0);
        FUZZ_CHECK(data[7] == 2 || !(data[79] & 4));
    }
    if (r == 0 && part == PART_DISK && format == FORMAT_RAW)
        FUZZ_CHECK(v == (int64_t)size);
    return 0;
}
