/* test-controllerd-handlers.c - every route has a handler that fits it. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

#include "controllerd/handlers.h"

static bool
is_get(const struct api_route *r)
{
    return strcmp(r->method, "GET") == 0;
}

static void
route__has_a_handler(void **state)
{
    for (size_t i = 0; i < N_ROUTES; i++) {
        const struct handler *h = &handlers[i];

        if (!h->plain && !h->read && !h->write && !h->slow)
            fail_msg("%s %s", api_routes[i].method, api_routes[i].path);
    }
}

/* A GET that wrote rows would not be safe to repeat; readiness is the one
 * that has to try the writer. */
static void
get__does_not_write(void **state)
{
    for (size_t i = 0; i < N_ROUTES; i++)
        if (is_get(&api_routes[i]) && i != ROUTE_READYZ && handlers[i].write)
            fail_msg("%s", api_routes[i].path);
}

static void
stream__has_all_its_parts(void **state)
{
    for (size_t i = 0; i < N_ROUTES; i++) {
        const struct handler *h = &handlers[i];
        bool stream = api_routes[i].body == BODY_STREAM;

        assert_int_equal(h->stream_begin != NULL, stream);
        assert_int_equal(h->stream_data != NULL, stream);
        assert_int_equal(h->stream_finish != NULL, stream);
        if (stream)
            assert_non_null(h->write);
    }
}

static void
undo_and_committed__need_a_write(void **state)
{
    for (size_t i = 0; i < N_ROUTES; i++) {
        const struct handler *h = &handlers[i];

        if ((h->undo || h->committed) && !h->write)
            fail_msg("%s %s", api_routes[i].method, api_routes[i].path);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(route__has_a_handler),
        cmocka_unit_test(get__does_not_write),
        cmocka_unit_test(stream__has_all_its_parts),
        cmocka_unit_test(undo_and_committed__need_a_write),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
