#!/usr/bin/env python3
"""Power cuts: the spool on a file system of its own that commits by itself only every 300 s; under
load from 20 clients, while deliveries go on, the process is stopped at a random moment and the image
copied, as the disk would be after a cut. A fresh start on the copy must open and then deliver, sooner
or later, every message that had a 250.

  power_cut.py [ROUNDS]     as root; GOPHERPOST names the binary, SEED repeats a run"""
import signal, sys, time
from lab import *


def one_round(number, directory):
    image, remote = Image(directory, 768), Remote()
    prefix = "r%d" % number
    relay = Relay(image.mount + "/spool", **remote.settings()).start()
    load = Load(relay, 20, prefix, [1000, 4096, 4096, 20000, 100000])
    time.sleep(RNG.uniform(0.3, 3.0))  # the random moment itself, no synchronization
    relay.signal(signal.SIGSTOP)
    time.sleep(0.2)  # replies that had left before the stop are read
    acknowledged = set(load.acknowledged)
    sh("cp", "--sparse=always", image.file, directory + "/copy")
    relay.kill()
    load.stop()
    image.detach()
    image.attach(directory + "/copy")
    before = remote.missing(acknowledged)
    again = Relay(image.mount + "/spool", **remote.settings()).start()
    wait_for("all acknowledged messages arrive", 120, lambda: not remote.missing(acknowledged), 0.05)
    duplicates = remote.duplicates()
    if again.terminate() != 0:
        fail("no clean stop")
    image.detach()
    say("round %d: %d acknowledged, %d of them delivered before the cut, missing 0, sent twice %d, open %.2f s"
        % (number, len(acknowledged), len(acknowledged) - len(before), duplicates, again.ready_after))
    return len(acknowledged)


def main():
    need_root()
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    say("power cuts, SEED=%d" % SEED)
    total = 0
    for number in range(rounds):
        with Scratch() as directory:
            total += one_round(number, directory)
    say("%d power cuts, %d messages acknowledged, none missing" % (rounds, total))
    if not total:
        fail("no message was ever acknowledged")


main()
