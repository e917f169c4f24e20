//! One process with everything on (TLS, AUTH, PROXY) under whatever is done to these and to BDAT, and
//! then an ordinary mail.

use crate::support::World;

/// The one client that must speak the PROXY protocol.
const PROXY: &str = "127.0.0.77";
const ENVELOPE: &str = "EHLO x\r\nMAIL FROM:<eve@gp.test>\r\nRCPT TO:<bob@dest.test>\r\n";

#[tokio::test]
async fn hostile_use_of_extensions_leaves_a_process_that_takes_and_delivers_mail() {
    // W-always (b), W-1.10, W-2.30, W-8.03, W-8.04, W-9.06, W-9.09, W-10.03, W-10.04, W-10.07, W-12.07
    let world = World::setup()
        .with_tls()
        .set("SMTP_AUTH_USERS", "ann:secret")
        .set("SMTP_AUTH_INSECURE", "true")
        .set("SMTP_PROXY_NETWORKS", PROXY)
        .set("SMTP_COMMAND_TIMEOUT", "2s")
        .set("SMTP_DATA_TIMEOUT", "2s")
        .await;
    let mx = world.remote("dest.test").await;
    let hello = "\x16\x03\x01\x02\0\x01\0\x01\u{fc}\x03\x03".repeat(9);
    let octets: Vec<String> = [
        "STARTTLS\r\nMAIL FROM:<eve@gp.test>\r\nRSET\r\n",
        "EHLO x\r\nSTARTTLS\r\nMAIL FROM:<eve@gp.test>\r\n\r\n.\r\n",
        "EHLO x\r\nSTARTTLS\r\n\0\0\0\0\x16\x03\x01",
        "EHLO x\r\nAUTH PLAIN\r\n\0\0\0\r\n*\r\n",
        "EHLO x\r\nAUTH PLAIN =\r\nAUTH LOGIN !!!\r\nAUTH\r\nAUTH X-NONE\r\n",
        "EHLO x\r\nAUTH SCRAM-SHA-256 biwsbj0sLCwscj0=\r\nAUTH SCRAM-SHA-256-PLUS\r\n",
        "XCLIENT ADDR=127.0.0.1\r\nXFORWARD NAME=x\r\nPROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\nLHLO x\r\n",
    ]
    .map(str::to_owned)
    .into_iter()
    .chain([
        hello,
        format!("EHLO x\r\nAUTH PLAIN\r\n{}\r\n", "A".repeat(200_000)),
        "EHLO x\r\nBDAT 30\r\nMAIL FROM:<evil@gp.test>\r\n....\r\n".to_owned(),
        format!("{ENVELOPE}BDAT -1\r\nMAIL FROM:<evil@gp.test>\r\n"),
        format!("{ENVELOPE}BDAT 18446744073709551616 LAST\r\n"),
        format!("{ENVELOPE}BDAT 5 FIRST\r\nabcde"),
        format!("{ENVELOPE}BDAT 99999999 LAST\r\nshort"),
        format!("{ENVELOPE}BDAT 4 LAST\r\na\nb\rBDAT 2 LAST\r\n\0\0"),
        format!("{ENVELOPE}{}", "BDAT 0\r\n".repeat(2_000)),
        format!("{ENVELOPE}BDAT 1\r\n\rDATA\r\nRSET\r\nBDAT 1 LAST\r\n\n"),
    ])
    .collect();
    for port in [world.relay().address().port(), world.tls_port()] {
        for octets in &octets {
            let mut client = world.client().port(port).connect().await;
            client.send_octets(octets).await;
            client.half_close().await;
            client.read_to_end().await;
        }
    }
    for header in [
        "PROXY TCP4 127.0.0.1 127.0.0.1 1\r\n",
        "PROXY TCP6 ::1 127.0.0.1 1 2\r\n",
        "PROXY UNKNOWN",
        "PROXY \0\0\r\n",
        "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x01\0",
        "EHLO x\r\n",
    ] {
        let mut client = world.client().from(PROXY).connect().await;
        client.send_octets(header).await;
        client.half_close().await;
        let heard = client.read_to_end().await;
        assert!(heard.is_empty(), "{header:?}: {heard:?}");
    }
    world.nothing_queued().await;
    mx.never_called();
    world.takes_and_delivers_a_mail().await;
}
