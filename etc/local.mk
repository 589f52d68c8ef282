# Files of etc.
EXTRA_DIST += etc/comity.conf etc/comity.service.in etc/comity.sysusers
CLEANFILES += etc/comity.service

systemdsystemunit_DATA = etc/comity.service
etc/comity.service: etc/comity.service.in Makefile
	$(AM_V_GEN)$(MKDIR_P) etc && sed -e 's|@sbindir[@]|$(sbindir)|g' -e 's|@sysconfdir[@]|$(sysconfdir)|g' \
		$(srcdir)/etc/comity.service.in >$@.part && mv $@.part $@

# A configuration that is there is the administrator's. Completion scripts come from the program just
# built, which cannot run here when it was built for another machine.
install-data-local: install-etc
install-etc: $(bin_PROGRAMS)
	$(MKDIR_P) "$(DESTDIR)$(sysconfdir)/comity/certs"
	test -e "$(DESTDIR)$(sysconfdir)/comity/comity.conf" || \
		$(INSTALL_DATA) $(srcdir)/etc/comity.conf "$(DESTDIR)$(sysconfdir)/comity/comity.conf"
	$(MKDIR_P) "$(DESTDIR)$(prefix)/lib/sysusers.d"
	$(INSTALL_DATA) $(srcdir)/etc/comity.sysusers "$(DESTDIR)$(prefix)/lib/sysusers.d/comity.conf"
	if test "$(build)" = "$(host)"; then \
		set -e; ctl=src/comityctl/comityctl; to="$(DESTDIR)$(datadir)"; \
		$(MKDIR_P) "$$to/bash-completion/completions" "$$to/zsh/site-functions" "$$to/fish/vendor_completions.d"; \
		$$ctl --completion bash >"$$to/bash-completion/completions/comityctl"; \
		$$ctl --completion zsh >"$$to/zsh/site-functions/_comityctl"; \
		$$ctl --completion fish >"$$to/fish/vendor_completions.d/comityctl.fish"; \
	fi

uninstall-local: uninstall-etc
uninstall-etc:
	if cmp -s $(srcdir)/etc/comity.conf "$(DESTDIR)$(sysconfdir)/comity/comity.conf"; then \
		rm -f "$(DESTDIR)$(sysconfdir)/comity/comity.conf"; fi
	rm -f "$(DESTDIR)$(prefix)/lib/sysusers.d/comity.conf" \
		"$(DESTDIR)$(datadir)/bash-completion/completions/comityctl" \
		"$(DESTDIR)$(datadir)/zsh/site-functions/_comityctl" \
		"$(DESTDIR)$(datadir)/fish/vendor_completions.d/comityctl.fish"
.PHONY: install-etc uninstall-etc
