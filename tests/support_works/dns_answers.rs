//! The DNS server, asked in plain messages and through the resolver that the relay uses.

use std::net::SocketAddr;
use std::time::Duration;

use hickory_proto::op::{Message, Query as Question, ResponseCode};
use hickory_proto::rr::Name;
use hickory_resolver::Resolver;
use hickory_resolver::config::{NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};

use crate::support::{Dns, RecordType, Transport, Trouble, World, within};

use RecordType::{A, AAAA, CNAME, MX, TXT};

#[tokio::test]
async fn known_names_are_answered_and_others_are_not() {
    let world = World::setup().without_relay().await;
    let dns = world.dns();
    dns.mx("example.net", 10, "mx1.example.net");
    dns.a("mx1.example.net", "127.0.0.11");
    dns.aaaa("mx1.example.net", "::1");
    dns.txt("example.net", &"t".repeat(600));
    dns.cname("www.example.net", "MX1.example.net");
    dns.cname("loop.example.net", "loop.example.net");
    dns.exists("empty.test");
    dns.a("a.b.deep.test", "127.0.0.1");

    check(dns, "example.net", MX, "NoError: MX 10 mx1.example.net.").await;
    check(dns, "EXAMPLE.NET", MX, "NoError: MX 10 mx1.example.net.").await;
    check(dns, "mx1.example.net", A, "NoError: A 127.0.0.11").await;
    check(dns, "mx1.example.net", AAAA, "NoError: AAAA ::1").await;
    check(dns, "example.net", A, "NoError:").await;
    check(dns, "empty.test", MX, "NoError:").await;
    check(dns, "deep.test", A, "NoError:").await;
    check(dns, "nosuch.example.net", A, "NXDomain:").await;
    check(
        dns,
        "www.example.net",
        A,
        "NoError: CNAME mx1.example.net. A 127.0.0.11",
    )
    .await;
    check(
        dns,
        "www.example.net",
        CNAME,
        "NoError: CNAME mx1.example.net.",
    )
    .await;
    check(dns, "loop.example.net", A, "ServFail:").await;
    let text = ask(dns, "example.net", TXT, Transport::Tcp).await;
    assert_eq!(text.answers.len(), 1);
}

#[tokio::test]
async fn negative_answers_carry_an_soa_and_positive_ones_none() {
    let world = World::setup().without_relay().await;
    world.dns().a("host.test", "127.0.0.1");
    for (name, record_type, authorities) in [
        ("nosuch.test", A, 1),
        ("host.test", MX, 1),
        ("host.test", A, 0),
    ] {
        let answer = ask(world.dns(), name, record_type, Transport::Udp).await;
        assert_eq!(answer.authorities.len(), authorities, "{name}");
    }
}

#[tokio::test]
async fn troubles_befall_one_question_until_it_heals() {
    let world = World::setup().without_relay().await;
    let dns = world.dns();
    dns.mx("example.net", 10, "mx1.example.net");
    dns.a("example.net", "127.0.0.1");
    for (trouble, told) in [
        (Trouble::ServFail, "ServFail:"),
        (Trouble::Refused, "Refused:"),
        (Trouble::NxDomain, "NXDomain:"),
        (Trouble::NoData, "NoError:"),
        (
            Trouble::Slow(Duration::from_millis(1)),
            "NoError: MX 10 mx1.example.net.",
        ),
    ] {
        dns.troubles("example.net", MX, trouble);
        check(dns, "example.net", MX, told).await;
        check(dns, "example.net", A, "NoError: A 127.0.0.1").await;
    }
    dns.troubles_all("example.net", Trouble::Refused);
    check(dns, "example.net", A, "Refused:").await;
    dns.heals("example.net");
    check(dns, "example.net", A, "NoError: A 127.0.0.1").await;
    check(dns, "example.net", MX, "NoError: MX 10 mx1.example.net.").await;
    dns.remove("example.net", MX);
    check(dns, "example.net", MX, "NoError:").await;
    dns.forget("example.net");
    check(dns, "example.net", MX, "NXDomain:").await;
}

#[tokio::test]
async fn long_answers_are_truncated_over_udp_and_whole_over_tcp() {
    let world = World::setup().without_relay().await;
    let dns = world.dns();
    for number in 0..60 {
        dns.mx("many.test", number, &format!("mx{number}.many.test"));
    }
    dns.a("short.test", "127.0.0.1");
    dns.troubles("short.test", A, Trouble::Truncated);
    for (name, record_type, count) in [("many.test", MX, 60), ("short.test", A, 1)] {
        let cut = ask(dns, name, record_type, Transport::Udp).await;
        assert!(cut.metadata.truncation && cut.answers.is_empty(), "{cut:?}");
        let whole = ask(dns, name, record_type, Transport::Tcp).await;
        assert!(!whole.metadata.truncation);
        assert_eq!(whole.answers.len(), count);
    }
}

#[tokio::test]
async fn silence_is_silence_and_blocks_nobody() {
    let world = World::setup().without_relay().await;
    let dns = world.dns();
    dns.a("host.test", "127.0.0.1");
    dns.troubles("quiet.test", A, Trouble::Silence);
    let unanswered = ask(dns, "quiet.test", A, Transport::Udp);
    tokio::select! {
        biased;
        answer = unanswered => panic!("{answer:?}"),
        () = async {
            dns.was_asked("quiet.test", A).await;
            check(dns, "host.test", A, "NoError: A 127.0.0.1").await;
        } => {}
    }
}

#[tokio::test]
async fn questions_are_remembered_with_their_transport() {
    let world = World::setup().without_relay().await;
    let dns = world.dns();
    ask(dns, "One.Test", A, Transport::Udp).await;
    ask(dns, "one.test", MX, Transport::Tcp).await;
    dns.was_asked("one.test.", A).await;
    dns.was_asked_over(Transport::Tcp, "one.test", MX).await;
    dns.never_asked("two.test");
    dns.never_asked_for("one.test", AAAA);
    assert_eq!(dns.queries().len(), 2);
}

#[tokio::test]
#[should_panic(expected = "DNS was asked what nobody should ask")]
async fn a_question_that_should_not_be_asked_fails() {
    let world = World::setup().without_relay().await;
    ask(world.dns(), "one.test", A, Transport::Udp).await;
    world.dns().never_asked("one.test");
}

#[tokio::test]
async fn the_relays_own_resolver_is_content() {
    let world = World::setup().without_relay().await;
    let dns = world.dns();
    for number in 0..60 {
        dns.mx("many.test", number, &format!("mx{number}.many.test"));
    }
    let mut server = NameServerConfig::udp_and_tcp(dns.address().ip());
    for connection in &mut server.connections {
        connection.port = dns.address().port();
    }
    let config = ResolverConfig::from_parts(None, vec![], vec![server]);
    let resolver = Resolver::builder_with_config(config, TokioRuntimeProvider::default())
        .build()
        .expect("a resolver");
    let found = resolver.lookup("many.test.", MX).await.expect("an answer");
    assert_eq!(found.answers().len(), 60);
    dns.was_asked_over(Transport::Tcp, "many.test", MX).await;
    assert!(resolver.lookup("nosuch.test.", MX).await.is_err());
    dns.mx("nosuch.test", 1, "now.test");
    let seen = resolver.lookup("nosuch.test.", MX).await;
    assert!(seen.is_ok(), "a change is seen at once: {seen:?}");
}

/// Fails unless the answer over UDP, as text, is this.
async fn check(dns: &Dns, name: &str, record_type: RecordType, want: &str) {
    let answer = ask(dns, name, record_type, Transport::Udp).await;
    let code = answer.metadata.response_code;
    let code = match code {
        ResponseCode::NXDomain => "NXDomain".to_owned(),
        other => format!("{other:?}"),
    };
    let records = answer.answers.iter();
    let told: Vec<String> = records
        .map(|record| format!(" {} {}", record.record_type(), record.data))
        .collect();
    assert_eq!(
        format!("{code}:{}", told.concat()),
        want,
        "{name} {record_type}"
    );
}

async fn ask(dns: &Dns, name: &str, record_type: RecordType, transport: Transport) -> Message {
    let mut question = Message::query();
    let name = Name::from_ascii(format!("{name}.")).expect("a name");
    question.add_query(Question::query(name, record_type));
    let octets = question.to_vec().expect("a question");
    let exchange = exchange(dns.address(), &octets, transport);
    let answer = within(
        std::panic::Location::caller(),
        || "DNS".to_owned(),
        exchange,
    )
    .await;
    let answer = Message::from_vec(&answer).expect("an answer");
    assert_eq!(answer.metadata.id, question.metadata.id);
    answer
}

async fn exchange(server: SocketAddr, question: &[u8], transport: Transport) -> Vec<u8> {
    match transport {
        Transport::Udp => {
            let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
            socket.send_to(question, server).await.expect("to be sent");
            let mut answer = vec![0; 65_535];
            let length = socket.recv(&mut answer).await.expect("an answer");
            answer.truncate(length);
            answer
        }
        Transport::Tcp => {
            let mut stream = TcpStream::connect(server).await.expect("a connection");
            let length = u16::try_from(question.len()).expect("a short question");
            stream.write_u16(length).await.expect("to be sent");
            stream.write_all(question).await.expect("to be sent");
            let length = stream.read_u16().await.expect("an answer");
            let mut answer = vec![0; usize::from(length)];
            stream.read_exact(&mut answer).await.expect("an answer");
            answer
        }
    }
}
