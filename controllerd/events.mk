# What happened: events and their streams, webhooks, the audit log.
libcontrollerd_a_SOURCES += \
	controllerd/audit.c controllerd/audit.h controllerd/h_audit.c \
	controllerd/rate.c controllerd/rate.h \
	controllerd/event_emit.c controllerd/event_text.c \
	controllerd/events.c controllerd/events.h controllerd/h_events.c \
	controllerd/log_page.c controllerd/log_page.h \
	controllerd/log_room.c controllerd/log_room.h \
	controllerd/h_webhooks.c controllerd/webhook_feed.c \
	controllerd/webhook_msg.c controllerd/webhook_msg.h \
	controllerd/webhook_post.c controllerd/webhook_post.h \
	controllerd/webhooks.c controllerd/webhooks.h \
	controllerd/webhooks-private.h \
	controllerd/store/store_event.c controllerd/store/store_event.h \
	controllerd/store/store_webhook.c controllerd/store/store_webhook.h

unit_tests += tests/unit/test-controllerd-rate
tests_unit_test_controllerd_rate_SOURCES = tests/unit/test-controllerd-rate.c
tests_unit_test_controllerd_rate_LDADD = $(CTL_LIBS) $(UNIT_LIBS)
unit_tests += tests/unit/test-controllerd-webhook-msg
tests_unit_test_controllerd_webhook_msg_SOURCES = \
	tests/unit/test-controllerd-webhook-msg.c
tests_unit_test_controllerd_webhook_msg_LDADD = $(CTL_LIBS) $(UNIT_LIBS)
unit_tests += tests/unit/test-controllerd-event-rows
tests_unit_test_controllerd_event_rows_SOURCES = \
	tests/unit/test-controllerd-event-rows.c tests/unit/store-fixture.h
tests_unit_test_controllerd_event_rows_LDADD = $(CTL_LIBS) $(UNIT_LIBS)
unit_tests += tests/unit/test-controllerd-events
tests_unit_test_controllerd_events_SOURCES = \
	tests/unit/test-controllerd-events.c tests/unit/store-fixture.h
tests_unit_test_controllerd_events_LDADD = $(CTL_LIBS) $(UNIT_LIBS)
