#!/bin/sh
# 1 or more: a newer version is there. It takes the queue over when it starts.
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload || :
    if [ "$1" -ge 1 ]; then systemctl try-restart gopherpost.service || :; fi
fi
# cargo-generate-rpm packs files only, so directories are nobody's.
if [ "$1" = 0 ]; then
    for directory in /usr/share/doc/gopherpost /usr/share/licenses/gopherpost; do
        if [ -d "$directory" ]; then find "$directory" -depth -type d -empty -delete || :; fi
    done
    rmdir /etc/gopherpost 2>/dev/null || :
fi
exit 0
