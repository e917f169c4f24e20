#!/usr/bin/env python3
"""W-12.08, a crowd: 2,000 idle sessions, 200 clients that send message data an octet a second, and 10,000
connects from one address. A well-behaved client's mail must be accepted in under 2 s all the while,
resident memory must stay under 200 MiB, and when the crowd has gone no descriptor may be left.

  idle_and_slow.py     GOPHERPOST names the binary"""
import resource, selectors, struct
from lab import *

IDLE, SLOW, CONNECTS, AT_ONCE = 2000, 200, 10000, 1000
LONGEST_S, LIMIT_MIB, LOOK_S = 2.0, 200, 8
CROWD, FLOOD = "127.0.0.%d", "127.0.0.99"


def connect(port, source):
    client = socket.create_connection(("127.0.0.1", port), 30, (source, 0))
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client


def heard(client):
    """Reads one whole reply."""
    got = b""
    while not re.search(rb"(^|\n)\d{3} [^\n]*\r\n$", got):
        more = client.recv(4096)
        if not more:
            fail("closed in the middle of %r" % got)
        got += more


def descriptors(relay):
    return len(os.listdir("/proc/%d/fd" % relay.process.pid))


class Mailer(threading.Thread):
    """The well-behaved client: a connection for each mail, one after the other."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.port, self.over, self.took, self.trouble = port, threading.Event(), [], None

    def run(self):
        try:
            while not self.over.is_set():
                begun = time.monotonic()
                client = Client(self.port)
                reply = client.send("well-behaved-%d" % len(self.took))
                client.command("QUIT")
                client.close()
                if reply[0] != 250:
                    raise ValueError("its mail got %s" % (reply,))
                self.took.append(time.monotonic() - begun)
                self.over.wait(0.05)
        except (OSError, ValueError) as error:
            self.trouble = error

    def checked(self, what):
        """Tells what mail took since the last time."""
        time.sleep(LOOK_S / 4)
        if self.trouble or not self.took:
            fail("%s: the well-behaved client has trouble: %s" % (what, self.trouble or "nothing accepted"))
        count, longest = len(self.took), max(self.took)
        del self.took[:count]
        say("%s: %d mails accepted, the slowest in %.0f ms" % (what, count, longest * 1000))
        if longest >= LONGEST_S:
            fail("a mail took %.1f s (limit %.0f)" % (longest, LONGEST_S))


class Slow(threading.Thread):
    """Sends an octet a second on each of its connections."""

    def __init__(self, clients):
        super().__init__(daemon=True)
        self.clients, self.over, self.octets = clients, threading.Event(), 0

    def run(self):
        while not self.over.wait(1):
            for client in self.clients:
                try:
                    self.octets += client.send(b"x")
                except OSError:
                    pass  # ended by the relay, which it may


def flood(port):
    """Connects again and again from one address, `AT_ONCE` connections at a time; half of them
    reset. What the first line said, counted."""
    said, left = {}, CONNECTS
    open_now = selectors.DefaultSelector()
    while left or open_now.get_map():
        while left and len(open_now.get_map()) < AT_ONCE:
            open_now.register(connect(port, FLOOD), selectors.EVENT_READ)
            left -= 1
        for key, _ in open_now.select(10):
            client = key.fileobj
            try:
                line = client.recv(4096)[:9].decode("latin-1")
            except OSError:
                line = "reset"
            word = line[:3] if line.startswith("220") else line or "closed"
            said[word] = said.get(word, 0) + 1
            open_now.unregister(client)
            if left % 2:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
    return said


soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
needed = IDLE + SLOW + AT_ONCE + 500
if soft < needed:
    if hard != resource.RLIM_INFINITY and hard < needed:
        sys.exit("needs %d open files, and %d is the most: raise ulimit -n" % (needed, hard))
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))

with Scratch() as directory:
    settings = {
        "SMTP_MODE": "hold",
        "SMTP_MAX_CONNECTIONS": "4000",
        "SMTP_MAX_CONNECTIONS_PER_CLIENT": "500",
    }
    relay = Relay(directory + "/spool", **settings).start()
    Client(relay.port).close()
    time.sleep(0.5)
    before, memory_before = descriptors(relay), relay.resident_mib()
    mailer = Mailer(relay.port)
    mailer.start()
    mailer.checked("alone")

    begun = time.monotonic()
    idle = []
    for number in range(IDLE):
        client = connect(relay.port, CROWD % (2 + number % 40))
        heard(client)
        client.sendall(b"EHLO idle.test\r\n")
        heard(client)
        idle.append(client)
    say("%d idle sessions after %.1f s, resident memory %.1f MiB (before %.1f)"
        % (IDLE, time.monotonic() - begun, relay.resident_mib(), memory_before))
    mailer.checked("%d idle" % IDLE)

    writers = []
    for number in range(SLOW):
        client = connect(relay.port, CROWD % (50 + number % 40))
        heard(client)
        for line in (b"EHLO slow.test", b"MAIL FROM:<s@gp.test>", b"RCPT TO:<r@dest.test>", b"DATA"):
            client.sendall(line + b"\r\n")
            heard(client)
        client.setblocking(False)
        writers.append(client)
    slow = Slow(writers)
    slow.start()
    time.sleep(LOOK_S)
    mailer.checked("%d idle, %d slow" % (IDLE, SLOW))

    begun = time.monotonic()
    said = flood(relay.port)
    say("%d connects from one address in %.1f s, answered with %s"
        % (CONNECTS, time.monotonic() - begun, ", ".join("%s x%d" % one for one in sorted(said.items()))))
    mailer.checked("%d idle, %d slow, %d connects" % (IDLE, SLOW, CONNECTS))
    say("the slow clients have sent %d octets" % slow.octets)

    peak = relay.resident_mib("VmHWM")
    mailer.over.set()
    slow.over.set()
    mailer.join(30)
    slow.join(30)
    for client in idle + writers:
        client.close()
    wait_for("all descriptors are given back", 30, lambda: descriptors(relay) <= before, 0.1)
    say("peak resident memory %.1f MiB (limit %d); descriptors %d before and %d after"
        % (peak, LIMIT_MIB, before, descriptors(relay)))
    if peak >= LIMIT_MIB:
        fail("too much memory")
    if relay.terminate() != 0:
        fail("no clean stop")
