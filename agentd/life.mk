# What a guest is told at its boot.
unit_tests += tests/unit/test-agentd-seed
tests_unit_test_agentd_seed_SOURCES = tests/unit/test-agentd-seed.c
tests_unit_test_agentd_seed_LDADD = $(AGENT_LIBS) $(UNIT_LIBS)
