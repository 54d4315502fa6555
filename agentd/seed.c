/* seed.c - the disk with a guest's user data and keys, by libisofs; see
 * seed.h. */
#include <config.h>

#include "agentd/seed.h"

#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>

/* So that the header has struct burn_source. */
#define LIBISOFS_WITHOUT_LIBBURN
#include <libisofs/libisofs.h>

#include "common/fs.h"
#include "common/mem.h"

#define SECTOR 2048

/* ---- what is in it ---- */

/* One character of UTF-8 at p, or a byte that is none; its length. */
static size_t
next_char(const unsigned char *p, uint32_t *ret)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t n = *p < 0x80             ? 1
               : (*p & 0xe0) == 0xc0 ? 2
               : (*p & 0xf0) == 0xe0 ? 3
               : (*p & 0xf8) == 0xf0 ? 4
                                     : 0;
    uint32_t c = n > 1 ? *p & (0x7fu >> n) : *p;

    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80)
            n = 0; /* also at the end of the text */
        else
            c = c << 6 | (p[i] & 0x3f);
    }
    if (n == 0 || c < least[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000)) {
        *ret = 0xfffd;
        return 1;
    }
    *ret = c;
    return n;
}

/* Double-quoted, with nothing but printable ASCII in it: no text can end the
 * scalar, begin a new line or be taken for anything else. */
static void
add_quoted(const char *text, struct buf *out)
{
    const unsigned char *p = (const unsigned char *)text;

    buf_addc(out, '"');
    while (*p) {
        uint32_t c;

        p += next_char(p, &c);
        if (c == '"' || c == '\\')
            buf_addf(out, "\\%c", (char)c);
        else if (c >= 0x20 && c < 0x7f)
            buf_addc(out, (char)c);
        else if (c < 0x100)
            buf_addf(out, "\\x%02" PRIX32, c);
        else if (c < 0x10000)
            buf_addf(out, "\\u%04" PRIX32, c);
        else
            buf_addf(out, "\\U%08" PRIX32, c);
    }
    buf_addc(out, '"');
}

void
seed_meta_data(const struct seed *seed, struct buf *out)
{
    char **keys = seed->keys ? seed->keys->items : NULL;
    size_t n = seed->keys ? seed->keys->n : 0;

    buf_adds(out, "instance-id: ");
    add_quoted(seed->instance_id, out);
    buf_adds(out, "\nlocal-hostname: ");
    add_quoted(seed->hostname, out);
    if (n)
        buf_adds(out, "\npublic-keys:");
    for (size_t i = 0; i < n; i++) {
        buf_adds(out, "\n  - ");
        add_quoted(keys[i], out);
    }
    buf_addc(out, '\n');
}

/* ---- the image ---- */

static int
iso_failed(int code, const char *what, struct err *reterr)
{
    return err_set(reterr, -EIO, "seed_failed", "cannot %s: %s", what,
                   iso_error_to_msg(code));
}

static int
add_file(IsoImage *image, const char *name, const void *text, size_t n,
         struct err *reterr)
{
    /* The stream frees it. */
    unsigned char *copy = malloc(n ? n : 1);
    IsoStream *stream = NULL;
    IsoFile *file = NULL;

    if (!copy)
        return err_errno(reterr, -ENOMEM, "%s", name);
    if (n)
        memcpy(copy, text, n);
    int r = iso_memory_stream_new(copy, n, &stream);
    if (r < 0) {
        free(copy);
        return iso_failed(r, "add a file", reterr);
    }
    r = iso_tree_add_new_file(iso_image_get_root(image), name, stream, &file);
    if (r < 0) {
        iso_stream_unref(stream);
        return iso_failed(r, "add a file", reterr);
    }
    iso_node_set_permissions(ISO_NODE(file), 0400);
    return 0;
}

static int
fill(IsoImage *image, const struct seed *seed, struct err *reterr)
{
    static const char none[] = "#cloud-config\n";
    struct buf meta _cleanup_(buf_release) = {0};
    const char *data =
        seed->user_data && *seed->user_data ? seed->user_data : none;

    seed_meta_data(seed, &meta);
    int r = add_file(image, "meta-data", meta.data, meta.len, reterr);
    if (r == 0)
        r = add_file(image, "user-data", data, strlen(data), reterr);
    if (r == 0)
        r = add_file(image, "vendor-data", "", 0, reterr);
    return r;
}

/* To its end, or until it fails; the thread behind it ends either way. */
static int
copy_out(struct burn_source *src, int fd, struct err *reterr)
{
    unsigned char sector[SECTOR];
    int n;

    while ((n = src->read_xt(src, sector, SECTOR)) == SECTOR) {
        int r = fs_write_all(fd, sector, SECTOR);

        if (r < 0) {
            src->cancel(src);
            return err_errno(reterr, r, "cannot write the image");
        }
    }
    if (n != 0)
        return err_set(reterr, -EIO, "seed_failed", "the image broke off");
    return 0;
}

static int
write_image(IsoImage *image, int fd, struct err *reterr)
{
    struct burn_source *src = NULL;
    IsoWriteOpts *opts = NULL;
    int r = iso_write_opts_new(&opts, 0);

    if (r < 0)
        return iso_failed(r, "set up an image", reterr);
    iso_write_opts_set_rockridge(opts, 1);
    iso_write_opts_set_joliet(opts, 1);
    /* The label is in small letters. */
    iso_write_opts_set_relaxed_vol_atts(opts, 1);
    r = iso_image_create_burn_source(image, opts, &src);
    iso_write_opts_free(opts);
    if (r < 0)
        return iso_failed(r, "make an image", reterr);
    r = copy_out(src, fd, reterr);
    src->free_data(src);
    free(src);
    return r;
}

/* The library has a state of its own for the whole process. */
static int
make(int fd, const struct seed *seed, struct err *reterr)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static bool ready;
    IsoImage *image = NULL;
    int r = 0;

    pthread_mutex_lock(&lock);
    if (!ready)
        r = iso_init_with_flag(1); /* the locale is not its business */
    if (r >= 0) {
        ready = true;
        iso_set_local_charset((char *)"UTF-8", 0);
        r = iso_image_new("cidata", &image);
    }
    if (r < 0) {
        r = iso_failed(r, "set up an image", reterr);
    } else {
        r = fill(image, seed, reterr);
        if (r == 0)
            r = write_image(image, fd, reterr);
        iso_image_unref(image);
    }
    pthread_mutex_unlock(&lock);
    return r;
}

/* ---- the file ---- */

static int
make_file(const char *dir, const char *path, const struct seed *seed,
          struct err *reterr)
{
    char *tmp _cleanup_(freep) = xasprintf("%s/" SEED_FILE ".tmp", dir);
    int fd _cleanup_(closep) = -1;
    int r = unlink(tmp) < 0 && errno != ENOENT ? -errno : 0;

    if (r == 0) {
        fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                  0600);
        r = fd < 0 ? -errno : 0;
    }
    if (r < 0)
        return err_errno(reterr, r, "cannot make %s", tmp);
    r = make(fd, seed, reterr);
    /* A write may be refused only now. It need not outlive the machine. */
    int last = TAKE_FD(fd);
    if (close(last) < 0 && r == 0)
        r = err_errno(reterr, -errno, "cannot write %s", tmp);
    if (r == 0 && rename(tmp, path) < 0)
        r = err_errno(reterr, -errno, "cannot write %s", path);
    if (r < 0 && unlink(tmp) < 0 && errno != ENOENT)
        err_prefix(reterr, "(%s stays: %s)", tmp, strerrordesc_np(errno));
    return r;
}

int
seed_make(const char *dir, const struct seed *seed, char **ret_path,
          struct err *reterr)
{
    char *path _cleanup_(freep) = xasprintf("%s/" SEED_FILE, dir);
    bool any =
        (seed->user_data && *seed->user_data) || (seed->keys && seed->keys->n);

    if (!any) {
        if (unlink(path) < 0 && errno != ENOENT)
            return err_errno(reterr, -errno, "cannot remove %s", path);
        *ret_path = NULL;
        return 0;
    }
    int r = make_file(dir, path, seed, reterr);
    if (r == 0)
        *ret_path = TAKE_PTR(path);
    return r;
}
