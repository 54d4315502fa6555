# Replies without end, as server-sent events need them.
libapi_a_SOURCES += api/http-private.h api/http_stream.c
