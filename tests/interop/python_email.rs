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

async fn python_reads(report: &[u8]) -> Value {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/read_report.py");
    let mut command = program::command("python3", "python3", "");
    command.arg(script);
    let told = program::run(command, report).await;
    serde_json::from_slice(&told).expect("the script writes JSON")
}
