#!/usr/bin/env python3
"""Memory: 50 clients send 200 messages of 10 MiB in all while the remote host is down. Resident memory
must stay under 96 MiB.

  large_mail.py     GOPHERPOST names the binary"""
import threading
from lab import *

SIZE, CLIENTS, EACH, LIMIT_MIB = 10 * 1024 * 1024 - 4096, 50, 4, 96

with Scratch() as directory:
    remote = Remote()
    remote.down = True
    relay = Relay(directory + "/spool", **remote.settings()).start()
    taken, peak = [], [0.0]

    def send(number):
        try:
            client = Client(relay.port, 300)
            for count in range(EACH):
                taken.append(client.send("large-%d-%d" % (number, count), SIZE)[0])
            client.close()
        except (OSError, ValueError) as error:
            taken.append("client %d: %s" % (number, error))

    threads = [threading.Thread(target=send, args=(n,), daemon=True) for n in range(CLIENTS)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        peak[0] = max(peak[0], relay.resident_mib())
        threads[0].join(0.02)
        threads[-1].join(0.02)
    peak[0] = max(peak[0], relay.resident_mib("VmHWM"))
    say("%d messages of %.1f MiB from %d clients: %d taken, peak resident memory %.1f MiB (limit %d)"
        % (CLIENTS * EACH, SIZE / 1048576, CLIENTS, taken.count(250), peak[0], LIMIT_MIB))
    relay.kill()
    if taken.count(250) != CLIENTS * EACH:
        fail("not all were taken: %s" % sorted(set(map(str, taken))))
    if peak[0] >= LIMIT_MIB:
        fail("too much memory")
