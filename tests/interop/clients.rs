//! Programs that people send mail with, each over STARTTLS with the certificate checked, and with AUTH:
//! curl, Python's smtplib, msmtp, nodemailer, and Postfix as a relay that hands on to ours.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::process::Command;

use super::program;
use super::swaks::{MESSAGE, with_crlf};
use crate::support::{Message, Remote, World, same_octets, stuffed};

/// Where Debian keeps packages of Node.js, which a Node.js from elsewhere doesn't search.
const NODE_PACKAGES: &str = "/usr/share/nodejs";

/// A relay that demands TLS and AUTH of nobody, yet offers both; and where the mail is to arrive.
struct Trial {
    world: World,
    mx: Remote,
}

impl Trial {
    async fn begin() -> Trial {
        let world = World::setup()
            .with_tls()
            .set("SMTP_AUTH_USERS", "ann:secret")
            .await;
        let mx = world.remote("dest.test").await;
        Trial { world, mx }
    }

    fn port(&self) -> u16 {
        self.world.relay().address().port()
    }

    fn root_certificate(&self) -> PathBuf {
        self.world.relay().directory().join("ca.pem")
    }

    /// The mail that arrives next, which came in TLS from somebody who authenticated.
    async fn arrived(&self, who: &str) -> Message {
        let message = self.mx.message().await;
        assert_eq!(message.trace().with, "ESMTPSA", "{who}");
        assert_eq!(message.from(), "ann@elsewhere.test", "{who}");
        assert_eq!(message.to(), ["bob@dest.test"], "{who}");
        same_octets(&message.transaction.wire, stuffed(message.octets()));
        message
    }

    /// Fails unless the client's mail arrives octet for octet.
    async fn arrived_unchanged(&self, who: &str) {
        self.arrived(who).await.arrived_as(with_crlf(MESSAGE));
    }
}

#[tokio::test]
async fn curl_gets_mail_through() {
    // W-5.10, W-8.02, W-8.07, W-9.03
    if !program::asked_for() {
        return;
    }
    let trial = Trial::begin().await;
    let (port, root) = (trial.port(), trial.root_certificate());
    for mechanism in ["PLAIN", "LOGIN", "*"] {
        let arguments = format!(
            "--silent --show-error --ssl-reqd --cacert {} --resolve gp.test:{port}:127.0.0.1 \
             --user ann:secret --login-options AUTH={mechanism} --mail-from ann@elsewhere.test \
             --mail-rcpt bob@dest.test --upload-file - smtp://gp.test:{port}/client.test",
            root.display()
        );
        let curl = program::command("curl", "curl", &arguments);
        program::run(curl, &with_crlf(MESSAGE)).await;
        trial.arrived_unchanged(mechanism).await;
    }
    trial.mx.received_exactly(3).await;
}

#[tokio::test]
async fn python_gets_mail_through() {
    // W-5.10, W-8.02, W-8.07, W-9.03
    if !program::asked_for() {
        return;
    }
    let trial = Trial::begin().await;
    let mut python = program::command("python3", "python3", "");
    python
        .arg(script("send_with_smtplib.py"))
        .arg(trial.port().to_string())
        .arg(trial.root_certificate())
        .args(["ann", "secret"]);
    program::run(python, &with_crlf(MESSAGE)).await;
    trial.arrived_unchanged("smtplib").await;
    trial.mx.received_exactly(1).await;
}

#[tokio::test]
async fn msmtp_gets_mail_through() {
    // W-5.10, W-8.02, W-8.07, W-9.03
    if !program::asked_for() {
        return;
    }
    let trial = Trial::begin().await;
    let directory = TempDir::with_prefix("msmtp-").expect("a temporary directory");
    let file = directory.path().join("msmtprc");
    for (mechanism, password) in [
        ("plain", "password secret"),
        ("login", "password secret"),
        ("scram-sha-256", "passwordeval echo secret"),
        ("on", "passwordeval echo secret"), // its own choice
    ] {
        let lines = [
            "account default",
            "host 127.0.0.1",
            &format!("port {}", trial.port()),
            "domain client.test",
            "from ann@elsewhere.test",
            "tls on",
            "tls_starttls on",
            "tls_host_override gp.test",
            &format!("tls_trust_file {}", trial.root_certificate().display()),
            &format!("auth {mechanism}"),
            "user ann",
            password,
        ];
        put_private(&file, &lines);
        let arguments = format!("--file={} bob@dest.test", file.display());
        let msmtp = program::command("msmtp", "msmtp", &arguments);
        program::run(msmtp, MESSAGE).await;
        trial.arrived_unchanged(mechanism).await;
    }
    trial.mx.received_exactly(4).await;
}

#[tokio::test]
async fn nodemailer_gets_mail_through() {
    // W-5.10, W-8.02, W-8.07, W-9.03
    if !program::asked_for() {
        return;
    }
    let trial = Trial::begin().await;
    assert!(
        Path::new(NODE_PACKAGES).join("nodemailer").is_dir(),
        "nodemailer is missing: apt-get install node-nodemailer"
    );
    for mechanism in ["PLAIN", "LOGIN"] {
        let mut node = program::command("node", "nodejs", "");
        node.env("NODE_PATH", NODE_PACKAGES)
            .arg(script("send_with_nodemailer.js"))
            .arg(trial.port().to_string())
            .arg(trial.root_certificate())
            .args(["ann", "secret", mechanism]);
        program::run(node, &with_crlf(MESSAGE)).await;
        trial.arrived_unchanged(mechanism).await;
    }
    trial.mx.received_exactly(2).await;
}

#[tokio::test]
async fn postfix_hands_its_mail_on() {
    // W-5.10, W-8.02, W-8.07, W-9.03
    if !program::asked_for() {
        return;
    }
    let trial = Trial::begin().await;
    let postfix = Postfix::start(&trial).await;
    let arguments = "-i -B 8BITMIME -f ann@elsewhere.test bob@dest.test";
    program::run(postfix.command("sendmail", arguments), MESSAGE).await;
    let message = trial.arrived("Postfix").await;
    let sent = with_crlf(MESSAGE);
    let body_at = sent.windows(4).position(|four| four == b"\r\n\r\n");
    same_octets(message.body(), &sent[body_at.expect("an empty line") + 4..]);
    trial.mx.received_exactly(1).await;
    program::run(postfix.command("postfix", "stop"), b"").await;
}

/// A Postfix of its own: nothing of the machine's configuration or queue, and no port. It needs root.
struct Postfix {
    directory: TempDir,
}

impl Postfix {
    async fn start(trial: &Trial) -> Postfix {
        let directory = TempDir::with_prefix("postfix-").expect("a temporary directory");
        let at = |name: &str| directory.path().join(name);
        let open = fs::Permissions::from_mode(0o755); // its daemons run as another user
        fs::set_permissions(directory.path(), open).expect("ours");
        for name in ["queue", "data"] {
            fs::create_dir(at(name)).expect("it can be written");
        }
        let mut owner = program::command("chown", "coreutils", "postfix");
        owner.arg(at("data"));
        program::run(owner, b"").await;
        let settings = [
            "compatibility_level = 3.6",
            "myhostname = client.test",
            "mydestination =",
            "inet_protocols = ipv4",
            "alias_maps =",
            "alias_database =",
            &format!("queue_directory = {}", at("queue").display()),
            &format!("data_directory = {}", at("data").display()),
            &format!("maillog_file = {}", at("log").display()),
            &format!("maillog_file_prefixes = {}", directory.path().display()),
            &format!("relayhost = [127.0.0.1]:{}", trial.port()),
            "smtp_tls_security_level = secure",
            "smtp_tls_secure_cert_match = gp.test",
            &format!("smtp_tls_CAfile = {}", trial.root_certificate().display()),
            "smtp_sasl_auth_enable = yes",
            "smtp_sasl_password_maps = static:ann:secret",
            "smtp_sasl_security_options = noanonymous",
        ];
        put_private(&at("main.cf"), &settings);
        let services = [
            "pickup unix n - n 1 1 pickup",
            "cleanup unix n - n - 0 cleanup",
            "qmgr unix n - n 300 1 qmgr",
            "tlsmgr unix - - n 1000? 1 tlsmgr",
            "rewrite unix - - n - - trivial-rewrite",
            "bounce unix - - n - 0 bounce",
            "defer unix - - n - 0 bounce",
            "trace unix - - n - 0 bounce",
            "smtp unix - - n - - smtp",
            "error unix - - n - - error",
            "retry unix - - n - - error",
            "postlog unix-dgram n - n - 1 postlogd",
        ];
        put_private(&at("master.cf"), &services);
        for name in ["main.cf", "master.cf"] {
            let readable = fs::Permissions::from_mode(0o644);
            fs::set_permissions(at(name), readable).expect("ours");
        }
        let postfix = Postfix { directory };
        program::run(postfix.command("postfix", "start"), b"").await;
        postfix
    }

    /// One of its programs, which all know `-c` or its counterpart `-C`.
    fn command(&self, name: &str, arguments: &str) -> Command {
        let option = if name == "sendmail" { "-C" } else { "-c" };
        let directory = self.directory.path().display();
        program::command(
            name,
            "postfix",
            &format!("{option} {directory} {arguments}"),
        )
    }
}

impl Drop for Postfix {
    /// Ends its daemons when a test fails; says nothing where they are gone already.
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read_to_string(self.directory.path().join("log"));
            eprintln!("Postfix logged:\n{}", log.unwrap_or_default());
            let mut stop = self.command("postfix", "stop");
            let _ = stop.as_std_mut().status();
        }
    }
}

/// Writes lines into a file that only its owner may read, as programs demand of a file with a password.
fn put_private(file: &Path, lines: &[&str]) {
    fs::write(file, lines.join("\n") + "\n").expect("the temporary directory can be written");
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).expect("ours");
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/interop")
        .join(name)
}
