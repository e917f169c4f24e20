"""The container image of packaging/docker/Dockerfile, built and run by podman: without root, without capabilities
and on a read-only root file system it takes mail and is healthy; after SIGKILL another container goes on with
the volume. As root.

No image is fetched: a Debian root stands in for both base images, and in the builder a `cargo` that hands out
the release build. That what the build is given can be compiled is tried out here. So only the real base images
are not tried.

GOPHERPOST_TRIAL_ROOT names the root directory of a Debian, to save making one."""
import ctypes, fcntl, json, os, re, shutil, socket, struct, subprocess, time

import lab
from container import CLONE_NEWNET, debian_root
from installed import step
from lab import BINARY, HERE, Client, Remote, Scratch, fail, sh, wait_for

REPOSITORY = os.path.abspath(HERE + "/../..")
CARGO = "#!/bin/sh\nmkdir -p target/release && cp /prebuilt target/release/gopherpost\n"
# What the builder sees of the clone.
GIVEN = ["Cargo.lock", "Cargo.toml", "migrations", "src"]


def own_network():
    """From here on this process and its children have nothing but a loopback of their own."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):
        fail("no network of its own: " + os.strerror(ctypes.get_errno()))
    siocsifflags, iff_up = 0x8914, 1
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        fcntl.ioctl(s, siocsifflags, struct.pack("16sh14x", b"lo", iff_up))


# Where the options of docker are not enough: no image is fetched, and podman's own network isn't tried. A reader needs
# longer to type the next command than the relay to start.
DOCKER = """#!/bin/sh -e
command=$1
shift
case $command in
    build) exec %(podman)s build %(build)s --build-arg BUILDER=localhost/builder --build-arg RUNTIME=localhost/base "$@" ;;
    run) exec %(podman)s run %(run)s "$@" ;;
    exec)
        until %(podman)s exec "$1" gopherpost health; do sleep 0.2; done
        %(podman)s exec "$@" || [ $? = 3 ] # there is nothing in the queue
        ;;
    *) exit 2 ;;
esac
"""
# Less than what podman would set, which may be forbidden to the trial itself.
LIMITS = ["--ulimit=nofile=4096:4096", "--ulimit=nproc=4096:4096"]
BUILD = ["--isolation", "chroot", "--network", "host", "--format", "docker", "--layers=false"]
# The image's own check is done here; podman would want a systemd to do it regularly.
RUN = ["--network", "host", "--no-healthcheck", *LIMITS]


class Podman:
    """With a storage of its own, which ends with its block."""

    def __init__(self, directory):
        self.command = ["podman", "--root", directory + "/storage", "--runroot", directory + "/run", "--runtime", "runc",
                        "--cgroup-manager", "cgroupfs", "--events-backend", "file"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for words in [("rm", "--force", "--all", "--time", "0"), ("rmi", "--force", "--all")]:
            subprocess.run([*self.command, *words], check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60)

    def run(self, *words):
        return sh(*self.command, *words).strip()

    def build(self, directory, tag, *options):
        said = self.run("build", *BUILD, *options, "--tag", tag, directory)
        if "WARN" in said:
            fail(said)


class Machine:
    """A container on the volume `queue`, in the trial's network."""

    port = 2525

    def __init__(self, podman, name, remote):
        self.podman, self.name = podman, name
        settings = {"SMTP_HOSTNAME": "gp.test", "SMTP_ALLOW_NETWORKS": "127.0.0.0/8", "SMTP_REQUIRE_LOCAL_DOMAIN": "false",
                    "SMTP_RETRY_BASE": "1s", "SMTP_RETRY_CAP": "2s", **remote.settings()}
        podman.run("run", "--detach", "--name", name, *RUN, "--read-only", "--read-only-tmpfs=false",
                   "--cap-drop=all", "--security-opt", "no-new-privileges",
                   "--volume", "queue:/var/lib/gopherpost", *("--env=%s=%s" % item for item in settings.items()), "gopherpost")
        self.check = json.loads(podman.run("image", "inspect", "--format", "{{json .HealthCheck.Test}}", "gopherpost"))
        wait_for("it is healthy", 30, self.is_healthy, 0.2)

    def executed(self, *command):
        done = subprocess.run([*self.podman.command, "exec", self.name, *command], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
        return done.returncode, done.stdout

    def is_healthy(self):
        return self.executed(*self.check[1:]) == (0, "OK\n")

    def log(self):
        return self.podman.run("logs", self.name)


def built(podman, scratch):
    step("base images that stand in")
    base, builder = scratch + "/base", scratch + "/builder"
    debian_root(base)
    sh("tar", "--directory", base, "--create", "--file", scratch + "/base.tar", ".")
    shutil.rmtree(base)
    podman.run("import", scratch + "/base.tar", "base")
    os.remove(scratch + "/base.tar")
    os.mkdir(builder)
    shutil.copy(BINARY, builder + "/prebuilt")
    with open(builder + "/cargo", "w") as file:
        file.write(CARGO)
    os.chmod(builder + "/cargo", 0o755)
    with open(builder + "/Dockerfile", "w") as file:
        file.write("FROM localhost/base\nCOPY prebuilt /prebuilt\nCOPY cargo /usr/bin/cargo\n")
    podman.build(builder, "builder")


def as_told(podman, scratch):
    """What docs/install.md shows, word for word."""
    step("the image is built and runs as docs/install.md says")
    with open(REPOSITORY + "/docs/install.md") as file:
        [block] = [block for block in re.findall(r"^```sh\n(.*?)^```$", file.read(), re.M | re.S) if "docker build" in block]
    os.mkdir(scratch + "/bin")
    with open(scratch + "/bin/docker", "w") as file:
        file.write(DOCKER % {"podman": " ".join(podman.command), "build": " ".join(BUILD), "run": " ".join(RUN)})
    os.chmod(scratch + "/bin/docker", 0o755)
    sh("env", "--chdir=" + REPOSITORY, "PATH=%s/bin:%s" % (scratch, os.environ["PATH"]), "bash", "-ec", block)
    podman.run("rm", "--force", "--time", "45", "relay")
    config = json.loads(podman.run("image", "inspect", "--format", "{{json .Config}}", "gopherpost"))
    want = {"User": "10025:10025", "StopSignal": "SIGTERM", "Volumes": {"/var/lib/gopherpost": {}},
            "ExposedPorts": {"2525/tcp": {}, "8080/tcp": {}}}
    if {name: config.get(name) for name in want} != want:
        fail("the image's configuration: %s" % config)


def compiles(podman, scratch):
    """.dockerignore lets through what the build reads, and nothing that may be secret."""
    step("what the build is given can be compiled")
    context = scratch + "/context"
    os.mkdir(context)
    with open(scratch + "/Dockerfile", "w") as file:
        file.write("FROM scratch\nCOPY . /\n")
    podman.build(REPOSITORY, "context", "--file", scratch + "/Dockerfile")
    podman.run("create", "--name", "context", "context", "/none")
    podman.run("export", "--output", scratch + "/context.tar", "context")
    sh("tar", "--directory", context, "--extract", "--file", scratch + "/context.tar", *GIVEN)
    # Its times are those of the clone, which has been compiled already.
    os.utime(context + "/src/lib.rs")
    sh("env", "--chdir=" + context, "CARGO_TARGET_DIR=" + REPOSITORY + "/target", "cargo", "check", "--locked", "--bin", "gopherpost")
    given = {name.split("/")[0] for name in sh("tar", "--list", "--file", scratch + "/context.tar").split("\n")}
    # The rest are mount points that podman makes.
    if given - {*GIVEN, "", "dev", "etc", "proc", "run", "sys"}:
        fail("the build is given %s" % given)


def composed(podman, scratch):
    """The compose example, read as compose would: what it sets is a configuration that works."""
    step("the compose example")
    path, secret = REPOSITORY + "/packaging/docker/compose.yaml", scratch + "/secret"
    with open(secret, "w") as file:
        file.write("hidden\n")
    with open(path) as file:
        text = file.read()
    # As it is, and with what is commented out as an offer.
    for text in [text, re.sub(r"^( *)# (?=SMTP_|secrets:|  relay-password:|    file:)", r"\1", text, flags=re.M)]:
        told = subprocess.run(["/usr/bin/python3", "-c", "import json, sys, yaml; print(json.dumps(yaml.safe_load(sys.stdin)))"],
                              input=text, stdout=subprocess.PIPE, text=True, check=True).stdout
        composition = json.loads(told)
        relay = composition["services"]["relay"]
        settings = relay["environment"]
        if settings["SMTP_ALLOW_NETWORKS"] != composition["networks"]["mail"]["ipam"]["config"][0]["subnet"]:
            fail("others than those of the network may send: %s" % settings)
        if relay["volumes"] != ["queue:/var/lib/gopherpost"] or "queue" not in composition["volumes"]:
            fail("the queue is not kept: %s" % relay)
        secrets = []
        for name in relay.get("secrets", []):
            if name not in composition["secrets"]:
                fail("there is no secret " + name)
            secrets.append("--volume=%s:/run/secrets/%s:ro" % (secret, name))
        told = podman.run("run", "--rm", *RUN, *secrets,
                          *("--env=%s=%s" % item for item in settings.items()), "gopherpost", "config", "check")
        grace = re.search(r"SMTP_SHUTDOWN_GRACE += (\d+)s", told)
        if not grace or int(relay["stop_grace_period"].rstrip("s")) <= int(grace.group(1)):
            fail("the container is killed before its grace ends\n" + told)


def lives(podman):
    remote = Remote()
    remote.down = True
    step("it runs, confined, and takes mail")
    machine = Machine(podman, "first", remote)
    if machine.executed("sh", "-c", "id -u; touch /x /tmp/x /run/x 2>&1 | grep -c 'Read-only'; grep CapEff /proc/1/status")[1] \
            != "10025\n3\nCapEff:\t0000000000000000\n":
        fail("it is not confined: %s" % machine.executed("sh", "-c", "id; mount; cat /proc/1/status")[1])
    client = Client(machine.port)
    names = {"mail-%d" % n for n in range(10)}
    for name in names:
        if client.send(name, 100_000)[0] != 250:
            fail("not taken\n" + machine.log())

    step("killed, and another goes on with the volume")
    podman.run("kill", "--signal", "KILL", "first")
    podman.run("wait", "first")
    if machine.is_healthy():
        fail("a dead container is healthy")
    podman.run("rm", "first")
    machine = Machine(podman, "second", remote)
    remote.down = False
    wait_for("what was acknowledged arrives", 60, lambda: not remote.missing(names), 0.1)

    step("SIGTERM ends it in order")
    podman.run("stop", "--time", "45", "second")
    status = podman.run("inspect", "--format", "{{.State.ExitCode}}", "second")
    if status != "0" or "clean=true" not in machine.log():
        fail("exit status %s\n%s" % (status, machine.log()))


def main():
    lab.need_root()
    with Scratch() as scratch, Podman(scratch + "/podman") as podman:
        built(podman, scratch)
        compiles(podman, scratch)
        own_network()
        as_told(podman, scratch)
        composed(podman, scratch)
        lives(podman)
    step("all well")


if __name__ == "__main__":
    main()
