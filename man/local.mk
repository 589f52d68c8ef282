# Files of man.
dist_man_MANS += man/comity-module.3 man/comity-modules.5 man/comity.conf.5 man/comityctl.8 man/comityd.8
