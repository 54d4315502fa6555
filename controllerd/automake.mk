# controllerd/ - the controller daemon
sbin_PROGRAMS += virga-controllerd
virga_controllerd_SOURCES = \
	controllerd/auth.c controllerd/config.c controllerd/config.h \
	controllerd/console.c controllerd/ctl.h controllerd/dispatch.c \
	controllerd/h_agent.c controllerd/h_images.c controllerd/h_instances.c \
	controllerd/h_nodes.c controllerd/h_service.c controllerd/h_tenants.c \
	controllerd/h_usage.c controllerd/handlers.c controllerd/handlers.h \
	controllerd/image_check.c controllerd/main.c controllerd/nodes.c \
	controllerd/ops/instance.c controllerd/ops/observe.c \
	controllerd/query.c controllerd/reply.c controllerd/waiters.c \
	controllerd/store/store.c controllerd/store/store.h \
	controllerd/store/store-private.h controllerd/store/store_image.c \
	controllerd/store/store_instance.c controllerd/store/store_node.c \
	controllerd/store/store_operation.c controllerd/store/store_tenant.c \
	controllerd/store/store_usage.c
nodist_virga_controllerd_SOURCES = schemas/controller-migrations.c
virga_controllerd_LDADD = libsched.a libmeter.a $(API_LIBS)
