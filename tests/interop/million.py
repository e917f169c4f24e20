#!/usr/bin/env python3
"""A queue of 1,000,000 recipients over 10,000 destinations: made over SMTP under SMTP_MODE=hold, 1,000
recipients a message, then started in mode deliver. Watched is how long the first delivery takes (10 s is
what we want; told, not judged, since other work on the machine shows in it) and, while deliveries go on for
a while, the resident memory (400 MiB, or it fails): of the start that begins to release them, and, when all
are in line, of one after a clean stop and one after a kill -9. Between these a relay releases the rest, and
that it needs no more memory then is watched as well.

  million.py [RECIPIENTS] [DESTINATIONS]     GOPHERPOST names the binary"""
import struct, sys, time
from lab import *

TOTAL = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
DESTINATIONS = int(sys.argv[2]) if len(sys.argv) > 2 else 10_000
EACH, SECONDS, MIB, WATCHED = 1_000, 10.0, 400, 20


class Dns:
    """Answers that every name is its own mail host, on 127.0.0.1."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            query, peer = self.socket.recvfrom(2000)
            end = query.index(b"\0", 12) + 1  # of the name
            name, kind = query[12:end], struct.unpack(">H", query[end : end + 2])[0]
            data = {15: b"\0\x0a" + name, 1: b"\x7f\0\0\1"}.get(kind)
            record = b"" if data is None else b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 3600, len(data)) + data
            head = query[:2] + struct.pack(">HHHHH", 0x8580, 1, bool(record), 0, 0)
            self.socket.sendto(head + query[12 : end + 4] + record, peer)


def make(spool):
    relay = Relay(spool, SMTP_MODE="hold").start()
    client = Client(relay.port, 120)
    began = time.monotonic()
    for number in range(TOTAL // EACH):
        recipients = ["r%d@d%d.test" % (n, (number * EACH + n) % DESTINATIONS) for n in range(EACH)]
        reply = client.send("million-%d" % number, 2000, recipients)
        if reply[0] != 250:
            fail("not taken: %s" % (reply,))
    say("made: %d recipients for %d destinations in %.1f s" % (TOTAL, DESTINATIONS, time.monotonic() - began))
    relay.terminate()


def measure(label, relay, remote):
    before = remote.transactions
    relay.start(ready=600)
    wait_for("the first delivery", 600, lambda: remote.transactions > before, 0.002)
    first = time.monotonic() - relay.started
    at_first = relay.resident_mib("VmHWM")
    time.sleep(WATCHED)
    peak, rate = relay.resident_mib("VmHWM"), (remote.transactions - before) / WATCHED
    say(
        "%s: listening after %.2f s, first delivery after %.2f s, peak resident memory %.0f MiB until then, "
        "%.0f MiB after %d s more at %.0f deliveries/s" % (label, relay.ready_after, first, at_first, peak, WATCHED, rate)
    )
    return first, peak


def release_all(spool, settings):
    """Puts everybody in line, with a remote host that keeps silent, so that nobody leaves it."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = str(mute.getsockname()[1])
        few = {"SMTP_DELIVERY_PORT": port, "SMTP_QUEUE_WORKERS": "1", "SMTP_WORKER_CONCURRENCY": "1", "SMTP_LOG": "info"}
        relay = Relay(spool, **{**settings, **few}).start()
        wait_for("the release", 1_200, lambda: relay.log_count('"released"', '"held":0'), 0.5)
        peak = relay.resident_mib("VmHWM")
        say("the rest was released within %.0f s, peak resident memory %.0f MiB" % (time.monotonic() - relay.started, peak))
        relay.terminate()
    return peak


with Scratch() as directory:
    remote, dns, spool = Remote(), Dns(), directory + "/spool"
    make(spool)
    settings = {
        "SMTP_DNS_SERVERS": "127.0.0.1:%d" % dns.port,
        "SMTP_DELIVERY_PORT": str(remote.port),
        "SMTP_DELIVERY_DENY_NETWORKS": "none",
        "SMTP_LOG": "warn",
    }
    figures = []
    relay = Relay(spool, **settings)
    figures.append(measure("released", relay, remote))
    relay.kill()
    figures.append((0, release_all(spool, settings)))
    figures.append(measure("in line, after a clean stop", relay, remote))
    relay.kill()
    figures.append(measure("in line, after kill -9", relay, remote))
    relay.kill()
    if any(first >= SECONDS for first, _ in figures):
        say("a first delivery came later than after %.0f s" % SECONDS)
    if any(peak >= MIB for _, peak in figures):
        fail("over %d MiB" % MIB)
