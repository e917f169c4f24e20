#!/usr/bin/env python3
"""A full disk, twice. First nearly full: SMTP_MIN_FREE_SPACE refuses new mail in time, and what is
queued is delivered meanwhile. Then full to the last block, reached under load from 8 clients, so that
writes of the database and of body files fail in the middle. Both times new mail gets 452 4.3.1,
/healthz says 503, service comes back by itself when there is space, and nothing acknowledged is lost.

  full_disk.py     as root; GOPHERPOST names the binary"""
import os
from lab import *

QUEUED = 200
MIB = 1 << 20


def fill(path, leave):
    """Takes all free space but about `leave` bytes; with 0, whatever can be taken."""
    with open(path, "wb", buffering=0) as file:
        while True:
            disk = os.statvfs(path)
            free = disk.f_bavail * disk.f_frsize - leave
            if free <= 0:
                return
            try:
                file.write(b"\0" * min(free, MIB))
                os.fsync(file.fileno())
            except OSError:
                if leave:
                    raise
                return


def try_send(relay, name):
    """The reply to one message; None if the connection broke."""
    try:
        client = Client(relay.port, 60)
        reply = client.send(name, 60000)
        client.close()
        return reply
    except OSError:
        return None


class Trial:
    def __init__(self, directory, label, **settings):
        self.label, self.image, self.remote = label, Image(directory, 256, "defaults"), Remote()
        self.acknowledged = set()
        self.relay = Relay(self.image.mount + "/spool", **settings, **self.remote.settings()).start()
        self.remote.down = True
        for number in range(QUEUED):
            self.sent("%s-%d" % (label, number))
        if len(self.acknowledged) != QUEUED:
            fail("only %d of %d were taken before the disk was full" % (len(self.acknowledged), QUEUED))

    def sent(self, name):
        """The reply to one more message, which counts from then on if it was acknowledged."""
        reply = try_send(self.relay, name)
        if reply and reply[0] == 250:
            self.acknowledged.add(name)
        return reply

    def refuses(self):
        def refused():
            reply = self.sent(self.label + "-refused")
            return reply and reply[0] == 452 and reply[1].startswith("4.3.1") and reply

        reply = wait_for("452 4.3.1 on a full disk", 60, refused, 0.2)
        say("%s: refused with %d %s" % (self.label, *reply))
        wait_for("/healthz says 503", 10, lambda: self.health() == 503, 0.1)

    def health(self):
        """The status of /healthz."""
        with socket.create_connection(("127.0.0.1", self.relay.health), 5) as http:
            http.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
            return int(http.makefile("rb").readline().split()[1])

    def delivers(self, when):
        wait_for("all acknowledged messages arrive " + when, 120, lambda: not self.remote.missing(self.acknowledged), 0.05)
        say("%s: all %d acknowledged messages have arrived %s" % (self.label, len(self.acknowledged), when))

    def recovers(self):
        os.unlink(self.image.mount + "/filler")

        def taken():
            reply = self.sent(self.label + "-after")
            return reply and reply[0] == 250

        wait_for("service resumes when there is space", 60, taken, 0.2)
        wait_for("/healthz says 200", 10, lambda: self.health() == 200, 0.1)
        self.delivers("when there was space again")
        if self.relay.terminate() != 0:
            fail("no clean stop")
        self.image.detach()
        say("%s: service resumed by itself, %d acknowledged, missing 0, sent twice %d"
            % (self.label, len(self.acknowledged), self.remote.duplicates()))


need_root()
with Scratch() as directory:
    trial = Trial(directory, "nearly full", SMTP_MIN_FREE_SPACE="24MiB")
    fill(trial.image.mount + "/filler", 16 * MIB)
    trial.refuses()
    trial.remote.down = False
    trial.delivers("on the full disk")
    trial.recovers()

with Scratch() as directory:
    trial = Trial(directory, "full", SMTP_MIN_FREE_SPACE="1MiB")
    # A little over the limit, which is looked at twice a second: the load fills the rest before.
    fill(trial.image.mount + "/filler", 3 * MIB)
    load = Load(trial.relay, 8, "load", [4096, 20000, 100000])
    wait_for("a write fails", 60, lambda: trial.relay.logged("commit failed") or load.refused > 50, 0.05)
    fill(trial.image.mount + "/filler2", 0)
    load.stop()
    trial.acknowledged |= load.acknowledged
    say("full: %d messages acknowledged and %d refused while the last blocks went; a commit failed: %s"
        % (len(load.acknowledged), load.refused, trial.relay.logged("commit failed")))
    trial.refuses()
    trial.remote.down = False
    os.unlink(trial.image.mount + "/filler2")
    trial.recovers()
