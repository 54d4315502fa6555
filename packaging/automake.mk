# packaging/ - systemd units and sample settings
systemd_units = \
	packaging/virga-controllerd.service \
	packaging/virga-agentd.service
systemdsystemunit_DATA = $(systemd_units)

# Samples, not live settings: installing again must not undo what an operator
# wrote in $(sysconfdir)/virga.
examplesdir = $(pkgdatadir)/examples
dist_examples_DATA = packaging/controllerd.conf packaging/agentd.conf

EXTRA_DIST += $(systemd_units:=.in)
CLEANFILES += $(systemd_units)

# By make, not by configure: only make knows the folders' final names.
$(systemd_units): packaging/automake.mk
	$(AM_V_GEN)$(MKDIR_P) packaging && \
	sed -e 's,[@]sbindir[@],$(sbindir),g' \
	    -e 's,[@]sysconfdir[@],$(sysconfdir),g' \
	    $(srcdir)/$@.in >$@.tmp && mv $@.tmp $@
packaging/virga-controllerd.service: packaging/virga-controllerd.service.in
packaging/virga-agentd.service: packaging/virga-agentd.service.in
