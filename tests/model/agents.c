/* agents.c - simulated nodes: agents that speak docs/PROTOCOL.md truthfully
 * but late, over a network that loses, repeats, delays and reorders.
 *
 * Attacks: invariant 2 (an instance never runs twice: begin_vm() looks on all
 * nodes), 4 (billing: every applied observation moves the oracle in
 * agents_applied()), 6 (agents act on desired state only).
 *
 * Written after the protocol's text, not after agentd: what one of the two
 * has misunderstood shows. An agent's record survives its own death; so does
 * its spool. */
#include <config.h>

#include "tests/model/cloud.h"

#include <string.h>

#include "common/clock.h"
#include "common/mem.h"

/* ---- the oracle of what is billed ---- */

static struct truth *
truth_of(struct cloud *c, const char *instance, int64_t run)
{
    for (size_t i = c->n_runs; i-- > 0;)
        if (c->runs[i].run == run && streq(c->runs[i].instance, instance))
            return &c->runs[i];
    return NULL;
}

static void
bill(struct ctx *x, const struct sim_obs *o, int64_t at, bool late)
{
    struct cloud *c = x->c;
    struct minst *m = tenants_find(c, o->instance);
    struct truth *last, *t = truth_of(c, o->instance, o->run);

    if (!m)
        return; /* its creation was never heard of: not ours to bill */
    last = m->last_run ? truth_of(c, o->instance, m->last_run) : NULL;
    bool open = last && last->start_us && !last->end_us;
    int64_t floor = m->created_us;
    if (last && last->start_us)
        floor = MAX(floor, last->end_us ? last->end_us : last->start_us);
    at = MIN(at, c->now_us);
    at = MAX(at, floor);
    if (o->state == OBSERVED_RUNNING || o->state == OBSERVED_PAUSED) {
        if (o->run <= m->ended_run || o->run <= m->last_run)
            return;
        if (!t)
            cloud_fail(x, "run %lld of %s was told and never was",
                       (long long)o->run, o->instance);
        if (open)
            last->end_us = at;
        t->start_us = at;
        if (at == floor && last) /* moved by an end that was told late */
            t->inexact |= last->inexact;
        t->inexact |= late || o->inexact || o->state == OBSERVED_PAUSED;
        m->last_run = o->run;
        return;
    }
    int64_t run =
        o->state == OBSERVED_DELETED ? MAX(o->run, m->last_run) : o->run;
    run = MAX(run, (int64_t)1);
    m->ended_run = MAX(m->ended_run, run);
    if (open && run >= last->run) {
        last->end_us = at;
        last->inexact |= late || o->inexact;
    }
    if (o->state == OBSERVED_DELETED &&
        (m->wish == WISH_DELETE || m->wish == WISH_UNKNOWN))
        m->gone = true;
}

void
agents_applied(struct ctx *x, int node, const struct sim_obs *obs, size_t n,
               int64_t sent_us)
{
    struct sim_node *s = &x->c->nodes[node];
    int64_t late = x->c->now_us - sent_us;

    for (size_t i = 0; i < n; i++) {
        if (obs[i].seq <= s->applied)
            continue;
        bill(x, &obs[i], obs[i].at_us + late, late > 0);
        s->applied = obs[i].seq;
    }
}

/* ---- VMs ---- */

static struct sim_obs *
tell(struct ctx *x, struct sim_node *n, struct sim_vm *v, int state,
     int64_t run, int64_t at_us, const char *reason)
{
    if (n->n_obs == C_OBS)
        cloud_fail(x, "the spool of a node is full");
    struct sim_obs *o = &n->obs[n->n_obs++];

    *o = (struct sim_obs){
        .seq = n->next_seq++, .run = run, .at_us = at_us, .state = state};
    memcpy(o->instance, v->id, ID_SIZE);
    const struct truth *t = &x->c->runs[v->truth];
    if ((state == OBSERVED_RUNNING || state == OBSERVED_PAUSED) && !t->silent) {
        o->vcpus = t->vcpus;
        o->memory_bytes = t->memory_bytes;
        o->disk_bytes = t->disk_bytes;
    }
    snprintf(o->reason, sizeof(o->reason), "%s", reason ? reason : "");
    cloud_trace(x, "  node %d tells %lld: %s run %lld %s %s",
                (int)(n - x->c->nodes), (long long)o->seq,
                api_observed_names[state], (long long)run, o->reason,
                v->id + 24);
    return o;
}

static void
begin_vm(struct ctx *x, struct sim_node *n, struct sim_vm *v)
{
    struct cloud *c = x->c;

    for (size_t k = 0; k < C_NODES; k++)
        for (size_t i = 0; i < c->nodes[k].n_vms; i++)
            if (c->nodes[k].vms[i].runs && streq(c->nodes[k].vms[i].id, v->id))
                cloud_fail(x, "%s would run twice", v->id);
    if (truth_of(c, v->id, v->run))
        cloud_fail(x, "run %lld of %s a second time", (long long)v->run, v->id);
    if (c->n_runs == C_RUNS)
        cloud_fail(x, "too many runs for the model");
    v->runs = true;
    v->paused = false;
    v->end = END_NONE;
    v->vm_run = v->run;
    v->vm_started = v->seen_us = c->now_us;
    v->disk = true;
    v->disk_epoch = v->epoch;
    v->truth = (int)c->n_runs;
    struct truth *t = &c->runs[c->n_runs++];
    *t = (struct truth){.run = v->run,
                        .silent = n->silent,
                        .began = c->now_us,
                        .vcpus = v->vcpus,
                        .memory_bytes = v->memory_bytes,
                        .disk_bytes = v->disk_bytes};
    memcpy(t->instance, v->id, ID_SIZE);
    c->vm_starts++;
}

static void
end_vm(struct ctx *x, struct sim_vm *v, enum sim_end why)
{
    v->runs = v->paused = false;
    v->end = why;
    v->vm_ended = x->c->now_us;
    x->c->runs[v->truth].ended = x->c->now_us;
}

void
agents_guest(struct ctx *x)
{
    struct cloud *c = x->c;
    struct sim_node *n = &c->nodes[cloud_pick(c, C_NODES)];

    if (!n->n_vms)
        return;
    struct sim_vm *v = &n->vms[cloud_pick(c, (int)n->n_vms)];
    if (!v->runs)
        return;
    enum sim_end why = (enum sim_end)(END_GUEST + cloud_pick(c, 3));
    cloud_trace(x, "  guest %s ends by itself (%d)", v->id + 24, why);
    end_vm(x, v, why);
}

/* ---- an agent's pass over one instance ---- */

static bool
policy_restarts(const struct sim_vm *v, const char *reason)
{
    if (v->power != POWER_RUNNING || v->want_run > v->run ||
        streq(reason, "requested"))
        return false;
    if (v->restart == RESTART_ON_FAILURE)
        return !streq(reason, "guest");
    return v->restart == RESTART_ALWAYS;
}

static void
plan_restart(struct cloud *c, struct sim_vm *v)
{
    int64_t wait_s = 1;

    for (int64_t k = 0; k < v->restarts && wait_s < 60; k++)
        wait_s *= 2;
    v->restarts++;
    v->restart_at = c->now_us + MIN(wait_s, (int64_t)60) * US_PER_S;
    v->phase = SIM_WAITING;
    v->run++;
}

static void
tell_end(struct ctx *x, struct sim_node *n, struct sim_vm *v)
{
    static const char *const words[] = {"unknown", "requested", "guest",
                                        "crashed", "killed"};
    bool unwanted = v->power != POWER_RUNNING || v->want_run > v->run;
    bool missed = v->end != END_ASKED && v->vm_ended > v->seen_us &&
                  cloud_chance(x->c, 2);
    const char *why = words[missed ? END_NONE : v->end];

    if (!missed && unwanted && v->end != END_CRASHED)
        why = "requested";
    struct sim_obs *o =
        tell(x, n, v, OBSERVED_STOPPED, v->run,
             missed ? MAX(v->seen_us, v->vm_started) : v->vm_ended, why);
    o->inexact = missed;
    v->end = END_NONE;
    if (policy_restarts(v, why)) {
        o->restart = true;
        plan_restart(x->c, v);
    } else {
        v->phase = SIM_ENDED;
    }
}

static void
start(struct ctx *x, struct sim_node *n, struct sim_vm *v)
{
    struct cloud *c = x->c;

    if (v->want_run > v->run) {
        v->run = v->want_run;
        v->restarts = 0; /* asked for */
    }
    v->phase = SIM_STARTING;
    if (!c->chaos || !cloud_chance(c, 10)) {
        begin_vm(x, n, v);
        return;
    }
    struct sim_obs *o = tell(x, n, v, OBSERVED_FAILED, v->run, c->now_us, NULL);
    o->problem = true;
    if (v->restarts > 0 && v->power == POWER_RUNNING && v->want_run <= v->run &&
        v->restart != RESTART_NEVER) {
        o->restart = true;
        plan_restart(c, v);
    } else {
        v->phase = SIM_FAILED;
    }
}

static bool
pass_running(struct ctx *x, struct sim_node *n, struct sim_vm *v)
{
    struct cloud *c = x->c;

    if (v->power == POWER_RUNNING && v->vm_run >= v->want_run) {
        /* A newer wish is answered, though nothing is to be done. */
        if (v->paused == v->want_paused && v->told_seq == v->want_seq)
            return false;
        v->paused = v->want_paused;
        v->told_seq = v->want_seq;
        if (v->paused)
            tell(x, n, v, OBSERVED_PAUSED, v->vm_run, c->now_us, NULL);
        else
            tell(x, n, v, OBSERVED_RUNNING, v->vm_run, v->vm_started, NULL);
        return true;
    }
    if (v->power != POWER_DELETED && !v->force && c->chaos &&
        cloud_chance(c, 2))
        return true; /* the guest takes its time */
    end_vm(x, v, END_ASKED);
    return true;
}

static bool
pass(struct ctx *x, struct sim_node *n, struct sim_vm *v)
{
    struct cloud *c = x->c;
    bool there = v->runs || v->end != END_NONE;

    if (v->phase == SIM_DELETED)
        return false;
    if (v->runs)
        v->seen_us = c->now_us;
    if (there && (v->vm_run > v->run || v->phase == SIM_STARTING ||
                  v->phase == SIM_WAITING)) {
        v->phase = SIM_STARTED;
        v->run = v->vm_run;
        tell(x, n, v, OBSERVED_RUNNING, v->run, v->vm_started, NULL);
        return true;
    }
    if (v->runs)
        return pass_running(x, n, v);
    if (v->end != END_NONE) {
        tell_end(x, n, v);
        return true;
    }
    switch ((enum api_power)v->power) {
    case POWER_DELETED:
        v->disk = false;
        v->phase = SIM_DELETED;
        v->deleted_seq = n->next_seq;
        tell(x, n, v, OBSERVED_DELETED, v->run, c->now_us, NULL);
        return true;
    case POWER_STOPPED:
        if (v->told_seq == v->want_seq)
            return false;
        v->phase = SIM_ENDED;
        v->run = MAX(v->want_run, v->run);
        v->told_seq = v->want_seq;
        tell(x, n, v, OBSERVED_STOPPED, v->run, c->now_us, "requested");
        return true;
    case POWER_RUNNING:
        if (v->want_run <= v->run && v->phase != SIM_STARTING &&
            (v->phase != SIM_WAITING || c->now_us < v->restart_at))
            return false;
        start(x, n, v);
        return true;
    }
    return false;
}

/* ---- desired state ---- */

static struct sim_vm *
vm_of(struct ctx *x, struct sim_node *n, const char *id)
{
    for (size_t i = 0; i < n->n_vms; i++)
        if (streq(n->vms[i].id, id))
            return &n->vms[i];
    if (n->n_vms == C_INSTS)
        cloud_fail(x, "too many instances on a node for the model");
    struct sim_vm *v = &n->vms[n->n_vms++];
    *v = (struct sim_vm){.phase = SIM_NEW};
    memcpy(v->id, id, ID_SIZE);
    return v;
}

static void
wish(struct ctx *x, struct sim_node *n, const struct api_desired_instance *d)
{
    struct sim_vm *v = vm_of(x, n, d->id);

    for (size_t k = 0; k < C_NODES; k++)
        for (size_t i = 0; &x->c->nodes[k] != n && i < x->c->nodes[k].n_vms;
             i++)
            if (streq(x->c->nodes[k].vms[i].id, d->id))
                cloud_fail(x, "%s is wanted on two nodes", d->id);
    if (d->seq < v->want_seq)
        cloud_fail(x, "the wish of %s went from %lld back to %lld", d->id,
                   (long long)v->want_seq, (long long)d->seq);
    if (v->power == POWER_DELETED && v->want_seq && d->power != POWER_DELETED)
        cloud_fail(x, "%s comes back from its deletion", d->id);
    if (d->power != POWER_DELETED && !d->image)
        cloud_fail(x, "%s is wanted without an image", d->id);
    v->want_seq = d->seq;
    v->want_run = d->run;
    v->power = d->power;
    v->force = d->force;
    v->want_paused = d->paused;
    v->restart = d->restart_policy;
    v->epoch = d->disk_epoch;
    v->vcpus = d->vcpus;
    v->memory_bytes = d->memory_bytes;
    v->disk_bytes = d->disk_bytes;
}

static struct rig_call *
node_call(struct cloud *c, struct sim_node *n, const char *method,
          const char *path)
{
    struct rig_call *call = rig_call(method, path);

    memcpy(call->cn, n->id, ID_SIZE);
    memcpy(call->fingerprint, n->fingerprint, sizeof(n->fingerprint));
    return call;
}

static void
take_desired(struct ctx *x, int node, struct rig_call *call)
{
    struct sim_node *n = &x->c->nodes[node];
    struct api_desired d = {0};

    if (call->status != 200) {
        if (!x->faults && call->status != 503)
            cloud_fail(x, "desired: %d %s", call->status, buf_str(&call->body));
        return;
    }
    if (codec_decode(&table_desired, CODEC_REPLY, buf_str(&call->body),
                     call->body.len, &d, NULL) < 0)
        cloud_fail(x, "desired: %s", buf_str(&call->body));
    const struct api_desired_instance *i = d.instances.items;
    for (size_t k = 0; k < d.instances.n; k++)
        wish(x, n, &i[k]);
    n->since = d.seq;
    codec_clear(&table_desired, &d);
}

static void
end_poll(struct ctx *x, int node)
{
    struct rig_call *call = x->poll[node];
    struct sim_node *n = &x->c->nodes[node];

    if (!call || !call->done)
        return;
    x->poll[node] = NULL;
    if (n->up && !(x->c->chaos && cloud_chance(x->c, 6)))
        take_desired(x, node, call); /* else the reply is lost */
    rig_call_free(call);
}

static void
poll_desired(struct ctx *x, int node, bool hold)
{
    struct sim_node *n = &x->c->nodes[node];
    char path[100];

    end_poll(x, node);
    if (x->poll[node])
        return;
    snprintf(path, sizeof(path), "/v1/agent/desired?since=%lld&wait=%ds",
             (long long)n->since, hold ? 10 : 0);
    x->poll[node] = node_call(x->c, n, "GET", path);
    rig_send(&x->rig, x->poll[node]);
    rig_settle(&x->rig);
    end_poll(x, node);
}

/* ---- reports ---- */

static void
report_body(struct cloud *c, const struct sim_node *n, bool host, size_t n_obs,
            struct buf *out)
{
    buf_adds(out, "{");
    if (host)
        buf_addf(
            out,
            "\"host\":{\"driver\":\"sim\",\"vcpus\":%d,"
            "\"memory_bytes\":%lld,\"disk_bytes\":%lld,"
            "\"traits\":[\"kernel-boot\",\"disk-boot\",\"pause\",\"console\","
            "\"stats\"]},",
            SIM_VCPUS, SIM_MEMORY_BYTES, 64LL << 30);
    buf_adds(out, "\"observations\":[");
    for (size_t i = 0; i < n_obs; i++) {
        const struct sim_obs *o = &n->obs[i];

        buf_addf(out,
                 "%s{\"seq\":%lld,\"instance_id\":\"%s\",\"run\":%lld,"
                 "\"state\":\"%s\",\"age_us\":%lld",
                 i ? "," : "", (long long)o->seq, o->instance,
                 (long long)o->run, api_observed_names[o->state],
                 (long long)(c->now_us - o->at_us));
        if (o->reason[0])
            buf_addf(out, ",\"reason\":\"%s\"", o->reason);
        if (o->restart)
            buf_adds(out, ",\"restart\":true");
        if (o->vcpus)
            buf_addf(out,
                     ",\"vcpus\":%lld,\"memory_bytes\":%lld,"
                     "\"disk_bytes\":%lld",
                     (long long)o->vcpus, (long long)o->memory_bytes,
                     (long long)o->disk_bytes);
        if (o->problem)
            buf_adds(out, ",\"problem\":{\"code\":\"image_missing\","
                          "\"message\":\"no such thing\"}");
        buf_adds(out, "}");
    }
    buf_adds(out, "]}");
}

static void
acknowledged(struct ctx *x, struct sim_node *n, int64_t seq)
{
    size_t k = 0;

    while (k < n->n_obs && n->obs[k].seq <= seq)
        k++;
    memmove(n->obs, n->obs + k, (n->n_obs - k) * sizeof(n->obs[0]));
    n->n_obs -= k;
}

/* The controller takes a report; the answer may be lost on its way back. */
static void
deliver(struct ctx *x, int node, const char *body, size_t len,
        const struct sim_obs *obs, size_t n_obs, int64_t sent_us, bool heard)
{
    struct sim_node *n = &x->c->nodes[node];
    struct rig_call *call = node_call(x->c, n, "POST", "/v1/agent/report");
    struct api_report_ack ack = {0};

    for (size_t i = 0; i < n->n_obs; i++)
        n->obs[i].flight_at = x->c->now_us - sent_us + n->obs[i].at_us;
    rig_body(call, body, len);
    rig_send(&x->rig, call);
    rig_settle(&x->rig);
    x->c->reports++;
    if (call->status == 200) {
        agents_applied(x, node, obs, n_obs, sent_us);
        if (codec_decode(&table_report_ack, CODEC_REPLY, buf_str(&call->body),
                         call->body.len, &ack, NULL) < 0)
            cloud_fail(x, "report: %s", buf_str(&call->body));
        if (ack.seq > n->applied)
            cloud_fail(x, "acknowledged %lld of %lld", (long long)ack.seq,
                       (long long)n->applied);
        if (heard)
            acknowledged(x, n, ack.seq);
    } else if (!x->faults) {
        cloud_fail(x, "report: %d %s", call->status, buf_str(&call->body));
    }
    rig_call_free(call);
}

static void
keep_flight(struct ctx *x, int node, const struct buf *body, size_t n_obs)
{
    struct cloud *c = x->c;
    struct flight *f = &c->flights[cloud_pick(c, C_FLIGHTS)];

    if (n_obs > ARRAY_SIZE(f->obs) || body->len >= sizeof(f->body))
        return; /* lost, then */
    *f = (struct flight){
        .used = true, .node = node, .sent_us = c->now_us, .n = n_obs};
    memcpy(f->obs, c->nodes[node].obs, n_obs * sizeof(f->obs[0]));
    memcpy(f->body, body->data, body->len);
}

static void
land_flight(struct ctx *x)
{
    struct cloud *c = x->c;
    struct flight *f = &c->flights[cloud_pick(c, C_FLIGHTS)];

    if (!f->used)
        return;
    cloud_trace(x, "  a late report of node %d comes, %zu observations",
                f->node, f->n);
    deliver(x, f->node, f->body, strlen(f->body), f->obs, f->n, f->sent_us,
            false);
    f->used = cloud_chance(c, 3); /* and perhaps once more */
}

static void
report(struct ctx *x, int node)
{
    struct cloud *c = x->c;
    struct sim_node *n = &c->nodes[node];
    struct buf body _cleanup_(buf_release) = {0};
    size_t n_obs = c->chaos && n->n_obs
                       ? (size_t)cloud_pick(c, (int)n->n_obs) + 1
                       : n->n_obs;
    int fate = c->chaos ? cloud_pick(c, 8) : 7;

    report_body(c, n, !n->hosted, n_obs, &body);
    cloud_trace(x, "node %d reports %zu, %s", node, n_obs,
                fate == 0   ? "lost"
                : fate == 1 ? "delayed"
                : fate == 2 ? "answer lost"
                : fate == 3 ? "twice"
                            : "heard");
    if (fate == 0)
        return;
    if (fate == 1) {
        keep_flight(x, node, &body, n_obs);
        return;
    }
    struct sim_obs obs[C_OBS];
    memcpy(obs, n->obs, n_obs * sizeof(obs[0]));
    deliver(x, node, body.data, body.len, obs, n_obs, c->now_us, fate != 2);
    n->hosted |= fate != 2;
    if (fate == 3)
        deliver(x, node, body.data, body.len, obs, n_obs, c->now_us, true);
}

/* ---- steps ---- */

static void
agent_toggle(struct ctx *x, int node)
{
    struct sim_node *n = &x->c->nodes[node];

    n->up = !n->up;
    n->hosted = false;
    cloud_trace(x, "the agent of node %d %s", node,
                n->up ? "is back" : "is gone");
    if (n->up && cloud_chance(x->c, 4))
        n->since = 0; /* asks for everything */
    if (n->silent && cloud_chance(x->c, 4))
        n->silent = false; /* a newer program */
}

static void
agent_step(struct ctx *x, int node)
{
    struct cloud *c = x->c;
    struct sim_node *n = &c->nodes[node];
    int what = cloud_pick(c, 24);

    end_poll(x, node);
    if (what == 0) {
        agent_toggle(x, node);
    } else if (what == 1) {
        land_flight(x);
    } else if (!n->up) {
        if (cloud_chance(c, 2))
            agent_toggle(x, node);
    } else if (what < 7 || !n->hosted) {
        report(x, node);
    } else if (what < 12) {
        poll_desired(x, node, cloud_chance(c, 2));
    } else if (n->n_vms) {
        for (int k = 0; k < 3; k++)
            pass(x, n, &n->vms[cloud_pick(c, (int)n->n_vms)]);
    }
}

void
agents_step(struct ctx *x)
{
    for (int k = 1 + cloud_pick(x->c, 4); k > 0; k--)
        agent_step(x, cloud_pick(x->c, C_NODES));
}

bool
agents_settle(struct ctx *x)
{
    struct cloud *c = x->c;
    bool any = false;

    for (int k = 0; k < C_NODES; k++) {
        struct sim_node *n = &c->nodes[k];
        int64_t since = n->since;

        n->up = true;
        if (x->poll[k]) {
            rig_expire(&x->rig);
            end_poll(x, k);
        }
        poll_desired(x, k, false);
        any |= n->since != since;
        for (size_t i = 0; i < n->n_vms; i++) {
            while (pass(x, n, &n->vms[i]))
                any = true;
            any |= n->vms[i].phase == SIM_WAITING;
        }
        any |= n->n_obs > 0 || !n->hosted;
        if (n->n_obs || !n->hosted)
            report(x, k);
    }
    return any;
}

/* What was still held was answered as the controller stopped; nobody hears. */
void
agents_closed(struct ctx *x)
{
    for (int k = 0; k < C_NODES; k++)
        rig_call_free(x->poll[k]);
}

/* Of a report that was under way when the controller died only the rows know
 * whether it was taken. */
void
agents_reopened(struct ctx *x)
{
    struct cloud *c = x->c;

    for (int k = 0; k < C_NODES; k++) {
        struct sim_node *n = &c->nodes[k];
        int64_t seq = check_int(
            x, "SELECT observed_seq FROM nodes WHERE id = ?1", n->id, NULL);

        if (seq < n->applied)
            cloud_fail(x,
                       "node %d: observations up to %lld were applied, "
                       "the rows know %lld",
                       k, (long long)n->applied, (long long)seq);
        for (size_t i = 0; i < n->n_obs; i++) {
            struct sim_obs *o = &n->obs[i];

            if (o->seq <= n->applied || o->seq > seq)
                continue;
            if (!o->flight_at)
                cloud_fail(x, "node %d: %lld was applied and never sent", k,
                           (long long)o->seq);
            bill(x, o, o->flight_at, true);
            n->applied = o->seq;
        }
        if (seq > n->applied)
            cloud_fail(x, "node %d: %lld was applied and never was", k,
                       (long long)seq);
    }
}
