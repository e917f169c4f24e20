//! W-18: what `SMTP_TLS_POLICY` demands of remote hosts, level by level.

use crate::support::{
    Certificate, Handshake, Id, Remote, RemotePlan, Setup, World, close, mail, reply,
};

const BAD_CERTIFICATES: [(&str, Certificate); 4] = [
    ("self-signed", Certificate::SelfSigned),
    ("unknown-issuer", Certificate::UnknownIssuer),
    ("expired", Certificate::Expired),
    ("wrong-name", Certificate::WrongName),
];

/// Each level below a domain of its own.
const LEVELS: &str = "verify,*.none.test=none,*.opportunistic.test=opportunistic,\
                      *.encrypt.test=encrypt,*.valid.test=valid";

#[tokio::test]
async fn certificates_do_not_matter_where_nobody_asks_for_them() {
    // W-18.02a, W-18.05
    let world = World::setup().set("SMTP_TLS_POLICY", LEVELS).await;
    for level in ["opportunistic", "encrypt"] {
        for (name, certificate) in BAD_CERTIFICATES {
            let domain = format!("{name}.{level}.test");
            let mx = world.remote(&domain).tls(certificate).await;
            let id = send(&world, &domain).await;
            world.history(&id).is_exactly(["delivered"]).await;
            assert!(mx.message().await.transaction.in_tls, "{domain}");
            let told = told_security(&world, &id, &domain).await;
            assert!(told.starts_with("TLSv1.3 TLS13_"), "{told}");
            let rule = format!("unchecked *.{level}.test={level}");
            assert!(told.ends_with(&rule), "{told}");
        }
    }
}

#[tokio::test]
async fn a_failed_handshake_is_followed_by_a_connection_in_clear_under_opportunistic() {
    // W-18.02a, W-18.04
    let rows: [(&str, Break); 5] = [
        ("garbage", |plan| plan.handshake(Handshake::Garbage)),
        ("closed", |plan| plan.handshake(Handshake::Close)),
        ("old", |plan| plan.handshake(Handshake::Tls10)),
        ("no-tls-at-all", |plan| plan.starttls(["220 go"])),
        ("closing", |plan| {
            plan.starttls([reply("421 4.3.2 bye").then(close())])
        }),
    ];
    let world = World::setup().set("SMTP_TLS_POLICY", "opportunistic").await;
    for (name, break_tls) in rows {
        let domain = format!("{name}.test");
        let host = break_tls(world.remote(&domain)).await;
        let other = world.remote(&domain).preference(20).await;
        let id = send(&world, &domain).await;
        world.history(&id).is_exactly(["delivered"]).await;
        assert!(!host.message().await.transaction.in_tls, "{name}");
        let connections = host.connections();
        assert_eq!(connections.len(), 2, "{name}");
        assert_eq!(
            connections[0].lines_in_clear(),
            ["EHLO gp.test", "STARTTLS"]
        );
        let second = connections[1].lines_in_clear();
        assert_eq!(second[0], "EHLO gp.test", "{name}");
        assert!(second[1].starts_with("MAIL"), "{name}: {second:?}");
        other.never_called();
        let told = told_security(&world, &id, &domain).await;
        assert_eq!(told, "clear opportunistic", "{name}");
    }
}

#[tokio::test]
async fn a_handshake_without_end_is_a_failed_one() {
    // W-18.02a
    let world = World::setup()
        .set("SMTP_TLS_POLICY", "opportunistic")
        .set("SMTP_REPLY_TIMEOUT", "2s")
        .await;
    let host = world.remote("dest.test").handshake(Handshake::Hang).await;
    let id = send(&world, "dest.test").await;
    world.history(&id).is_exactly(["delivered"]).await;
    assert!(!host.message().await.transaction.in_tls);
    assert_eq!(host.connections().len(), 2);
}

#[tokio::test]
async fn refused_starttls_is_followed_by_mail_in_clear_under_opportunistic() {
    // W-18.02a
    let world = World::setup().set("SMTP_TLS_POLICY", "opportunistic").await;
    for (name, refusal) in [
        ("not-now", "454 4.7.0 not now"),
        ("never", "502 5.5.1 never"),
        ("broken", "554 5.3.0 out of order"),
    ] {
        let domain = format!("{name}.test");
        let host = world.remote(&domain).starttls([refusal]).await;
        let id = send(&world, &domain).await;
        world.history(&id).is_exactly(["delivered"]).await;
        assert!(!host.message().await.transaction.in_tls, "{name}");
        host.ended(0).await;
        assert_eq!(host.connections().len(), 1, "{name}");
    }
}

/// How a host's TLS is no good.
type Break = fn(RemotePlan<'_>) -> RemotePlan<'_>;

#[tokio::test]
async fn no_mail_leaves_where_tls_is_demanded_and_does_not_come_about() {
    // W-18.05, W-18.04
    let rows: [(&str, Break, &[&str], &str, &str); 7] = [
        (
            "missing",
            |plan| plan,
            &["encrypt", "verify"],
            "deferred 4.7.4",
            "offers no STARTTLS",
        ),
        (
            "not-now",
            |plan| plan.starttls(["454 4.7.0 not now"]),
            &["encrypt", "valid", "verify"],
            "deferred 4.7.4",
            "454 4.7.0 not now",
        ),
        (
            "never",
            |plan| plan.starttls(["502 5.5.1 never"]),
            &["encrypt", "valid", "verify"],
            "deferred 4.7.4",
            "refuses it",
        ),
        (
            "garbage",
            |plan| plan.handshake(Handshake::Garbage),
            &["encrypt", "valid", "verify"],
            "deferred 4.7.5",
            "handshake failed",
        ),
        (
            "old",
            |plan| plan.handshake(Handshake::Tls10),
            &["encrypt", "valid", "verify"],
            "deferred 4.7.5",
            "handshake failed",
        ),
        (
            "expired",
            |plan| plan.tls(Certificate::Expired),
            &["valid", "verify"],
            "deferred 4.7.5",
            "certificate expired",
        ),
        (
            "unknown",
            |plan| plan.tls(Certificate::UnknownIssuer),
            &["valid", "verify"],
            "deferred 4.7.5",
            "unknown issuer",
        ),
    ];
    let world = patient(World::setup().set("SMTP_TLS_POLICY", LEVELS)).await;
    let mut sent = Vec::new();
    for (name, break_tls, levels, deferred, told) in rows {
        for level in levels {
            let domain = format!("{name}.{level}.test");
            let host = break_tls(world.remote(&domain)).await;
            let id = send(&world, &domain).await;
            sent.push((id, domain, host, deferred, told));
        }
    }
    for (id, domain, host, deferred, told) in sent {
        let line = world.history(&id).has(1).await.swap_remove(0);
        world.history(&id).is_exactly([deferred]).await;
        let words = line.field("reply").expect("words");
        assert!(words.contains(told), "{domain}: {words}");
        let setting = format!("SMTP_TLS_POLICY=...,{domain}=");
        assert!(words.contains(&setting), "{domain}: {words}");
        let is_verify = domain.ends_with(".verify.test");
        let level = domain.rsplit('.').nth(1).expect("a level");
        let rule = match is_verify {
            true => "(now: verify)".to_owned(),
            false => format!("(now: *.{level}.test={level})"),
        };
        assert!(words.contains(&rule), "{domain}: {words}");
        saw_no_mail(&host);
    }
}

#[tokio::test]
async fn tls_that_is_as_demanded_gets_the_mail() {
    // W-18.04, W-18.05
    let world = World::setup().set("SMTP_TLS_POLICY", LEVELS).await;
    for level in ["opportunistic", "encrypt", "valid", "verify"] {
        let domain = format!("new.{level}.test");
        let name = format!("mail.{level}.host.test");
        let mx = world.remote(&domain).named(&name).tls(Certificate::Good);
        let mx = mx.await;
        let old = format!("old.{level}.test");
        let older = world.remote(&old).tls(Certificate::Good);
        let older = older.speaks_tls12_alone().await;
        for (host, domain, version) in [(&mx, &domain, "TLSv1.3 "), (&older, &old, "TLSv1.2 ")] {
            let id = send(&world, domain).await;
            world.history(&id).is_exactly(["delivered"]).await;
            assert!(host.message().await.transaction.in_tls, "{domain}");
            let connection = host.connections().swap_remove(0);
            assert_eq!(connection.server_name.as_deref(), Some(host.name()));
            let told = told_security(&world, &id, domain).await;
            assert!(told.starts_with(version), "{told}");
            let checked = ["valid", "verify"].contains(&level);
            assert_eq!(told.contains(" verified "), checked, "{told}");
            assert_eq!(told.contains(" unchecked "), !checked, "{told}");
        }
    }
}

#[tokio::test]
async fn an_address_has_no_server_name_and_a_rule_of_its_own() {
    // W-18.04
    let world = World::setup().without_relay().await;
    let plan = world.remote_without_dns().at("127.0.0.31");
    let host = plan.tls(Certificate::SelfSigned).await;
    world
        .relay()
        .set("SMTP_TLS_POLICY", "verify,[127.0.0.31]=encrypt");
    world.relay().start().await;
    let id = send(&world, &host.literal()).await;
    world.history(&id).is_exactly(["delivered"]).await;
    let connection = host.connections().swap_remove(0);
    assert_eq!(connection.handshake, Some(Ok(())));
    assert_eq!(connection.server_name, None);
    let told = told_security(&world, &id, &host.literal()).await;
    assert!(told.ends_with(" unchecked [127.0.0.31]=encrypt"), "{told}");
}

#[tokio::test]
async fn under_none_starttls_is_never_sent() {
    // W-18.05
    let world = World::setup().set("SMTP_TLS_POLICY", LEVELS).await;
    let mx = world.remote("dest.none.test").tls(Certificate::Good).await;
    let id = send(&world, "dest.none.test").await;
    world.history(&id).is_exactly(["delivered"]).await;
    assert!(!mx.message().await.transaction.in_tls);
    mx.never_saw("STARTTLS");
    let told = told_security(&world, &id, "dest.none.test").await;
    assert_eq!(told, "clear *.none.test=none");
}

#[tokio::test]
async fn a_report_tells_what_was_got_and_which_rule_decided() {
    // W-18.05
    let world = World::setup()
        .set("SMTP_TLS_POLICY", "none,dest.test=verify")
        .await;
    let home = world.remote("gp.test").await;
    let plan = world.remote("dest.test").tls(Certificate::Good);
    let _mx = plan.rcpt(["550 5.1.1 no such user"]).await;
    send(&world, "dest.test").await;
    let report = home.message().await.report();
    let told = report.about("bob@dest.test").only("X-GopherPost-TLS");
    assert!(told.starts_with("TLSv1.3 TLS13_"), "{told}");
    assert!(told.ends_with(" verified; dest.test=verify"), "{told}");
}

#[tokio::test]
async fn the_policy_is_the_one_of_the_attempt_not_of_the_acceptance() {
    // W-18.05
    let world = World::setup().set("SMTP_TLS_POLICY", "encrypt").await;
    let mx = world.remote("dest.test").await;
    let id = send(&world, "dest.test").await;
    world.history(&id).shows(["deferred 4.7.4"]).await;
    world.relay().set("SMTP_TLS_POLICY", "valid");
    world.relay().restart().await;
    let delivered = world.history(&id).event("delivered", "bob@dest.test").await;
    assert_eq!(delivered.field("tls_rule").as_deref(), Some("valid"));
    mx.received_exactly(1).await;
}

/// A world where nothing is tried twice.
fn patient(setup: Setup) -> Setup {
    setup
        .set("SMTP_RETRY_BASE", "1h")
        .set("SMTP_RETRY_CAP", "1h")
}

async fn send(world: &World, domain: &str) -> Id {
    let sent = world.client().send(mail().to(&format!("bob@{domain}")));
    sent.await.accepted()
}

/// The fields `tls` and `tls_rule` of the delivered line.
async fn told_security(world: &World, id: &Id, domain: &str) -> String {
    let rcpt = format!("bob@{domain}");
    let line = world.history(id).event("delivered", &rcpt).await;
    assert_eq!(line.field("attempt").as_deref(), Some("1"), "{}", line.text);
    let told = ["tls", "tls_rule"].map(|name| line.field(name).unwrap_or_default());
    told.join(" ")
}

fn saw_no_mail(host: &Remote) {
    host.never_saw("MAIL");
    host.receives_nothing();
}
