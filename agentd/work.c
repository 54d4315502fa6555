/* work.c - one pass over one instance: look at the VM, decide, act. Every
 * step may be cut short by a crash or an error; the next pass finds out how
 * far it came. See core-private.h for who owns what. */
#include <config.h>

#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "agentd/core-private.h"
#include "agentd/disk.h"
#include "agentd/image.h"
#include "agentd/seed.h"
#include "common/clock.h"
#include "common/count.h"
#include "common/fs.h"
#include "common/hash.h"
#include "common/log.h"
#include "common/mem.h"

/* While a guest shuts down its end comes as an event; this is for lost ones.
 * A guest that still boots does not hear the button: it is pressed again. */
#define STOP_POLL_US (2 * US_PER_S)
#define PRESS_AGAIN_US (10 * US_PER_S)
#define START_TRIES 3
#define RETRY_US (US_PER_S / 2)
#define RETRY_MAX_US (30 * US_PER_S)
/* A part that is fetched wakes the instance; this is to say how far it is. */
#define IMAGE_POLL_US (5 * US_PER_S)
/* Passes in a row that each found something to do: more is a loop. */
#define SPINS_MAX 32

struct pass {
    struct core *c;
    struct inst *in;
    struct spec *spec;
    struct agent_want want;
    struct agent_local local;
    struct agent_vm vm;
    int64_t run; /* of a start */
};

static void
release(struct pass *p, bool again, int64_t due_us)
{
    struct inst *in = p->in;

    p->in = NULL; /* not ours any more */
    core_release(p->c, in, again, due_us);
}

static void
again(struct pass *p)
{
    release(p, true, 0);
}

static void
later(struct pass *p, int64_t delay_us)
{
    release(p, false, clock_mono_us() + delay_us);
}

static int64_t
backoff_us(unsigned tries)
{
    int64_t d = RETRY_US << MIN(tries, 6u);
    unsigned jitter;

    id_random(&jitter, sizeof(jitter));
    d = MIN(d, RETRY_MAX_US);
    return d - d / 4 + (int64_t)jitter % (d / 2);
}

static void
at_step(struct pass *p, const char *step, const char *why)
{
    core_set_progress(p->c, p->in, p->run, step, why);
}

/* Something that ought to work did not; it is tried until it does. */
static void
retry(struct pass *p, const char *what, int r, const struct err *e)
{
    const char *why = e && *e->message ? e->message : strerrordesc_np(-r);

    COUNT(agent_retry);
    log_limited(LOG_LEVEL_WARN, "trying again later",
                "inst=%s step=%s error=\"%s\"", p->in->id, what, why);
    at_step(p, what, why);
    later(p, backoff_us(p->in->attempts++));
}

/* ---- recording ---- */

/* A change on its way to the disk; the pass is suspended in it. */
struct step {
    struct state_change ch; /* first */
    struct core *c;
    struct inst *in;
    char *req; /* of the wish, for the log */
};

static void
on_committed(struct state_change *ch, int result)
{
    struct step *s = (struct step *)ch;
    struct pass p = {.c = s->c, .in = s->in, .run = ch->local.run};

    log_set_request(s->req);
    if (result == 0) {
        core_set_local(p.c, p.in, &ch->local);
        p.in->attempts = 0;
        again(&p);
        if (ch->tell && p.c->cfg.on_observation)
            p.c->cfg.on_observation(p.c->cfg.arg);
    } else if (result == -ENOENT) {
        again(&p); /* forgotten meanwhile */
    } else {
        retry(&p, "record", result, NULL);
    }
    log_set_request(NULL);
    free(s->req);
    free(s);
}

static struct state_change *
change_new(struct pass *p)
{
    struct step *s = xnew(struct step);

    s->c = p->c;
    s->in = p->in;
    s->req = xstrdup(p->spec->d.request_id);
    memcpy(s->ch.id, p->in->id, ID_SIZE);
    s->ch.local = p->local;
    s->ch.done = on_committed;
    return &s->ch;
}

/* The pass goes on when it is on disk. */
static void
record(struct pass *p, struct state_change *ch)
{
    p->in = NULL;
    state_submit(p->c->cfg.st, ch);
}

static void
tell(struct state_change *ch, enum api_observed state, int64_t run,
     int64_t at_us, const char *reason)
{
    ch->tell = true;
    ch->note = (struct state_note){
        .state = state, .run = run, .at_us = at_us, .reason = reason};
    if (state == OBSERVED_RUNNING || state == OBSERVED_PAUSED)
        ch->note.size = ch->local.size;
}

/* The next run follows by itself: that is told along with this one's end. */
static void
restart(struct pass *p, struct state_change *ch)
{
    int64_t now = clock_now_us();

    agent_plan_restart(&ch->local, ch->note.at_us, now);
    ch->note.restart = true;
    COUNT(agent_restart);
    log_limited(LOG_LEVEL_INFO, "the restart policy has it started again",
                "inst=%s run=%" PRId64 " reason=%s wait_ms=%" PRId64, p->in->id,
                ch->local.run, ch->note.reason ? ch->note.reason : "failed",
                agent_restart_wait(&ch->local, now) / 1000);
}

static void
fail(struct pass *p, const char *code, const char *message)
{
    struct state_change *ch = change_new(p);

    log_warn("the instance cannot be started",
             "inst=%s run=%" PRId64 " code=%s error=\"%s\"", p->in->id, p->run,
             code, message);
    ch->local.run = p->run;
    tell(ch, OBSERVED_FAILED, p->run, clock_now_us(), NULL);
    if (agent_restarts_failed(&p->want, &p->local))
        restart(p, ch);
    else
        ch->local.phase = PHASE_FAILED;
    snprintf(ch->note.code, sizeof(ch->note.code), "%s", code);
    snprintf(ch->note.message, sizeof(ch->note.message), "%s", message);
    for (char *s = ch->note.message; *s; s++)
        if ((unsigned char)*s < 0x20 || *s == 0x7f)
            *s = ' '; /* a hypervisor's words may hold anything */
    record(p, ch);
}

/* ---- starting ---- */

struct files {
    char *kernel, *initrd, *base, *disk, *seed, *dir;
    const struct api_image_part *base_part;
};

static void
files_release(struct files *f)
{
    free(f->kernel);
    free(f->initrd);
    free(f->base);
    free(f->disk);
    free(f->seed);
    free(f->dir);
}

static int
get_parts(struct pass *p, struct files *f, struct err *e)
{
    const struct api_desired_image *im = p->spec->d.image;
    const struct api_image_part *parts = im->parts.items;
    int waiting = 0;

    for (size_t i = 0; i < im->parts.n; i++) {
        char **slot = parts[i].name == PART_KERNEL   ? &f->kernel
                      : parts[i].name == PART_INITRD ? &f->initrd
                                                     : &f->base;
        if (*slot)
            return err_set(e, -EINVAL, "image_unreadable",
                           "the image has its %s twice",
                           api_part_names[parts[i].name]);
        int r = image_get(p->c->images, im->id, &parts[i], p->in->id, slot, e);
        if (r == -EINPROGRESS)
            waiting = r; /* but ask for the other parts as well */
        else if (r < 0)
            return r;
        if (parts[i].name == PART_DISK)
            f->base_part = &parts[i];
    }
    return waiting;
}

static enum api_format
disk_format(const struct pass *p)
{
    return p->c->caps & HV_CAP_QCOW2 ? FORMAT_QCOW2 : FORMAT_RAW;
}

/* The controller places by it, but a node's driver may have changed since. */
static bool
can_boot(const struct pass *p, const struct api_desired_image *im)
{
    const struct api_image_part *parts = im->parts.items;
    unsigned cap = HV_CAP_DISK_BOOT;

    for (size_t i = 0; i < im->parts.n; i++)
        if (parts[i].name == PART_KERNEL)
            cap = HV_CAP_KERNEL_BOOT;
    return p->c->caps & cap;
}

/* The folder, the image's parts and the disk. */
static int
prepare(struct pass *p, struct files *f, struct err *e)
{
    const struct api_desired_instance *d = &p->spec->d;

    f->dir = xasprintf("%s/instances/%s", p->c->dir, p->in->id);
    if (mkdir(f->dir, 0700) < 0 && errno != EEXIST)
        return err_errno(e, -errno, "cannot make folder %s", f->dir);
    if (d->image && !can_boot(p, d->image))
        return err_set(e, -EINVAL, "image_unsupported",
                       "this node cannot boot such an image");
    if (p->c->caps & HV_CAP_NO_GUEST)
        return 0;
    if (!d->image)
        return err_set(e, -EINVAL, "image_unreadable",
                       "the instance has no image");
    int r = get_parts(p, f, e);
    if (r < 0)
        return r;
    at_step(p, "disk", NULL);
    if (f->base || d->disk_bytes) {
        struct disk_spec ds = {.dir = f->dir,
                               .format = disk_format(p),
                               .base_path = f->base,
                               .base = f->base_part,
                               .size_bytes = d->disk_bytes,
                               .epoch = d->disk_epoch};

        r = disk_ensure(&ds, &f->disk, e);
    }
    return r;
}

/* Anew for each start: what it says may have changed. */
static int
make_seed(struct pass *p, struct files *f, struct err *e)
{
    const struct api_desired_instance *d = &p->spec->d;
    struct seed seed = {.instance_id = d->id,
                        .hostname = d->name,
                        .user_data = d->user_data,
                        .keys = &d->keys};

    return p->c->caps & HV_CAP_NO_GUEST ? 0
                                        : seed_make(f->dir, &seed, &f->seed, e);
}

/* 52:54:00 is the range that QEMU and KVM use for their guests; the rest
 * belongs to the instance, so that a restart keeps its address. */
static void
mac_of(const char *id, char out[18])
{
    unsigned char h[HASH_LEN];

    hash_sha256(id, ID_LEN, h);
    snprintf(out, 18, "52:54:00:%02x:%02x:%02x", h[0], h[1], h[2]);
}

static int
start_vm(struct pass *p, const struct files *f, struct err *e)
{
    const struct api_desired_instance *d = &p->spec->d;
    struct hv_disk disks[2];
    size_t n_disks = 0;
    char mac[18];
    struct hv_nic nic = {.mac = mac,
                         .isolated = p->c->cfg.network == NETWORK_ISOLATED};

    if (f->disk)
        disks[n_disks++] = (struct hv_disk){
            .path = f->disk, .format = api_format_names[disk_format(p)]};
    if (f->seed)
        disks[n_disks++] = (struct hv_disk){
            .path = f->seed, .format = "raw", .read_only = true};
    struct hv_spec spec = {
        .id = d->id,
        .name = d->name,
        .run = (uint64_t)p->run,
        .vcpus = (unsigned)d->vcpus,
        .memory_bytes = (uint64_t)d->memory_bytes,
        .kernel = f->kernel,
        .initrd = f->kernel ? f->initrd : NULL,
        .cmdline = f->kernel ? d->image->cmdline : NULL,
        .disks = disks,
        .n_disks = n_disks,
        .nics = &nic,
        .n_nics = p->c->cfg.network == NETWORK_NONE ? 0 : 1,
        .limits = {.cpu_shares = (unsigned)d->limits.cpu_shares,
                   .cpu_limit_percent = (unsigned)d->limits.cpu_limit_percent,
                   .cpu_reservation_percent =
                       (unsigned)d->limits.cpu_reservation_percent,
                   .disk_iops = (uint64_t)d->limits.disk_iops,
                   .disk_bytes_per_second =
                       (uint64_t)d->limits.disk_bytes_per_second,
                   .net_bytes_per_second =
                       (uint64_t)d->limits.net_bytes_per_second},
        .dir = f->dir,
    };

    mac_of(d->id, mac);
    return hv_start(p->c->hv, &spec, e);
}

static void
start_failed(struct pass *p, int r, const struct err *e)
{
    struct hv_vm vm;

    /* Whatever it said: if there is a VM now, that one counts. */
    if (hv_info(p->c->hv, p->in->id, &vm, NULL) != -ENOENT) {
        COUNT(agent_start_unsure);
        retry(p, "start", r, e);
    } else if (r == -ENOSPC) {
        fail(p, "no_space", e->message);
    } else if (r != -EINVAL && ++p->in->attempts < START_TRIES) {
        at_step(p, "start", e->message);
        p->in->not_before_us = clock_mono_us() + backoff_us(p->in->attempts);
        later(p, p->in->not_before_us - clock_mono_us());
    } else {
        fail(p, "hypervisor_failed", e->message);
    }
}

static bool
same_size(const struct agent_size *a, const struct agent_size *b)
{
    return a->vcpus == b->vcpus && a->memory_bytes == b->memory_bytes &&
           a->disk_bytes == b->disk_bytes;
}

/* The run's size is on disk before there is a VM, so that whoever finds the
 * VM knows it, whatever has been wished since. */
static void
do_start(struct pass *p)
{
    const struct api_desired_instance *d = &p->spec->d;
    const struct agent_size size = {d->vcpus, d->memory_bytes, d->disk_bytes};
    struct files f _cleanup_(files_release) = {0};
    struct err e _cleanup_(err_release) = {0};
    int64_t wait = p->in->not_before_us - clock_mono_us();

    if (wait > 0 && p->local.run == p->run) {
        later(p, wait);
        return;
    }
    p->in->stop_asked = false;
    p->in->kills = 0;
    int r = prepare(p, &f, &e);
    if (r == -EINPROGRESS) {
        at_step(p, "image", e.message);
        later(p, IMAGE_POLL_US);
    } else if (r < 0) {
        fail(p, r == -ENOSPC ? "no_space" : e.code, e.message);
    } else if (p->local.phase != PHASE_STARTING || p->local.run != p->run ||
               !same_size(&p->local.size, &size)) {
        struct state_change *ch = change_new(p);

        ch->local.phase = PHASE_STARTING;
        ch->local.run = p->run;
        ch->local.started_us = 0;
        ch->local.paused = false;
        ch->local.size = size;
        if (p->want.run > p->local.run)
            ch->local.restarts = 0; /* it was asked for */
        record(p, ch);
    } else if (core_is_dirty(p->c, p->in)) {
        again(p); /* perhaps it is not wanted any more */
    } else {
        at_step(p, "start", NULL);
        r = make_seed(p, &f, &e);
        if (r < 0) {
            fail(p, r == -ENOSPC ? "no_space" : e.code, e.message);
            return;
        }
        r = start_vm(p, &f, &e);
        if (r == 0)
            again(p);
        else
            start_failed(p, r, &e);
    }
}

static void
do_adopt(struct pass *p)
{
    struct state_change *ch = change_new(p);
    int64_t now = clock_now_us();
    int64_t at = p->vm.started_us ? MIN(p->vm.started_us, now) : now;

    ch->local.phase = PHASE_STARTED;
    if (ch->local.run != p->vm.run)
        ch->local.size = (struct agent_size){0}; /* it was of another */
    ch->local.run = p->vm.run;
    ch->local.started_us = at;
    ch->local.paused = false;
    /* Not the answer to a stop, nor to the wish for a later run. */
    if (p->want.power == POWER_RUNNING && p->vm.run >= p->want.run)
        ch->local.told_seq = p->want.seq;
    tell(ch, OBSERVED_RUNNING, p->vm.run, at, NULL);
    record(p, ch);
}

/* ---- pausing ---- */

static void
do_pause(struct pass *p, bool pause)
{
    struct err e _cleanup_(err_release) = {0};
    at_step(p, pause ? "pause" : "resume", NULL);
    int r = pause ? hv_pause(p->c->hv, p->in->id, &e)
                  : hv_resume(p->c->hv, p->in->id, &e);

    if (r < 0 && r != -ENOENT) /* it ended: the next pass sees that */
        retry(p, pause ? "pause" : "resume", r, &e);
    else
        again(p);
}

/* A run's `running` is always of the moment it began; when it was halted is
 * seen now, or by the one who did it a moment ago. */
static void
do_tell(struct pass *p)
{
    struct state_change *ch = change_new(p);

    ch->local.paused = p->vm.paused;
    ch->local.told_seq = p->want.seq;
    if (p->vm.paused)
        tell(ch, OBSERVED_PAUSED, p->vm.run, clock_now_us(), NULL);
    else
        tell(ch, OBSERVED_RUNNING, p->vm.run, p->local.started_us, NULL);
    record(p, ch);
}

/* ---- ending ---- */

static void
do_stop(struct pass *p, bool force)
{
    struct inst *in = p->in;
    struct err e _cleanup_(err_release) = {0};
    int64_t now = clock_mono_us();
    int r;

    if (!in->stop_asked || in->stop_run != p->vm.run) {
        in->stop_asked = true;
        in->stop_run = p->vm.run;
        in->deadline_us = now + p->c->cfg.stop_grace_us;
        in->pressed_us = 0;
        in->kills = 0;
    }
    if (force || now >= in->deadline_us) {
        at_step(p, "stop", "it is being ended by force");
        if (!force && in->kills == 0)
            log_info("the guest did not power off in time, ending it",
                     "inst=%s run=%" PRId64, in->id, p->vm.run);
        r = hv_stop(p->c->hv, in->id, true, &e);
        if (r < 0 && r != -ENOENT)
            retry(p, "kill", r, &e);
        else if (in->kills++ == 0)
            again(p);
        else
            later(p, US_PER_S);
        return;
    }
    at_step(p, "stop", "the guest was asked to power off");
    /* A halted guest does not hear the button. */
    if (p->vm.paused) {
        r = hv_resume(p->c->hv, in->id, &e);
        if (r < 0 && r != -ENOENT) {
            log_limited(LOG_LEVEL_WARN,
                        "cannot resume the VM for its power button, waiting "
                        "for the grace time",
                        "inst=%s error=\"%s\"", in->id, e.message);
            later(p, MIN(STOP_POLL_US, in->deadline_us - now));
            return;
        }
    }
    if (!in->pressed_us || now - in->pressed_us >= PRESS_AGAIN_US) {
        r = hv_stop(p->c->hv, in->id, false, &e);
        in->pressed_us = now;
        if (r < 0 && r != -ENOENT)
            log_limited(LOG_LEVEL_WARN,
                        "cannot press the power button, waiting for the grace "
                        "time",
                        "inst=%s error=\"%s\"", in->id, e.message);
    }
    later(p, MIN(STOP_POLL_US, in->deadline_us - now));
}

static int64_t
end_time(struct pass *p, bool told)
{
    int64_t now = clock_now_us(), at = now;

    pthread_mutex_lock(&p->c->lock);
    int64_t seen = p->in->seen_us;
    pthread_mutex_unlock(&p->c->lock);
    if (told && p->vm.ended_us)
        at = p->vm.ended_us;
    else if (p->in->first || (!told && !p->in->stop_asked))
        at = seen; /* nobody saw the end itself */
    at = MAX(at, p->local.started_us);
    return MIN(at, now);
}

static void
do_end(struct pass *p)
{
    bool told = p->vm.state == VM_ENDED && p->vm.run == p->local.run;
    bool asked = p->in->stop_asked && p->in->stop_run == p->local.run;
    struct state_change *ch = change_new(p);

    /* The end of an older run (stopped amid a reboot) is no answer to the
     * wish: that of the run which will not be started follows. */
    if (p->want.power == POWER_STOPPED && p->local.run >= p->want.run)
        ch->local.told_seq = p->want.seq;
    tell(ch, OBSERVED_STOPPED, p->local.run, end_time(p, told),
         agent_end_reason(&p->want, &p->local, &p->vm, asked));
    if (agent_restarts(&p->want, &p->local, ch->note.reason))
        restart(p, ch);
    else
        ch->local.phase = PHASE_ENDED;
    record(p, ch);
}

static void
do_tell_stopped(struct pass *p)
{
    struct state_change *ch = change_new(p);

    ch->local.phase = PHASE_ENDED;
    ch->local.run = MAX(p->want.run, p->local.run);
    ch->local.told_seq = p->want.seq;
    tell(ch, OBSERVED_STOPPED, ch->local.run, clock_now_us(), "requested");
    record(p, ch);
}

static void
do_forget(struct pass *p)
{
    struct err e _cleanup_(err_release) = {0};
    int r = hv_forget(p->c->hv, p->in->id, &e);

    if (r < 0)
        retry(p, "forget", r, &e);
    else
        again(p);
}

static void
do_clean(struct pass *p)
{
    char *dir _cleanup_(freep) =
        xasprintf("%s/instances/%s", p->c->dir, p->in->id);
    struct err e _cleanup_(err_release) = {0};
    at_step(p, "clean", NULL);
    int r = fs_remove_tree(dir, &e);

    if (r < 0) {
        retry(p, "remove", r, &e);
        return;
    }
    struct state_change *ch = change_new(p);
    ch->local.phase = PHASE_DELETED;
    tell(ch, OBSERVED_DELETED, p->local.run, clock_now_us(), NULL);
    record(p, ch);
}

/* ---- the pass ---- */

static int
look(struct pass *p, struct err *e)
{
    struct hv_vm vm;
    int r = hv_info(p->c->hv, p->in->id, &vm, e);

    if (r == -ENOENT) {
        p->vm.state = VM_ABSENT;
        return 0;
    }
    if (r < 0)
        return r;
    p->vm = (struct agent_vm){
        .state = vm.state == HV_STOPPED ? VM_ENDED : VM_RUNS,
        .run = (int64_t)vm.run,
        .ours = vm.ours,
        .paused = vm.state == HV_PAUSED,
        .can_pause = p->c->caps & HV_CAP_PAUSE,
        .end = vm.end,
        .started_us = vm.started_us,
        .ended_us = vm.ended_us,
    };
    return 0;
}

/* Nothing is left to do, though perhaps not all that was wished is done. */
static void
settled(struct pass *p, enum agent_action a)
{
    bool runs = p->vm.state == VM_RUNS && p->want.power == POWER_RUNNING;

    if (a == ACT_QUARANTINE)
        at_step(p, "quarantine",
                "a VM that this node may not touch has its id");
    else if (runs && p->want.paused && !p->vm.can_pause)
        at_step(p, "pause", "this node's driver cannot pause");
    else
        core_clear_progress(p->c, p->in);
}

static void
act(struct pass *p, enum agent_action a)
{
    switch (a) {
    case ACT_NONE:
    case ACT_QUARANTINE:
        p->in->attempts = p->in->spins = 0;
        settled(p, a);
        release(p, false, 0);
        return;
    case ACT_START:
        do_start(p);
        return;
    case ACT_WAIT:
        p->in->attempts = p->in->spins = 0;
        at_step(p, "start", "it waits to be started again");
        later(p, agent_restart_wait(&p->local, clock_now_us()));
        return;
    case ACT_ADOPT:
        do_adopt(p);
        return;
    case ACT_PAUSE:
    case ACT_RESUME:
        do_pause(p, a == ACT_PAUSE);
        return;
    case ACT_TELL:
        do_tell(p);
        return;
    case ACT_STOP:
    case ACT_KILL:
        do_stop(p, a == ACT_KILL);
        return;
    case ACT_END:
        do_end(p);
        return;
    case ACT_FORGET:
        do_forget(p);
        return;
    case ACT_TELL_STOPPED:
        do_tell_stopped(p);
        return;
    case ACT_CLEAN:
        do_clean(p);
        return;
    case ACT_REFUSE:
        fail(p, "vm_in_the_way",
             "a VM that is not Virga's has the instance's id");
        return;
    }
}

static void
pass_over(struct core *c, struct inst *in)
{
    struct pass p = {.c = c, .in = in};
    struct err e _cleanup_(err_release) = {0};

    pthread_mutex_lock(&c->lock);
    struct spec *spec _cleanup_(core_spec_unrefp) = core_spec_ref(in->spec);
    p.local = in->local;
    pthread_mutex_unlock(&c->lock);
    p.spec = spec;
    log_set_request(spec->d.request_id);
    p.want = (struct agent_want){
        .seq = spec->d.seq,
        .run = spec->d.run,
        .power = (enum api_power)spec->d.power,
        .force = spec->d.force,
        .paused = spec->d.paused,
        .restart = (enum api_restart)spec->d.restart_policy,
    };
    p.run = agent_start_run(&p.want, &p.local);
    int r = look(&p, &e);
    if (r < 0) {
        retry(&p, "look", r, &e);
        return;
    }
    enum agent_action a =
        agent_decide(&p.want, &p.local, &p.vm, clock_now_us());
    log_debug("pass", "inst=%s run=%" PRId64 " phase=%d action=%s", in->id,
              p.want.run, (int)p.local.phase, agent_action_name(a));
    pthread_mutex_lock(&c->lock);
    in->quarantined = a == ACT_QUARANTINE || a == ACT_REFUSE;
    if (p.vm.state == VM_RUNS)
        in->seen_us = clock_now_us();
    pthread_mutex_unlock(&c->lock);
    if (a != ACT_ADOPT && a != ACT_END)
        in->first = false;
    if (++in->spins > SPINS_MAX) {
        in->spins = 0;
        COUNT(agent_spin);
        later(&p, US_PER_S);
        return;
    }
    act(&p, a);
}

void
work_pass(struct core *c, struct inst *in)
{
    pass_over(c, in);
    log_set_request(NULL);
}
