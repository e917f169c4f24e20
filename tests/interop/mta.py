"""Mail servers of others as remote hosts: Postfix, OpenSMTPD and Exim, each in a box of its own.

Debian allows one of them at a time, and each has paths, users and sockets compiled in. So each has an
overlay over the root directory, where apt-get installs it if it is not there anyway, and where it runs;
nothing of that is ever seen outside. Mounts are those of this process alone (`alone`) and end with it."""
import ctypes, glob, os, signal, socket, subprocess, tempfile
from lab import Scratch, fail, need_root, sh, wait_for

CLONE_NEWNS = 0x00020000
DEVICES = "null", "zero", "full", "random", "urandom"
USERS = "ann", "bob", "joe", "eve", "kim", "sender", "grey"


def alone():
    """From here on, mounts of this process and of what it starts are nobody else's."""
    need_root()
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS):
        fail("no mount namespace: " + os.strerror(ctypes.get_errno()))
    sh("mount", "--make-rprivate", "/")


class Authority:
    """A certificate authority of this trial alone."""

    def __init__(self, directory):
        self.directory, self.file = directory, directory + "/ca.pem"
        extensions = "basicConstraints = critical, CA:TRUE\nkeyUsage = keyCertSign\n"
        self._make("the root of one trial", extensions, ("ca-key.pem", "ca.pem"), directory)

    def issue(self, name, directory):
        """Writes cert.pem and key.pem of a host into a directory."""
        by = "-CA", self.file, "-CAkey", self.directory + "/ca-key.pem"
        self._make(name, "subjectAltName = DNS:%s\n" % name, ("key.pem", "cert.pem"), directory, *by)

    def _make(self, name, extensions, files, directory, *by):
        config = self.directory + "/openssl.cnf"
        with open(config, "w") as file:
            file.write("[req]\ndistinguished_name = dn\n[dn]\n[extensions]\n" + extensions)
        key, certificate = (directory + "/" + file for file in files)
        sh(
            "openssl", "req", "-x509", "-config", config, "-extensions", "extensions", "-subj", "/CN=" + name, "-days", "2",
            "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-keyout", key, "-out", certificate, *by,
        )


class Box:
    """An overlay over the root directory, in which anything may be changed; it goes with its Scratch."""

    process = log = None

    def __init__(self):
        self.name = type(self).__name__.lower()
        self.mount = tempfile.mkdtemp(prefix="gopherpost-box-")
        self.root = self.mount + "/root"
        Scratch.now.relays.append(self)  # ended with it, however it ends
        Scratch.now.images.append(self)
        sh("mount", "-t", "tmpfs", "-o", "mode=755", "none", self.mount)
        for directory in "upper", "work", "root":
            os.mkdir(self.mount + "/" + directory)
        layers = "lowerdir=/,upperdir=%s/upper,workdir=%s/work" % (self.mount, self.mount)
        sh("mount", "-t", "overlay", "-o", layers, "overlay", self.root)
        sh("mount", "-t", "proc", "proc", self.root + "/proc")
        sh("mount", "-t", "tmpfs", "-o", "mode=755", "none", self.root + "/dev")
        for device in DEVICES:
            open(self.root + "/dev/" + device, "w").close()
            sh("mount", "--bind", "/dev/" + device, self.root + "/dev/" + device)

    def write(self, path, text, mode=0o644):
        with open(self.root + path, "w") as file:
            file.write(text)
        os.chmod(self.root + path, mode)

    def log_tail(self, lines=20):
        text = ""
        for file in (self.mount + "/output", self.root + (self.log or "/none")):
            if os.path.exists(file):
                with open(file, errors="replace") as log:
                    text += "".join(log.readlines()[-lines:])
        return "(%s)\n%s" % (self.name, text)

    def kill(self):
        """Ends all that runs in the box: daemons have processes of their own making."""
        for _ in range(100):
            inside = [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if self._is_inside(pid)]
            for pid in inside:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            if self.process:
                self.process.poll()
            if not inside:
                return

    def _is_inside(self, pid):
        try:
            return os.readlink("/proc/%d/root" % pid) == self.root
        except OSError:
            return False

    def try_detach(self):
        """Whether the box is gone."""
        sh("umount", "--recursive", "--lazy", self.mount, check=False)
        if os.path.ismount(self.mount):
            return False
        os.rmdir(self.mount)
        return True


class Mta(Box):
    """One of them. It takes mail for USERS of its domain, and puts it into maildirs."""

    package = program = None
    backported_for = ()

    def __init__(self, address, port, authority):
        super().__init__()
        self.address, self.port = address, port
        self.domain = self.name + ".test"
        self.host = "mx." + self.domain
        self._install()
        sh("chroot", self.root, "useradd", "--system", "--user-group", "--home-dir", "/mail", "--no-create-home", "vmail")
        os.mkdir(self.root + "/tls", 0o755)
        authority.issue(self.host, self.root + "/tls")
        self.write("/etc/resolv.conf", "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
        os.makedirs(self.root + "/mail")
        sh("chroot", self.root, "chown", "vmail:vmail", "/mail")

    def _install(self):
        if os.path.exists(self.root + self.program):
            return
        self.write("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n", 0o755)  # no service is started
        install = ["install", "-y", "-qq", "--no-install-recommends"]
        told = ""
        if self.release in self.backported_for:
            suite = self.release + "-backports"
            self.write("/etc/apt/sources.list.d/backports.list", "deb http://deb.debian.org/debian %s main\n" % suite)
            told += self._apt_get("update", "-qq", "-o", "Dir::Etc::SourceParts=/dev/null", "-o", "Dir::Etc::SourceList=sources.list.d/backports.list")
            install += ["-t", suite]
        told += self._apt_get(*install, self.package)
        if not os.path.exists(self.root + self.program):  # the lists may be missing or old
            told += self._apt_get("update", "-qq") + self._apt_get(*install, self.package)
        if not os.path.exists(self.root + self.program):
            fail("the Debian package %s can't be had: %s" % (self.package, told))

    def _apt_get(self, *arguments):
        return sh("chroot", self.root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", *arguments, check=False)

    @property
    def release(self):
        with open(self.root + "/etc/os-release") as file:
            return dict(line.strip().split("=", 1) for line in file if "=" in line).get("VERSION_CODENAME")

    def start(self):
        with open(self.mount + "/output", "ab") as out:
            self.process = subprocess.Popen(
                ["chroot", self.root, *self.command()], stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C"},
            )
        wait_for(self.name + " greets", 30, self._greets)
        return self

    def _greets(self):
        if self.process.poll() is not None:
            fail("%s ended with %s: %s" % (self.name, self.process.returncode, self.log_tail()))
        try:
            with socket.create_connection((self.address, self.port), 5) as s:
                return s.recv(512).startswith(b"220 " + self.host.encode())
        except OSError:
            return False

    def messages(self, user):
        """The messages in a user's mailbox, as octets, the earliest first."""
        files = glob.glob(glob.escape(self.root + "/mail/" + user) + "/new/*")
        return [open(file, "rb").read() for file in sorted(files, key=lambda f: os.stat(f).st_mtime_ns)]


class Postfix(Mta):
    package, program, log = "postfix", "/usr/sbin/postfix", "/var/log/postfix.log"

    def command(self):
        return "postfix", "start-fg"

    def configure(self, greylist):
        self.write("/etc/postfix/boxes", "".join("%s@%s %s/\n" % (user, self.domain, user) for user in USERS))
        self.write("/etc/postfix/main.cf", f"""compatibility_level = 3.6
myhostname = {self.host}
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks =
maillog_file = {self.log}
smtpd_peername_lookup = no
smtpd_tls_security_level = may
smtpd_tls_received_header = yes
smtpd_tls_chain_files = /tls/key.pem /tls/cert.pem
smtpd_relay_restrictions = reject_unauth_destination
smtpd_recipient_restrictions = check_policy_service inet:127.0.0.1:{greylist}
virtual_mailbox_domains = {self.domain}
virtual_mailbox_base = /mail
virtual_mailbox_maps = texthash:/etc/postfix/boxes
virtual_uid_maps = static:{self.vmail("u")}
virtual_gid_maps = static:{self.vmail("g")}
""")
        lines = []
        for line in open(self.root + "/etc/postfix/master.cf.proto"):
            field = line.split()
            if len(field) >= 8 and not line.startswith(("#", " ")):
                if field[:2] == ["smtp", "inet"]:
                    field[0] = "%s:%d" % (self.address, self.port)
                field[4] = "n"  # no further chroot
                line = "  ".join(field) + "\n"
            lines.append(line)
        self.write("/etc/postfix/master.cf", "".join(lines))
        return self

    def vmail(self, which):
        return sh("chroot", self.root, "id", "-" + which, "vmail").strip()


class OpenSmtpd(Mta):
    package, program = "opensmtpd", "/usr/sbin/smtpd"
    backported_for = ("bookworm",)  # whose own 6.8.0 fails every TLS handshake as a server, with OpenSSL 3

    def command(self):
        return "smtpd", "-d"

    def configure(self, _greylist):
        self.write("/etc/smtpd.conf", f"""pki {self.host} cert "/tls/cert.pem"
pki {self.host} key "/tls/key.pem"
table boxes {{ {", ".join('"%s@%s" = "vmail"' % (user, self.domain) for user in USERS)} }}
listen on {self.address} port {self.port} tls pki {self.host} hostname {self.host}
action "in" maildir "/mail/%{{rcpt.user}}" virtual <boxes>
match from any for domain "{self.domain}" action "in"
""", 0o600)
        os.chmod(self.root + "/tls/key.pem", 0o600)
        return self


class Exim(Mta):
    package, program, log = "exim4-daemon-light", "/usr/sbin/exim4", "/var/log/exim4/mainlog"

    def command(self):
        return "exim4", "-bdf", "-q1m"

    def configure(self, greylist):
        users = " : ".join(USERS)
        sh("chroot", self.root, "chown", "Debian-exim", "/tls/key.pem")
        self.write("/etc/exim4/exim4.conf", f"""primary_hostname = {self.host}
acl_smtp_rcpt = rcpt
tls_advertise_hosts = *
tls_certificate = /tls/cert.pem
tls_privatekey = /tls/key.pem
daemon_smtp_ports = {self.port}
local_interfaces = {self.address}
smtp_accept_queue_per_connection = 0
log_file_path = /var/log/exim4/%slog
keep_environment =
begin acl
rcpt:
  deny message = relaying denied
       !domains = {self.domain}
  deny message = unknown user
       !verify = recipient
  defer message = greylisted, come again
        local_parts = grey
        condition = ${{if !eq{{${{readsocket{{inet:127.0.0.1:{greylist}}}{{exim $sender_address $local_part\\n}}{{5s}}}}}}{{ok}}}}
  accept
begin routers
boxes:
  driver = accept
  domains = {self.domain}
  local_parts = {users}
  transport = box
begin transports
box:
  driver = appendfile
  maildir_format
  create_directory
  directory = /mail/$local_part_data
  user = vmail
  group = vmail
begin retry
* * F,2h,1m
""")
        return self
