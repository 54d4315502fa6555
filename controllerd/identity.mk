# Users, sessions, passwords, scopes: who calls, and what they may.
libcontrollerd_a_SOURCES += \
	controllerd/auth_cache.c controllerd/auth_cache.h \
	controllerd/call_password.c \
	controllerd/guess.c controllerd/guess.h \
	controllerd/h_sessions.c controllerd/h_tokens.c controllerd/h_users.c \
	controllerd/passwords.c controllerd/passwords.h \
	controllerd/scopes.c controllerd/scopes.h \
	controllerd/store/store_session.c controllerd/store/store_token.c \
	controllerd/store/store_user.c
CTL_LIBS += $(SODIUM_LIBS)

unit_tests += tests/unit/test-controllerd-auth
tests_unit_test_controllerd_auth_SOURCES = tests/unit/test-controllerd-auth.c \
	tests/unit/store-fixture.h
tests_unit_test_controllerd_auth_LDADD = $(CTL_LIBS) $(UNIT_LIBS)
unit_tests += tests/unit/test-controllerd-guess
tests_unit_test_controllerd_guess_SOURCES = tests/unit/test-controllerd-guess.c
tests_unit_test_controllerd_guess_LDADD = $(CTL_LIBS) $(UNIT_LIBS)
unit_tests += tests/unit/test-controllerd-passwords
tests_unit_test_controllerd_passwords_SOURCES = \
	tests/unit/test-controllerd-passwords.c
tests_unit_test_controllerd_passwords_LDADD = $(CTL_LIBS) $(UNIT_LIBS)
