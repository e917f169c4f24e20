"""What the trials share: a relay to start and stop, clients that count what was acknowledged, and a
remote host that counts what arrived. Standard library only; loopback addresses only.

Relays and mounts belong to the Scratch in which they are made: however its block ends, it stops
them, unmounts, and removes what is left. If it ends badly it shows the tails of the relays' logs."""
import os, random, re, shutil, signal, socket, socketserver, subprocess, sys, tempfile, threading, time

HERE = os.path.dirname(os.path.abspath(__file__))
BINARY = os.path.abspath(os.environ.get("GOPHERPOST") or HERE + "/../../target/release/gopherpost")
if not os.access(BINARY, os.X_OK):
    sys.exit("no program at %s: cargo build --release --locked, or name one in GOPHERPOST" % BINARY)
os.environ["PATH"] = os.environ.get("PATH", "/usr/bin:/bin") + ":/usr/sbin:/sbin"
# What wants to end this process by SIGTERM, such as timeout(1), must not leave mounts behind.
signal.signal(signal.SIGTERM, lambda *_: sys.exit("FAILED: ended by SIGTERM"))
SEED = int(os.environ.get("SEED", random.randrange(1 << 32)))
RNG = random.Random(SEED)


def say(*words):
    print(*words, flush=True)


def fail(*words):
    say("FAILED:", *words, "(SEED=%d)" % SEED)
    sys.exit(1)


def wait_for(what, seconds, condition, pause=0.01):
    """Looks again and again until `condition` holds; a trial that waits longer has failed."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found = condition()
        if found:
            return found
        time.sleep(pause)
    fail("not within %d s: %s" % (seconds, what))


def need_root():
    """First thing in a trial that mounts."""
    if os.geteuid():
        sys.exit("this trial mounts file systems and needs root")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Scratch:
    """A directory of its own, and everything in it that must end with it. One at a time."""

    now = None

    def __enter__(self):
        self.path = tempfile.mkdtemp(prefix="gopherpost-trial-", dir=os.environ.get("SCRATCH"))
        self.relays, self.images = [], []
        Scratch.now = self
        return self.path

    def __exit__(self, kind, *_):
        for relay in self.relays:
            relay.kill()
            if kind:
                say("--- end of the log of a relay:\n" + relay.log_tail())
        mounted = [image for image in self.images if not image.try_detach()]
        for image in mounted:
            say("can't unmount %s, it goes when nobody uses it any more" % image.mount)
            sh("umount", "-l", image.mount, check=False)
        shutil.rmtree(self.path, ignore_errors=True)


class Relay:
    """The real binary on free ports. `spool` is its queue; further settings by keyword."""

    def __init__(self, spool, **settings):
        self.port, self.health = free_port(), free_port()
        self.log = tempfile.NamedTemporaryFile(prefix="relay-", suffix=".log", dir=Scratch.now.path, delete=False).name
        self.env = {
            "PATH": os.environ["PATH"],
            "SMTP_PORT": str(self.port),
            "SMTP_LISTEN_ADDRESSES": "127.0.0.1",
            "SMTP_HEALTH_ADDR": "127.0.0.1:%d" % self.health,
            "SMTP_HOSTNAME": "gp.test",
            "SMTP_QUEUE_PATH": spool,
            "SMTP_ALLOW_NETWORKS": "127.0.0.0/8",
            "SMTP_REQUIRE_LOCAL_DOMAIN": "false",
            "SMTP_RETRY_BASE": "1s",
            "SMTP_RETRY_CAP": "2s",
            "SMTP_LOG_FORMAT": "json",
        }
        self.env.update(settings)
        self.process = None
        Scratch.now.relays.append(self)

    def start(self, ready=30):
        self.started = time.monotonic()
        with open(self.log, "ab") as out:
            self.process = subprocess.Popen([BINARY], env=self.env, cwd="/", stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        wait_for("the relay listens", ready, self._listens, 0.005)
        self.ready_after = time.monotonic() - self.started
        return self

    def _listens(self):
        if self.process.poll() is not None:
            fail("the relay ended with %s" % self.process.returncode)
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        except OSError:
            return False

    def log_tail(self, lines=6):
        with open(self.log, errors="replace") as log:
            return "".join(log.readlines()[-lines:])

    def logged(self, text):
        """Whether a line of the log has this text."""
        with open(self.log, errors="replace") as log:
            return any(text in line for line in log)

    def log_count(self, *texts):
        """How many lines of the log have all these texts."""
        with open(self.log, errors="replace") as log:
            return sum(all(text in line for text in texts) for line in log)

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        if self.process:
            self.process.kill()
            self.process.wait()

    def terminate(self, seconds=60):
        self.process.terminate()
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            fail("SIGTERM did not end the relay within %d s" % seconds)

    def resident_mib(self, field="VmRSS"):
        with open("/proc/%d/status" % self.process.pid) as file:
            status = file.read()
        return int(re.search(field + r":\s+(\d+) kB", status).group(1)) / 1024


class Client:
    """One SMTP connection."""

    def __init__(self, port, timeout=30):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb")
        self.reply()
        self.command("EHLO client.test")

    def reply(self):
        while True:
            line = self.file.readline()
            if not line:
                raise ConnectionError("closed")
            if line[3:4] != b"-":
                return int(line[:3]), line[4:].decode("latin-1").strip()

    def command(self, line):
        self.socket.sendall(line.encode() + b"\r\n")
        return self.reply()

    def send(self, name, size=4096, recipients=("r@dest.test",), sender="s@gp.test"):
        """Sends one message that carries `name`; the reply to its final dot, or to what was refused."""
        lines = ["MAIL FROM:<%s>" % sender] + ["RCPT TO:<%s>" % r for r in recipients]
        for at in range(0, len(lines), 100):
            part = lines[at : at + 100]
            self.socket.sendall("".join(line + "\r\n" for line in part).encode())
            for reply in [self.reply() for _ in part]:
                if reply[0] >= 400:
                    self.command("RSET")
                    return reply
        reply = self.command("DATA")
        if reply[0] != 354:
            self.command("RSET")
            return reply
        self.socket.sendall(message(name, size))
        return self.reply()

    def close(self):
        self.socket.close()


FILLER = (b"x" * 70 + b"\r\n") * 1024


def message(name, size):
    head = b"Subject: trial\r\nX-Name: %s\r\n\r\n" % name.encode()
    body = FILLER * (size // len(FILLER)) + FILLER[: size % len(FILLER) // 72 * 72]
    return head + body + b".\r\n"


class Load:
    """`clients` connections that send until told to stop; `acknowledged` has every name with a 250."""

    def __init__(self, relay, clients, prefix, sizes):
        self.relay, self.prefix, self.sizes = relay, prefix, sizes
        self.acknowledged, self.refused, self.over = set(), 0, threading.Event()
        self.threads = [threading.Thread(target=self._send, args=(n,), daemon=True) for n in range(clients)]
        for thread in self.threads:
            thread.start()

    def _send(self, number):
        rng, count, client = random.Random(SEED * 1000 + number), 0, None
        while not self.over.is_set():
            name = "%s-%d-%d" % (self.prefix, number, count)
            count += 1
            try:
                client = client or Client(self.relay.port, 5)
                code, _ = client.send(name, rng.choice(self.sizes))
                if code == 250:
                    self.acknowledged.add(name)
                else:
                    self.refused += 1
            except (OSError, ValueError):
                if client:
                    client.close()
                client = None
                if self.over.wait(0.02):
                    return

    def stop(self):
        self.over.set()
        for thread in self.threads:
            thread.join(15)


class Remote:
    """A remote host that takes everything and counts names. `down` makes it refuse every connection
    with 421; `refuses` has the replies to recipients that it does not take; `kept` the whole message of each
    name, if it is there to be filled."""

    def __init__(self, address="127.0.0.1", port=0):
        self.kept = None
        self.seen, self.lock, self.down, self.transactions = {}, threading.Lock(), False, 0
        self.refuses = {}
        remote = self

        class Session(socketserver.StreamRequestHandler):
            def handle(self):
                try:
                    remote._session(self.rfile, self.wfile)
                except OSError:
                    pass

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address, daemon_threads, request_queue_size = True, True, 1024

        self.server = Server((address, port), Session)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def _session(self, rfile, wfile):
        if self.down:
            wfile.write(b"421 4.3.2 down\r\n")
            return
        wfile.write(b"220 remote.test ESMTP\r\n")
        refused = False  # the one recipient of a transaction
        for line in rfile:
            verb = line[:4].upper()
            if verb == b"EHLO":
                wfile.write(b"250-remote.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 0\r\n")
            elif verb == b"RCPT" and line[9:].split(b">")[0] in self.refuses:
                refused = True
                wfile.write(self.refuses[line[9:].split(b">")[0]])
            elif verb == b"DATA" and refused:
                wfile.write(b"554 5.5.1 no valid recipients\r\n")
                refused = False
            elif verb == b"DATA":
                wfile.write(b"354 go\r\n")
                name, lines = None, []
                for data in rfile:
                    if data == b".\r\n":
                        break
                    if self.kept is not None:
                        lines.append(data[1:] if data.startswith(b".") else data)
                    if name is None and data.startswith(b"X-Name: "):
                        name = data[8:].strip().decode()
                else:
                    return
                with self.lock:
                    self.transactions += 1
                    self.seen[name] = self.seen.get(name, 0) + 1
                    if self.kept is not None:
                        self.kept[name] = b"".join(lines)
                wfile.write(b"250 2.0.0 taken\r\n")
            elif verb == b"QUIT":
                wfile.write(b"221 2.0.0 bye\r\n")
                return
            else:
                wfile.write(b"250 2.1.0 ok\r\n")

    def settings(self):
        return {"SMTP_RELAY_HOST": "smtp://127.0.0.1:%d" % self.port}

    def missing(self, names):
        with self.lock:
            return {name for name in names if name not in self.seen}

    def duplicates(self):
        with self.lock:
            return sum(count - 1 for count in self.seen.values())


def sh(*command, check=True):
    """Runs a command; its output. Fails if it fails, or takes over ten minutes."""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600)
    except FileNotFoundError:
        fail("%s is missing; .ci/run knows its package" % command[0])
    except subprocess.TimeoutExpired:
        fail("takes too long: " + " ".join(command))
    if check and done.returncode:
        fail("%s: %s" % (" ".join(command), done.stdout))
    return done.stdout


class Image:
    """A file system of its own in a file; needs root. No block is reserved for root, since the relay
    of a trial is root, and full must be full."""

    def __init__(self, directory, mib, options="commit=300"):
        self.file, self.mount, self.options = directory + "/image", directory + "/mnt", options
        os.makedirs(self.mount, exist_ok=True)
        with open(self.file, "wb") as f:
            f.truncate(mib << 20)
        sh("mkfs.ext4", "-q", "-F", "-m", "0", self.file)
        Scratch.now.images.append(self)
        self.attach(self.file)

    def attach(self, file):
        sh("mount", "-o", "loop," + self.options, file, self.mount)

    def try_detach(self):
        """Whether nothing is mounted there any more, after some patience with who still uses it."""
        for _ in range(100):
            if not os.path.ismount(self.mount):
                return True
            sh("umount", self.mount, check=False)
            time.sleep(0.02)
        return not os.path.ismount(self.mount)

    def detach(self):
        if not self.try_detach():
            fail("can't unmount " + self.mount)
