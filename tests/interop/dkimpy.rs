//! dkimpy, a verifier that many receivers use: both algorithms, over bodies that go wrong elsewhere.

use serde_json::{Map, Value};

use super::program;
use crate::support::{World, mail};

/// Debian's packages are found by Debian's Python, whatever else is on the search path.
const PYTHON: &str = "/usr/bin/python3";

#[tokio::test]
async fn dkimpy_verifies_both_signatures_over_odd_bodies() {
    // W-21.01
    if !program::asked_for() {
        return;
    }
    let world = World::setup()
        .set("SMTP_MAX_MESSAGE_SIZE", "16MiB")
        .without_relay()
        .await;
    world.starts_signing_for("gp.test").await;
    let records = world.checked_keys().await.into_iter().map(|key| {
        let name = key["name"].as_str().expect("a text").to_owned();
        (name, key["record"].clone())
    });
    let records = Value::Object(records.collect::<Map<_, _>>()).to_string();
    let mx = world.remote("dest.test").await;
    let large = "Ten MiB of \t lines  with blanks. \r\n.\r\n\r\n".repeat(276_000);
    assert!(large.len() > 10 << 20);
    let bodies: [(&str, &[u8]); 16] = [
        ("empty", b""),
        ("one line end", b"\r\n"),
        ("line ends only", b"\r\n\r\n\r\n"),
        ("blanks only", b" \r\n\t \r\n"),
        ("no last line end", b"Hello.\r\nGood-bye."),
        ("a blank and no line end", b"Hello.\r\n "),
        ("trailing empty lines", b"Hello.\r\n\r\n\r\n"),
        (
            "trailing lines of blanks",
            b"Hello.\r\n \r\n\t\r\n\r\n \r\n",
        ),
        ("leading empty lines", b"\r\n \r\n\r\nHello.\r\n"),
        ("trailing blanks", b"a \t \r\nb\t\r\n c  d\r\n"),
        ("dots", b".\r\n..\r\n...x\r\n.x\r\n"),
        (
            "8-bit",
            "Gr\u{fc}\u{df}e \u{1f426}\r\n\u{a0}\r\n".as_bytes(),
        ),
        ("no UTF-8", b"\xff\xfe\x80 \xa0\r\n"),
        ("other white space", b"a\x0b\x0c b\x0c\r\n\x0c\r\n"),
        ("a long line", &[b'x'; 998]),
        ("10 MiB", large.as_bytes()),
    ];
    let mut client = world.client().session().await;
    for (name, body) in bodies {
        let mail = mail()
            .to("bob@dest.test")
            .mail_parameter("BODY=8BITMIME")
            .subject("a   subject\r\n\tfolded \r\n  twice")
            .header("Cc", " \"C., D.\"  <c@gp.test>,\r\n (note)\r\n d@gp.test ");
        let octets = mail.clone().body_octets(body).octets();
        for line in std::iter::once(mail.mail_line()).chain(mail.rcpt_lines()) {
            client.cmd(&line).await.expect(250);
        }
        let mut chunk = format!("BDAT {} LAST\r\n", octets.len()).into_bytes();
        chunk.extend_from_slice(&octets);
        client.send_octets(chunk).await;
        client.read_reply().await.expect("250 2.0.0");
        let message = mx.message().await;
        let told = dkimpy_says(message.octets(), &records).await;
        let wanted = serde_json::json!([
            {"algorithm": "rsa-sha256", "domain": "gp.test", "selector": "r1", "verdict": "pass"},
            {"algorithm": "ed25519-sha256", "domain": "gp.test", "selector": "e1", "verdict": "pass"},
        ]);
        assert_eq!(told, wanted, "{name}");
    }

    // The judge is awake.
    let message = mail().to("bob@dest.test");
    client.send(message).await.accepted();
    let octets = mx.message().await.octets().to_vec();
    let changed = String::from_utf8(octets).expect("ASCII");
    for changed in [
        changed.replace("Hello.", "Hallo."),
        format!("Subject: another\r\n{changed}"),
    ] {
        let told = dkimpy_says(changed.as_bytes(), &records).await;
        let verdicts = told.as_array().expect("an array").iter();
        let verdicts: Vec<&Value> = verdicts.map(|told| &told["verdict"]).collect();
        assert_eq!(verdicts.len(), 2);
        assert!(
            !verdicts.iter().any(|verdict| *verdict == "pass"),
            "{verdicts:?}"
        );
    }
}

async fn dkimpy_says(message: &[u8], records: &str) -> Value {
    let mut command = tokio::process::Command::new(PYTHON);
    command.kill_on_drop(true);
    command.arg(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/interop/verify_dkim.py"
    ));
    command.arg(records);
    let told = program::run(command, message).await;
    serde_json::from_slice(&told).expect("the script writes JSON")
}
