//! swaks, which testers of mail servers use by hand.

use super::program;
use crate::support::{World, same_octets, stuffed};

/// Dots at line starts, octets with the high bit, a part that looks like an attachment, lines of
/// several lengths, a last line that is only a dot.
pub(super) const MESSAGE: &[u8] = b"From: Ann <ann@gp.test>\n\
    To: Bob <bob@dest.test>\n\
    Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\n\
    Date: Mon, 2 Nov 2026 10:00:00 +0100\n\
    Message-ID: <by.swaks@gp.test>\n\
    MIME-Version: 1.0\n\
    Content-Type: multipart/mixed; boundary=\"..b..\"\n\
    \n\
    --..b..\n\
    Content-Type: text/plain; charset=utf-8\n\
    Content-Transfer-Encoding: 8bit\n\
    \n\
    Sch\xc3\xb6ne Gr\xc3\xbc\xc3\x9fe, and octets that are no UTF-8: \xff\xfe\x80\n\
    .\n\
    ..\n\
    .a dot before text\n\
    \n\
    \t trailing blanks \t \n\
    --..b..\n\
    Content-Type: application/octet-stream; name=\"data.bin\"\n\
    Content-Transfer-Encoding: base64\n\
    Content-Disposition: attachment; filename=\"data.bin\"\n\
    \n\
    AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4\n\
    OTo7PD0+Pw==\n\
    \n\
    --..b..--\n\
    .\n";

#[tokio::test]
async fn a_mail_from_swaks_arrives_once_octet_for_octet() {
    // W-5.10, W-16.10
    if !program::asked_for() {
        return;
    }
    let world = World::new().await;
    let mx = world.remote("dest.test").await;
    let arguments = format!(
        "--server {} --ehlo client.test --from ann@gp.test --to bob@dest.test --data -",
        world.relay().address()
    );
    let input = [MESSAGE, b".\n"].concat(); // swaks ends it so by itself, and adds a line end otherwise
    let told = program::run(program::command("swaks", "swaks", &arguments), &input).await;
    let told = String::from_utf8_lossy(&told);
    assert!(told.contains("\n<-  250 2.0.0"), "swaks tells:\n{told}");

    let sent = with_crlf(MESSAGE);
    let message = mx.message().await;
    message.arrived_as(&sent);
    assert_eq!(message.from(), "ann@gp.test");
    assert_eq!(message.to(), ["bob@dest.test"]);
    same_octets(&message.transaction.wire, stuffed(message.octets()));
    mx.received_exactly(1).await;
}

#[tokio::test]
async fn swaks_authenticates_inside_tls() {
    // W-9.03
    if !program::asked_for() {
        return;
    }
    let world = World::setup()
        .with_tls()
        .set("SMTP_AUTH_USERS", "ann:secret")
        .await;
    let mx = world.remote("dest.test").await;
    for mechanism in ["PLAIN", "LOGIN"] {
        let arguments = format!(
            "--server {} --ehlo client.test --from ann@elsewhere.test --to bob@dest.test --tls \
             --auth {mechanism} --auth-user ann --auth-password secret",
            world.relay().address()
        );
        let told = program::run(program::command("swaks", "swaks", &arguments), b"").await;
        let told = String::from_utf8_lossy(&told);
        assert!(told.contains("\n<~  235 2.7.0"), "swaks tells:\n{told}");
        assert_eq!(mx.message().await.trace().with, "ESMTPSA");
    }
}

pub(super) fn with_crlf(text: &[u8]) -> Vec<u8> {
    let mut octets = Vec::with_capacity(text.len() + 100);
    for octet in text {
        if *octet == b'\n' {
            octets.push(b'\r');
        }
        octets.push(*octet);
    }
    octets
}
