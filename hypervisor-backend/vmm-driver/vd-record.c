/* vd-record.c - what is kept of a VM on disk: its record, written whole by
 * the driver, and the line that the VMM leaves about its end (CONTROL.md).
 * Both are read as if anybody could have written them. */
#include <config.h>

#include <string.h>

#include "api/codec.h"
#include "common/fs.h"
#include "common/mem.h"
#include "hypervisor-backend/vmm-driver/vd-private.h"

#define RECORD_MAX 16384
#define END_MAX 4096
#define RECORD_VERSION 1

struct file {
    int64_t version;
    struct vd_record rec;
};

struct end_error {
    char *message;
};

struct end_line {
    char *end;
    int64_t at_us;
    struct end_error *error;
};

#define IN CODEC_IN
#define REQ (CODEC_IN | CODEC_REQUIRED)
#define REC(n, t, f, fl, lo, hi, text)                                         \
    {                                                                          \
        .name = n, .type = CODEC_##t, .offset = offsetof(struct file, f),      \
        .flags = fl, .min = lo, .max = hi, .doc = text                         \
    }

static const char *const end_names[] = {"none",    "guest",   "killed",
                                        "crashed", "unknown", NULL};

static const struct codec_field file_fields[] = {
    REC("version", INT, version, REQ, RECORD_VERSION, RECORD_VERSION,
        "of this format"),
    REC("id", ID, rec.id, REQ, 0, 0, "of the VM"),
    REC("name", STRING, rec.name, REQ, 0, 128, "for people"),
    REC("dir", STRING, rec.dir, REQ, 1, 1024, "the VM's folder"),
    REC("run", INT, rec.run, REQ, 0, INT64_MAX, "number of its start"),
    REC("pid", INT, rec.pid, REQ, 2, INT32_MAX, "of the virga-vmm"),
    REC("start_ticks", INT, rec.start_ticks, REQ, 0, INT64_MAX,
        "when that process began, since boot"),
    REC("boot_id", ID, rec.boot_id, REQ, 0, 0, "of the kernel's run"),
    REC("exe_dev", INT, rec.exe_dev, REQ, INT64_MIN, INT64_MAX,
        "device of the program's file"),
    REC("exe_ino", INT, rec.exe_ino, REQ, INT64_MIN, INT64_MAX,
        "inode of the program's file"),
    REC("slot", INT, rec.slot, REQ, 0, VD_UID_SLOTS - 1, "of its user id"),
    REC("started_us", INT, rec.started_us, REQ, 0, INT64_MAX,
        "when it was started"),
    REC("killing", BOOL, rec.killing, IN, 0, 0, "ended by force"),
    {.name = "end",
     .type = CODEC_ENUM,
     .offset = offsetof(struct file, rec.end),
     .flags = IN,
     .names = end_names,
     .doc = "how it ended"},
    REC("ended_us", INT, rec.ended_us, IN, 0, INT64_MAX, "when it ended"),
};

static const struct codec_table file_table = {
    .name = "VmRecord",
    .doc = "A VM of the driver vmm.",
    .size = sizeof(struct file),
    .fields = file_fields,
    .n_fields = ARRAY_SIZE(file_fields),
};

static const struct codec_field end_error_fields[] = {
    {.name = "message",
     .type = CODEC_TEXT,
     .offset = offsetof(struct end_error, message),
     .flags = IN,
     .max = END_MAX,
     .doc = "for people"},
};

static const struct codec_table end_error_table = {
    .name = "VmEndError",
    .doc = "Why a virga-vmm could not go on.",
    .size = sizeof(struct end_error),
    .fields = end_error_fields,
    .n_fields = ARRAY_SIZE(end_error_fields),
};

static const struct codec_field end_fields[] = {
    {.name = "end",
     .type = CODEC_STRING,
     .offset = offsetof(struct end_line, end),
     .flags = REQ,
     .min = 1,
     .max = 64,
     .doc = "a name of vm_end_name()"},
    {.name = "at_us",
     .type = CODEC_INT,
     .offset = offsetof(struct end_line, at_us),
     .flags = IN,
     .max = INT64_MAX,
     .doc = "when"},
    {.name = "error",
     .type = CODEC_OBJECT,
     .offset = offsetof(struct end_line, error),
     .flags = IN,
     .sub = &end_error_table,
     .doc = "why, if it failed"},
};

static const struct codec_table end_table = {
    .name = "VmEnd",
    .doc = "What a virga-vmm says of its end.",
    .size = sizeof(struct end_line),
    .fields = end_fields,
    .n_fields = ARRAY_SIZE(end_fields),
};

void
vd_record_release(struct vd_record *r)
{
    free(r->id);
    free(r->name);
    free(r->dir);
    free(r->boot_id);
    *r = (struct vd_record){0};
}

int
vd_record_read(const char *path, const char *id, struct vd_record *ret,
               struct err *reterr)
{
    struct buf b _cleanup_(buf_release) = {0};
    struct file f = {0};
    int r = fs_read(path, RECORD_MAX, &b, reterr);

    if (r < 0)
        return r;
    r = codec_decode(&file_table, CODEC_PEER, buf_str(&b), b.len, &f, reterr);
    if (r == 0 && !streq(f.rec.id, id))
        r = err_set(reterr, -EINVAL, "foreign", "is the record of VM %s",
                    f.rec.id);
    if (r < 0) {
        err_prefix(reterr, "%s", path);
        codec_clear(&file_table, &f);
        return r;
    }
    *ret = f.rec;
    return 0;
}

int
vd_record_write(const char *path, const struct vd_record *r, struct err *reterr)
{
    struct buf b _cleanup_(buf_release) = {0};
    struct file f = {.version = RECORD_VERSION, .rec = *r};

    codec_encode(&file_table, &f, &b);
    buf_addc(&b, '\n');
    return fs_write_atomic(path, b.data, b.len, 0600, reterr);
}

static const struct {
    const char *name;
    enum hv_end end;
} ends[] = {
    {"power-off", HV_END_GUEST},      {"reset", HV_END_GUEST},
    {"stopped", HV_END_KILLED},       {"panic", HV_END_CRASHED},
    {"triple-fault", HV_END_CRASHED}, {"error", HV_END_CRASHED},
};

static int
take_end(const struct end_line *line, struct vd_end *ret)
{
    const char *words = line->error ? line->error->message : NULL;

    for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
        if (!streq(line->end, ends[i].name))
            continue;
        *ret = (struct vd_end){.end = ends[i].end,
                               .at_us = line->at_us,
                               .failed = streq(line->end, "error")};
        snprintf(ret->words, sizeof(ret->words), "%s", words ? words : "");
        for (char *p = ret->words; *p; p++)
            if ((unsigned char)*p < 0x20 || *p == 0x7f)
                *p = ' ';
        return 0;
    }
    return -EINVAL;
}

int
vd_end_read(const char *path, struct vd_end *ret, struct err *reterr)
{
    struct buf b _cleanup_(buf_release) = {0};
    struct end_line line = {0};
    int r = fs_read(path, END_MAX, &b, reterr);

    if (r < 0)
        return r;
    if (b.len == 0)
        return err_set(reterr, -ENODATA, "no_end", "%s is empty", path);
    r = codec_decode(&end_table, CODEC_PEER, buf_str(&b), b.len, &line, reterr);
    if (r < 0) {
        err_prefix(reterr, "%s", path);
        return r;
    }
    r = take_end(&line, ret);
    if (r < 0)
        err_set(reterr, r, "unknown_end", "%s: \"%s\" is no end", path,
                line.end);
    codec_clear(&end_table, &line);
    return r;
}
