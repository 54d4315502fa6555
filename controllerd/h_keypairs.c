/* h_keypairs.c - public SSH keys that instances are given. */
#include <config.h>

#include "controllerd/handlers.h"

#include <stddef.h>

#include "common/clock.h"
#include "common/mem.h"
#include "controllerd/events.h"
#include "controllerd/quota.h"
#include "controllerd/sshkey.h"

int
h_keypair_create(struct call *c, struct db *db)
{
    struct api_keypair *k = c->in;
    char id[ID_SIZE], fingerprint[SSHKEY_FINGERPRINT_SIZE];
    int r = sshkey_check(k->public_key, "/public_key", fingerprint, &c->err);

    if (r < 0)
        return r;
    r = quota_cap_rows(c, db, STORE_KEYPAIRS, call_acting_project(c));
    if (r < 0)
        return r;
    id_new(id);
    k->id = xstrdup(id);
    k->project_id = xstrdup(call_acting_project(c));
    k->fingerprint = xstrdup(fingerprint);
    k->generation = 1;
    k->created_at = clock_now_us();
    r = store_keypair_insert(db, k);
    if (r == -EEXIST) {
        err_field(&c->err, "/name", "name_taken", "is taken");
        return err_set(&c->err, r, "name_taken",
                       "there is a keypair \"%s\" already", k->name);
    }
    if (r < 0)
        return store_error(c, db, r);
    reply_object(c, &table_keypair, k);
    call_location(c, "/v1/keypairs", id);
    return 0;
}

int
h_keypair_list(struct call *c, struct db *db)
{
    struct codec_list l = {0};
    char after[ID_SIZE];
    int limit;
    int r = query_page(c, &limit, after);

    if (r < 0)
        return r;
    r = store_keypair_list(db, call_project(c), after, limit + 1, &l);
    if (r == 0)
        reply_page(c, &table_keypair, &l, limit,
                   offsetof(struct api_keypair, id));
    codec_list_clear(&table_keypair, &l);
    return r < 0 ? store_error(c, db, r) : 0;
}

static int
get(struct call *c, struct db *db, struct api_keypair *ret)
{
    int r = store_keypair_get(db, call_project(c), c->ctl->default_project,
                              c->m.params[0], ret);

    if (r == -ENOENT)
        return not_found(c, "keypair", c->m.params[0]);
    return r < 0 ? store_error(c, db, r) : 0;
}

int
h_keypair_show(struct call *c, struct db *db)
{
    struct api_keypair k = {0};
    int r = get(c, db, &k);

    if (r == 0)
        reply_object(c, &table_keypair, &k);
    codec_clear(&table_keypair, &k);
    return r;
}

int
h_keypair_delete(struct call *c, struct db *db)
{
    struct api_keypair k = {0};
    int r = get(c, db, &k);

    if (r == 0)
        r = call_if_match(c, k.generation);
    if (r == 0) {
        call_touched(c, "keypair.deleted", k.id, k.name, k.project_id);
        r = store_keypair_delete(db, k.id);
        if (r < 0)
            store_error(c, db, r);
        else
            reply_empty(c);
    }
    codec_clear(&table_keypair, &k);
    return r;
}
