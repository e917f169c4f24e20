#!/bin/sh
# 0: nothing comes after it. Configuration that was changed and the queue stay.
if [ "$1" = 0 ] && command -v systemctl >/dev/null; then
    systemctl --no-reload disable --now gopherpost.socket gopherpost-smtps.socket gopherpost.service >/dev/null 2>&1 || :
fi
exit 0
