#!/usr/bin/env python3
"""Start after a crash with a large queue: 200,000 recipients under SMTP_MODE=hold, kill -9, then the
time from start to a listening port (limit 5 s) and resident memory (limit 160 MiB). Then, as figures
without a limit, the start that releases them all, and one more with every recipient in line; both with
a remote host that is down, and so with attempts under way.

  cold_start.py [RECIPIENTS]     GOPHERPOST names the binary"""
import sys, time
from lab import *

TOTAL, EACH = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000, 1_000
SECONDS, MIB = 5.0, 160


def measure(label, spool, limited=True, **settings):
    relay = Relay(spool, **settings).start()
    time.sleep(2)  # lets the first work after the start be part of the figure
    resident = relay.resident_mib("VmHWM")
    say("%s: %d recipients, listening after %.2f s, peak resident memory %.1f MiB" % (label, TOTAL, relay.ready_after, resident))
    relay.kill()
    if limited and TOTAL <= 200_000 and (relay.ready_after >= SECONDS or resident >= MIB):
        fail("over %.0f s or %d MiB" % (SECONDS, MIB))


with Scratch() as directory:
    remote = Remote()
    remote.down = True
    relay = Relay(directory + "/spool", SMTP_MODE="hold").start()
    client = Client(relay.port, 60)
    for number in range(TOTAL // EACH):
        recipients = ["r%d@d%d.test" % (n, (number * EACH + n) % 500) for n in range(EACH)]
        reply = client.send("cold-%d" % number, 2000, recipients)
        if reply[0] != 250:
            fail("not taken: %s" % (reply,))
    relay.kill()
    measure("hold", directory + "/spool", SMTP_MODE="hold")
    measure("hold, once more", directory + "/spool", SMTP_MODE="hold")
    measure("released", directory + "/spool", limited=False, **remote.settings())
    measure("in line", directory + "/spool", limited=False, **remote.settings())
