"""The packages on a machine with a systemd of its own (container.py): installed, upgraded with mail in the queue,
removed, purged; first of all in a root where no systemd runs. The RPM as well, by rpm in the same root. As root.

GOPHERPOST_TRIAL_ROOT names the root directory of a Debian with systemd, to save making one."""
import glob, hashlib, os, re, shutil

import lab
from container import debian_root
from installed import SERVICE, Installed, Knocks, Port, arrives, send, step
from lab import BINARY, HERE, Client, Load, Remote, Scratch, fail, say, sh, wait_for

REPOSITORY = os.path.abspath(HERE + "/../..")
MADE = REPOSITORY + "/target/packages"
SOCKETS = ["gopherpost.socket", "gopherpost-smtps.socket"]
OLD_QUEUE = REPOSITORY + "/tests/assets/schema-1/spool.tar.gz"  # its README says what is in there
ENV_FILE = "/etc/gopherpost/gopherpost.env"
STATE = "/var/lib/gopherpost"
# Also over a connection that was kept, unlike `Remote.down`.
LATER = {b"r@dest.test": b"451 4.3.2 later\r\n"}
# What changes on any machine, or remembers which packages there ever were.
IN_MOTION = ("/proc", "/sys", "/dev", "/run", "/tmp", "/root", "/var/log", "/var/cache", "/var/lib/apt", "/var/lib/dpkg",
             "/var/lib/rpm", "/var/lib/systemd", "/var/tmp", "/etc/.pwd.lock")
MODES = ["750 root:gopherpost /etc/gopherpost", "640 root:gopherpost " + ENV_FILE, "700 gopherpost:gopherpost " + STATE]
# Directories that a package of those systems has.
OF_FILESYSTEM = ["/usr/share/licenses", "/usr/share/fish", "/usr/share/fish/vendor_completions.d", "/usr/share/zsh/site-functions"]
Port.port = 2525


class Machine(Installed):
    """Installed by a package."""

    def apt(self, *words):
        return self.run("apt-get", "--quiet", "--yes", "--no-install-recommends", *words,
                        DEBIAN_FRONTEND="noninteractive")

    def configure(self, remote):
        """As an administrator would; keeps mode and owner."""
        with open(self.path(ENV_FILE), "a") as file:
            file.write("# ours\nSMTP_HOSTNAME=gp.test\nSMTP_RELAY_HOST=smtp://127.0.0.1:%d\n"
                       "SMTP_RETRY_BASE=1s\nSMTP_RETRY_CAP=2s\n" % remote.port)
        self.run("systemctl", "restart", SERVICE)


def things(root):
    """Every path in there with what it is and whose, but for what is in motion."""
    found = {}
    for directory, names, files in os.walk(root):
        inside = directory[len(root):]
        names[:] = [name for name in names if inside + "/" + name not in IN_MOTION]
        for name in names + files:
            path = inside + "/" + name
            if path in IN_MOTION:
                continue
            status = os.lstat(root + path)
            # Lists of accounts are compared by what they say; nobody promises their bytes.
            found[path] = (oct(status.st_mode), status.st_uid, status.st_gid)
    for name in ("passwd", "group", "shadow", "gshadow"):
        with open(root + "/etc/" + name) as file:
            for line in file:
                found["%s of %s" % (name, line.split(":")[0])] = True
    return found


def nothing_left(before, root, allowed=()):
    """Compares with what was there before. Backups of the lists of accounts are the system's."""
    after = things(root)
    backups = {"/etc/%s-" % name for name in ("passwd", "group", "shadow", "gshadow", "subuid", "subgid")}
    differ = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)} - backups - set(allowed)
    if differ:
        fail("left over or changed: %s" % ", ".join(
            "%s %s -> %s" % (path, before.get(path), after.get(path)) for path in sorted(differ)[:20]))


def made(scratch):
    """The packages, and an older .deb whose program and settings file differ."""
    step("the packages are made")
    for old in glob.glob(MADE + "/*.deb") + glob.glob(MADE + "/*.rpm"):
        os.remove(old)
    say("   " + sh(REPOSITORY + "/packaging/make-packages", "--tools", "--no-build").strip().replace("\n", "\n   "))
    [deb], [rpm] = glob.glob(MADE + "/*.deb"), glob.glob(MADE + "/*.rpm")
    say("   %.1f MB and %.1f MB" % (os.path.getsize(deb) / 1e6, os.path.getsize(rpm) / 1e6))

    older, tree = scratch + "/older.deb", scratch + "/older"
    sh("dpkg-deb", "--raw-extract", deb, tree)
    edit(tree + "/DEBIAN/control", lambda text: re.sub(r"^Version: .*", "Version: 0.0.9-1", text, flags=re.M))
    edit(tree + ENV_FILE, lambda text: "# An older version's.\n" + text)
    with open(tree + "/usr/bin/gopherpost", "ab") as file:
        file.write(b"another build")
    sh("dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", tree, older)
    shutil.rmtree(tree)
    return deb, older, rpm


def edit(path, change):
    with open(path) as file:
        text = file.read()
    with open(path, "w") as file:
        file.write(change(text))


def checked(deb):
    step("lintian")
    say("   " + (sh("lintian", "--allow-root", "--fail-on", "error,warning", deb).strip() or "nothing to say"))
    fields = dict(line.split(": ", 1) for line in sh("dpkg-deb", "--field", deb).splitlines() if re.match(r"\w.*: ", line))
    if "libc6" not in fields["Depends"] or "Conflicts" in fields:
        fail("control fields: %s" % fields)


def without_systemd(root, deb):
    step("installed and purged in a root where no systemd runs")
    before = things(root)
    shutil.copy(deb, root + "/root/new.deb")
    policy = root + "/usr/sbin/policy-rc.d"
    with open(policy, "w") as file:
        file.write("#!/bin/sh\nexit 101\n")
    os.chmod(policy, 0o755)
    apt = ["chroot", root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet", "--yes"]
    sh(*apt, "--no-install-recommends", "install", "/root/new.deb")
    listed = sh("chroot", root, "stat", "-c", "%a %U:%G %n", "/etc/gopherpost", ENV_FILE, STATE).split("\n")
    if listed[:3] != MODES:
        fail("modes and owners: %s" % listed)
    told = sh("chroot", root, "env", "SMTP_ENV_FILE=" + ENV_FILE, "gopherpost", "config", "check")
    if "2525" not in told:
        fail("config check:\n" + told)
    if not os.path.islink(root + "/etc/systemd/system/multi-user.target.wants/" + SERVICE):
        fail("it would not start when that root boots")
    sh(*apt, "purge", "gopherpost")
    os.remove(policy)
    nothing_left(before, root)


def first_time(m, older):
    step("installed")
    shutil.copy(older, m.path("/root/older.deb"))
    m.apt("install", "/root/older.deb")
    if m.show("ActiveState") != "active" or m.run("systemctl", "is-enabled", SERVICE).strip() != "enabled":
        fail("it does not run:\n" + m.run("systemctl", "status", "--no-pager", SERVICE, check=False))
    told = m.ran("systemctl", "is-enabled", *SOCKETS)[1].split()
    if told != ["disabled", "disabled"]:
        fail("the socket units are for the administrator to enable, but they are %s" % told)
    if m.run("stat", "-c", "%a %U:%G", ENV_FILE).strip() != "640 root:gopherpost":
        fail("the settings can be read by others: " + m.run("ls", "-l", ENV_FILE))
    # Nothing but loopback, and nobody relays without having been let in.
    with open("/proc/%d/net/tcp" % m.leader) as ipv4, open("/proc/%d/net/tcp6" % m.leader) as ipv6:
        listening = {line.split()[1] for line in list(ipv4)[1:] + list(ipv6)[1:] if line.split()[3] == "0A"}
    loopback = ("0100007F:", "00000000000000000000000001000000:")
    if not listening or any(not address.startswith(loopback) for address in listening):
        fail("it listens on %s" % listening)
    reply = Client(Port.port).send("open-relay", sender="s@elsewhere.test")
    if reply[0] < 500:
        fail("mail of any domain is taken: %s" % (reply,))
    pages = m.path("/usr/share/doc/gopherpost/html/")
    for page in glob.glob(pages + "*.html"):
        with open(page) as file:
            links = re.findall(r' (?:href|src)="([^"#:]+)[^":]*"', file.read())
        broken = [link for link in links if not os.path.exists(pages + link)]
        if broken or not links:
            fail("links in %s lead nowhere: %s" % (page, broken))
    for path in ["/usr/share/man/man1/gopherpost-queue-list.1.gz", "/usr/share/bash-completion/completions/gopherpost"]:
        if not os.path.getsize(m.path(path)):
            fail("empty: " + path)


def upgrades(m, remote, deb):
    step("upgraded, with mail in the queue and under load")
    m.configure(remote)
    settings = m.run("cat", ENV_FILE)
    remote.refuses = LATER
    names = send("waits", 10)
    waiting = m.queued()
    if len(waiting) != 10:
        fail("%d wait before the upgrade" % len(waiting))
    shutil.copy(deb, m.path("/root/new.deb"))
    running = m.show("MainPID")
    load = Load(Port, 4, "upgrade", [2048, 50_000])
    wait_for("the load is on", 30, lambda: len(load.acknowledged) > 20)
    m.apt("--option=DPkg::Options::=--force-confold", "install", "/root/new.deb")
    wait_for("the new version takes mail", 30, lambda: m.show("MainPID") not in ("0", running))
    taken = len(load.acknowledged)
    wait_for("mail goes on", 30, lambda: len(load.acknowledged) > taken + 20)
    load.stop()
    if m.run("cat", ENV_FILE) != settings:
        fail("the administrator's settings were changed")
    if m.run("stat", "-c", "%a %U:%G", ENV_FILE).strip() != "640 root:gopherpost":
        fail("owner and mode of the settings were changed")
    if not os.path.exists(m.path(ENV_FILE + ".dpkg-dist")):
        fail("the new version's settings are nowhere to be seen")
    if not set(waiting) <= set(m.queued()):
        fail("what waited is gone")
    remote.refuses = {}
    arrives(remote, names | load.acknowledged, "after the upgrade")
    say("   %d acknowledged meanwhile, all arrived; %d twice" % (len(load.acknowledged), remote.duplicates()))
    if remote.duplicates():
        fail("an orderly restart brings no duplicates")


def takes_an_old_queue_over(m, remote):
    step("upgraded over a queue of schema 1")
    m.run("systemctl", "stop", SERVICE)
    spool = STATE + "/spool"
    m.copy(OLD_QUEUE, "/root/spool.tar.gz")
    m.run("rm", "-r", spool)
    m.run("tar", "--directory", STATE, "--extract", "--no-same-owner", "--file", "/root/spool.tar.gz")
    m.run("chown", "--recursive", "gopherpost:", spool)
    before, came = m.run("cat", spool + "/schema").strip(), remote.transactions
    m.apt("--reinstall", "install", "/root/new.deb")
    wait_for("its three messages arrive", 30, lambda: remote.transactions == came + 3, 0.1)
    wait_for("nothing waits", 30, lambda: not m.queued(), 0.2)
    after = m.run("cat", spool + "/schema").strip()
    say("   schema %s, then %s" % (before, after))
    if before != "1" or int(after) <= 1:
        fail("the queue was not taken over")


def upgrades_behind_the_socket(m, remote):
    step("upgraded with the socket unit: no connection is refused")
    m.run("systemd-analyze", "verify", "--man=no", *("/usr/lib/systemd/system/" + unit for unit in [SERVICE, *SOCKETS]))
    m.run("systemctl", "stop", SERVICE)
    m.run("systemctl", "enable", "--now", SOCKETS[0])
    knocks = Knocks(4, lambda: Client(25, 60))  # as the unit has it; the first of them starts the service
    wait_for("clients come", 30, lambda: len(knocks.acknowledged) > 20)
    running = m.main_pid()
    m.apt("--reinstall", "install", "/root/new.deb")
    wait_for("the new version runs", 30, lambda: m.main_pid() not in (0, running))
    came = len(knocks.acknowledged)
    wait_for("clients still come", 30, lambda: len(knocks.acknowledged) > came + 20)
    knocks.stop()
    say("   %d connections, %d refused" % (knocks.came, len(knocks.refused)))
    if knocks.refused:
        fail("refused: %s" % knocks.refused[0])
    arrives(remote, knocks.acknowledged, "behind the socket")
    if m.run("systemctl", "is-enabled", SOCKETS[0]).strip() != "enabled":
        fail("the socket unit did not stay enabled")
    m.run("systemctl", "disable", "--now", SOCKETS[0])
    m.run("systemctl", "restart", SERVICE)


def refuses_settings(m):
    step("settings that the new version refuses: told, and apt goes on")
    settings = m.run("cat", ENV_FILE)
    with open(m.path(ENV_FILE), "a") as file:
        file.write("SMTP_MAX_RECIPIENTS=many\n")
    told = m.apt("--reinstall", "install", "/root/new.deb")
    if "gopherpost does not run" not in told or "many" not in m.run("journalctl", "-u", "gopherpost", "-n", "50", "--no-pager"):
        fail("it is not told:\n" + told)
    with open(m.path(ENV_FILE), "w") as file:
        file.write(settings)
    # Nobody has to start it: it tries again.
    wait_for("it runs with its settings mended", 30, lambda: m.show("ActiveState") == "active", 0.2)


def removed(m, remote):
    step("removed: settings and queue stay")
    remote.refuses = LATER
    names = send("stays", 3)
    waiting, settings = m.queued(), m.run("cat", ENV_FILE)
    told = m.apt("remove", "gopherpost")
    if "Mail may still wait in %s/spool" % STATE not in told:
        fail("it does not say that mail waits:\n" + told)
    if m.run("cat", ENV_FILE) != settings or os.path.exists(m.path("/usr/bin/gopherpost")):
        fail("settings or program")
    if m.show("LoadState") != "masked" or m.ran("pgrep", "-x", "gopherpost")[0] == 0:
        fail("it still runs, or could: " + m.show("LoadState"))

    step("installed again, the same mail waits")
    m.apt("install", "/root/new.deb")
    if m.run("cat", ENV_FILE) != settings or m.queued() != waiting:
        fail("settings or queue changed")

    step("purged with mail in the queue: that stays")
    told = m.apt("purge", "gopherpost")
    if "so it stays" not in told or not os.path.isdir(m.path(STATE + "/spool")) or os.path.exists(m.path(ENV_FILE)):
        fail("after the purge:\n" + told)
    m.run("getent", "passwd", "gopherpost")
    m.apt("install", "/root/new.deb")
    m.configure(remote)
    if m.queued() != waiting:
        fail("what waited is gone")
    remote.refuses = {}
    # The settings of a fresh installation, in between, sent it elsewhere, and made the wait longer.
    m.run("gopherpost", "queue", "retry", "--all", "--yes")
    arrives(remote, names, "after the purge")
    wait_for("nothing waits", 30, lambda: not m.queued(), 0.2)


def purged(m, before):
    step("purged with nothing to deliver: nothing is left, but a mount point")
    m.run("mount", "--bind", STATE, STATE)
    m.run("systemctl", "enable", *SOCKETS)
    told = m.apt("purge", "gopherpost")
    if "is it a mount point?" not in told or os.listdir(m.path(STATE)):
        fail("after the purge:\n" + told)
    m.run("umount", STATE)
    os.rmdir(m.path(STATE))
    nothing_left(before, m.root)
    for unit in [SERVICE, *SOCKETS]:
        if m.show("LoadState", unit) != "not-found" or m.show("ActiveState", unit) != "inactive":
            fail("%s is still there:\n%s" % (unit, m.ran("systemctl", "status", "--no-pager", unit)[1]))


def by_rpm(root, rpm):
    step("the RPM")
    said = sh("rpm", "--query", "--package", "--info", "--requires", "--configfiles", "--scripts", rpm)
    if not re.search(r"^libc\.so\.6\(GLIBC_[0-9.]+\)\(64bit\)$", said, re.M) or "shadow-utils" not in said:
        fail("what it requires:\n" + said)
    digests = sh("rpm", "--checksig", "--nosignature", "--verbose", rpm)
    if "SHA256 digest: OK" not in digests or "NOTFOUND" in digests or "BAD" in digests:
        fail("digests:\n" + digests)
    before = things(root)
    # Its dependencies are names of other distributions' packages; its scripts run in here.
    command = ["rpm", "--root", root, "--nodeps"]
    sh(*command, "--install", rpm)
    verified = sh(*command, "--verify", "gopherpost", check=False)
    if verified.strip():
        fail("rpm --verify:\n" + verified)
    with open(root + "/usr/bin/gopherpost", "rb") as installed, open(BINARY, "rb") as built:
        if hashlib.sha256(installed.read()).digest() != hashlib.sha256(built.read()).digest():
            fail("another program was packed")
    say("   " + sh("chroot", root, "gopherpost", "--version").strip())
    listed = sh("chroot", root, "stat", "-c", "%a %U:%G %n", "/etc/gopherpost", ENV_FILE, STATE).split("\n")
    if listed[:3] != MODES:
        fail("modes and owners: %s" % listed)
    edit(root + ENV_FILE, lambda text: text + "# ours\n")
    sh(*command, "--upgrade", "--replacepkgs", "--oldpackage", rpm)
    with open(root + ENV_FILE) as file:
        if not file.read().endswith("# ours\n"):
            fail("the administrator's settings were changed")
    sh(*command, "--erase", "gopherpost")
    if not os.path.exists(root + ENV_FILE + ".rpmsave") or os.path.exists(root + "/usr/bin/gopherpost"):
        fail("after the removal: %s" % os.listdir(root + "/etc/gopherpost"))
    # Users stay with such systems.
    sh("chroot", root, "userdel", "gopherpost")
    nothing_left(before, root, allowed=OF_FILESYSTEM + ["/etc/gopherpost", ENV_FILE + ".rpmsave", STATE])


def main():
    lab.need_root()
    with Scratch() as scratch:
        deb, older, rpm = made(scratch)
        checked(deb)
        step("a Debian root")
        root = scratch + "/root"
        debian_root(root)
        without_systemd(root, deb)
        with Machine(root, scratch + "/nspawn.log") as m:
            m.enter_network()
            remote = Remote()
            before = things(root)
            try:
                first_time(m, older)
                upgrades(m, remote, deb)
                upgrades_behind_the_socket(m, remote)
                takes_an_old_queue_over(m, remote)
                refuses_settings(m)
                removed(m, remote)
                purged(m, before)
            except BaseException:
                say("--- the end of its journal:\n" + m.ran("journalctl", "-u", "gopherpost", "-n", "15", "--no-pager", "-o", "cat")[1])
                raise
        by_rpm(root, rpm)
    step("all well")


if __name__ == "__main__":
    main()
