#!/usr/bin/env python3
"""Ten readers of the live events that never read: acceptance goes on as without them. Runs a load
without readers, with them, and without again, and prints the rates; with the events of single decisions,
which are many.

  audit_readers.py [SECONDS]    of each load; GOPHERPOST names the binary"""
from lab import *

SECONDS, CLIENTS, READERS = int((sys.argv + ["8"])[1]), 20, 10


def rate(relay, name):
    load = Load(relay, CLIENTS, name, [4096])
    time.sleep(SECONDS)
    load.stop()
    if load.refused:
        fail("%d were refused" % load.refused)
    return len(load.acknowledged) / SECONDS


def deaf_reader(relay):
    """Asks for the live events, and reads nothing of them."""
    reader = socket.socket()
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    reader.connect(("127.0.0.1", relay.health))
    reader.sendall(b"GET /audit HTTP/1.0\r\nAccept: text/event-stream\r\n\r\n")
    return reader


with Scratch() as directory:
    relay = Relay(directory + "/spool", SMTP_MODE="sink", SMTP_DEBUG="true", SMTP_RETENTION_DAYS="0").start()
    rate(relay, "warm")
    without = rate(relay, "without")
    readers = [deaf_reader(relay) for _ in range(READERS)]
    with_them = rate(relay, "with")
    memory = relay.resident_mib()
    for reader in readers:
        reader.close()
    again = rate(relay, "again")
    base = (without + again) / 2
    say("accepted a second, %d sessions: %.0f without readers, %.0f with %d that never read, %.0f without again: %.0f %%"
        % (CLIENTS, without, with_them, READERS, again, 100 * with_them / base))
    say("memory with them: %.0f MiB" % memory)
    if with_them < 0.8 * base:
        fail("they slow acceptance down")
    if relay.terminate() != 0:
        fail("no clean stop")
