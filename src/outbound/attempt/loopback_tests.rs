//! Whole attempts against scripted hosts on loopback.

use std::net::SocketAddr;
use std::time::Duration;

use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::RecordType;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use super::super::dialer::Dialer;
use super::super::dns::Dns;
use super::super::login::LoginAlarm;
use super::super::loopback::{
    Act, Log, Says, TestBody, a, host, listener, listeners, mx, name_server,
};
use super::super::route_alarm::RouteAlarm;
use super::super::tls::TlsClient;
use super::super::wire::Timeouts;
use super::super::{test_config, test_ourselves};
use super::*;
use crate::config::{RelayHost, RelayName};
use crate::mail::{
    Address, BodyFacts, BodyKind, Client, Domain, Envelope, QueueId, RecipientNo, RecipientState,
    ReversePath, Spelling, UnixMillis,
};
use crate::store::ReadError;

use Act::{Close, Hang, Say, SayAndClose, Tls};

/// Connections to one destination.
const DESTINATION_MAX: usize = 3;

const BODY: &[u8] = b"Subject: x\r\n\r\n.a\r\n";
/// What that is on the wire.
const MESSAGE: &str = "<Received: here⏎Subject: x⏎⏎..a⏎.⏎>";

fn assignment(to: &[&str]) -> Assignment {
    let address = |text: &str| Address::parse(text.as_bytes(), Spelling::Utf8).unwrap();
    let recipient = |(no, text): (usize, &&str)| {
        let due = RecipientState::Queued { due: UnixMillis(0) };
        Recipient::new(RecipientNo(no.try_into().unwrap()), address(text), due)
    };
    Assignment {
        contact: Default::default(),
        message: Message {
            id: QueueId::new(UnixMillis(1), 1),
            arrival: UnixMillis(1),
            envelope: Envelope {
                reverse_path: ReversePath::Mailbox(address("s@gp.test")),
                body_kind: BodyKind::SevenBit,
                smtputf8: false,
                dsn: Default::default(),
            },
            client: Client::Local,
            added_header: (*b"Received: here\r\n").into(),
            body: BodyFacts {
                len: BODY.len() as u64,
                crc32: 0,
                has_8bit: false,
                ends_in_line_end: true,
            },
            message_id: None,
            report_of: None,
        },
        recipients: to.iter().enumerate().map(recipient).collect(),
        destination: Destination::from_stored("d.test"),
    }
}

fn courier(config: DeliveryConfig) -> Courier<TestBody> {
    let caller = Caller {
        hostname: Domain::parse("gp.test").unwrap(),
        timeouts: Timeouts::of(&config),
        dialer: Dialer::new(&config).unwrap(),
        tls: TlsClient::new(config.tls_ca_file.as_deref()).unwrap(),
        login_alarm: LoginAlarm::new(Events::default()),
    };
    Courier {
        pool: Pool::new(DESTINATION_MAX, config.connection_idle, Events::default()),
        finder: Finder {
            dns: Dns::new(&config).unwrap(),
            ourselves: test_ourselves(&[]),
            alarm: RouteAlarm::default(),
            events: Events::default(),
        },
        config,
        caller,
        bodies: TestBody {
            octets: BODY,
            end: None,
        },
        events: Events::default(),
    }
}

/// A courier whose every mail goes to `address`.
fn courier_to(address: SocketAddr) -> Courier<TestBody> {
    let mut config = test_config();
    config.relay_host = Some(RelayHost {
        scheme: crate::config::RelayScheme::Smtp,
        host: RelayName::Address(address.ip()),
        port: address.port(),
    });
    courier(config)
}

/// One line for each recipient: verdict, status, words.
async fn outcomes(courier: &Courier<TestBody>, to: &[&str]) -> Vec<String> {
    let mut outcomes = courier.deliver(&assignment(to)).await;
    outcomes.sort_by_key(|(no, _)| *no);
    let shown = |(_, outcome): &(RecipientNo, Outcome)| {
        let (verdict, answer) = match outcome {
            Outcome::Delivered { answer, .. } => ("delivered", answer),
            Outcome::Deferred(answer) => ("deferred", answer),
            Outcome::Failed(answer) => ("failed", answer),
        };
        format!("{verdict} {} {}", answer.status, answer.words())
    };
    outcomes.iter().map(shown).collect()
}

/// Delivers to one host that plays `script`: what became of it, and what the host was sent.
async fn played(script: &'static [Act], to: &[&str]) -> (Vec<String>, Vec<String>) {
    let (address, log) = host(listener().await, script, None);
    let courier = courier_to(address);
    let outcomes = outcomes(&courier, to).await;
    courier.pool.close(Duration::from_secs(5)).await;
    (outcomes, log.lines())
}

#[track_caller]
fn check_start(outcomes: &[String], want: &[&str]) {
    assert_eq!(outcomes.len(), want.len(), "{outcomes:?}");
    for (outcome, want) in outcomes.iter().zip(want) {
        assert!(outcome.starts_with(want), "{outcomes:?}");
    }
}

#[tokio::test]
async fn a_message_goes_out_with_its_added_header_and_quit_is_said() {
    // W-14.01, W-14.03, W-14.05, W-16.01, W-16.02, W-16.10
    const SCRIPT: &[Act] = &[
        Say("220-mx.test⏎220 hello"),
        Say("250-mx.test⏎250 SIZE 1000"),
        Say("250 ok"),
        Say("250 a"),
        Say("550 5.1.1 b"),
        Say("354 go"),
        Say("250 2.0.0 queued"),
        Say("221 bye"),
    ];
    let (outcomes, lines) = played(SCRIPT, &["a@d.test", "b@d.test"]).await;
    assert_eq!(
        outcomes,
        [
            "delivered 2.0.0 250 2.0.0 queued",
            "failed 5.1.1 550 5.1.1 b"
        ]
    );
    let want = [
        "(connected)",
        "EHLO gp.test",
        "MAIL FROM:<s@gp.test> SIZE=34",
        "RCPT TO:<a@d.test>",
        "RCPT TO:<b@d.test>",
        "DATA",
        MESSAGE,
        "QUIT",
    ];
    assert_eq!(lines, want);
}

#[tokio::test]
async fn delivered_does_not_wait_for_the_reply_to_quit() {
    // W-14.05
    const SCRIPT: &[Act] = &[
        Say("220 hi"),
        Say("250 mx"),
        Say("250 ok"),
        Say("250 a"),
        Say("354 go"),
        Say("250 ok"),
        Hang,
    ];
    let (address, _) = host(listener().await, SCRIPT, None);
    let mut config = courier_to(address).config;
    config.connection_idle = Duration::ZERO;
    let courier = courier(config);
    check_start(
        &outcomes(&courier, &["a@d.test"]).await,
        &["delivered 2.0.0"],
    );
    assert_eq!(courier.pool.farewells(), 1);
}

#[tokio::test]
async fn a_host_without_ehlo_gets_helo_and_no_parameters() {
    // W-14.03
    const SCRIPT: &[Act] = &[Say("220 hi"), Say("502 what")];
    let (outcomes, lines) = played(SCRIPT, &["a@d.test"]).await;
    check_start(&outcomes, &["delivered 2.0.0"]);
    assert_eq!(
        lines[1..4],
        ["EHLO gp.test", "HELO gp.test", "MAIL FROM:<s@gp.test>"]
    );
}

#[tokio::test]
async fn a_pipelining_host_gets_the_envelope_at_once() {
    // W-16.05
    const SCRIPT: &[Act] = &[Say("220 hi"), Say("250-mx⏎250 PIPELINING")];
    let (outcomes, lines) = played(SCRIPT, &["a@d.test", "b@d.test"]).await;
    check_start(&outcomes, &["delivered 2.0.0", "delivered 2.0.0"]);
    assert_eq!(lines[6], MESSAGE);
}

#[tokio::test]
async fn what_a_host_says_before_mail_decides_whether_it_is_final() {
    // W-14.02, W-15.02, W-15.06
    for (script, want) in [
        (
            &[Say("554 5.7.1 go away")] as &[Act],
            "failed 5.7.1 554 5.7.1 go away",
        ),
        (&[Say("421 busy")], "deferred 4.0.0 421 busy"),
        (&[Say("450 later")], "deferred 4.0.0 450 later"),
        (&[Close], "deferred 4.4.2"),
        (&[Say("hello")], "deferred 4.5.0"),
        (&[Say("220 hi⏎220 again")], "deferred 4.5.0"),
        (&[Say("220 hi"), Say("451 no")], "deferred 4.0.0 451 no"),
        (&[Say("220 hi"), Say("554 no")], "failed 5.0.0 554 no"),
        (
            &[Say("220 hi"), Say("500 no"), Say("550 never")],
            "failed 5.0.0 550 never",
        ),
        (&[Say("220 hi"), Close], "deferred 4.4.2"),
    ] {
        let (outcomes, lines) = played(script, &["a@d.test"]).await;
        check_start(&outcomes, &[want]);
        assert!(
            !lines.iter().any(|line| line.starts_with("MAIL")),
            "{lines:?}"
        );
    }
}

#[tokio::test]
async fn what_a_host_says_after_mail_settles_and_what_it_breaks_defers() {
    // W-14.06, W-15.02, W-15.03, W-16.03, W-16.04
    const UP: Act = Say("220 hi");
    const EHLO: Act = Say("250 mx");
    const OK: Act = Say("250 ok");
    for (script, want, ends_with) in [
        (
            &[UP, EHLO, Say("550 5.7.1 no")] as &[Act],
            "failed 5.7.1 550",
            "QUIT",
        ),
        (&[UP, EHLO, Say("451 no")], "deferred 4.0.0 451", "QUIT"),
        (
            &[UP, EHLO, SayAndClose("421 4.3.2 bye")],
            "deferred 4.3.2 421",
            "MAIL FROM:<s@gp.test>",
        ),
        (&[UP, EHLO, OK, Say("450 no")], "deferred 4.0.0 450", "QUIT"),
        (
            &[UP, EHLO, OK, Say("250-a⏎550 b")],
            "deferred 4.5.0",
            "RCPT TO:<a@d.test>",
        ),
        (
            &[UP, EHLO, OK, OK, Say("554 no")],
            "failed 5.0.0 554",
            "QUIT",
        ),
        (
            &[UP, EHLO, OK, OK, Say("250 queued")],
            "deferred 4.5.0",
            "DATA",
        ),
        (
            &[UP, EHLO, OK, OK, Say("354 go⏎250 queued")],
            "deferred 4.5.0",
            "DATA",
        ),
        (
            &[UP, EHLO, OK, OK, Say("354 go"), Say("554 no")],
            "failed 5.0.0 554",
            "QUIT",
        ),
        (
            &[UP, EHLO, OK, OK, Say("354 go"), Say("452 no")],
            "deferred 4.0.0 452",
            "QUIT",
        ),
        (&[UP, EHLO, OK, OK, Close], "deferred 4.4.2", "DATA"),
    ] {
        let (outcomes, lines) = played(script, &["a@d.test"]).await;
        check_start(&outcomes, &[want]);
        assert_eq!(lines.last().unwrap(), ends_with, "{lines:?}");
    }
}

#[tokio::test]
async fn an_answer_lost_after_the_message_is_told_as_a_possible_duplicate() {
    // W-16.08
    const SCRIPT: &[Act] = &[
        Say("220 hi"),
        Say("250 mx"),
        Say("250 ok"),
        Say("250 ok"),
        Say("354 go"),
        Close,
    ];
    let (outcomes, lines) = played(SCRIPT, &["a@d.test"]).await;
    check_start(&outcomes, &["deferred 4.4.2"]);
    assert!(
        outcomes[0].contains("may have taken the message"),
        "{outcomes:?}"
    );
    assert_eq!(lines.last().unwrap(), MESSAGE);
}

#[tokio::test]
async fn a_host_that_hangs_is_left_at_the_timeout_of_the_phase() {
    // W-14.07
    const UP: Act = Say("220 hi");
    const EHLO: Act = Say("250 mx");
    const OK: Act = Say("250 ok");
    for (script, want) in [
        (&[Hang] as &[Act], "the connection (SMTP_REPLY_TIMEOUT)"),
        (&[UP, Hang], "EHLO (SMTP_REPLY_TIMEOUT)"),
        (&[UP, EHLO, Hang], "MAIL (SMTP_REPLY_TIMEOUT)"),
        (&[UP, EHLO, OK, Hang], "RCPT (SMTP_REPLY_TIMEOUT)"),
        (&[UP, EHLO, OK, OK, Hang], "DATA (SMTP_REPLY_TIMEOUT)"),
        (
            &[UP, EHLO, OK, OK, Say("354 go"), Hang],
            "message (SMTP_DATA_REPLY_TIMEOUT)",
        ),
    ] {
        let (address, _) = host(listener().await, script, None);
        let mut config = courier_to(address).config;
        config.reply_timeout = Duration::from_millis(150);
        config.data_reply_timeout = Duration::from_millis(150);
        let outcomes = outcomes(&courier(config), &["a@d.test"]).await;
        check_start(&outcomes, &["deferred 4.4.2"]);
        assert!(outcomes[0].contains(want), "{outcomes:?}");
    }
}

#[tokio::test]
async fn a_damaged_body_never_gets_an_end_mark() {
    // W-16.07
    let (address, log) = host(listener().await, &[], None);
    let mut courier = courier_to(address);
    courier.bodies.end = Some(ReadError::Damaged("wrong CRC".to_owned()));
    let outcomes = outcomes(&courier, &["a@d.test"]).await;
    assert_eq!(
        outcomes,
        ["failed 5.3.0 the stored message can't be read: damaged: wrong CRC"]
    );
    assert_eq!(log.lines().last().unwrap(), "DATA");
}

#[tokio::test]
async fn a_large_message_that_breaks_off_midway_never_gets_an_end_mark() {
    // W-16.07
    let octets = "A line of text.\r\n".repeat(20_000).into_bytes();
    let (address, log) = host(listener().await, &[], None);
    let mut courier = courier_to(address);
    courier.bodies.octets = octets.leak();
    check_start(&outcomes(&courier, &["a@d.test"]).await, &["delivered"]);
    courier.bodies.end = Some(ReadError::Failed("disk".to_owned()));
    check_start(
        &outcomes(&courier, &["a@d.test"]).await,
        &["deferred 4.3.0"],
    );
    // The host sees the end of the connection a moment after we do.
    let broken_off = async {
        while !log
            .lines()
            .iter()
            .any(|line| line.starts_with("(broken off"))
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), broken_off)
        .await
        .unwrap();
    let messages = log
        .lines()
        .iter()
        .filter(|line| line.starts_with('<'))
        .count();
    assert_eq!(messages, 1);
}

#[tokio::test]
async fn a_refusal_in_a_pipelined_envelope_stands_although_the_host_closes() {
    // W-16.06
    const UP: Act = Say("220 hi");
    const EHLO: Act = Say("250-mx⏎250 PIPELINING");
    for (script, want) in [
        (
            &[UP, EHLO, SayAndClose("550 no")] as &[Act],
            ["failed 5.0.0 550 no"; 2],
        ),
        (
            &[UP, EHLO, Say("250 ok"), SayAndClose("550 a")],
            ["failed 5.0.0 550 a", "deferred 4.4.2"],
        ),
    ] {
        let (outcomes, _) = played(script, &["a@d.test", "b@d.test"]).await;
        check_start(&outcomes, &want);
    }
}

#[tokio::test]
async fn more_recipients_than_a_transaction_takes_go_in_further_ones() {
    // W-16.12
    const SCRIPT: &[Act] = &[Say("220 hi"), Say("250-mx⏎250 LIMITS RCPTMAX=2")];
    let (outcomes, lines) = played(SCRIPT, &["a@d.test", "b@d.test", "c@d.test"]).await;
    check_start(&outcomes, &["delivered"; 3]);
    let mails = lines.iter().filter(|line| line.starts_with("MAIL")).count();
    assert_eq!(
        (mails, lines[0].as_str(), lines.last().unwrap().as_str()),
        (2, "(connected)", "QUIT")
    );
}

#[tokio::test]
async fn recipients_left_over_go_on_after_rset() {
    // W-16.09, W-16.12
    const SCRIPT: &[Act] = &[
        Say("220 hi"),
        Say("250-mx⏎250 LIMITS RCPTMAX=1"),
        Say("250 ok"),
        Say("550 a"),
    ];
    let (outcomes, lines) = played(SCRIPT, &["a@d.test", "b@d.test"]).await;
    check_start(&outcomes, &["failed 5.0.0 550 a", "delivered"]);
    assert_eq!(lines[4], "RSET");
}

/// Hosts `mx1.test`, `mx2.test`, ... of `d.test` at 127.0.0.2, 127.0.0.3, ...
async fn mx_courier(zone: fn(&str, RecordType) -> Says, port: u16) -> (Courier<TestBody>, Log) {
    let (server, log) = name_server(zone).await;
    let mut config = test_config();
    config.dns_servers = Some(vec![server]);
    config.port = port;
    (courier(config), log)
}

fn two_hosts(name: &str, kind: RecordType) -> Says {
    match (name, kind) {
        ("d.test.", RecordType::MX) => {
            Says::Records(vec![mx(20, "mx2.test."), mx(10, "mx1.test.")])
        }
        ("mx1.test.", RecordType::A) => Says::Records(vec![a("127.0.0.2"), a("127.0.0.9")]),
        ("mx2.test.", RecordType::A) => Says::Records(vec![a("127.0.0.3")]),
        ("d.test.", RecordType::A) => Says::Records(vec![a("127.0.0.4")]),
        _ => Says::Nothing,
    }
}

#[tokio::test]
async fn each_address_of_a_host_is_tried_and_then_the_next_host() {
    // W-13.01, W-13.12, W-14.02, W-16.07
    for script in [
        &[Say("554 no")] as &[Act],
        &[Close],
        &[Say("220 hi"), Say("250 mx"), Say("250 ok"), Close],
        &[
            Say("220 hi"),
            Say("250 mx"),
            Say("250 ok"),
            SayAndClose("421 bye"),
        ],
    ] {
        let [at_first, at_second] = listeners([2, 3]).await;
        let (address, first) = host(at_first, script, None);
        let (_, second) = host(at_second, &[], None);
        let (courier, _) = mx_courier(two_hosts, address.port()).await;
        check_start(
            &outcomes(&courier, &["a@d.test"]).await,
            &["delivered 2.0.0 250 ok"],
        );
        assert_eq!(first.lines()[0], "(connected)");
        assert!(
            second.lines().contains(&MESSAGE.to_owned()),
            "{:?}",
            second.lines()
        );
    }
}

#[tokio::test]
async fn after_5yz_or_4yz_to_a_command_no_other_host_is_tried() {
    // W-16.03
    for (script, want) in [
        (
            &[Say("220 hi"), Say("250 mx"), Say("550 no")] as &[Act],
            "failed 5.0.0 550 no",
        ),
        (
            &[Say("220 hi"), Say("250 mx"), Say("250 ok"), Say("451 no")],
            "deferred 4.0.0 451 no",
        ),
    ] {
        let [at_first, at_second] = listeners([2, 3]).await;
        let (address, _) = host(at_first, script, None);
        let (_, second) = host(at_second, &[], None);
        let (courier, _) = mx_courier(two_hosts, address.port()).await;
        assert_eq!(outcomes(&courier, &["a@d.test"]).await, [want]);
        assert_eq!(second.lines(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn where_nobody_listens_mail_waits() {
    // W-13.02, W-13.12: the domain's own address is not dialled, although somebody listens there.
    let [at_4] = listeners([4]).await;
    let (address, own) = host(at_4, &[], None);
    let (courier, _) = mx_courier(two_hosts, address.port()).await;
    let outcomes = outcomes(&courier, &["a@d.test"]).await;
    assert_eq!(outcomes, ["deferred 4.4.1 connection refused"]);
    assert_eq!(own.lines(), Vec::<String>::new());
}

#[tokio::test]
async fn what_dns_says_decides_without_a_connection() {
    // W-13.02, W-13.03, W-13.04, W-13.05
    fn zone(name: &str, kind: RecordType) -> Says {
        match (name, kind) {
            ("null.test.", RecordType::MX) => Says::Records(vec![mx(0, ".")]),
            ("gone.test.", _) => Says::Code(ResponseCode::NXDomain),
            ("fail.test.", _) => Says::Code(ResponseCode::ServFail),
            ("names.test.", RecordType::MX) => {
                Says::Records(vec![mx(1, "gone.test."), mx(2, "x.test.")])
            }
            ("part.test.", RecordType::MX) => {
                Says::Records(vec![mx(1, "gone.test."), mx(2, "fail.test.")])
            }
            _ => Says::Nothing,
        }
    }
    let (courier, log) = mx_courier(zone, 9).await;
    for (to, want) in [
        ("a@null.test", "failed 5.1.10"),
        ("a@gone.test", "failed 5.1.2"),
        ("a@fail.test", "deferred 4.4.3"),
        ("a@nothing.test", "failed 5.4.4"),
        ("a@names.test", "failed 5.4.4"),
        ("a@part.test", "deferred 4.4.3"),
    ] {
        check_start(&outcomes(&courier, &[to]).await, &[want]);
    }
    assert!(!log.lines().contains(&"null.test. A".to_owned()));
}

#[tokio::test]
async fn a_literal_is_dialled_as_it_stands_unless_it_is_denied() {
    // W-3.10, W-13.08
    let [at_5] = listeners([5]).await;
    let (address, log) = host(at_5, &[], None);
    let (mut courier, questions) = mx_courier(two_hosts, address.port()).await;
    check_start(
        &outcomes(&courier, &["a@[127.0.0.5]"]).await,
        &["delivered"],
    );
    let seen = log.lines().len();
    courier.config.deny_networks = vec!["127.0.0.0/8".parse().unwrap()];
    for to in ["a@[127.0.0.5]", "a@[IPv6:::ffff:127.0.0.5]", "a@d.test"] {
        let outcomes = outcomes(&courier, &[to]).await;
        check_start(&outcomes, &["failed 5.4.4"]);
        assert!(outcomes[0].contains("SMTP_DELIVERY_DENY_NETWORKS"));
    }
    assert_eq!(
        log.lines().iter().filter(|l| *l == "(connected)").count(),
        1
    );
    assert!(log.lines().len() <= seen + 1); // the QUIT
    assert!(questions.lines().iter().all(|line| !line.contains("127")));
}

/// What is wrong with a test host's certificate.
enum Bad {
    Nothing,
    Issuer,
    Name,
    Time,
}

/// A host certificate of `mx1.test` and 127.0.0.1, and its CA in PEM.
fn certificate(bad: &Bad) -> (TlsAcceptor, String) {
    let mut ca = CertificateParams::new(vec![]).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(ca.clone(), KeyPair::generate().unwrap()).unwrap();
    let stranger = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
    let name = if matches!(bad, Bad::Name) {
        "other.test"
    } else {
        "mx1.test"
    };
    let mut names = vec![name.to_owned()];
    if !matches!(bad, Bad::Name) {
        names.push("127.0.0.1".to_owned());
    }
    let mut params = CertificateParams::new(names).unwrap();
    if matches!(bad, Bad::Time) {
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    }
    let key = KeyPair::generate().unwrap();
    let signer = if matches!(bad, Bad::Issuer) {
        &stranger
    } else {
        &issuer
    };
    let certificate = params.signed_by(&key, signer).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(
        rustls::crypto::ring::default_provider().into(),
    )
    .with_safe_default_protocol_versions()
    .unwrap()
    .with_no_client_auth()
    .with_single_cert(
        vec![CertificateDer::from(certificate.der().to_vec())],
        PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
    )
    .unwrap();
    (TlsAcceptor::from(std::sync::Arc::new(config)), issuer.pem())
}

/// `d.test` is served by `mx1.test` with this certificate: what became of a mail, and what the host
/// was sent.
async fn over_tls(bad: &Bad, script: &'static [Act]) -> (Vec<String>, Vec<String>) {
    let (acceptor, ca) = certificate(bad);
    let ca_file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(ca_file.path(), ca).unwrap();
    let [at_2] = listeners([2]).await;
    let (address, log) = host(at_2, script, Some(acceptor));
    let (plain, _) = mx_courier(two_hosts, address.port()).await;
    let mut config = plain.config;
    config.tls_ca_file = Some(ca_file.path().to_owned());
    let courier = courier(config);
    let outcomes = outcomes(&courier, &["a@d.test"]).await;
    courier.pool.close(Duration::from_secs(5)).await;
    (outcomes, log.lines())
}

const OFFER: Act = Say("250-mx⏎250-SIZE 1000⏎250 STARTTLS");

#[tokio::test]
async fn starttls_is_used_and_only_what_is_offered_inside_counts() {
    // W-18.01, W-18.03
    for go in [Tls("220 go"), Tls("220 go⏎250-x⏎250 SIZE 1")] {
        let script: &'static [Act] = Box::leak(Box::new([Say("220 hi"), OFFER, go, Say("250 mx")]));
        let (outcomes, lines) = over_tls(&Bad::Nothing, script).await;
        check_start(&outcomes, &["delivered 2.0.0"]);
        let want = [
            "EHLO gp.test",
            "STARTTLS",
            "(tls)",
            "EHLO gp.test",
            "MAIL FROM:<s@gp.test>",
        ];
        assert_eq!(lines[1..6], want);
        assert_eq!(lines.last().unwrap(), "QUIT");
    }
}

#[tokio::test]
async fn a_certificate_that_can_not_be_trusted_gets_no_mail() {
    // W-18.02
    for (bad, want) in [
        (Bad::Issuer, "unknown issuer"),
        (Bad::Name, "name mismatch"),
        (Bad::Time, "expired"),
    ] {
        let (outcomes, lines) = over_tls(&bad, &[Say("220 hi"), OFFER, Tls("220 go")]).await;
        check_start(&outcomes, &["deferred 4.7.5"]);
        assert!(outcomes[0].contains(want), "{outcomes:?}");
        assert!(
            !lines.iter().any(|line| line.starts_with("MAIL")),
            "{lines:?}"
        );
    }
}

#[tokio::test]
async fn starttls_refused_or_broken_gets_no_mail() {
    // W-18.02
    for (script, want) in [
        (
            &[Say("220 hi"), OFFER, Say("454 not now")] as &[Act],
            "deferred 4.7.4 454 not now",
        ),
        (
            &[Say("220 hi"), OFFER, Say("554 no")],
            "deferred 4.7.4 554 no",
        ),
        (
            &[Say("220 hi"), OFFER, SayAndClose("220 go")],
            "deferred 4.7.5 TLS handshake failed",
        ),
    ] {
        let (outcomes, lines) = over_tls(&Bad::Nothing, script).await;
        check_start(&outcomes, &[want]);
        assert!(
            !lines.iter().any(|line| line.starts_with("MAIL")),
            "{lines:?}"
        );
    }
}

#[tokio::test]
async fn an_address_is_checked_against_the_certificate_as_an_address() {
    // W-18.01
    for (bad, want) in [(Bad::Nothing, "delivered"), (Bad::Name, "deferred 4.7.5")] {
        let (acceptor, ca) = certificate(&bad);
        let ca_file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(ca_file.path(), ca).unwrap();
        let script = &[Say("220 hi"), OFFER, Tls("220 go")];
        let (address, _) = host(listener().await, script, Some(acceptor));
        let mut config = courier_to(address).config;
        config.tls_ca_file = Some(ca_file.path().to_owned());
        check_start(&outcomes(&courier(config), &["a@d.test"]).await, &[want]);
    }
}
