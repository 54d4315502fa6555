/* names.c - readable names for instances that were given none. */
#include <config.h>

#include "cli/cli.h"
#include "common/id.h"

static const char *const first[] = {
    "amber", "brave", "brisk", "calm",  "clear",  "crisp",  "dapper", "eager",
    "early", "fair",  "fleet", "fresh", "gentle", "glad",   "golden", "grand",
    "happy", "jolly", "keen",  "kind",  "lively", "lucid",  "mellow", "merry",
    "misty", "noble", "quick", "quiet", "rapid",  "silver", "steady", "sunny",
};
static const char *const second[] = {
    "badger",  "beaver", "bison",  "crane", "curlew", "dolphin", "eagle",
    "egret",   "falcon", "finch",  "gecko", "heron",  "ibis",    "jackdaw",
    "kestrel", "lark",   "lemur",  "lynx",  "marten", "otter",   "owl",
    "panda",   "pika",   "plover", "raven", "robin",  "seal",    "stork",
    "swift",   "tern",   "thrush", "wren",
};

void
cli_name_make(const unsigned char seed[4], char out[CLI_NAME_MAX])
{
    char hex[5];

    id_hex(seed + 2, 2, hex);
    snprintf(out, CLI_NAME_MAX, "%s-%s-%s", first[seed[0] % ARRAY_SIZE(first)],
             second[seed[1] % ARRAY_SIZE(second)], hex);
}
