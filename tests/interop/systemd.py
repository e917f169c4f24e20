"""GopherPost installed on a machine with a systemd of its own (container.py): install.sh from the first time
to --purge, mail on its way at each step, and what the units promise. As root.

GOPHERPOST_TRIAL_ROOT names the root directory of a Debian with systemd, to save making one."""
import os, re, shutil, socket, ssl, time

import lab
from container import debian_root
from installed import SERVICE, Installed, Knocks, Port, arrives, send, step
from lab import BINARY, HERE, Client, Load, Remote, Scratch, fail, say, sh, wait_for

REPOSITORY = os.path.abspath(HERE + "/../..")
SOCKET, TLS_SOCKET = "gopherpost.socket", "gopherpost-smtps.socket"
UNITS = "/etc/systemd/system/"
ENV_FILE = "/etc/gopherpost/gopherpost.env"
SPOOL, OTHER_SPOOL = "/var/lib/gopherpost/spool", "/srv/mail/spool"
PROGRAM = "/usr/local/bin/gopherpost"
EXPOSURE_MAX = 1.5
# Whatever an operator may write; systemd, the relay and install.sh must read the same.
BANNER = r"""it's "ours" # $HOME, 100% \n {a}; b"""


class Machine(Installed):
    """Installed by install.sh."""

    def install(self, *options, **variables):
        said = self.run("./install.sh", "--yes", *options, **variables)
        say("\n".join("   " + line for line in said.splitlines()))
        return said

    def settings(self):
        with open(self.path(ENV_FILE)) as file:
            return file.read()

    def set(self, text):
        """Writes the file of settings as an operator with an editor does."""
        with open(self.path(ENV_FILE), "w") as file:
            file.write(text)

    def drop_in(self, text):
        """What the unit is to have besides; None: nothing any more."""
        directory = self.path(UNITS + SERVICE + ".d")
        if text is None:
            shutil.rmtree(directory)
        else:
            os.makedirs(directory, exist_ok=True)
            with open(directory + "/trial.conf", "w") as file:
                file.write("[Service]\n" + text)
        self.run("systemctl", "daemon-reload")


def greeting():
    """The first line, without its code."""
    with socket.create_connection(("127.0.0.1", Port.port), 20) as s:
        return s.makefile("r").readline().strip()[4:]


def refusals(m):
    step("what can't work is refused, and nothing is touched")
    for variables, words in [
        ({"SMTP_QUEUE_PATH": "spool"}, "SMTP_QUEUE_PATH=spool is relative"),
        ({"SMTP_QUEUE_PATH": "/home/mail/spool"}, "doesn't see /home"),
        ({"SMTP_QUEUE_PATH": "/usr"}, "belongs to the system"),
        ({"SMTP_LISTEN_ADDRESSES": "127.0.0.300"}, "SMTP_LISTEN_ADDRESSES=127.0.0.300"),
        ({"SMTP_BANNER": "two\nlines"}, "SMTP_BANNER: line ends"),
    ]:
        told = m.fails("./install.sh", "--yes", "--binary", "/root/gopherpost", **variables)
        if words not in told:
            fail("expected %r in:\n%s" % (words, told))
    for address, port, variable in [("127.0.0.1", 25, "SMTP_PORT"), ("127.0.0.1", 8080, "SMTP_HEALTH_ADDR")]:
        with socket.create_server((address, port)):
            told = m.fails("./install.sh", "--yes", "--binary", "/root/gopherpost")
        if "%s: port %d of %s is taken by " % (variable, port, address) not in told:
            fail("a taken port is not told:\n%s" % told)
    m.put("/root/ambiguous.env", "SMTP_BANNER=two words\n")
    told = m.fails("./install.sh", "--yes", "--binary", "/root/gopherpost", "--config", "ambiguous.env")
    if "ambiguous.env, line 1: SMTP_BANNER" not in told:
        fail("an ambiguous value is not told:\n%s" % told)
    told = m.fails("./install.sh", "--binary", "/root/gopherpost")
    if "nobody can be asked" not in told:
        fail(told)
    told = m.fails("./install.sh", "--yes")
    if "cargo is missing" not in told:
        fail(told)
    shown = m.run("./install.sh", "--yes", "--dry-run", "--binary", "/root/gopherpost")
    if "would write " + ENV_FILE not in shown or leftovers(m):
        fail("--dry-run:\n%s\n%s" % (shown, leftovers(m)))


def first_time(m, remote):
    step("install.sh on the fresh system")
    # Of another program; commands find the relay all the same.
    m.put("/root/.env", "DATABASE_URL=postgres://db/app\n")
    m.put("/root/values.env", "".join(line + "\n" for line in [
        "# as an operator would keep it",
        "SMTP_HOSTNAME=gp.test",
        "SMTP_REQUIRE_LOCAL_DOMAIN=false",
        "SMTP_RELAY_HOST=smtp://127.0.0.1:%d" % remote.port,
        "SMTP_RETRY_BASE=1s",
        "SMTP_RETRY_CAP=2s",
        "SMTP_AUTH_USERS_FILE=/etc/gopherpost/users",
        "SMTP_AUTH_INSECURE=true",
    ]))
    told = m.fails("./install.sh", "--yes", "--binary", "/root/gopherpost", "--config", "values.env")
    if "SMTP_AUTH_USERS" not in told or os.path.exists(m.path(PROGRAM)):
        fail("a file that is not there should stop it:\n" + told)
    os.mkdir(m.path("/etc/gopherpost"))
    m.put("/etc/gopherpost/users", "ann:one\n", 0o600)
    told = m.fails("./install.sh", "--yes", "--binary", "/root/gopherpost", "--config", "values.env")
    if "can't work for the user gopherpost" not in told or os.path.exists(m.path(PROGRAM)):
        fail("a file that only root can read should stop it:\n" + told)
    os.chmod(m.path("/etc/gopherpost/users"), 0o640)
    m.run("chgrp", "gopherpost", "/etc/gopherpost/users")
    said = m.install("--binary", "/root/gopherpost", "--config", "values.env", SMTP_BANNER=BANNER)
    for command in ["journalctl -u gopherpost -f", "gopherpost queue list", "gopherpost explain ADDRESS"]:
        if command not in said:
            fail("not told: " + command)
    if m.run("stat", "-c", "%a %U:%G", ENV_FILE).strip() != "640 root:gopherpost":
        fail("the settings can be read by others: " + m.run("ls", "-l", ENV_FILE))
    if m.show("ReadWritePaths") != SPOOL:
        fail("ReadWritePaths: " + m.show("ReadWritePaths"))
    if m.run("systemctl", "is-enabled", SERVICE).strip() != "enabled":
        fail("it would not start with the machine")
    if greeting() != "gp.test " + BANNER:
        fail("systemd reads another value: " + greeting())
    # The same file, read by the program itself, from anywhere.
    told = m.run("gopherpost", "config", "check")
    if " = %s  (" % BANNER not in told:
        fail("the program reads another value:\n" + told)
    for path in ["man/man1/gopherpost-queue-list.1", "bash-completion/completions/gopherpost", "zsh/site-functions/_gopherpost"]:
        if not os.path.getsize(m.path("/usr/local/share/" + path)):
            fail("empty: " + path)

    told = m.run("systemd-analyze", "verify", "--man=no", UNITS + SERVICE)
    if told:
        fail("systemd finds fault with the unit:\n" + told)

    step("install.sh again changes nothing")
    files = [ENV_FILE, PROGRAM, UNITS + SERVICE]
    before = m.run("stat", "-c", "%n %Y %i", *files)
    m.install("--binary", "/root/gopherpost")
    if before != m.run("stat", "-c", "%n %Y %i", *files):
        fail("it was not left as it was")
    settings = m.settings()
    m.set(settings.replace("SMTP_ALLOW_NETWORKS=", "SMTP_ALLOW_HOSTS=localhost\n#SMTP_ALLOW_NETWORKS="))
    changed = m.settings()
    m.install("--binary", "/root/gopherpost")
    if m.settings() != changed:
        fail("what an operator took out has come back:\n" + m.settings())
    m.set(settings)


def builds(m):
    step("install.sh builds in a clone, as its owner")
    m.run("useradd", "--create-home", "ann")
    m.run("cp", "-r", "/root/install.sh", "/root/packaging", "/home/ann/")
    os.makedirs(m.path("/home/ann/.cargo/bin"))
    # Who is there and where: that is all it must know of cargo.
    m.put("/home/ann/.cargo/bin/cargo", """#!/bin/sh
echo "built by $(id -un) in $(pwd): $*"
mkdir -p target/release && cp /opt/gopherpost target/release/
""", 0o755)
    m.put("/home/ann/.profile", "PATH=$HOME/.cargo/bin:$PATH\n")
    m.run("chown", "-R", "ann:", "/home/ann")
    m.run("cp", "/root/gopherpost", "/opt/gopherpost")
    m.put("/usr/local/bin/cc", "#!/bin/sh\n", 0o755)
    shown = m.run("/home/ann/install.sh", "--yes", "--dry-run")
    said = m.run("/home/ann/install.sh", "--yes")
    if "built by ann in /home/ann: build --release --locked" not in said or "built by" in shown:
        fail("not built as it should be:\n%s\n%s" % (shown, said))
    if m.run("find", "/home/ann", "-user", "root").strip():
        fail("the clone has files of root's:\n" + m.run("find", "/home/ann", "-user", "root"))
    m.run("userdel", "--remove", "ann")
    m.run("rm", "/usr/local/bin/cc", "/opt/gopherpost")


def asks(m):
    step("install.sh asks, and asks again")
    settings = m.run("cat", ENV_FILE)
    password = "it's #1"
    # What is there already is the answer that is ready; the name of the port is no port.
    wrong = ["", "smtp", "", "", "-", "", "ann", password, "", "", "3"]
    right = ["", "25", "", "", "", "", "", "", "", "", "3"]
    said = m.run("./install.sh", "--binary", "/root/gopherpost", "--no-start", typed="\n".join(wrong + right) + "\n")
    if "problem: SMTP_PORT=smtp: expected" not in said or "Once more:" not in said:
        fail("a wrong answer is not told:\n" + said)
    if password in said:
        fail("the password was shown:\n" + said)
    added = ["SMTP_RELAY_USER=ann", "SMTP_RELAY_PASSWORD='it'\"'\"'s #1'"]
    want = settings.replace("SMTP_RETENTION_DAYS=7", "SMTP_RETENTION_DAYS=3") + "".join(line + "\n" for line in added)
    if m.run("cat", ENV_FILE) != want:
        fail("the settings are not as answered:\n%s\nexpected:\n%s" % (m.run("cat", ENV_FILE), want))
    # Without the user there is no password either.
    m.run("./install.sh", "--binary", "/root/gopherpost", typed="\n".join(["", "", "", "", "", "", "-", "", "", "7"]) + "\n")
    want = settings + "SMTP_RELAY_USER=\nSMTP_RELAY_PASSWORD=\n"
    if m.run("cat", ENV_FILE) != want:
        fail("the settings are not as answered:\n%s\nexpected:\n%s" % (m.run("cat", ENV_FILE), want))


def mail_flows(remote):
    step("mail flows")
    remote.kept = {}
    names = send("flow", 20, 100_000)
    arrives(remote, names, "mail flows")
    for name in names:
        sent = lab.message(name, 100_000)[: -len(b".\r\n")]
        if not remote.kept[name].endswith(b"\r\n" + sent):
            fail("%s did not come as it was sent" % name)
    remote.kept = None


def sandboxed(m):
    step("the sandbox")
    for name, value in [("NoNewPrivileges", "yes"), ("ProtectSystem", "strict"), ("PrivateDevices", "yes"),
                        ("MemoryDenyWriteExecute", "yes"), ("User", "gopherpost"), ("Type", "notify")]:
        if m.show(name) != value:
            fail("%s is %s" % (name, m.show(name)))
    with open("/proc/%d/status" % m.host_pid(m.main_pid())) as file:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    want = {"Seccomp": "2", "NoNewPrivs": "1", "CapEff": "0000000000000400", "CapBnd": "0000000000000400"}
    if {name: status[name] for name in want} != want:
        fail("the process is not confined: %s" % {name: status[name] for name in want})
    told = m.run("cat", "/proc/%d/mountinfo" % m.main_pid())
    options = {line.split()[4]: line.split()[5] for line in told.splitlines()}
    if not options["/"].startswith("ro") or not options[SPOOL].startswith("rw"):
        fail("it could write elsewhere:\n" + told)
    for unit in ["--offline=true", "/root/packaging/systemd/" + SERVICE], [SERVICE]:
        told = m.run("systemd-analyze", "security", "--no-pager", *unit).strip().splitlines()[-1]
        say("  ", told)
        exposure = float(re.search(r": ([0-9.]+) ", told).group(1))
        if exposure > EXPOSURE_MAX:
            fail("the exposure is above %s" % EXPOSURE_MAX)


def restarts_under_load(m, remote):
    step("restarts under load lose nothing")
    load = Load(Port, 8, "restart", [2048, 50_000])
    for _ in range(3):
        taken = len(load.acknowledged)
        wait_for("the load is on", 30, lambda: len(load.acknowledged) > taken + 50)
        m.restart()
    load.stop()
    arrives(remote, load.acknowledged, "restarts")
    say("   %d acknowledged, all arrived; %d twice" % (len(load.acknowledged), remote.duplicates()))
    if remote.duplicates():
        fail("an orderly restart brings no duplicates")


def restarts_with_socket(m, remote):
    step("with the socket unit a restart refuses no connection")
    m.install("--binary", "/root/gopherpost", "--socket", "--no-start")
    if m.run("systemctl", "is-active", SOCKET, check=False).strip() != "inactive":
        fail("--no-start started something")
    m.install("--binary", "/root/gopherpost")
    if m.run("systemctl", "is-active", SOCKET).strip() != "active":
        fail("the socket unit is not active")
    knocks = Knocks(8)
    for _ in range(3):
        came = knocks.came
        wait_for("clients come", 30, lambda: knocks.came > came + 50)
        m.restart()
    knocks.stop()
    say("   %d connections, %d refused" % (knocks.came, len(knocks.refused)))
    if knocks.refused:
        fail("refused: %s" % knocks.refused[0])
    arrives(remote, knocks.acknowledged, "with the socket unit")


def serves_tls_on_a_socket(m, remote):
    step("a second socket unit, for TLS")
    sh("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
       "-subj", "/CN=gp.test", "-keyout", m.path("/etc/gopherpost/tls.key"), "-out", m.path("/etc/gopherpost/tls.crt"))
    m.run("chgrp", "gopherpost", "/etc/gopherpost/tls.key", "/etc/gopherpost/tls.crt")
    m.run("chmod", "640", "/etc/gopherpost/tls.key", "/etc/gopherpost/tls.crt")
    m.install("--binary", "/root/gopherpost", SMTP_TLS_PORT="465", SMTP_TLS_CERT="/etc/gopherpost/tls.crt",
              SMTP_TLS_KEY="/etc/gopherpost/tls.key")
    for unit in SOCKET, TLS_SOCKET:
        if m.run("systemctl", "is-active", unit).strip() != "active":
            fail(unit + " is not active")
    trust = ssl.create_default_context(cafile=m.path("/etc/gopherpost/tls.crt"))
    trust.check_hostname = False

    class TlsClient(Client):
        def __init__(self):
            self.socket = trust.wrap_socket(socket.create_connection(("127.0.0.1", 465), 60))
            self.file = self.socket.makefile("rb")
            self.reply()
            self.command("EHLO client.test")

    knocks = Knocks(4, TlsClient)
    for _ in range(2):
        came = knocks.came
        wait_for("clients come", 30, lambda: knocks.came > came + 20)
        m.restart()
    knocks.stop()
    say("   %d connections with TLS, %d refused" % (knocks.came, len(knocks.refused)))
    if knocks.refused or "is not used" in m.journal():
        fail("refused: %s\n%s" % (knocks.refused[:1], m.journal()[-2000:]))
    arrives(remote, knocks.acknowledged, "with the socket unit for TLS")


def stays_away(m):
    step("stopped together with its sockets it stays away")
    stop = "systemctl stop gopherpost.socket gopherpost-smtps.socket gopherpost.service"
    with open(REPOSITORY + "/docs/install.md") as file:
        if stop not in file.read():
            fail("docs/install.md no longer says so")
    m.run(*stop.split())
    for port in 25, 465:
        try:
            socket.create_connection(("127.0.0.1", port), 10).close()
        except ConnectionRefusedError:
            continue
        fail("somebody listens on port %d" % port)
    m.run("systemctl", "start", SOCKET, TLS_SOCKET, SERVICE)


def waits_for_better_settings(m, remote):
    step("with settings that can't work it is tried again and again, and clients wait")
    settings = m.settings()
    m.drop_in("RestartSec=100ms\n")
    m.set(settings.replace("SMTP_TLS_KEY=/etc/gopherpost/tls.key", "SMTP_TLS_KEY=/etc/gopherpost/later.key"))
    m.fails("systemctl", "restart", SERVICE)
    # systemd on its own gives up after five.
    wait_for("it is tried often", 30, lambda: int(m.show("NRestarts")) > 7, 0.2)
    status = ["systemctl", "status", "--no-pager", "--full", SERVICE]
    wait_for("systemctl status says why", 30, lambda: "SMTP_TLS_KEY=/etc/gopherpost/later.key" in m.run(*status, check=False))
    with socket.create_connection(("127.0.0.1", Port.port), 60) as early:
        m.run("cp", "-p", "/etc/gopherpost/tls.key", "/etc/gopherpost/later.key")
        if not early.recv(1000).startswith(b"220 "):
            fail("who waited was not served")
    m.set(settings)
    m.drop_in(None)
    m.restart()


def watchdog(m, remote):
    step("the watchdog restarts a process that was stopped with SIGSTOP")
    if m.show("WatchdogUSec") != "3min":
        fail("WatchdogSec is " + m.show("WatchdogUSec"))
    m.drop_in("WatchdogSec=3s\nTimeoutStopSec=4s\n")
    m.restart()
    stopped, restarts = m.main_pid(), int(m.show("NRestarts"))
    names = send("before", 5)
    m.run("sh", "-c", "kill -STOP %d" % stopped)
    wait_for("another process runs", 60, lambda: m.main_pid() not in (0, stopped), 0.2)
    wait_for("it is up", 60, lambda: m.show("ActiveState") == "active", 0.2)
    if int(m.show("NRestarts")) != restarts + 1 or "watchdog" not in m.journal().lower():
        fail("that was not the watchdog:\n" + m.journal()[-2000:])
    # It holds still while nothing is wrong with it.
    running = m.main_pid()
    time.sleep(8)
    if m.main_pid() != running:
        fail("the watchdog took an idle relay for dead:\n" + m.journal()[-2000:])
    arrives(remote, names | send("watchdog", 5), "after the watchdog")

    step("a transaction may end within SMTP_SHUTDOWN_GRACE, which is longer than TimeoutStopSec and WatchdogSec")
    client = Client(Port.port)
    for line in "MAIL FROM:<s@gp.test>", "RCPT TO:<r@dest.test>", "DATA":
        client.command(line)
    m.run("systemctl", "stop", "--no-block", SERVICE)
    wait_for("it is stopping", 20, lambda: m.show("ActiveState") == "deactivating", 0.1)
    time.sleep(8)
    client.socket.sendall(lab.message("patience", 2048))
    if client.reply()[0] != 250:
        fail("the transaction was refused")
    wait_for("it has stopped", 30, lambda: m.show("ActiveState") != "deactivating", 0.1)
    if m.show("Result") != "success":
        fail("the stop was cut off: %s\n%s" % (m.show("Result"), m.journal()[-2000:]))
    m.drop_in(None)
    m.restart()
    arrives(remote, {"patience"}, "that ended while the relay stopped")


def logs_in(user, password):
    import smtplib

    client = smtplib.SMTP("127.0.0.1", 25, timeout=10)
    try:
        client.login(user, password)
        return True
    except smtplib.SMTPAuthenticationError:
        return False
    finally:
        client.close()


def reloads(m):
    step("reload")
    running = m.main_pid()
    if not logs_in("ann", "one") or logs_in("ben", "two"):
        fail("users before the reload")
    m.put("/etc/gopherpost/users", "ann:one\nben:two\n", 0o640)
    m.run("systemctl", "reload", SERVICE)
    if not logs_in("ben", "two"):
        fail("reload did not take the file up:\n" + m.journal()[-2000:])
    m.put("/etc/gopherpost/users", "ann\n", 0o640)
    m.fails("systemctl", "reload", SERVICE)
    said = m.journal().rsplit("Reloading", 1)[1]
    if "SMTP_AUTH_USERS" not in said or "expected user:password" not in said:
        fail("the journal does not say why:\n" + said)
    if not logs_in("ben", "two") or m.main_pid() != running or m.show("ActiveState") != "active":
        fail("a refused reload changed something")
    m.put("/etc/gopherpost/users", "ann:one\n", 0o640)
    m.run("systemctl", "reload", SERVICE)

    # The settings themselves, which systemd has read as well.
    settings = m.settings()
    changed = re.sub("(?m)^SMTP_BANNER=.*", "SMTP_BANNER=changed", settings)
    m.set(changed.replace("SMTP_PORT=25\n", "SMTP_PORT=26\n"))
    told = m.run("gopherpost", "reload")
    if greeting() != "gp.test changed" or not re.search("SMTP_BANNER: in force now", told) or not re.search("SMTP_PORT: .*restart", told):
        fail("settings were not taken up: %s\n%s" % (greeting(), told))
    m.set(settings.replace("SMTP_RETRY_CAP=2s", "SMTP_RETRY_CAP=never"))
    if "SMTP_RETRY_CAP=never" not in m.fails("gopherpost", "reload") or greeting() != "gp.test changed":
        fail("a refused reload changed something")
    m.set(settings)
    m.run("systemctl", "reload", SERVICE)
    if greeting() != "gp.test " + BANNER or m.main_pid() != running:
        fail("settings did not come back: " + greeting())


def takes_credentials(m):
    step("a secret that only root can read, by LoadCredential")
    settings = m.settings()
    m.set(settings.replace("SMTP_AUTH_USERS_FILE=", "#SMTP_AUTH_USERS_FILE="))
    m.put("/etc/gopherpost/secret-users", "eve:three\n", 0o600)
    m.drop_in("LoadCredential=users:/etc/gopherpost/secret-users\nEnvironment=SMTP_AUTH_USERS_FILE=%d/users\n")
    m.restart()
    if not logs_in("eve", "three") or logs_in("ann", "one"):
        fail("it did not read the credential:\n" + m.journal()[-2000:])
    # An upgrade sees the secret also while nothing runs, and says what is wrong with it.
    m.install("--binary", "/root/gopherpost")
    m.put("/etc/gopherpost/secret-users", "eve\n", 0o600)
    m.run("systemctl", "stop", SOCKET, TLS_SOCKET, SERVICE)
    told = m.fails("./install.sh", "--yes", "--binary", "/root/gopherpost")
    if "SMTP_AUTH_USERS" not in told or "expected user:password" not in told:
        fail("what is wrong with the credential is not told:\n" + told)
    m.put("/etc/gopherpost/secret-users", "eve:four\n", 0o600)
    m.install("--binary", "/root/gopherpost")
    if not logs_in("eve", "four") or m.run("find", "/run", "/tmp", "-name", "gopherpost-secrets*").strip():
        fail("the credential of after the upgrade, or a copy of it is left")
    m.drop_in(None)
    m.set(settings)
    m.run("rm", "/etc/gopherpost/secret-users")
    m.restart()


def tells_status(m, remote):
    step("systemctl status tells what waits")
    remote.down = True
    names = send("waits", 23)
    wait_for("the status says 23", 60, lambda: re.search(r"\b23\b", m.show("StatusText")), 0.5)
    say("   Status:", m.show("StatusText"))
    if m.show("StatusText") not in m.run("systemctl", "status", "--no-pager", "--full", SERVICE):
        fail("systemctl status does not show it")
    return names


def upgrades(m):
    step("an upgrade keeps configuration and queue")
    waiting = m.queued()
    if len(waiting) != 23:
        fail("%d wait before the upgrade" % len(waiting))
    settings = m.run("cat", ENV_FILE)
    with open(m.path("/root/gopherpost"), "rb") as file:
        program = file.read()
    with open(m.path("/root/newer"), "wb") as file:
        file.write(program + b"another build")
    os.chmod(m.path("/root/newer"), 0o755)
    said = m.install("--binary", "/root/newer")
    if "--back" not in said:
        fail("the way back is not told")
    m.run("cmp", "/root/newer", PROGRAM)
    if m.run("cat", ENV_FILE) != settings or m.queued() != waiting:
        fail("something changed")

    step("an upgrade that does not start has a way back")
    m.put("/root/broken", '#!/bin/sh\n[ "$1" != serve ] || { echo "no such luck"; exit 1; }\nexec /root/gopherpost "$@"\n', 0o755)
    os.chmod(m.path("/root"), 0o711)
    told = m.fails("./install.sh", "--yes", "--binary", "/root/broken")
    if "no such luck" not in told or "install.sh --back" not in told:
        fail("what to do is not told:\n" + told)
    say("\n".join("   " + line for line in m.run("./install.sh", "--back").splitlines()))
    m.run("cmp", "/root/newer", PROGRAM)
    if m.run("cat", ENV_FILE) != settings or m.queued() != waiting:
        fail("something changed on the way back")
    # What `config check` refuses never gets as far as that.
    running = m.main_pid()
    told = m.fails("./install.sh", "--yes", "--binary", "/root/gopherpost", SMTP_RETRY_CAP="1ms")
    if "SMTP_RETRY_CAP" not in told or m.main_pid() != running:
        fail("a refused upgrade touched what runs:\n" + told)
    return waiting


def goes_and_comes_back(m, remote, waiting, names):
    step("uninstall leaves the queue")
    say("\n".join("   " + line for line in m.run("./install.sh", "--uninstall").splitlines()))
    if os.path.exists(m.path(PROGRAM)) or m.show("LoadState") != "not-found" or m.show("LoadState", SOCKET) != "not-found":
        fail("program or units are still there")
    m.run("cp", "/root/gopherpost", "/usr/bin/gopherpost")
    if m.queued() != waiting:
        fail("the queue changed")
    m.run("rm", "/usr/bin/gopherpost")

    step("installed again, it delivers it")
    remote.down = False
    m.install("--binary", "/root/gopherpost", "--socket")
    arrives(remote, names, "after uninstall")


def migrates(m, remote):
    step("an upgrade brings a queue of schema 1, at another place, to today's and delivers it")
    m.run("./install.sh", "--uninstall")
    m.copy(HERE + "/../assets/schema-1/spool.tar.gz", "/root/spool.tar.gz")
    m.run("mkdir", "/srv/mail")
    m.run("tar", "-xzf", "spool.tar.gz", "-C", "/srv/mail")
    options = ["--binary", "/root/gopherpost"]
    told = m.fails("./install.sh", "--yes", *options, SMTP_QUEUE_PATH=OTHER_SPOOL)
    if "would be left behind" not in told or "belongs to root" not in told:
        fail("that there are two queues is not told:\n" + told)
    m.run("rm", "-r", SPOOL)
    m.run("chown", "-R", "gopherpost:", OTHER_SPOOL)
    before = remote.transactions
    said = m.install(*options, SMTP_QUEUE_PATH=OTHER_SPOOL)
    if "the queue was migrated from schema 1 to " not in said or m.show("ReadWritePaths") != OTHER_SPOOL:
        fail("the migration is not told, or the unit has " + m.show("ReadWritePaths"))
    wait_for("its three messages arrive", 60, lambda: remote.transactions == before + 3, 0.1)


def leftovers(m):
    found = m.run("find", "/", "-xdev", "-name", "*gopherpost*", "-not", "-path", "/root/*", "-not", "-path", "/proc/*")
    accounts = m.run("sh", "-c", "getent passwd gopherpost; getent group gopherpost; true")
    return (found + accounts).strip()


def purged(m):
    step("--uninstall --purge leaves nothing")
    if "give --yes" not in m.fails("./install.sh", "--uninstall", "--purge"):
        fail("--purge must not happen by mistake")
    m.run("./install.sh", "--uninstall", "--purge", "--yes")
    if leftovers(m) or m.run("find", "/srv/mail", "-mindepth", "1"):
        fail("left over:\n" + leftovers(m))
    if m.run("systemctl", "--failed", "--no-legend").strip():
        fail("failed units:\n" + m.run("systemctl", "--failed"))


def main():
    lab.need_root()
    with Scratch() as scratch:
        step("a Debian root")
        debian_root(scratch + "/root")
        step("it boots")
        with Machine(scratch + "/root", scratch + "/nspawn.log") as m:
            m.copy(REPOSITORY + "/install.sh", "/root/install.sh")
            m.copy(REPOSITORY + "/packaging", "/root/packaging")
            m.copy(BINARY, "/root/gopherpost")
            m.enter_network()
            remote = Remote()
            try:
                refusals(m)
                first_time(m, remote)
                asks(m)
                builds(m)
                mail_flows(remote)
                sandboxed(m)
                restarts_under_load(m, remote)
                restarts_with_socket(m, remote)
                serves_tls_on_a_socket(m, remote)
                stays_away(m)
                waits_for_better_settings(m, remote)
                watchdog(m, remote)
                reloads(m)
                takes_credentials(m)
                names = tells_status(m, remote)
                waiting = upgrades(m)
                goes_and_comes_back(m, remote, waiting, names)
                migrates(m, remote)
                purged(m)
            except BaseException:
                say("--- the end of its journal:\n" + m.ran("journalctl", "-u", "gopherpost", "-n", "25", "--no-pager", "-o", "cat")[1])
                raise
    step("all well")


if __name__ == "__main__":
    main()
