/* saved.c - the session that `virga login` keeps for the commands after it:
 * a file of the user's alone, with the URL that its secret is for. */
#include <config.h>

#include <limits.h>
#include <string.h>

#include "cli/cli.h"
#include "common/fs.h"
#include "common/mem.h"

#define SAVED_MAX 16384

static const struct codec_field fields_saved[] = {
    {.name = "url",
     .type = CODEC_STRING,
     .offset = offsetof(struct cli_saved, url),
     .flags = CODEC_IN | CODEC_REQUIRED,
     .doc = "the controller"},
    {.name = "ca",
     .type = CODEC_STRING,
     .offset = offsetof(struct cli_saved, ca),
     .flags = CODEC_IN,
     .max = PATH_MAX,
     .doc = "file of the CA to trust"},
    {.name = "token",
     .type = CODEC_STRING,
     .offset = offsetof(struct cli_saved, token),
     .flags = CODEC_IN | CODEC_REQUIRED,
     .doc = "the session's secret"},
};
static const struct codec_table table_saved = {
    .name = "Saved",
    .doc = "A session that goes on from command to command.",
    .size = sizeof(struct cli_saved),
    .fields = fields_saved,
    .n_fields = ARRAY_SIZE(fields_saved),
};

/* The XDG Base Directory Specification's place for settings. */
static char *
folder(void)
{
    const char *xdg = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");

    if (xdg && *xdg == '/')
        return xasprintf("%s/virga", xdg);
    return home && *home == '/' ? xasprintf("%s/.config/virga", home) : NULL;
}

static char *
file_name(void)
{
    char *dir _cleanup_(freep) = folder();

    return dir ? xasprintf("%s/session", dir) : NULL;
}

void
cli_saved_release(struct cli_saved *s)
{
    codec_clear(&table_saved, s);
}

int
cli_saved_load(struct cli_saved *ret)
{
    char *path _cleanup_(freep) = file_name();
    struct buf text _cleanup_(buf_release) = {0};
    int r = path ? fs_read(path, SAVED_MAX, &text, NULL) : -ENOENT;

    return r < 0 ? r
                 : codec_decode(&table_saved, CODEC_REQUEST, buf_str(&text),
                                text.len, ret, NULL);
}

int
cli_saved_store(struct cli *c, const char *token)
{
    char *dir _cleanup_(freep) = folder();
    char *path _cleanup_(freep) = file_name();
    char ca[PATH_MAX] = "";
    struct err err _cleanup_(err_release) = {0};
    struct buf text _cleanup_(buf_release) = {0};

    if (!path)
        return cli_fail(c, EXIT_FAILED, "no_home",
                        "there is no place for the session: set HOME or "
                        "XDG_CONFIG_HOME");
    if (c->ca_file && !realpath(c->ca_file, ca))
        return cli_fail(c, EXIT_FAILED, "ca_file", "%.200s: %s", c->ca_file,
                        strerror(errno));
    struct cli_saved s = {
        .url = (char *)c->url, .ca = *ca ? ca : NULL, .token = (char *)token};
    codec_encode_request(&table_saved, &s, &text);
    buf_addc(&text, '\n');
    int r = fs_mkdirs(dir, &err);
    if (r == 0)
        r = fs_write_atomic(path, text.data, text.len, 0600, &err);
    return r < 0 ? cli_fail(c, EXIT_FAILED, "session_file", "%s", err.message)
                 : EXIT_OK;
}

int
cli_saved_remove(struct cli *c)
{
    char *path _cleanup_(freep) = file_name();

    if (path && unlink(path) < 0 && errno != ENOENT)
        return cli_fail(c, EXIT_FAILED, "session_file", "%.200s: %s", path,
                        strerror(errno));
    return EXIT_OK;
}
