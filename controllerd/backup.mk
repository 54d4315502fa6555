# The controller's state in one archive.
libcontrollerd_a_SOURCES += \
	controllerd/backup.c controllerd/backup.h \
	controllerd/backup-private.h controllerd/restore.c \
	controllerd/store/store_number.c
CTL_LIBS += $(LIBARCHIVE_LIBS)
