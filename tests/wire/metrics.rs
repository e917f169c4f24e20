//! W-24.03: `/metrics`, and what it counts.

use std::collections::BTreeSet;

use crate::support::{Gate, HttpAnswer, Phase, World, mail, reply};

/// Fails unless it is Prometheus' text format 0.0.4, strictly: HELP and TYPE before the series of a name,
/// names and labels of its alphabet, no series twice.
#[track_caller]
fn check_format(text: &str) {
    let is_name = |name: &str| {
        let mut letters = name.chars();
        letters
            .next()
            .is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
            && letters.all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    assert!(text.ends_with('\n'));
    let (mut helped, mut typed, mut seen) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').expect(line);
            assert!(help.ends_with('.') && help.len() > 20, "{line}");
            assert!(helped.insert(name), "{line}");
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').expect(line);
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert!(typed.insert(name) && helped.contains(name), "{line}");
        } else {
            let (series, value) = line.rsplit_once(' ').expect(line);
            assert!(value.parse::<f64>().is_ok(), "{line}");
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            assert!(is_name(name), "{line}");
            let base = ["_bucket", "_sum", "_count"]
                .into_iter()
                .find_map(|end| name.strip_suffix(end).filter(|base| typed.contains(base)));
            assert!(typed.contains(base.unwrap_or(name)), "{line}");
            let labels = labels.strip_suffix('}').expect(line);
            for label in labels.split(',').filter(|label| !label.is_empty()) {
                let (name, value) = label.split_once('=').expect(line);
                let value = value.strip_prefix('"').and_then(|v| v.strip_suffix('"'));
                let plain = |c: char| c.is_ascii_alphanumeric() || "_.+-".contains(c);
                assert!(
                    is_name(name) && value.expect(line).chars().all(plain),
                    "{line}"
                );
            }
            assert!(seen.insert(series), "twice: {line}");
        }
    }
}

#[tokio::test]
async fn hostile_words_become_no_line_no_label_and_no_series() {
    // W-24.03
    let world = World::new().await;
    let before = world.relay().http_get("/metrics").await;
    assert_eq!(before.status, 200);
    assert_eq!(
        before.field("content-type"),
        Some("text/plain; version=0.0.4")
    );
    check_format(&before.body);

    let mx = world.remote("dest.test").await;
    let hostile = "550 5.1.1 \"}\\n# TYPE evil counter evil{x=\"1\"} 7";
    mx.answers_rcpt_for("bad@dest.test", [hostile]);
    let mut client = world.client().connect().await;
    client.read_reply().await.expect(220);
    client.cmd("EHLO x\"}y{z=\"1\"").await;
    client.cmd("EHLO [IPv6:::1]").await;
    client.cmd("evil{x=\"1\"} 7").await.expect(500);
    client.cmd("MAIL FROM:<\"} 1\"@gp.test>").await.expect(250);
    client.cmd("RCPT TO:<bad@dest.test>").await.expect(250);
    client
        .cmd("RCPT TO:<x@xn--evil-.test\"}>")
        .await
        .expect(501);
    client.data(&mail().octets()).await.expect(250);
    world.log().tells("failed").await;

    let after = world.relay().http_get("/metrics").await;
    check_format(&after.body);
    assert!(!after.body.contains("evil"), "{}", after.body);
    let names = |answer: &HttpAnswer| -> Vec<String> { answer.series().into_keys().collect() };
    assert_eq!(
        names(&before),
        names(&after),
        "series are all there from the start"
    );
}

#[tokio::test]
async fn traffic_is_counted_once_and_where_it_belongs() {
    // W-24.03
    let world = World::new().await;
    let mx = world.remote("dest.test").await;
    let sender = world.remote("gp.test").await;
    mx.answers_rcpt_for("later@dest.test", ["451 4.7.1 come again", "250 2.1.5 ok"]);
    mx.answers_rcpt_for("no@dest.test", ["550 5.1.1 unknown"]);
    let mut client = world.client().session().await;
    client.cmd("NONSENSE").await.expect(500);
    client
        .cmd("MAIL FROM:<bob@elsewhere.test>")
        .await
        .expect(550);
    let recipients = ["ann@dest.test", "later@dest.test", "no@dest.test"];
    let id = client
        .send(mail().from("bob@gp.test").recipients(recipients))
        .await
        .accepted();
    world.history(&id).has(4).await;
    client.quit().await;
    sender.message().await; // the report
    world.log().tells_times("delivered", 3).await;

    let got = world.relay().http_get("/metrics").await.series();
    let is = |series: &str, want: f64| {
        let series = format!("gopherpost_{series}");
        assert_eq!(
            got.get(&series).copied(),
            Some(want),
            "{series} of {got:#?}"
        );
    };
    is("smtpd_messages_accepted_total", 1.0);
    is("smtpd_recipients_accepted_total", 3.0);
    is(
        r#"smtpd_rejects_total{code="500",reason="unknown_command"}"#,
        1.0,
    );
    is(
        r#"smtpd_rejects_total{code="550",reason="sender_not_allowed"}"#,
        1.0,
    );
    is(
        r#"delivery_attempts_total{reason="none",result="delivered"}"#,
        3.0,
    );
    is(
        r#"delivery_attempts_total{reason="remote",result="deferred"}"#,
        1.0,
    );
    is(
        r#"delivery_attempts_total{reason="remote",result="failed"}"#,
        1.0,
    );
    is(r#"delivery_tls_total{level="clear"}"#, 3.0);
    is("delivery_time_to_deliver_seconds_count", 3.0);
    is(r#"dsn_generated_total{kind="failed"}"#, 1.0);
    is(r#"queue_recipients{state="delivered"}"#, 3.0);
    is(r#"queue_recipients{state="failed"}"#, 1.0);
    is(r#"dns_lookups_total{result="found",type="MX"}"#, 3.0);
    is("smtpd_bytes_accepted_total", {
        let told = world.log().tells("accepted").await.field("size");
        told.and_then(|size| size.parse().ok()).expect("a size")
    });
    assert!(got["gopherpost_queue_commit_duration_seconds_count"] >= 2.0);
    assert!(got["gopherpost_queue_commit_batch_messages_sum"] >= 1.0);
    assert!(got["process_resident_memory_bytes"] > 1e6);
    assert!(mx.transactions_so_far() >= 2);
}

#[tokio::test]
async fn what_runs_now_is_a_gauge_that_goes_back_to_nothing() {
    // W-24.03
    let world = World::new().await;
    let mx = world.remote("dest.test").await;
    let gate = Gate::new();
    mx.answers(Phase::Dot, [reply("250 2.0.0 taken").behind(&gate)]);
    let id = world
        .client()
        .send(mail().to("ann@dest.test"))
        .await
        .accepted();
    gate.reached().await;
    let client = world.client().session().await;
    let metrics = || async { world.relay().http_get("/metrics").await.series() };
    let got = metrics().await;
    assert_eq!(got["gopherpost_delivery_connections_active"], 1.0);
    assert_eq!(got["gopherpost_smtpd_connections_active"], 1.0);
    assert_eq!(
        got[r#"gopherpost_queue_recipients{state="in_flight"}"#],
        1.0
    );
    assert_eq!(got[r#"gopherpost_queue_recipients{state="queued"}"#], 1.0);
    gate.open();
    world.history(&id).shows(["delivered"]).await;
    client.quit().await;
    mx.ended(0).await;
    // Both ends close at about the same time; the suite's deadline ends this.
    for gauge in [
        "gopherpost_delivery_connections_active",
        "gopherpost_smtpd_connections_active",
        r#"gopherpost_queue_recipients{state="in_flight"}"#,
    ] {
        while metrics().await[gauge] != 0.0 {}
    }
}

#[tokio::test]
async fn the_predecessors_json_is_served_by_its_names() {
    let world = World::new().await;
    let mx = world.remote("dest.test").await;
    mx.answers_rcpt_for("later@dest.test", ["451 4.7.1 come again"]);
    for rcpt in ["ann@dest.test", "later@dest.test"] {
        let id = world.client().send(mail().to(rcpt)).await.accepted();
        world.history(&id).has(1).await;
    }
    let accept = "Accept: application/json\r\n";
    let vars = world.relay().http_get("/debug/vars").await;
    let metrics = world.relay().http_request("GET", "/metrics", accept).await;
    for answer in [vars, metrics] {
        assert_eq!(answer.field("content-type"), Some("application/json"));
        let told = answer.json();
        assert_eq!(told["smtp_messages_queued_total"], 2, "{told}");
        assert_eq!(told["smtp_messages_delivered_total"], 1, "{told}");
        assert_eq!(told["smtp_queue_depth"], 1, "{told}");
        assert!(
            told["smtp_delivery_failures_total"].as_u64() >= Some(1),
            "{told}"
        );
        assert!(told["smtp_sessions_active"].is_u64(), "{told}");
    }
}
