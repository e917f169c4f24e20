"""A machine to install on: a Debian root with a systemd of its own, booted by systemd-nspawn, with a network
that has nothing but loopback. As root; from `enter_network` on the trial's own sockets are in that network,
too, and so are those of its threads and of programs that it starts."""
import ctypes, os, shutil, subprocess, sys, time

from lab import fail, say, sh, wait_for

CLONE_NEWNET = 0x40000000
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def debian_root(directory):
    """A minimal Debian in `directory`: a copy of GOPHERPOST_TRIAL_ROOT, or made from the mirror that this
    machine is set up with."""
    cached = os.environ.get("GOPHERPOST_TRIAL_ROOT")
    if cached:
        sh("cp", "-a", cached, directory)
    else:
        suite = sh("sh", "-c", ". /etc/os-release && printf %s $VERSION_CODENAME")
        uris = sh("sh", "-c", "apt-get indextargets --format '$(SITE)|$(RELEASE)' 'Identifier: Packages'").split()
        mirrors = [uri.split("|")[0] for uri in uris if uri.endswith("|" + suite)]
        if not mirrors:
            fail("apt knows no mirror for %s" % suite)
        sh("debootstrap", "--variant=minbase", "--include=systemd,systemd-sysv,dbus", suite, directory, mirrors[0])


class Container:
    """Ends with its block, whatever is left of it."""

    def __init__(self, root, log):
        self.root, self.log, self.nspawn, self.leader = root, log, None, None

    def __enter__(self):
        name = "gopherpost-trial-%d" % os.getpid()
        with open(self.log, "wb") as out:
            self.nspawn = subprocess.Popen(
                ["systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit", "--private-network",
                 "--machine=" + name, "--hostname=relay", "--console=pipe", "--directory=" + self.root],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        try:
            self.leader = wait_for("a systemd of its own runs", 30, self._child)
            wait_for("it is up to multi-user", 60, self._is_up, 0.2)
        except BaseException:
            with open(self.log, errors="replace") as log:
                say("--- what systemd-nspawn said:\n" + log.read()[-3000:])
            say("this machine can't boot a container with systemd")
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        # The leader is the container's process 1: with it, everything in there ends.
        if self.leader and self.nspawn.poll() is None:
            subprocess.run(["kill", "-KILL", str(self.leader)], check=False)
        try:
            self.nspawn.wait(20)
        except subprocess.TimeoutExpired:
            self.nspawn.kill()
            self.nspawn.wait()

    def _child(self):
        if self.nspawn.poll() is not None:
            fail("systemd-nspawn ended with %s" % self.nspawn.returncode)
        with open("/proc/%d/task/%d/children" % (self.nspawn.pid, self.nspawn.pid)) as children:
            for pid in children.read().split():
                # Before it has its own namespaces it is a helper of nspawn's.
                if _namespace(pid, "pid") not in (None, _namespace("self", "pid")) and _comm(pid) == "systemd":
                    return int(pid)
        return None

    def _is_up(self):
        return self.run("systemctl", "is-active", "multi-user.target", check=False).strip() == "active"

    def start(self, *command, stdin=subprocess.DEVNULL, **variables):
        """Starts a command in there; its process, with both outputs in one pipe."""
        env = {"PATH": PATH, "LC_ALL": "C.UTF-8", "HOME": "/root", "TERM": "dumb", **variables}
        return subprocess.Popen(["nsenter", "--target", str(self.leader), "--all", "--", "env", "--chdir=/root", *command],
                                env=env, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def ran(self, *command, seconds=120, typed=None, **variables):
        """Runs a command in there: its exit status and what it printed. With `typed`, its standard input is a
        terminal at which somebody has typed that."""
        if typed is None:
            process = self.start(*command, **variables)
        else:
            keyboard, terminal = os.openpty()
            os.write(keyboard, typed.encode())
            process = self.start(*command, stdin=terminal, **variables)
        try:
            output, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            fail("takes longer than %d s: %s\n%s" % (seconds, " ".join(command), process.communicate()[0]))
        return process.returncode, output

    def run(self, *command, check=True, **variables):
        """Runs a command in there: what it printed."""
        status, output = self.ran(*command, **variables)
        if check and status:
            fail("%s: exit status %d\n%s" % (" ".join(command), status, output))
        return output

    def fails(self, *command, **variables):
        """Runs a command in there that must fail: what it printed."""
        status, output = self.ran(*command, **variables)
        if not status:
            fail("%s: should have failed\n%s" % (" ".join(command), output))
        return output

    def enter_network(self):
        """This process, its threads and children use the container's network from now on."""
        with open("/proc/%d/ns/net" % self.leader) as network:
            if ctypes.CDLL(None, use_errno=True).setns(network.fileno(), CLONE_NEWNET):
                fail("can't enter the network: " + os.strerror(ctypes.get_errno()))

    def path(self, path):
        return self.root + path

    def put(self, path, text, mode=0o644):
        with open(self.path(path), "w") as file:
            file.write(text)
        os.chmod(self.path(path), mode)

    def copy(self, source, path):
        copy = shutil.copytree if os.path.isdir(source) else shutil.copy2
        copy(source, self.path(path))

    def host_pid(self, pid):
        """What a process in there is called out here."""
        for candidate in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open("/proc/%s/status" % candidate) as status:
                    ids = [line.split()[1:] for line in status if line.startswith("NSpid:")]
                if ids and ids[0][-1] == str(pid) and len(ids[0]) > 1 and \
                        _namespace(candidate, "pid") == _namespace(self.leader, "pid"):
                    return int(candidate)
            except OSError:
                pass
        fail("process %s is not there" % pid)


def _namespace(pid, kind):
    try:
        return os.readlink("/proc/%s/ns/%s" % (pid, kind))
    except OSError:
        return None


def _comm(pid):
    try:
        with open("/proc/%s/comm" % pid) as comm:
            return comm.read().strip()
    except OSError:
        return None


if __name__ == "__main__":
    # For trials to come: GOPHERPOST_TRIAL_ROOT names it to them.
    debian_root(sys.argv[1])
