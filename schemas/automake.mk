# schemas/ - the published contract and the SQL migrations
EXTRA_DIST += schemas/embed.sh
controller_migrations = $(srcdir)/schemas/migrations/controller/0001-init.sql
EXTRA_DIST += schemas/migrations/controller/0001-init.sql
CLEANFILES += schemas/controller-migrations.c

schemas/controller-migrations.c: $(controller_migrations) $(srcdir)/schemas/embed.sh
	$(AM_V_GEN)$(MKDIR_P) schemas && sh $(srcdir)/schemas/embed.sh \
		controller_migrations $(controller_migrations) > $@.tmp && mv $@.tmp $@
