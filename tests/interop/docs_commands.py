#!/usr/bin/env python3
"""Every command that README.md and docs/*.md show is run here, word for word, in a clean clone and by a user
who is not root, page by page and each page in one shell, as a reader would.

How a page says what is a command (readers see none of the marks):

  ```sh        the whole block is run; each command in it must succeed
  ```console   what stands behind "$ " is run, and what is shown below it must be what is answered: the same
               lines in the same order, with other numbers, times and ids; "..." stands for any lines
  ```env       settings: a relay would start with them
  others       no commands; a block that looks like some is a mistake

  <!-- trial: shown: WHY -->      before a block: can't be run here, is only parsed (bash -n)
  <!-- trial: systemd: WHY -->    the same; systemd.py does such things, with each of the options
  <!-- trial: ci: WHY -->         .ci/run has it word for word
  <!-- trial: root -->            root runs it
  <!-- trial: status N or M -->   its last command ends with one of these
  <!-- trial: for N s -->         each line goes on for ever, and is ended then
  <!-- trial: again -->           the installed relay is as at the beginning, with mail that waits
  <!-- trial: serves URL -->      it runs in the foreground: it must come to answer there, goes on to the end of
                                  the page, and must end well by Ctrl-C
  <!-- trial: installed URL -->   the same, by root, after install.sh has installed it here, where there is no
                                  systemd, and has said that it is to be run so

Commands amid the text (`gopherpost queue show ID`) are run at the end, those of all pages after one another, if they
have an argument; that those without one exist is what tests/docs looks at.

Pages of an installed relay find one (`Installed`): its configuration in /etc/gopherpost, its control socket in
/run/gopherpost, a queue with mail that nobody takes. All this is in an overlay over the root
directory and in a network of its own, where example.net and its neighbours exist; nothing is seen outside.

  docs_commands.py [-v] [PAGE...]     -v shows what is answered; GOPHERPOST names the binary"""
import ctypes, fcntl, filecmp, json, select, struct, sys, urllib.request
from lab import *
from mta import Box, alone
from name_server import NameServer

CLONE_NEWNET = 0x40000000
REPOSITORY = os.path.abspath(HERE + "/../..")
HOST, SMARTHOST, REFUSING = "192.0.2.10", "192.0.2.25", "192.0.2.24"
SHELLS = "sh", "console"
STARTS_LIKE_A_COMMAND = re.compile(r"^\s*(\$ |sudo |gopherpost |target/release/|curl |systemctl |journalctl |cargo |apt(-get)? |git |docker |dig |\./install)")
ID = r"\b[0-9A-HJKMNP-TV-Z]{26}\b"
MARK = re.compile(r"<!--\s*trial:\s*(.*?)\s*-->", re.S)


WRONG = []


def wrong(words):
    """Told at once; the trial goes on, so that one run tells of all."""
    say("WRONG:", words)
    WRONG.append(words)


class Block:
    def __init__(self, page, line, language, mark, code):
        self.page, self.line, self.language, self.mark, self.code = page, line, language, mark, code

    def __str__(self):
        return "%s:%d" % (self.page, self.line)

    @property
    def kind(self):
        return self.mark.split(None, 1)[0].rstrip(":") if self.mark else ""

    @property
    def rest(self):
        return self.mark[len(self.kind) :].lstrip(": ") if self.mark else ""

    def steps(self):
        """The commands of a dialogue, each with the lines that are shown below it."""
        steps, goes_on = [], False
        for line in self.code.splitlines():
            if goes_on:
                steps[-1][0] += "\n" + line
            elif line.startswith("$ "):
                steps.append([line[2:], []])
            elif steps:
                steps[-1][1].append(line)
            else:
                fail("%s: a dialogue begins with a command" % self)
            last = steps[-1][0]
            here = re.search(r"<<-?'?(\w+)'?", last)
            goes_on = (line.startswith("$ ") or goes_on) and (last.endswith("\\") or bool(here) and last.splitlines()[-1] != here.group(1))
        return steps


def blocks(page):
    with open(REPOSITORY + "/" + page) as file:
        lines = file.read().split("\n")
    found, at, mark, comment = [], 0, None, None
    while at < len(lines):
        line = lines[at]
        if comment is not None or line.lstrip().startswith("<!--"):
            comment = (comment or "") + line + "\n"
            if "-->" in line:
                told = MARK.search(comment)
                mark, comment = (told.group(1).replace("\n", " ") if told else None), None
        elif line.lstrip().startswith("```"):
            indent = len(line) - len(line.lstrip())
            end = next(n for n in range(at + 1, len(lines)) if lines[n].strip() == "```")
            code = "\n".join(text[indent:] for text in lines[at + 1 : end]) + "\n"
            found.append(Block(page, at + 2, line.strip()[3:], mark, code))
            at, mark = end, None
        elif line.strip():
            if mark:
                fail("%s:%d: a mark stands right before its block" % (page, at + 1))
        at += 1
    return found


def shape(line):
    """A line without what differs from run to run."""
    line = re.sub(r"\$[\w+/]{22}\$[\w+/]{43}$", "$SALT$HASH", line)
    line = re.sub(ID, "ID", line)
    line = re.sub(r"\d{4}-\d\d-\d\d(T[\d:.]+Z)?", "TIME", line)
    line = re.sub(r"\b(\d+(ms|[smhd]))+\b", "SPAN", line)
    line = re.sub(r"\b(in SPAN|SPAN ago|now)\b", "WHEN", line)
    line = re.sub(r"\b[0-9a-f]{16,}\b", "HASH", line)
    line = re.sub(r"(?<![\d.])\d+(\.\d+)?(?![\d.]*\.\d)", "N", line)
    return " ".join(line.split())


def differs(shown, output):
    """The first shown line that was not answered, or nothing."""
    answered = [shape(line) for line in output.splitlines()]
    at, anywhere = 0, False
    for line in shown:
        if line.strip() == "...":
            anywhere = True
            continue
        if not line.strip():
            continue
        want = shape(line)
        place = next((n for n in range(at, len(answered)) if answered[n] == want), None)
        if place is None or (not anywhere and any(answered[at:place])):
            return line
        at, anywhere = place + 1, False
    return None


class Shell:
    """A bash of a user in the box, that goes on from block to block."""

    def __init__(self, box, user, environment):
        self.box, self.environment, self.count = box, environment, 0
        self.reports, write = os.pipe()
        self.output = tempfile.NamedTemporaryFile(prefix="shell-", dir=Scratch.now.path, delete=False)
        self.user = user
        enter = ["chroot", box.root] if user == "root" else ["chroot", "--userspec=%s:%s" % (user, user), "--groups=%s,gopherpost" % user, box.root]
        self.process = subprocess.Popen(
            [*enter, "/usr/bin/env", "bash", "--noprofile", "--norc"], env=environment, stdin=subprocess.PIPE,
            stdout=self.output, stderr=self.output, pass_fds=(write,), start_new_session=True,
        )
        os.close(write)
        self._write("cd %s; set -E -o pipefail; trap 'printf \"failed %%s: %%s\\n\" \"$?\" \"${BASH_COMMAND//$'\"'\\n'\"'/ }\" >&%d' ERR\n" % (environment["CLONE"], write))
        self.descriptor = write

    def _write(self, text):
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def run(self, block, code, seconds=120):
        """Its exit status, output, and the commands that failed."""
        self.count += 1
        file = "/tmp/%s-%d.sh" % (self.user, self.count)
        self.box.write(file, code if code.endswith("\n") else code + "\n")
        begin = self.output.seek(0, 2)
        self._write("source %s </dev/null; printf 'done %%s\\n' $? >&%d\n" % (file, self.descriptor))
        until, told = time.monotonic() + seconds, b""
        while not re.search(rb"^done (\d+)$", told, re.M):
            ready = select.select([self.reports], [], [], max(0, until - time.monotonic()))[0]
            piece = os.read(self.reports, 65536) if ready else b""
            if not piece:
                fail("%s: %s: %s\n%s" % (block, "no end within %d s" % seconds if not ready else "the shell ended", code, self._since(begin)))
            told += piece
        reports = told.decode().splitlines()
        failed = [line[7:] for line in reports if line.startswith("failed ")]
        return int(reports[-1].split()[1]), self._since(begin), failed

    def _since(self, begin):
        with open(self.output.name, "rb") as file:
            file.seek(begin)
            return file.read().decode(errors="replace")

    def kill(self):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()


class Refusals(dict):
    """Every recipient is refused for now."""

    def __contains__(self, _):
        return True

    def __missing__(self, _):
        return b"451 4.7.1 relay access denied\r\n"


class World(Box):
    """The box with its users, the clone, and the network that the pages speak of."""

    def __init__(self):
        self._network()
        super().__init__()
        for arguments in (["groupadd", "--system", "gopherpost"], ["useradd", "--system", "-g", "gopherpost", "-d", "/var/lib/gopherpost", "-M", "gopherpost"], ["useradd", "-m", "-s", "/bin/bash", "-G", "gopherpost", "ann"]):
            self.inside(*arguments)
        os.chmod(self.root + "/tmp", 0o1777)
        self.make_clone()
        shutil.copy(BINARY, self.root + "/usr/local/bin/gopherpost")
        self.write("/etc/resolv.conf", "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
        self.write("/etc/hosts", "127.0.0.1 localhost\n%s relay.example.net relay\n" % HOST)
        self.write("/home/ann/.curlrc", "fail-with-body\nsilent\nshow-error\n")
        for directory in "/etc/gopherpost", "/run/other", "/usr/local/share/zsh/site-functions", "/home/ann/.config/fish/completions", "/var/lib/gopherpost", "/run/gopherpost", "/var/backups":
            os.makedirs(self.root + directory, exist_ok=True)
        self.inside("chown", "-R", "ann:ann", "/home/ann")
        self.environment = {
            "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME": "/home/ann", "USER": "ann", "LANG": "C.UTF-8", "TERM": "dumb",
            "CLONE": REPOSITORY, "PAGER": "cat", "LESS": "-E",
        }
        os.symlink("/run/gopherpost/control.sock", self.root + "/run/other/control.sock")
        self.remote_hosts()

    def inside(self, *command):
        return sh("chroot", self.root, *command)

    def make_clone(self):
        """At the place of the repository. A file that is the same as there is as old as there, so that cargo does
        not compile what was just compiled; a file that is not in git is missing, and that cargo notices."""
        clone = self.root + "/home/ann/gopherpost"
        sh("git", "-c", "safe.directory=*", "clone", "-q", "file://" + REPOSITORY, clone)
        for name in sh("git", "-C", clone, "ls-files").split("\n"):
            here, there = clone + "/" + name, REPOSITORY + "/" + name
            if os.path.isfile(here) and os.path.isfile(there) and filecmp.cmp(here, there, shallow=False):
                shutil.copystat(there, here)
        self.inside("chown", "-R", "ann:ann", "/home/ann")
        sh("mount", "--bind", clone, self.root + REPOSITORY)
        path = REPOSITORY
        while len(path) > 1:
            path = os.path.dirname(path)
            os.chmod(self.root + path, os.stat(self.root + path).st_mode | 0o755)

    def _network(self):
        if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):
            fail("no network of its own: " + os.strerror(ctypes.get_errno()))
        addresses = "lo", "127.0.0.1", "lo:1", HOST, "lo:2", SMARTHOST, "lo:3", REFUSING
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            for name, address in zip(addresses[::2], addresses[1::2]):
                request = struct.pack("16sHH4s8x", name.encode(), socket.AF_INET, 0, socket.inet_aton(address))
                fcntl.ioctl(s, 0x8916, request)  # SIOCSIFADDR
                fcntl.ioctl(s, 0x8914, struct.pack("16sH14x", name.encode(), 1 | 64))  # SIOCSIFFLAGS: up, running

    def remote_hosts(self):
        dns = self.dns = NameServer(53)
        dns.host("relay.example.net", HOST)
        dns.host("new.example.net", SMARTHOST)
        dns.host("old.example.net", REFUSING)
        dns.host("smarthost.example.net", SMARTHOST)
        for domain in "example.org", "example.com", "example.net", "gmail.com", "gone.example":
            dns.mail_host(domain, "mx." + domain, REFUSING)
        dns.text("example.net", "v=spf1 ip4:%s -all" % HOST)
        dns.text("_dmarc.example.net", "v=DMARC1; p=none; rua=mailto:dmarc@example.net")
        dns.text("relay.example.net", "v=spf1 a -all")
        self.remote = Remote(SMARTHOST, 25)
        refusing = Remote(REFUSING, 25)
        refusing.refuses = Refusals()

    def publish(self, output):
        """What `dkim generate` says should be in DNS."""
        for name, text in re.findall(r"^(\S+\._domainkey\.\S+)\n(v=DKIM1;.*)$", output, re.M):
            self.dns.text(name, text)

    def cargo(self):
        """What a page needs to build: the toolchain of whoever runs this, crates that are there already, and
        what of a build is not of this project itself."""
        home = os.environ.get("CARGO_HOME", os.path.expanduser("~/.cargo"))
        rustup = os.environ.get("RUSTUP_HOME", os.path.expanduser("~/.rustup"))
        for path in home, rustup:
            while len(path) > 1:
                os.chmod(self.root + path, os.stat(self.root + path).st_mode | 0o755)
                path = os.path.dirname(path)
        built = os.path.abspath(os.environ.get("CARGO_TARGET_DIR") or REPOSITORY + "/target") + "/release/"
        target = BUILT
        self.inside("mkdir", "-p", target + "/release")
        # from outside: inside, the clone stands at that place
        sh("cp", "-a", *(built + part for part in ("build", "deps", ".fingerprint")), self.root + target + "/release")
        # crates are read only; their paths are part of what cargo compares, so they stay where they are
        self.inside("chown", "-R", "ann:ann", "/home/ann")
        self.inside("sh", "-c", "chown ann:ann %s %s/.package-cache* %s/.global-cache*" % (home, home, home))
        return {
            "PATH": home + "/bin:" + self.environment["PATH"], "RUSTUP_HOME": rustup, "CARGO_HOME": home, "CARGO_NET_OFFLINE": "true",
        }


class Installed:
    """A relay as it is installed: it has the settings in its environment, as by EnvironmentFile=, and reads their
    file as well. Mail waits in it: whoever should take it refuses it, for now. The way goes by MX or, in the
    runbook, over a smarthost."""

    def __init__(self, world, smarthost):
        self.world, self.smarthost = world, smarthost
        queue = "/var/lib/gopherpost/spool"
        settings = [
            "SMTP_HOSTNAME=relay.example.net", "SMTP_SENDER_DOMAINS=example.net", "SMTP_LISTEN_ADDRESSES=127.0.0.1", "SMTP_PORT=25",
            "SMTP_ALLOW_NETWORKS=127.0.0.0/8", *(["SMTP_RELAY_HOST=smtp://old.example.net"] if smarthost else []), "SMTP_QUEUE_PATH=" + queue,
            "SMTP_HEALTH_ADDR=127.0.0.1:8080",
        ]
        world.write("/etc/gopherpost/gopherpost.env", "\n".join(settings) + "\n")
        world.inside("sh", "-c", "rm -rf /var/lib/gopherpost/* /var/backups/* /run/gopherpost/*")
        world.inside("chown", "-R", "gopherpost:gopherpost", "/var/lib/gopherpost", "/run/gopherpost", "/var/backups")
        world.inside("chown", "root:gopherpost", "/etc/gopherpost", "/etc/gopherpost/gopherpost.env")
        world.inside("chmod", "770", "/etc/gopherpost", "/var/backups")
        world.inside("chmod", "660", "/etc/gopherpost/gopherpost.env")
        environment = dict(world.environment, **dict(line.split("=", 1) for line in settings), SMTP_ENV_FILE="/etc/gopherpost/gopherpost.env", RUNTIME_DIRECTORY="/run/gopherpost", HOME="/var/lib/gopherpost")
        with open(world.root + "/var/lib/gopherpost/log", "wb") as log:
            # port 25: as root with the one capability, as the unit does it
            self.process = subprocess.Popen(
                ["chroot", world.root, "setpriv", "--reuid=gopherpost", "--regid=gopherpost", "--clear-groups", "--inh-caps=+net_bind_service", "--ambient-caps=+net_bind_service",
                 "sh", "-c", "cd /var/lib/gopherpost && exec gopherpost serve"], env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for("the relay is ready", 30, lambda: answers("http://127.0.0.1:8080/readyz"))
        for number in range(3):
            for domain in "example.org", "example.com", "gmail.com":
                self.send("app@example.net", "user%d@%s" % (number, domain), "Report %d" % number)
        self.send("news@example.net", "old@gone.example", "News")
        wait_for("mail that waits", 30, lambda: world.inside("gopherpost", "queue", "list", "--json").count('"deferred"') == 10)

    def send(self, sender, recipient, subject):
        client = Client(25)
        for line in "MAIL FROM:<%s>" % sender, "RCPT TO:<%s>" % recipient, "DATA":
            client.command(line)
        client.socket.sendall(("From: <%s>\r\nTo: <%s>\r\nSubject: %s\r\n\r\nThe text.\r\n.\r\n" % (sender, recipient, subject)).encode())
        if client.reply()[0] != 250:
            fail("not taken")
        client.close()

    def ids(self):
        listed = self.world.inside("gopherpost", "queue", "list", "--json")
        return [json.loads(line)["id"] for line in listed.splitlines() if line.startswith("{")]

    def end(self):
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            fail("the relay does not end")


def answers(url):
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False


def has_no_commands(block):
    for line in block.code.splitlines():
        if STARTS_LIKE_A_COMMAND.match(line):
            fail("%s: a command in a block that is not one of %s: %s" % (block, SHELLS, line))


class Page:
    """One page, run from its first block to its last."""

    def __init__(self, world, name, installed, cargo):
        self.world, self.name = world, name
        self.ran, self.parsed, self.settings, self.served = 0, [], 0, []
        sh("git", "-c", "safe.directory=*", "-C", world.root + REPOSITORY, "clean", "-fdxq")
        self.relay = Installed(world, name == "docs/operations.md") if installed else None
        self.environment = dict(world.environment, **(cargo or {}))
        if cargo:
            os.symlink(BUILT, world.root + REPOSITORY + "/target")
        if name in STRANGERS:
            self.environment["PATH"] = self.environment["PATH"].replace("/usr/local/bin:", "")
        self.shells, self.ids = {}, {}

    def shell(self, user):
        if user not in self.shells:
            environment = dict(self.environment, HOME="/root", USER="root") if user == "root" else self.environment
            self.shells[user] = Shell(self.world, user, environment)
        return self.shells[user]

    def run(self, block):
        if block.kind == "again":
            self.relay.end()
            self.relay = Installed(self.world, self.relay.smarthost)
            block.mark = None
        if block.language == "env":
            return self.settings_of(block)
        if block.language not in SHELLS:
            return self.examples(block) if self.name == HELP else has_no_commands(block)
        steps = block.steps() if block.language == "console" else [(block.code, [])]
        if block.kind == "ci":
            with open(REPOSITORY + "/.ci/run") as file:
                if block.code not in file.read():
                    fail("%s: .ci/run does not run it" % block)
            self.parsed.append(block)
        elif block.kind in ("shown", "systemd"):
            if not block.rest:
                fail("%s: why is it not run?" % block)
            for code, _ in steps:
                parsed = subprocess.run(["bash", "-n"], input=code, text=True, capture_output=True)
                if parsed.returncode:
                    fail("%s: %s" % (block, parsed.stderr))
            if block.kind == "systemd":
                with open(HERE + "/systemd.py") as file:
                    trial = file.read()
                for option in re.findall(r"(?<!\S)--[a-z-]+", block.code):
                    if '"%s"' % option not in trial:
                        fail("%s: systemd.py does nothing with %s" % (block, option))
            self.parsed.append(block)
        elif block.kind == "serves":
            self.serve(block, steps[0][0], "ann")
        elif block.kind == "installed":
            self.install(block)
            self.serve(block, steps[0][0], "root")
        else:
            if block.kind not in ("", "root", "status", "for"):
                fail("%s: no such mark: %s" % (block, block.mark))
            for number, (code, shown) in enumerate(steps):
                self.step(block, code, shown, number == len(steps) - 1)

    def step(self, block, code, shown, last):
        if self.relay:
            code = self.with_ids(code)
        if block.kind == "for":
            code = "".join("timeout %s %s || [ $? = 124 ]\n" % (block.rest.split()[0], line) for line in code.splitlines())
        want = [int(status) for status in block.rest.split(" or ")] if block.kind == "status" and last else [0]
        status, output, failed = self.shell("root" if block.kind == "root" else "ann").run(block, code, 600)
        self.world.publish(output)
        if "-v" in sys.argv:
            say("$ " + code + "\n" + output)
        missing = differs(shown, output)
        if status not in want or (failed and want == [0]):
            wrong("%s: exit status %d (%s): %s\n%s" % (block, status, "; ".join(failed), code, output))
        elif missing is not None:
            wrong("%s: %s\ndoes not answer: %s\nbut:\n%s" % (block, code, missing, output))
        self.ran += 1

    def with_ids(self, code):
        """Ids of messages that are there, in place of those that a page has."""
        for id in re.findall(ID, code):
            if id not in self.ids:
                self.ids[id] = next(there for there in self.relay.ids() if there not in self.ids.values())
            code = code.replace(id, self.ids[id])
        return code

    def install(self, block):
        """Over the settings and the queue of the relay that was there, and with what its port needs besides."""
        self.relay.end()
        self.relay = None
        program = "/usr/local/bin/gopherpost"
        shutil.move(self.world.root + program, self.world.root + REPOSITORY + "/gopherpost")
        said = self.world.inside("sh", "-c", "cd %s && ./install.sh --yes --binary ./gopherpost" % REPOSITORY)
        for line in block.code.splitlines():
            if line not in said:
                wrong("%s: install.sh does not say so, but:\n%s" % (block, said))
        self.world.inside("setcap", "cap_net_bind_service=+ep", program)

    def serve(self, block, code, user):
        # in this terminal; what follows on the page is typed in a second one, with the same environment
        self.shell(user).run(block, "env -0 > /tmp/environment")
        with open(self.world.root + "/tmp/environment") as file:
            environment = dict(line.split("=", 1) for line in file.read().split("\0") if line)
        shell = Shell(self.world, user, environment)
        shell._write("trap - ERR\n" + "set +m\n")
        self.world.write("/tmp/serve.sh", code)
        shell._write("trap 'echo ended $? >&%d; exit' INT; source /tmp/serve.sh; exit\n" % shell.descriptor)
        wait_for("%s answers at %s" % (block, block.rest), 900, lambda: shell.process.poll() is not None or answers(block.rest), 0.2)
        if shell.process.poll() is not None or not answers(block.rest):
            fail("%s: it ended:\n%s" % (block, shell._since(0)))
        self.served.append((block, shell))
        self.ran += 1

    def settings_of(self, block):
        self.world.write("/tmp/page.env", block.code)
        if block.kind == "shown":
            if not block.rest:
                fail("%s: why is it not checked?" % block)
            self.parsed.append(block)
            return
        environment = {"SMTP_ENV_FILE": "/tmp/page.env", "PATH": self.world.environment["PATH"]}
        checked = subprocess.run(["chroot", self.world.root, "gopherpost", "config", "check"], env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if checked.returncode or "no such" in checked.stdout or "not known" in checked.stdout:
            fail("%s: %s" % (block, checked.stdout))
        self.settings += 1

    def examples(self, block):
        """Examples of the commands' help: run with an id that is there, and matching something or nothing."""
        _, colon, behind = block.code.partition("\nExample")
        for line in behind.splitlines() if colon else []:
            if not line.startswith("  gopherpost "):
                continue
            code = line.strip()
            code = self.with_ids(code)
            if code.startswith("gopherpost queue watch"):
                code = "timeout 1 " + code + " || [ $? = 124 ]"
            user = "root" if re.search(r"> /|/usr/local", code) else "ann"
            status, output, _ = self.shell(user).run(block, code)
            if status not in (0, 3) and "import" not in code:
                wrong("%s: exit status %d: %s\n%s" % (block, status, code, output))
            self.ran += 1

    def end(self):
        for block, shell in self.served:
            if shell.process.poll() is not None:
                wrong("%s: it ended by itself:\n%s" % (block, shell._since(0)))
            else:
                os.killpg(shell.process.pid, signal.SIGINT)
                try:
                    shell.process.wait(60)
                except subprocess.TimeoutExpired:
                    fail("%s: Ctrl-C does not end it" % block)
                told = os.read(shell.reports, 4096).decode()
                if told != "ended 0\n":
                    wrong("%s: Ctrl-C: %r\n%s" % (block, told, shell._since(0)))
        for shell in self.shells.values():
            shell.kill()
        if self.relay:
            self.relay.end()


# Pages that need cargo; those without an installed relay; those that don't even find its program.
BUILDS = "README.md", "docs/quick-start.md"
BARE = *BUILDS, "docs/durability.md"
STRANGERS = "docs/quick-start.md",
# What the commands' help says, with examples.
HELP = "docs/commands.md"
BUILT = "/home/ann/target"
FLAGS = "--all", "--json", "--repair", "--yes", "--dry-run"


def amid_text(page):
    """Commands with arguments between two backquotes, outside of blocks."""
    with open(REPOSITORY + "/" + page) as file:
        text = re.sub(r"^\s*```.*?^\s*```", "", file.read(), flags=re.M | re.S)
    for words in map(str.split, re.findall(r"`([^`]+)`", text)):
        only_named = re.fullmatch("[a-z]+( [a-z]+)*", " ".join(words)) or (words[-1].startswith("--") and words[-1] not in FLAGS)
        if words[0] == "gopherpost" and not only_named or words[0] == "curl" and "/" in words[-1]:
            yield " ".join(words)


def run_amid_text(world, names):
    page = Page(world, "text", True, None)
    commands = {code: name for name in reversed(names) for code in amid_text(name)}
    for code, name in commands.items():
        block = Block(name, 0, "sh", None, code)
        id = next(iter(page.relay.ids()))
        typed = re.sub(r"\bID\b", id, code).replace("ADDRESS", "ann@example.org").replace("data/spool/control.sock", "/run/gopherpost/control.sock")
        if re.search(r" queue (retry|hold|release|purge|restore|bounce) ", typed):
            typed += " --yes"  # what a reader is asked
        if " watch" in typed:
            typed = "timeout 1 %s || [ $? = 124 ]" % typed
        status, output, _ = page.shell("ann").run(block, typed)
        if status not in (0, 3):
            wrong("%s: exit status %d: %s\n%s" % (name, status, typed, output))
        if "-v" in sys.argv:
            say("$ " + typed + "\n" + output)
    page.end()
    say("%-28s %3d run" % ("amid the text", len(commands)))
    return len(commands)


def main():
    names = [name for name in sys.argv[1:] if name != "-v"] or ["README.md"] + sorted("docs/" + name for name in os.listdir(REPOSITORY + "/docs") if name.endswith(".md"))
    alone()
    with Scratch():
        world, cargo, parsed, total = World(), None, [], 0
        for name in names:
            found = blocks(name)
            if name != HELP and not any(block.language in (*SHELLS, "env") for block in found):
                for block in found:
                    has_no_commands(block)
                continue
            began = time.monotonic()
            if name in BUILDS and cargo is None:
                cargo = world.cargo()
            page = Page(world, name, name not in BARE, cargo if name in BUILDS else None)
            for block in found:
                page.run(block)
            page.end()
            say("%-28s %3d run, %2d only parsed, %2d settings checked, %.0f s" % (name, page.ran, len(page.parsed), page.settings, time.monotonic() - began))
            parsed += page.parsed
            total += page.ran
        total += run_amid_text(world, names)
        if WRONG:
            fail("%d commands do not do what their page shows" % len(WRONG))
        say("%d commands run; only parsed:" % total)
        for block in parsed:
            say("  %s (%s): %s" % (block, block.kind, block.rest))


main()
