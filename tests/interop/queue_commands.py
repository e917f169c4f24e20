#!/usr/bin/env python3
"""The operator's commands on a queue of 1,000,000 recipients over 10,000 destinations, held and then in line:
how long they take (`queue list --limit 50` and `stats` 2 s, `purge --dry-run` 20 s, /metrics 100 ms), how much
memory a list of all needs in the command (64 MiB), and how much acceptance at 20 sessions loses meanwhile (a
fifth). Times are told, not judged, since other work on the machine shows in them; memory is judged.

Before that, what must hold on any machine: kill -9 amid a purge leaves each recipient wholly there or wholly gone, and
the same command again ends it.

  queue_commands.py [RECIPIENTS] [PURGED]     GOPHERPOST names the binary"""
import json, sys
from lab import *

TOTAL = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
PURGED = int(sys.argv[2]) if len(sys.argv) > 2 else 100_000
EACH, DESTINATIONS, LIST_MIB = 1_000, 10_000, 64
SESSIONS, SAMPLES, PAIRS = 20, 3, 7


def peak_mib(pid):
    """Peak resident memory of a process so far; 0 if it has ended."""
    try:
        with open("/proc/%d/status" % pid) as file:
            found = re.search(r"VmHWM:\s+(\d+) kB", file.read())
    except OSError:
        found = None
    return int(found.group(1)) / 1024 if found else 0.0


class Run:
    """A command that ended, killed if `over` came first: its exit status, seconds, peak resident memory in
    MiB, output."""

    def __init__(self, relay, *arguments, keep=True, over=None):
        out = tempfile.TemporaryFile(dir=Scratch.now.path) if keep else subprocess.DEVNULL
        began = time.monotonic()
        process = subprocess.Popen([BINARY, *arguments], env=relay.env, cwd="/", stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.DEVNULL)
        self.mib = 0.0
        while True:
            # not by wait4: its figure includes what this process had before the exec
            self.mib = max(self.mib, peak_mib(process.pid))
            try:
                self.status = process.wait(0.01)
                break
            except subprocess.TimeoutExpired:
                if over and over.is_set():
                    process.kill()
        self.seconds, self.output = time.monotonic() - began, ""
        if keep:
            out.seek(0)
            self.output = out.read().decode()

    def lines(self):
        return [json.loads(line) for line in self.output.splitlines()]


def command(relay, *arguments, want=0, keep=True):
    run = Run(relay, *arguments, keep=keep)
    if run.status != want:
        fail("gopherpost %s: exit status %s" % (" ".join(arguments), run.status))
    return run


def fill(spool, total):
    relay = Relay(spool, SMTP_MODE="hold").start()
    client = Client(relay.port, 120)
    for number in range(total // EACH):
        recipients = ["r%d@d%d.test" % (n, (number * EACH + n) % DESTINATIONS) for n in range(EACH)]
        reply = client.send("many-%d" % number, 2000, recipients)
        if reply[0] != 250:
            fail("not taken: %s" % (reply,))
    client.close()
    return relay


def http(relay, path):
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", relay.health), 30) as connection:
        connection.sendall(b"GET %s HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n\r\n" % path.encode())
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    return time.monotonic() - began, answer.decode()


def accepted_per_second(relay, count):
    """smtp-source at 20 sessions; its own time to start included."""
    began = time.monotonic()
    sh("smtp-source", "-s", str(SESSIONS), "-m", str(count), "-l", "4096", "-d", "-f", "s@gp.test", "-t", "live@live.test", "127.0.0.1:%d" % relay.port)
    return count / (time.monotonic() - began)


def time_commands(relay):
    for label, arguments in [
        ("queue list --limit 50", ["queue", "list", "--limit", "50"]),
        ("queue list --limit 50, of one domain", ["queue", "list", "--domain", "d777.test", "--limit", "50"]),
        ("queue stats", ["queue", "stats"]),
        ("queue purge --dry-run, by domain", ["queue", "purge", "--domain", "d1*.test", "--dry-run"]),
    ]:
        runs = [command(relay, *arguments, keep=False) for _ in range(SAMPLES)]
        times = sorted(run.seconds for run in runs)
        say("  %-40s %.2f s (of %d: %.2f to %.2f)" % (label, times[len(times) // 2], SAMPLES, times[0], times[-1]))
    scrapes = sorted(http(relay, "/metrics")[0] for _ in range(10))
    say("  %-40s %.0f ms (of 10: %.0f to %.0f)" % ("/metrics", scrapes[5] * 1000, scrapes[0] * 1000, scrapes[-1] * 1000))
    listed = command(relay, "queue", "list", "--json", keep=False)
    say("  %-40s %.1f s, %.0f MiB in the command, %.0f MiB in the relay" % ("queue list --json, all", listed.seconds, listed.mib, relay.resident_mib("VmHWM")))
    if listed.mib >= LIST_MIB:
        fail("the list needs over %d MiB" % LIST_MIB)


def acceptance_meanwhile(relay, label, busy):
    """Acceptance alone and beside `busy`, which is done again and again: pairs, one right after the other,
    since other work on the machine shows in single figures by a tenth and more."""
    alone, beside = [], []
    for _ in range(PAIRS):
        alone.append(accepted_per_second(relay, 10_000))
        over = threading.Event()

        def work():
            while not over.is_set():
                busy(over)

        thread = threading.Thread(target=work)
        thread.start()
        beside.append(accepted_per_second(relay, 10_000))
        over.set()
        thread.join()
    shares = sorted(100 * with_it / without for with_it, without in zip(beside, alone))
    alone, beside = sorted(alone)[PAIRS // 2], sorted(beside)[PAIRS // 2]
    say(
        "  accepted at %d sessions: %.0f/s alone, %.0f/s beside %s: %.0f %% (of %d pairs: %.0f to %.0f)"
        % (SESSIONS, alone, beside, label, shares[PAIRS // 2], PAIRS, shares[0], shares[-1])
    )


def measure(relay):
    time_commands(relay)
    runs = [["queue", "list", "--json"], ["queue", "stats"], ["queue", "purge", "--domain", "d1*.test", "--dry-run"]]
    for arguments in runs:
        acceptance_meanwhile(relay, " ".join(arguments), lambda over: Run(relay, *arguments, keep=False, over=over))


def states(relay):
    found = {}
    for line in command(relay, "queue", "list", "--json").lines():
        found[line["state"]] = found.get(line["state"], 0) + 1
    return found


def killed_purge(spool, offline):
    """Kills whoever has the store amid a purge, three times at least, and ends it then."""
    relay = fill(spool, PURGED)
    if offline:
        relay.terminate()
    purge = ["queue", "purge", "--all", "--yes", "--reason", "trial"]
    restore = ["queue", "restore", "--all", "--state", "purged", "--yes"]
    took = command(relay, *purge).seconds
    command(relay, *restore)
    amid, tries = 0, 0
    while amid < 3:
        tries += 1
        if tries > 30:
            fail("%d kills, and only %d of them amid a purge of %.1f s" % (tries - 1, amid, took))
        process = subprocess.Popen([BINARY, *purge], env=relay.env, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(RNG.uniform(0.1, 0.7) * took)
        if offline:
            process.kill()
            process.wait()
        else:
            relay.kill()
            process.wait()
            relay.start(ready=120)
        found = states(relay)
        if sum(found.values()) != PURGED or set(found) - {"held", "purged"}:
            fail("after a kill amid a purge: %s" % found)
        amid += len(found) == 2
        if "held" not in found:
            command(relay, *restore)
    command(relay, *purge)
    found = states(relay)
    if found != {"purged": PURGED}:
        fail("after the last purge: %s" % found)
    command(relay, *restore)
    found = states(relay)
    if found != {"held": PURGED}:
        fail("after the restore: %s" % found)
    say(
        "%d purged in %.1f s, across %d kills amid it (%s), and restored: each was wholly there or wholly gone"
        % (PURGED, took, amid, "of the command, no relay running" if offline else "of the relay")
    )
    if not offline:
        relay.terminate()


def retried(spool):
    """From `queue retry` of a deferred message to the remote host having it: told, not judged."""
    remote = Remote()
    relay = Relay(spool, SMTP_RETRY_BASE="10m", SMTP_RETRY_CAP="20m", **remote.settings()).start()
    client, times = Client(relay.port), []
    for number in range(5):
        remote.refuses = {b"r@dest.test": b"451 4.7.1 come again\r\n"}
        reply = client.send("deferred-%d" % number)
        if reply[0] != 250:
            fail("not taken: %s" % (reply,))
        wait_for("it is deferred", 30, lambda: relay.log_count('"event":"deferred"') > number)
        remote.refuses, before = {}, remote.transactions
        began = time.monotonic()
        command(relay, "queue", "retry", "--state", "deferred", "--reply", "come again")
        wait_for("the retried message arrives", 30, lambda: remote.transactions > before, 0.001)
        times.append(time.monotonic() - began)
    client.close()
    relay.terminate()
    say("queue retry: the message is at its remote host %.0f ms after the command began (of 5: %.0f to %.0f)" % (sorted(times)[2] * 1000, min(times) * 1000, max(times) * 1000))


with Scratch() as directory:
    retried(directory + "/retried")
    killed_purge(directory + "/small", offline=False)
    killed_purge(directory + "/small-offline", offline=True)
    spool = directory + "/spool"
    began = time.monotonic()
    relay = fill(spool, TOTAL)
    say("%d recipients for %d destinations, made in %.0f s; held:" % (TOTAL, DESTINATIONS, time.monotonic() - began))
    measure(relay)
    relay.terminate()
    with socket.create_server(("127.0.0.1", 0)) as mute:
        # a remote host that keeps silent: nobody leaves the line
        settings = {"SMTP_RELAY_HOST": "smtp://127.0.0.1:%d" % mute.getsockname()[1], "SMTP_QUEUE_WORKERS": "1", "SMTP_WORKER_CONCURRENCY": "1"}
        relay = Relay(spool, **settings).start(ready=600)
        wait_for("the release", 1_800, lambda: relay.log_count('"released"', '"held":0'), 0.5)
        say("in line:")
        measure(relay)
        relay.terminate()
