//! W-18: TLS towards remote hosts.

use crate::support::{Certificate, Handshake, Id, Remote, RemotePlan, World, mail};

/// A fault of a host's TLS, and what is told about it.
struct Fault {
    name: &'static str,
    host: fn(RemotePlan<'_>) -> RemotePlan<'_>,
    deferred: &'static str,
    told: [&'static str; 2],
}

const FAULTS: [Fault; 9] = [
    Fault {
        name: "self-signed",
        host: |plan| plan.tls(Certificate::SelfSigned),
        deferred: "deferred 4.7.5",
        told: ["unknown issuer", "SMTP_TLS_CA_FILE"],
    },
    Fault {
        name: "unknown-issuer",
        host: |plan| plan.tls(Certificate::UnknownIssuer),
        deferred: "deferred 4.7.5",
        told: ["unknown issuer", "SMTP_TLS_CA_FILE"],
    },
    Fault {
        name: "expired",
        host: |plan| plan.tls(Certificate::Expired),
        deferred: "deferred 4.7.5",
        told: ["expired", "SMTP_TLS_POLICY"],
    },
    Fault {
        name: "wrong-name",
        host: |plan| plan.tls(Certificate::WrongName),
        deferred: "deferred 4.7.5",
        told: ["name mismatch", "SMTP_TLS_POLICY"],
    },
    Fault {
        name: "garbage",
        host: |plan| plan.handshake(Handshake::Garbage),
        deferred: "deferred 4.7.5",
        told: ["handshake failed", "SMTP_TLS_POLICY"],
    },
    Fault {
        name: "closed",
        host: |plan| plan.handshake(Handshake::Close),
        deferred: "deferred 4.7.5",
        told: ["handshake failed", "SMTP_TLS_POLICY"],
    },
    Fault {
        name: "not-now",
        host: |plan| plan.starttls(["454 4.7.0 not now"]),
        deferred: "deferred 4.7.4",
        told: ["454 4.7.0 not now", "SMTP_TLS_POLICY"],
    },
    Fault {
        name: "never",
        host: |plan| plan.starttls(["502 5.5.1 never"]),
        deferred: "deferred 4.7.4",
        told: ["502 5.5.1 never", "SMTP_TLS_POLICY"],
    },
    Fault {
        name: "broken",
        host: |plan| plan.starttls(["554 5.3.0 out of order"]),
        deferred: "deferred 4.7.4",
        told: ["refuses", "SMTP_TLS_POLICY"],
    },
];

#[tokio::test]
async fn tls_is_used_where_offered_and_only_what_is_offered_inside_counts() {
    // W-18.01
    let world = World::new().await;
    for (row, outside, inside, want) in [
        ("more", &[][..], &["SIZE 1000000"][..], "SIZE="),
        ("less", &["SIZE 1000000", "PIPELINING"], &[], ""),
    ] {
        let domain = format!("{row}.test");
        let mx = world
            .remote(&domain)
            .named(&format!("mail.{row}.host.test")) // whose certificate it is, not the domain's
            .tls(Certificate::Good)
            .offers(outside.iter().copied())
            .offers_in_tls(inside.iter().copied())
            .await;
        let id = send(&world, &domain).await;
        world.history(&id).is_exactly(["delivered"]).await;
        let transaction = mx.message().await.transaction;
        assert!(transaction.in_tls, "{row}");
        let parameters = transaction.mail_parameters().concat();
        assert!(parameters.starts_with(want), "{row}: {parameters}");
        assert_eq!(parameters.is_empty(), want.is_empty(), "{row}");
        mx.ended(0).await;
        let connection = mx.connections().swap_remove(0);
        assert_eq!(connection.lines_in_clear(), ["EHLO gp.test", "STARTTLS"]);
        assert_eq!(connection.lines_in_tls()[0], "EHLO gp.test", "{row}");
    }
}

#[tokio::test]
async fn without_starttls_mail_goes_in_clear() {
    // W-18.01
    let world = World::new().await;
    let mx = world.remote("dest.test").await;
    let id = send(&world, "dest.test").await;
    world.history(&id).is_exactly(["delivered"]).await;
    assert!(!mx.message().await.transaction.in_tls);
    mx.never_saw("STARTTLS");
}

#[tokio::test]
async fn a_literal_is_checked_against_its_address() {
    // W-18.01
    let world = World::new().await;
    let plan = world.remote_without_dns().tls(Certificate::Good);
    let of_address = plan.await;
    let plan = world.remote_without_dns().tls(Certificate::Good);
    let of_name = plan.named("mail.dest.test").await;

    let id = send(&world, &of_address.literal()).await;
    world.history(&id).is_exactly(["delivered"]).await;
    assert!(of_address.message().await.transaction.in_tls);
    let id = send(&world, &of_name.literal()).await;
    world.history(&id).shows(["deferred 4.7.5"]).await;
    of_name.never_saw("MAIL");
}

#[tokio::test]
async fn a_relay_host_is_checked_against_its_name_or_address_as_configured() {
    // W-18.01, W-19.04
    for (configured, name, delivered) in [
        ("relay.test", "relay.test", true),
        ("relay.test", "other.test", false),
        ("127.0.0.11", "127.0.0.11", true),
        ("127.0.0.11", "relay.test", false),
    ] {
        let world = World::setup().without_relay().await;
        let plan = world.remote_without_dns().at("127.0.0.11").named(name);
        let host = plan.tls(Certificate::Good).await;
        world.dns().a("relay.test", "127.0.0.11");
        let url = format!("smtp://{configured}:{}", world.delivery_port());
        world.relay().set("SMTP_RELAY_HOST", &url);
        world.relay().start().await;
        let id = send(&world, "dest.test").await;
        if delivered {
            world.history(&id).is_exactly(["delivered"]).await;
            assert!(host.message().await.transaction.in_tls, "{configured}");
        } else {
            world.history(&id).shows(["deferred 4.7.5"]).await;
            host.never_saw("MAIL");
        }
        world.dns().never_asked("dest.test");
    }
}

#[tokio::test]
async fn no_mail_goes_to_a_host_with_bad_tls_and_the_next_one_gets_it() {
    // W-18.02
    let world = World::new().await;
    let mut rows = Vec::new();
    for fault in FAULTS {
        let domain = format!("{}.test", fault.name);
        let bad = (fault.host)(world.remote(&domain)).await;
        let good = world.remote(&domain).preference(20).await;
        rows.push((fault, send(&world, &domain).await, bad, good));
    }
    for (fault, id, bad, good) in rows {
        world.history(&id).is_exactly(["delivered"]).await;
        good.received_exactly(1).await;
        bad.ended(0).await;
        saw_no_mail(&bad, &fault);
        assert_eq!(bad.connections().len(), 1, "{}", fault.name);
    }
}

#[tokio::test]
async fn bad_tls_without_another_host_defers_and_the_log_names_fault_and_setting() {
    // W-18.02
    let world = World::setup()
        .set("SMTP_RETRY_BASE", "1h")
        .set("SMTP_RETRY_CAP", "1h")
        .await;
    let mut rows = Vec::new();
    for fault in FAULTS {
        let domain = format!("{}.test", fault.name);
        let bad = (fault.host)(world.remote(&domain)).await;
        rows.push((fault, send(&world, &domain).await, bad));
    }
    for (fault, id, bad) in rows {
        let history = world.history(&id);
        history.is_exactly([fault.deferred]).await;
        let line = history.has(1).await.swap_remove(0);
        let reply = line.field("reply").expect("words");
        says_all(&reply, &fault);
        assert_eq!(
            line.field("reason").as_deref(),
            Some("tls"),
            "{}",
            line.text
        );
        saw_no_mail(&bad, &fault);
    }
}

#[tokio::test]
async fn bad_tls_until_the_lifetime_is_over_is_reported_with_fault_and_setting() {
    // W-18.02
    let world = World::setup()
        .set("SMTP_RETRY_BASE", "100ms")
        .set("SMTP_MESSAGE_LIFETIME", "150ms")
        .await;
    let home = world.remote("gp.test").await;
    for fault in FAULTS {
        let domain = format!("{}.test", fault.name);
        let _bad = (fault.host)(world.remote(&domain)).await;
        let id = send(&world, &domain).await;
        let rcpt = format!("bob@{domain}");
        world.history(&id).event("expired", &rcpt).await;
        let report = home.message().await.report();
        report.says(&rcpt, "failed", "4.4.7");
        let text = String::from_utf8_lossy(&report.text.body);
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        says_all(&words.join(" "), &fault);
    }
}

#[tokio::test]
async fn what_comes_in_clear_behind_the_go_for_tls_counts_for_nothing() {
    // W-18.03
    let world = World::new().await;
    let mx = world
        .remote("dest.test")
        .tls(Certificate::Good)
        .starttls(["220 go\r\n250-mx1.dest.test\r\n250 SIZE 1"])
        .offers_in_tls(["8BITMIME"])
        .await;
    let id = send(&world, "dest.test").await;
    world.history(&id).is_exactly(["delivered"]).await;
    let transaction = mx.message().await.transaction;
    assert!(transaction.in_tls);
    assert_eq!(transaction.hello, "EHLO gp.test");
    assert_eq!(transaction.mail_parameters(), [""; 0]);
}

async fn send(world: &World, domain: &str) -> Id {
    let sent = world.client().send(mail().to(&format!("bob@{domain}")));
    sent.await.accepted()
}

fn saw_no_mail(host: &Remote, fault: &Fault) {
    let commands = host.commands();
    let mut mails = commands.iter().filter(|line| line.starts_with("MAIL"));
    assert_eq!(mails.next(), None, "{}", fault.name);
}

fn says_all(text: &str, fault: &Fault) {
    for told in fault.told {
        assert!(text.contains(told), "{}: no {told:?} in {text}", fault.name);
    }
}
