# agentd/
