# api/ - the wire: tables, codec, routes, HTTP server plumbing, WebSocket
noinst_LIBRARIES += libapi.a
libapi_a_SOURCES = \
	api/codec.c api/codec.h api/codec_decode.c api/codec_schema.c \
	api/openapi.c \
	api/res-private.h api/res_events.c api/res_tenants.c \
	api/resources.c api/resources.h \
	api/routes.c api/routes.h \
	api/http.c api/http.h \
	api/http_accept.c api/http_accept.h \
	api/http_check.c \
	api/http_limit.c api/http_limit.h \
	api/http_loop.c api/http_loop.h \
	api/http_share.c api/http_share.h \
	api/ws.c api/ws_client.c api/ws.h
API_LIBS = libapi.a $(COMMON_LIBS) $(JANSSON_LIBS) $(MHD_LIBS)
include $(top_srcdir)/api/stream.mk
