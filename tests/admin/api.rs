//! The admin API over the control socket: questions, orders, and what becomes of mail by them.

use serde_json::{Value, json};

use crate::support::{Gate, Id, Phase, Remote, World, mail, reply};

/// A world whose deferred mail stays so for the test.
async fn patient() -> World {
    World::setup()
        .set("SMTP_RETRY_BASE", "1h")
        .set("SMTP_RETRY_CAP", "1h")
        .await
}

fn texts(lines: &[Value], field: &str) -> Vec<String> {
    let text = |line: &Value| line[field].as_str().unwrap_or("null").to_owned();
    lines.iter().map(text).collect()
}

/// The `to` of what a query lists, in order.
async fn listed(world: &World, query: &str) -> Vec<String> {
    let path = format!("/api/v1/queue?{query}");
    let answer = world.relay().control().get(&path).await.expect(200);
    texts(&answer.lines(), "to")
}

async fn send(world: &World, to: &str) -> Id {
    world.client().send(mail().to(to)).await.accepted()
}

/// How often a host was asked to take a recipient.
fn attempts(remote: &Remote) -> usize {
    let commands = remote.commands();
    commands
        .iter()
        .filter(|line| line.starts_with("RCPT"))
        .count()
}

/// Carries out an order for one message.
async fn order(world: &World, action: &str, id: &Id) -> Value {
    let order = json!({"filter": {"id": id.0}, "reason": "a test"});
    let path = format!("/api/v1/queue/{action}");
    world.relay().control().post(&path, order).await.done()
}

#[tokio::test]
async fn recipients_are_listed_with_what_is_known_and_filters_are_combined() {
    let world = patient().await;
    let remote = world
        .remote("dest.test")
        .rcpt(["451 4.7.1 Greylisted"])
        .await;
    let other = world.remote("other.test").await;
    let deferred = send(&world, "ann@dest.test").await;
    world.history(&deferred).shows(["deferred"]).await;
    let delivered = send(&world, "bob@other.test").await;
    world.history(&delivered).shows(["delivered"]).await;
    other.received_exactly(1).await;

    let answer = world
        .relay()
        .control()
        .get("/api/v1/queue?state=deferred")
        .await
        .expect(200);
    let head = answer.head.to_lowercase();
    assert!(
        head.contains("content-type: application/x-ndjson"),
        "{head}"
    );
    assert!(head.contains("cache-control: no-store"), "{head}");
    let lines = answer.lines();
    assert_eq!(lines.len(), 1);
    let line = &lines[0];
    assert_eq!(line["id"], deferred.0.as_str());
    assert_eq!(
        (&line["to"], &line["destination"]),
        (&json!("ann@dest.test"), &json!("dest.test"))
    );
    assert_eq!(
        (&line["state"], &line["attempts"]),
        (&json!("deferred"), &json!(1))
    );
    assert_eq!(line["last_reply"], "451 4.7.1 Greylisted");
    assert!(
        line["remote"].as_str().unwrap().starts_with(remote.name()),
        "{line}"
    );
    assert!(
        line["next_attempt"].is_string() && line["last_attempt"].is_string(),
        "{line}"
    );
    assert!(
        line["size"].as_u64().unwrap() > 0 && line["age_seconds"].is_u64(),
        "{line}"
    );

    let (ann, bob) = ("ann@dest.test", "bob@other.test");
    for (query, want) in [
        ("", &[ann, bob][..]),
        ("to=*%40dest.test", &[ann]),
        ("domain=OTHER.*", &[bob]),
        ("reply=greylist&min_attempts=1", &[ann]),
        ("reply=greylist&min_attempts=2", &[]),
        ("state=delivered,deferred&limit=1", &[ann]),
        ("younger_than=1h", &[ann, bob]),
        ("older_than=1h", &[]),
        (&format!("id={},{}", deferred.0, delivered.0), &[ann, bob]),
        (&format!("id={}&state=deferred", delivered.0), &[]),
        ("from=%3C%3E", &[]),
    ] {
        assert_eq!(listed(&world, query).await, want, "{query}");
    }
}

#[tokio::test]
async fn what_can_not_be_read_is_refused_in_one_line_that_names_it() {
    let world = World::new().await;
    let control = world.relay().control();
    for (query, named) in [
        ("state=bounced", "state"),
        ("older_than=4", "older_than"),
        ("id=x", "id"),
        ("colour=red", "colour"),
        ("limit=-1", "limit"),
    ] {
        let error = control
            .get(&format!("/api/v1/queue?{query}"))
            .await
            .complaint(400);
        assert!(error.contains(named), "{query}: {error}");
    }
    for (order, named) in [
        (json!({"filter": {}}), "all"),
        (json!({"filter": {"limit": 3}}), "all"),
        (json!({"filter": {"colour": "red"}, "reason": ""}), "colour"),
        (json!({"filtre": {"all": true}}), "filtre"),
        (json!({"filter": {"all": true}, "rate": "10/s"}), "rate"),
        (json!({"filter": {"older_than": "x"}}), "older_than"),
        (json!([1]), "body"),
    ] {
        let error = control
            .post("/api/v1/queue/purge", order.clone())
            .await
            .complaint(400);
        assert!(error.contains(named), "{order}: {error}");
    }
    control
        .get("/api/v1/queue/01ARZ3NDEKTSV4RRFFQ69G5FAV")
        .await
        .complaint(404);
    control
        .get("/api/v1/queue/nonsense/message")
        .await
        .complaint(404);
}

#[tokio::test]
async fn one_message_is_shown_with_its_header_and_its_attempts() {
    let world = patient().await;
    world
        .remote("dest.test")
        .rcpt(["451 4.7.1 come again"])
        .await;
    let sent = mail().to("ann@dest.test").subject("a b");
    let id = world.client().send(sent).await.accepted();
    world.history(&id).shows(["deferred"]).await;

    let path = format!("/api/v1/queue/{}", id.0);
    let shown = world.relay().control().get(&path).await.expect(200).json();
    assert_eq!(shown["id"], id.0.as_str());
    let header = shown["header"].as_str().unwrap();
    assert!(
        header.starts_with("Received: ") && header.contains("Subject: a b"),
        "{header}"
    );
    assert!(
        shown["client"].as_str().unwrap().contains("[127.0.0.1]"),
        "{shown}"
    );
    assert!(shown["message_id"].is_string(), "{shown}");
    let rcpt = &shown["recipients"][0];
    assert!(
        rcpt["why"]
            .as_str()
            .unwrap()
            .contains("451 4.7.1 come again"),
        "{rcpt}"
    );
    let events = rcpt["history"].as_array().unwrap();
    assert_eq!(events.len(), 1);
    assert_eq!(
        (&events[0]["what"], &events[0]["attempt"]),
        (&json!("attempt"), &json!(1))
    );
    assert_eq!(events[0]["reply"], "451 4.7.1 come again");
    assert_eq!(events[0]["status"], "4.7.1");
}

#[tokio::test]
async fn an_order_is_counted_first_and_then_carried_out_and_told_with_who_gave_it() {
    let world = World::setup().set("SMTP_MODE", "hold").await;
    let control = world
        .relay()
        .control()
        .with("X-Gopherpost-User", "ann\u{202e}[1m");
    for to in ["a@one.test", "b@one.test", "c@two.test"] {
        send(&world, to).await;
    }
    let order = |dry_run: bool| json!({"filter": {"domain": "one.test"}, "dry_run": dry_run, "reason": "they asked\nus"});
    let counted = control
        .post("/api/v1/queue/purge", order(true))
        .await
        .done();
    assert_eq!(
        (&counted["matched"], &counted["changed"]),
        (&json!(2), &json!(0))
    );
    assert_eq!(
        (&counted["messages"], &counted["dry_run"]),
        (&json!(2), &json!(true))
    );
    let sample = counted["sample"].as_array().unwrap();
    assert_eq!(texts(sample, "to"), ["a@one.test", "b@one.test"]);
    assert_eq!(listed(&world, "state=purged").await, [] as [&str; 0]);
    world.log().never_told("order");

    let done = control
        .post("/api/v1/queue/purge", order(false))
        .await
        .done();
    assert_eq!((&done["matched"], &done["changed"]), (&json!(2), &json!(2)));
    assert!(done["restorable_until"].is_string(), "{done}");
    assert_eq!(
        listed(&world, "state=purged").await,
        ["a@one.test", "b@one.test"]
    );
    assert_eq!(listed(&world, "state=held").await, ["c@two.test"]);

    let told = world.log().tells("order").await;
    let field = |name: &str| told.field(name).unwrap_or_default();
    assert_eq!(
        (field("action"), field("changed")),
        ("purge".into(), "2".into())
    );
    assert_eq!(field("filter"), "domain=one.test");
    assert_eq!(field("reason"), "they asked?us");
    let by = field("by");
    assert!(
        by.ends_with("(sudo from ann?[1m)") && !by.starts_with(' '),
        "{by}"
    );

    // again: there is nobody left for it
    let again = control
        .post("/api/v1/queue/purge", order(false))
        .await
        .done();
    assert_eq!(
        (&again["matched"], &again["restorable_until"]),
        (&json!(0), &Value::Null)
    );
}

#[tokio::test]
async fn an_order_stops_at_its_limit() {
    let world = World::setup().set("SMTP_MODE", "hold").await;
    for to in ["a@one.test", "b@one.test", "c@one.test"] {
        send(&world, to).await;
    }
    let order = json!({"filter": {"all": true, "limit": 2}});
    let done = world
        .relay()
        .control()
        .post("/api/v1/queue/purge", order)
        .await
        .done();
    assert_eq!(done["changed"], 2);
    assert_eq!(listed(&world, "state=held").await, ["c@one.test"]);
}

#[tokio::test]
async fn a_retry_is_attempted_at_once_and_what_is_held_never_before_its_release() {
    // W-23.05
    let world = patient().await;
    let remote = world
        .remote("dest.test")
        .rcpt(["451 4.2.0 later", "451 4.2.0 later", "250 2.1.5 ok"])
        .await;
    let id = send(&world, "ann@dest.test").await;
    world.history(&id).shows(["deferred"]).await;
    assert_eq!(order(&world, "retry", &id).await["changed"], 1);
    world.history(&id).shows(["deferred", "deferred"]).await;

    assert_eq!(order(&world, "hold", &id).await["changed"], 1);
    assert_eq!(order(&world, "retry", &id).await["matched"], 0);
    world.relay().kill_and_restart().await;
    assert_eq!(listed(&world, "state=held").await, ["ann@dest.test"]);
    world.takes_and_delivers_a_mail().await;
    assert_eq!(attempts(&remote), 2);

    assert_eq!(order(&world, "release", &id).await["changed"], 1);
    world
        .history(&id)
        .shows(["deferred", "deferred", "delivered"])
        .await;
    remote.received_exactly(1).await;
    let path = format!("/api/v1/queue/{}", id.0);
    let shown = world.relay().control().get(&path).await.expect(200).json();
    let events = shown["recipients"][0]["history"].as_array().unwrap();
    let what = ["attempt", "retry", "attempt", "hold", "release", "attempt"];
    assert_eq!(texts(events, "what"), what);
    assert_eq!(events[1]["reply"], "a test");
    assert!(events[1]["by"].is_string());
}

#[tokio::test]
async fn a_bounce_tells_the_sender_and_attempts_nothing() {
    // W-23.05
    let world = patient().await;
    let home = world.remote("gp.test").await;
    let remote = world.remote("dest.test").rcpt(["451 4.2.0 later"]).await;
    let id = send(&world, "ann@dest.test").await;
    world.history(&id).shows(["deferred"]).await;
    assert_eq!(order(&world, "bounce", &id).await["changed"], 1);
    let report = home.message().await;
    assert_eq!(report.from(), "");
    report.report().says("ann@dest.test", "failed", "5.0.0");
    assert_eq!(attempts(&remote), 1);
    assert_eq!(listed(&world, "state=failed").await, ["ann@dest.test"]);
}

#[tokio::test]
async fn what_is_purged_amid_its_attempt_is_not_attempted_again_and_comes_back_unchanged() {
    // W-23.06
    let world = World::new().await;
    let gate = Gate::new();
    let remote = world.remote("dest.test");
    let remote = remote.rcpt([reply("451 4.2.0 later").behind(&gate)]).await;
    let sent = mail().to("ann@dest.test").body("A line.\r\n.\r\nAnother.");
    let id = world.client().send(sent.clone()).await.accepted();
    gate.reached().await;
    assert_eq!(listed(&world, "state=in_flight").await, ["ann@dest.test"]);
    let purged = order(&world, "purge", &id).await;
    assert_eq!(
        (&purged["changed"], &purged["in_flight"]),
        (&json!(1), &json!(1))
    );
    gate.open();
    world.log().tells("overtaken").await;
    assert_eq!(listed(&world, "state=purged").await, ["ann@dest.test"]);
    world.takes_and_delivers_a_mail().await;
    assert_eq!(attempts(&remote), 1);

    remote.answers(Phase::Rcpt, ["250 2.1.5 ok"]);
    assert_eq!(order(&world, "restore", &id).await["changed"], 1);
    remote.received_exactly(1).await;
    remote.message().await.arrived_as(sent.octets());
}

#[tokio::test]
async fn what_became_of_mail_is_found_by_id_message_id_sender_and_recipient_the_latest_first() {
    let world = World::new().await;
    world
        .remote("dest.test")
        .rcpt_for("bob@dest.test", ["550 5.1.1 unknown"])
        .await;
    world.remote("gp.test").await;
    let first = mail().from("carl@gp.test").to("ann@dest.test");
    let first = first
        .without("Message-ID")
        .header("Message-ID", "<one@gp.test>");
    let first = world.client().send(first).await.accepted();
    world.history(&first).shows(["delivered"]).await;
    let second = mail().from("carl@gp.test").to("bob@dest.test");
    let second = world.client().send(second).await.accepted();
    world.history(&second).shows(["failed"]).await;

    for (query, want) in [
        (format!("id={}", first.0), &["ann@dest.test"][..]),
        ("message_id=one%40gp.test".to_owned(), &["ann@dest.test"]),
        (
            "message_id=%3Cone%40gp.test%3E".to_owned(),
            &["ann@dest.test"],
        ),
        ("message_id=two%40gp.test".to_owned(), &[]),
        (
            "from=carl%40gp.test".to_owned(),
            &["bob@dest.test", "ann@dest.test"],
        ),
        ("from=carl%40gp.test&limit=1".to_owned(), &["bob@dest.test"]),
        ("to=bob%40*".to_owned(), &["bob@dest.test"]),
    ] {
        let path = format!("/api/v1/history?{query}");
        let lines = world.relay().control().get(&path).await.expect(200).lines();
        assert_eq!(texts(&lines, "to"), want, "{query}");
    }
    let path = format!("/api/v1/history?id={}", second.0);
    let line = &world.relay().control().get(&path).await.lines()[0];
    assert_eq!(
        (&line["state"], &line["history"][0]["status"]),
        (&json!("failed"), &json!("5.1.1"))
    );
    world
        .relay()
        .control()
        .get("/api/v1/history")
        .await
        .complaint(400);
}

#[tokio::test]
async fn an_exported_message_is_what_would_be_sent_and_imported_it_is_delivered_as_it_was() {
    // W-23.08
    let world = World::setup()
        .set("SMTP_RETRY_BASE", "1h")
        .set("SMTP_RETRY_CAP", "1h")
        .without_relay()
        .await;
    world.starts_signing_for("gp.test").await;
    let remote = world.remote("dest.test").rcpt(["451 4.2.0 later"]).await;
    let sent = mail()
        .from("ann@gp.test")
        .to("bob@dest.test")
        .body("Two.\r\n..\r\n.Dots");
    let large = sent
        .clone()
        .body(&"A line of some length, many times over.\r\n".repeat(10_000));
    let control = world.relay().control();
    for sent in [sent, large] {
        remote.answers(Phase::Rcpt, ["451 4.2.0 later"]);
        let id = world.client().send(sent).await.accepted();
        world.history(&id).shows(["deferred"]).await;
        let exported = control
            .get(&format!("/api/v1/queue/{}/message", id.0))
            .await
            .expect(200);
        assert!(
            exported.whole && exported.head.contains("message/rfc822"),
            "{}",
            exported.head
        );
        assert!(
            exported.text().matches("DKIM-Signature: ").count() == 2,
            "{}",
            exported.text()
        );
        let envelope = control
            .get(&format!("/api/v1/queue/{}/envelope", id.0))
            .await
            .expect(200);
        assert_eq!(order(&world, "purge", &id).await["changed"], 1);

        remote.answers(Phase::Rcpt, ["250 2.1.5 ok"]);
        let mut import = envelope.text().into_bytes();
        import.push(b'\n');
        import.extend(&exported.octets);
        let imported = control
            .request("POST", "/api/v1/import", import)
            .await
            .expect(200)
            .json();
        assert_eq!(imported["recipients"], 1);
        let new = Id(imported["id"].as_str().unwrap().to_owned());
        assert_ne!(new.0, id.0);
        world.history(&new).shows(["delivered"]).await;
        let arrived = remote.message().await;
        assert!(
            arrived.octets() == exported.octets,
            "it arrived otherwise than it was exported"
        );
        let path = format!("/api/v1/queue/{}/envelope", new.0);
        let again = control.get(&path).await.expect(200).json();
        assert_eq!(again["arrived"], envelope.json()["arrived"]);
    }
}

#[tokio::test]
async fn what_is_not_fit_for_mail_is_not_imported() {
    let world = World::new().await;
    let control = world.relay().control();
    let envelope = |state: &str| {
        json!({
            "id": "x", "arrived": "2026-01-01T00:00:00Z", "from": "", "body_kind": "7bit",
            "smtputf8": false, "envelope_id": null, "ret": null,
            "recipients": [{"to": "a@dest.test", "state": state, "notify": null, "orcpt": null}],
        })
    };
    let queued = envelope("queued");
    for (first, octets, named) in [
        (&queued, "Subject: x\r\n\r\nbare\nLF\r\n", "CRLF"),
        (&queued, "Subject: x\r\n\r\nNUL\0\r\n", "NUL"),
        (&queued, "", "empty"),
        (&envelope("delivered"), "Subject: x\r\n\r\n", "recipients"),
        (&envelope("nowhere"), "Subject: x\r\n\r\n", "state"),
        (&json!({"id": "x"}), "Subject: x\r\n\r\n", "first line"),
    ] {
        let body = format!("{first}\n{octets}").into_bytes();
        let error = control
            .request("POST", "/api/v1/import", body)
            .await
            .complaint(400);
        assert!(error.contains(named), "{error}");
    }
    world.nothing_queued().await;
}

#[tokio::test]
async fn a_destination_is_suspended_and_opened_again_by_hand() {
    let world = World::new().await;
    let remote = world.remote("dest.test").await;
    let control = world.relay().control();
    let suspend = "/api/v1/destinations/dest.test/suspend";
    let told = control
        .post(suspend, json!({"reason": "they move"}))
        .await
        .expect(200)
        .json();
    assert_eq!(
        (&told["destination"], &told["times"]),
        (&json!("dest.test"), &json!(0))
    );
    assert_eq!(
        (&told["until"], &told["why"]),
        (&Value::Null, &json!("they move"))
    );
    let id = send(&world, "ann@dest.test").await;
    world.takes_and_delivers_a_mail().await;
    assert_eq!(remote.connections().len(), 0);
    let list = control
        .get("/api/v1/destinations")
        .await
        .expect(200)
        .lines();
    assert_eq!(list, [told]);

    let resume = "/api/v1/destinations/dest.test/resume";
    control
        .request("POST", resume, Vec::new())
        .await
        .expect(204);
    world.history(&id).shows(["delivered"]).await;
    control
        .request("POST", resume, Vec::new())
        .await
        .complaint(404);
    control
        .post(suspend, json!({"span": "soon"}))
        .await
        .complaint(400);
    control
        .post("/api/v1/destinations/a%20b/suspend", json!({}))
        .await
        .complaint(400);
    let timed = control
        .post(suspend, json!({"span": "1h"}))
        .await
        .expect(200)
        .json();
    assert!(timed["until"].is_string(), "{timed}");
}

#[tokio::test]
async fn numbers_tell_of_all_that_waits_by_destination_and_age() {
    let world = World::setup().set("SMTP_MODE", "hold").await;
    for to in ["a@one.test", "b@two.test", "c@two.test"] {
        send(&world, to).await;
    }
    let stats = world
        .relay()
        .control()
        .get("/api/v1/stats?limit=1")
        .await
        .expect(200)
        .json();
    assert_eq!(
        (&stats["messages"], &stats["recipients"]["held"]),
        (&json!(3), &json!(3))
    );
    assert_eq!(
        (&stats["recipients"]["queued"], &stats["left_out"]),
        (&json!(0), &json!(1))
    );
    let first = &stats["destinations"][0];
    assert_eq!(
        (&first["destination"], &first["recipients"]),
        (&json!("two.test"), &json!(2))
    );
    let columns = stats["age_bounds_minutes"].as_array().unwrap().len() + 1;
    let ages = first["by_age"].as_array().unwrap();
    assert_eq!((ages.len(), &ages[0]), (columns, &json!(2)));
}

#[tokio::test]
async fn the_api_describes_itself_as_docs_do() {
    let world = World::new().await;
    let served = world
        .relay()
        .control()
        .get("/api/v1/openapi.json")
        .await
        .expect(200)
        .json();
    let docs: Value = serde_json::from_str(include_str!("../../docs/openapi.json")).unwrap();
    assert_eq!(served, docs);
}
