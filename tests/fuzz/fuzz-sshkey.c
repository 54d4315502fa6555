/* fuzz-sshkey.c - a public SSH key as a tenant gives it. */
#include <config.h>

#include <string.h>

#include "common/mem.h"
#include "controllerd/sshkey.h"
#include "tests/fuzz/fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *s _cleanup_(freep) = xstrndup((const char *)data, size);
    struct err e _cleanup_(err_release) = {0};
    char fp[SSHKEY_FINGERPRINT_SIZE] = "", again[SSHKEY_FINGERPRINT_SIZE];
    int r = sshkey_check(s, "/public_key", fp, &e);

    FUZZ_CHECK(r == 0 || (r == -EINVAL && e.n_details == 1));
    if (r < 0)
        return 0;
    FUZZ_CHECK(strlen(fp) == SSHKEY_FINGERPRINT_SIZE - 1);
    FUZZ_CHECK(!strpbrk(s, "\n\r\t"));
    /* A comment changes nothing; a byte of the key would. */
    char *more _cleanup_(freep) = xasprintf("%s x", s);
    if (strlen(more) <= SSHKEY_MAX) {
        FUZZ_CHECK(sshkey_check(more, "", again, NULL) == 0);
        FUZZ_CHECK(strcmp(fp, again) == 0);
    }
    return 0;
}
