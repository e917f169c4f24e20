#!/bin/sh
# The owner of the queue is there before files that belong to his group, and the directory of the settings
# before rpm makes one that everybody can read.
getent group gopherpost >/dev/null || groupadd --system gopherpost
getent passwd gopherpost >/dev/null ||
    useradd --system --gid gopherpost --home-dir /var/lib/gopherpost --no-create-home \
        --shell /usr/sbin/nologin --comment "GopherPost mail relay" gopherpost
[ -d /etc/gopherpost ] || install -d -m 0750 -o root -g gopherpost /etc/gopherpost
exit 0
