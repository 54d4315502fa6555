# schemas/ - the published contract and the SQL migrations
EXTRA_DIST += schemas/embed.sh
controller_migrations = \
	$(srcdir)/schemas/migrations/controller/0001-init.sql \
	$(srcdir)/schemas/migrations/controller/0002-restart.sql \
	$(srcdir)/schemas/migrations/controller/0003-limits.sql \
	$(srcdir)/schemas/migrations/controller/0004-identity.sql \
	$(srcdir)/schemas/migrations/controller/0005-tenancy.sql \
	$(srcdir)/schemas/migrations/controller/0006-operations.sql \
	$(srcdir)/schemas/migrations/controller/0007-events.sql \
	$(srcdir)/schemas/migrations/controller/0008-restore.sql \
	$(srcdir)/schemas/migrations/controller/0009-size.sql \
	$(srcdir)/schemas/migrations/controller/0010-figures.sql \
	$(srcdir)/schemas/migrations/controller/0011-tenant-bounds.sql
EXTRA_DIST += \
	schemas/migrations/controller/0001-init.sql \
	schemas/migrations/controller/0002-restart.sql \
	schemas/migrations/controller/0003-limits.sql \
	schemas/migrations/controller/0004-identity.sql \
	schemas/migrations/controller/0005-tenancy.sql \
	schemas/migrations/controller/0006-operations.sql \
	schemas/migrations/controller/0007-events.sql \
	schemas/migrations/controller/0008-restore.sql \
	schemas/migrations/controller/0009-size.sql \
	schemas/migrations/controller/0010-figures.sql \
	schemas/migrations/controller/0011-tenant-bounds.sql
CLEANFILES += schemas/controller-migrations.c

schemas/controller-migrations.c: $(controller_migrations) $(srcdir)/schemas/embed.sh
	$(AM_V_GEN)$(MKDIR_P) schemas && sh $(srcdir)/schemas/embed.sh \
		controller_migrations $(controller_migrations) > $@.tmp && mv $@.tmp $@

# Written from the route and field tables and committed; tests/check-schemas
# fails while they are stale.
EXTRA_DIST += schemas/openapi.json docs/API.md
.PHONY: schemas
schemas: virga-controllerd$(EXEEXT)
	./virga-controllerd --print-openapi >schemas.tmp && \
		mv schemas.tmp $(srcdir)/schemas/openapi.json
	./virga-controllerd --print-reference >schemas.tmp && \
		mv schemas.tmp $(srcdir)/docs/API.md
