# Users, sessions, passwords, scopes: who calls, and what they may.
libcontrollerd_a_SOURCES += \
	controllerd/auth_cache.c controllerd/auth_cache.h \
	controllerd/call_password.c \
	controllerd/guess.c controllerd/guess.h \
	controllerd/h_sessions.c controllerd/h_users.c \
	controllerd/passwords.c controllerd/passwords.h \
	controllerd/scopes.c controllerd/scopes.h \
	controllerd/store/store_session.c controllerd/store/store_user.c
CTL_LIBS += $(SODIUM_LIBS)
