# Files of man.
dist_man_MANS += man/comity-module.3 man/comity-modules.5 man/comity.conf.5 man/comityctl.8 man/comityd.8
dist_man_MANS += man/mod_blocking.5 man/mod_csi.5
dist_man_MANS += man/mod_caps.5 man/mod_carbons.5 man/mod_directory.5 man/mod_disco.5 man/mod_last.5 man/mod_offline.5 man/mod_ping.5 man/mod_presence.5 \
	man/mod_private.5 man/mod_register.5 man/mod_roster.5 man/mod_stanza_id.5 man/mod_time.5 man/mod_vcard.5 man/mod_version.5
