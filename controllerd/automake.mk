# controllerd/ - the controller daemon; all but main() is a library, so that
# unit tests can link it
noinst_LIBRARIES += libcontrollerd.a
libcontrollerd_a_SOURCES = \
	controllerd/auth.c controllerd/config.c controllerd/config.h \
	controllerd/console.c controllerd/ctl.h controllerd/dispatch.c \
	controllerd/h_agent.c controllerd/h_images.c controllerd/h_instances.c \
	controllerd/h_nodes.c controllerd/h_service.c controllerd/h_tenants.c \
	controllerd/h_usage.c controllerd/handlers.c controllerd/handlers.h \
	controllerd/image_check.c controllerd/nodes.c \
	controllerd/ops/instance.c controllerd/ops/observe.c \
	controllerd/query.c controllerd/reply.c controllerd/waiters.c \
	controllerd/store/store.c controllerd/store/store.h \
	controllerd/store/store-private.h controllerd/store/store_image.c \
	controllerd/store/store_instance.c controllerd/store/store_node.c \
	controllerd/store/store_operation.c controllerd/store/store_tenant.c \
	controllerd/store/store_usage.c
nodist_libcontrollerd_a_SOURCES = schemas/controller-migrations.c
CTL_LIBS = libcontrollerd.a libsched.a libmeter.a $(API_LIBS)

sbin_PROGRAMS += virga-controllerd
virga_controllerd_SOURCES = controllerd/main.c
virga_controllerd_LDADD = $(CTL_LIBS)
include $(top_srcdir)/controllerd/traits.mk
include $(top_srcdir)/controllerd/events.mk
include $(top_srcdir)/controllerd/create.mk
include $(top_srcdir)/controllerd/life.mk
include $(top_srcdir)/controllerd/identity.mk
include $(top_srcdir)/controllerd/backup.mk
include $(top_srcdir)/controllerd/figures.mk
