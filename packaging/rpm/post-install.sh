#!/bin/sh
# 1: the first installation, where the system's presets decide what is enabled. Nothing is started: that is
# the administrator's, as with every service of such systems.
install -d -m 0700 -o gopherpost -g gopherpost /var/lib/gopherpost
if command -v systemctl >/dev/null; then
    if [ -d /run/systemd/system ]; then systemctl daemon-reload || :; fi
    if [ "$1" = 1 ]; then systemctl --no-reload preset gopherpost.service gopherpost.socket gopherpost-smtps.socket >/dev/null 2>&1 || :; fi
fi
exit 0
