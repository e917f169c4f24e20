#!/usr/bin/env python3
"""A full disk, twice: first nearly full (SMTP_MIN_FREE_SPACE), then without one free block. Each time
new mail gets 452 4.3.1, what is queued is delivered, service comes back by itself when there is space,
and nothing acknowledged is lost.

  full_disk.py     as root; GOPHERPOST names the binary"""
import os
from lab import *


def fill(path, leave):
    """Takes all free space but `leave` bytes."""
    with open(path, "wb", buffering=0) as f:
        while True:
            disk = os.statvfs(path)
            free = disk.f_bavail * disk.f_frsize - leave
            if free <= 0:
                break
            try:
                f.write(b"\0" * min(free, 1 << 20))
                os.fsync(f.fileno())
            except OSError:
                if leave == 0:
                    break
                raise


def try_send(relay, name):
    """The reply to one message; None if the connection broke."""
    try:
        client = Client(relay.port, 60)
        reply = client.send(name, 60000)
        client.close()
        return reply
    except OSError:
        return None


def trial(directory, leave, label):
    image, remote = Image(directory, 256, "defaults"), Remote()
    relay = Relay(image.mount + "/spool", SMTP_MIN_FREE_SPACE="24MiB", **remote.settings()).start()
    remote.down = True
    acknowledged = set()
    for number in range(200):
        name = "%s-%d" % (label, number)
        if (try_send(relay, name) or (0,))[0] == 250:
            acknowledged.add(name)
    if len(acknowledged) != 200:
        fail("only %d of 200 were taken before the disk was full" % len(acknowledged))
    fill(image.mount + "/filler", leave)

    def refused():
        reply = try_send(relay, label + "-refused")
        if reply and reply[0] == 250:
            acknowledged.add(label + "-refused")
        return reply and reply[0] == 452 and reply[1].startswith("4.3.1") and reply

    reply = wait_for("452 4.3.1 on a full disk", 30, refused, 0.2)
    say("%s: refused with %d %s" % (label, *reply))
    remote.down = False
    if leave:
        wait_for("what is queued is delivered on a full disk", 120, lambda: not remote.missing(acknowledged), 0.05)
        say("%s: all %d queued messages were delivered meanwhile" % (label, len(acknowledged)))
    os.unlink(image.mount + "/filler")

    def taken():
        reply = try_send(relay, label + "-after")
        return reply and reply[0] == 250

    wait_for("service resumes when there is space", 60, taken, 0.2)
    acknowledged.add(label + "-after")
    wait_for("everything acknowledged arrives", 120, lambda: not remote.missing(acknowledged), 0.05)
    if relay.terminate() != 0:
        fail("no clean stop:\n" + relay.log_tail())
    image.detach()
    say("%s: service resumed by itself, %d acknowledged, missing 0, sent twice %d" % (label, len(acknowledged), remote.duplicates()))


for label, leave in (("nearly full", 16 << 20), ("without a free block", 0)):
    with Scratch() as directory:
        trial(directory, leave, label)
