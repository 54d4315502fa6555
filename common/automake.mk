# common/ - memory, errors, logs, database, HTTP client, certificates
noinst_LIBRARIES += libcommon.a
libcommon_a_SOURCES = \
	common/banned.h common/cleanup.h \
	common/buf.c common/buf.h \
	common/clock.c common/clock.h \
	common/count.c common/count.h \
	common/conf.c common/conf.h \
	common/db.c common/db.h common/db_backup.c \
	common/db_checkpoint.c common/db_checkpoint.h \
	common/db_writer.c common/db_writer.h \
	common/err.c common/err.h \
	common/fs.c common/fs.h \
	common/hash.c common/hash.h \
	common/httpc.c common/httpc.h \
	common/id.c common/id.h \
	common/log.c common/log.h \
	common/mem.c common/mem.h \
	common/metrics.c common/metrics.h \
	common/pki.c common/pki.h \
	common/proc.c common/proc.h
COMMON_LIBS = libcommon.a $(GNUTLS_LIBS) $(SQLITE_LIBS) $(CURL_LIBS) $(UUID_LIBS)
