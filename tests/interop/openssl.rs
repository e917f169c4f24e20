//! `openssl s_client`, with which people look at what a server's TLS is like, and swaks inside TLS.

use super::program;
use crate::support::{World, mail};

#[tokio::test]
async fn s_client_and_swaks_get_mail_through_in_tls() {
    // W-8.02, W-8.05, W-8.07
    if !program::asked_for() {
        return;
    }
    let world = World::setup().with_tls().await;
    let mx = world.remote("dest.test").await;
    let directory = world.relay().directory().display().to_string();
    let (clear, tls) = (world.relay().address(), world.tls_port());
    let sent = mail().to("bob@dest.test");
    let dialogue = format!(
        "EHLO client.test\r\n{}\r\n{}\r\nDATA\r\n{}.\r\nQUIT\r\n",
        sent.mail_line(),
        sent.rcpt_lines().join("\r\n"),
        String::from_utf8(sent.octets().to_vec()).expect("a plain mail")
    );
    let verify =
        format!("-CAfile {directory}/ca.pem -verify_return_error -verify_hostname gp.test");
    for (way, version) in [
        (format!("-starttls smtp -connect {clear}"), "-tls1_2"),
        (format!("-starttls smtp -connect {clear}"), "-tls1_3"),
        (format!("-connect 127.0.0.1:{tls}"), "-tls1_2"),
        (format!("-connect 127.0.0.1:{tls}"), "-tls1_3"),
    ] {
        let arguments = format!("s_client -quiet {version} {way} {verify}");
        let openssl = program::command("openssl", "openssl", &arguments);
        let told = program::run(openssl, dialogue.as_bytes()).await;
        let told = String::from_utf8_lossy(&told);
        assert!(told.contains("250 2.0.0 queued"), "{way}: {told}");
        let message = mx.message().await;
        message.arrived_as(sent.octets());
        assert_eq!(message.trace().with, "ESMTPS", "{way}");
    }
    for way in [
        format!("--server {clear} --tls"),
        format!("--server 127.0.0.1:{tls} --tls-on-connect"),
    ] {
        let arguments = format!(
            "{way} --tls-ca-path {directory}/ca.pem --ehlo client.test --from ann@gp.test --to bob@dest.test"
        );
        let swaks = program::command("swaks", "swaks", &arguments);
        let told = program::run(swaks, b"").await;
        let told = String::from_utf8_lossy(&told);
        assert!(told.contains("\n<~  250 2.0.0"), "{way}: {told}");
        assert_eq!(mx.message().await.trace().with, "ESMTPS", "{way}");
    }
}
