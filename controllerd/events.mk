# What happened: events and their streams, webhooks, the audit log.
libcontrollerd_a_SOURCES += \
	controllerd/audit.c controllerd/audit.h controllerd/h_audit.c \
	controllerd/rate.c controllerd/rate.h \
	controllerd/event_emit.c controllerd/event_text.c \
	controllerd/events.c controllerd/events.h controllerd/h_events.c \
	controllerd/h_webhooks.c controllerd/webhook_feed.c \
	controllerd/webhook_msg.c controllerd/webhook_msg.h \
	controllerd/webhook_post.c controllerd/webhook_post.h \
	controllerd/webhooks.c controllerd/webhooks.h \
	controllerd/webhooks-private.h \
	controllerd/store/store_event.c controllerd/store/store_event.h \
	controllerd/store/store_webhook.c controllerd/store/store_webhook.h
