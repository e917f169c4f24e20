//! Python's `email` package, which many programs read reports with.

use serde_json::Value;

use super::program;
use crate::support::{World, mail};

/// The remote host's words, over several lines and with what could be taken for syntax.
const REPLY: &str =
    "550-5.1.1 <eve@dest.test>: nobody here is called so;\r\n550 5.1.1 (see \"help\")";

#[tokio::test]
async fn python_reads_the_report_about_one_failed_recipient_of_three() {
    // W-20.02, W-22.02
    if !program::asked_for() {
        return;
    }
    let world = World::new().await;
    let mx = world
        .remote("dest.test")
        .rcpt_for("eve@dest.test", [REPLY])
        .await;
    let origin = world.remote("gp.test").await;
    let mail = mail()
        .from("ann@gp.test")
        .recipients(["bob@dest.test", "eve@dest.test", "joe@dest.test"])
        .header("X-Kept", "a field of the original");
    let id = world.client().send(mail).await.accepted();
    let history = world.history(&id);
    history.shows_for("eve@dest.test", ["failed 5.1.1"]).await;
    for rcpt in ["bob@dest.test", "joe@dest.test"] {
        history.shows_for(rcpt, ["delivered"]).await;
    }
    assert_eq!(mx.message().await.to(), ["bob@dest.test", "joe@dest.test"]);

    let report = origin.message().await;
    assert_eq!((report.from(), report.to()), ("", vec!["ann@gp.test"]));
    origin.received_exactly(1).await;
    let read = python_reads(report.octets()).await;
    assert_eq!(read["type"], "multipart/report", "{read:#}");
    assert_eq!(read["report_type"], "delivery-status", "{read:#}");
    assert_eq!(read["defects"], Value::Array(vec![]), "{read:#}");
    assert_eq!(read["per_message"]["Reporting-MTA"], "dns; gp.test");

    let recipients = read["recipients"].as_array().expect("an array");
    assert_eq!(recipients.len(), 1, "{read:#}");
    let eve = &recipients[0];
    assert_eq!(eve["Final-Recipient"], "rfc822; eve@dest.test", "{read:#}");
    assert_eq!(eve["Action"], "failed", "{read:#}");
    assert_eq!(eve["Status"], "5.1.1", "{read:#}");
    let diagnostic = eve["Diagnostic-Code"].as_str().expect("a text");
    for words in ["smtp; 550", "nobody here is called so;", "(see \"help\")"] {
        assert!(
            diagnostic.contains(words),
            "{words:?} not in {diagnostic:?}"
        );
    }

    let original = read["original"].to_string();
    for words in [
        "a field of the original",
        "<made.by.a.test@gp.test>",
        "hello",
    ] {
        assert!(original.contains(words), "{words:?} not in {original}");
    }
}

#[tokio::test]
async fn python_reads_reports_of_delay_and_relaying() {
    // W-22.07, W-22.09
    if !program::asked_for() {
        return;
    }
    let world = World::setup()
        .set("SMTP_DELAY_WARNING", "1s")
        .set("SMTP_RETRY_BASE", "200ms")
        .set("SMTP_RETRY_CAP", "400ms")
        .await;
    world.remote("late.test").rcpt(["451 4.2.0 later"]).await;
    world.remote("dest.test").await;
    let origin = world.remote("gp.test").await;
    let mail = mail()
        .to("late@late.test")
        .to("told@dest.test")
        .rcpt_parameter("NOTIFY=SUCCESS");
    world.client().send(mail).await.accepted();
    for (action, status) in [("relayed", "2.0.0"), ("delayed", "4.2.0")] {
        let read = python_reads(origin.message().await.octets()).await;
        assert_eq!(read["defects"], Value::Array(vec![]), "{read:#}");
        let recipient = &read["recipients"][0];
        assert_eq!(recipient["Action"], action, "{read:#}");
        assert_eq!(recipient["Status"], status, "{read:#}");
        let until = &recipient["Will-Retry-Until"];
        assert_eq!(until.is_string(), action == "delayed", "{read:#}");
    }
}

#[tokio::test]
async fn python_finds_the_same_parts_in_a_re_encoded_message() {
    // W-17.02
    if !program::asked_for() {
        return;
    }
    let world = World::new().await;
    let mx = world.remote("dest.test").offers(["PIPELINING"]).await;
    let binary = "\u{20ac}\u{fc}\u{e4}\n.\n\n".repeat(5_000);
    let inner = "Content-Type: multipart/alternative; boundary=in\n\n--in\n\nascii \n--in\n\
                 Content-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n\
                 <p>Die Gr\u{fc}nen = \n--in--\n";
    let body = format!(
        "preamble\n--out\nContent-Type: message/rfc822\nContent-Transfer-Encoding: 8bit\n\n\
         Subject: inner\nMIME-Version: 1.0\n{inner}\n--out\nContent-Type: image/png\n\
         Content-Transfer-Encoding: 8bit\n\n{binary}\n--out--\nepilogue\n"
    );
    let sent = mail()
        .header("MIME-Version", "1.0")
        .header("Content-Type", "multipart/mixed; boundary=out")
        .body(&body)
        .to("bob@dest.test");
    world.client().send(sent.clone()).await.accepted();
    let message = mx.message().await;
    assert!(message.octets().is_ascii());
    let (before, after) = (sent.octets(), message.octets());
    let script = "read_parts.py";
    let (before, after) = (python(script, &before).await, python(script, after).await);
    assert_eq!(before["defects"], Value::Array(vec![]), "{before:#}");
    assert_eq!(before, after);
}

async fn python_reads(report: &[u8]) -> Value {
    python("read_report.py", report).await
}

async fn python(script: &str, input: &[u8]) -> Value {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop");
    let mut command = program::command("python3", "python3", "");
    command.arg(format!("{folder}/{script}"));
    let told = program::run(command, input).await;
    serde_json::from_slice(&told).expect("the script writes JSON")
}
