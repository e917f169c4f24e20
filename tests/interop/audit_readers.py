#!/usr/bin/env python3
"""Ten readers of the live events that never read: acceptance goes on as without them. Runs a load
without readers and with them, in turns, and prints the rates; with the events of single decisions, which
are many.

  audit_readers.py [SECONDS]    of each load; GOPHERPOST names the binary"""
from lab import *

SECONDS, CLIENTS, READERS, ROUNDS = int((sys.argv + ["5"])[1]), 20, 10, 3


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
    without, with_them = [], []
    for round in range(ROUNDS):
        without.append(rate(relay, "without-%d" % round))
        readers = [deaf_reader(relay) for _ in range(READERS)]
        with_them.append(rate(relay, "with-%d" % round))
        memory = relay.resident_mib()
        for reader in readers:
            reader.close()
    # The best of each: what else the machine does only ever slows down.
    share = 100 * max(with_them) / max(without)
    say("accepted a second, %d sessions: %s without readers, %s with %d that never read; the best of each: %.0f %%"
        % (CLIENTS, " ".join("%.0f" % r for r in without), " ".join("%.0f" % r for r in with_them), READERS, share))
    say("memory with them: %.0f MiB" % memory)
    if share < 80:
        fail("they slow acceptance down")
    if relay.terminate() != 0:
        fail("no clean stop")
