# The restart policy: an agent and its controller in one model.
unit_tests += tests/unit/test-agentd-restart
tests_unit_test_agentd_restart_SOURCES = tests/unit/test-agentd-restart.c
tests_unit_test_agentd_restart_LDADD = libagent.a $(CTL_LIBS) $(HV_LIBS) \
	$(API_LIBS) $(UNIT_LIBS)
