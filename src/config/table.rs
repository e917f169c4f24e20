//! The variables, each defined once. `.env.example` and `docs/configuration.md` are made from this;
//! after a change: `UPDATE_EXPECT=1 cargo test --locked --lib config::reference`.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use crate::mail::Domain;
use crate::mail::limits::{
    COMMAND_LINE_BYTES_MAX, COMMAND_LINE_BYTES_MIN, HEADER_FIELDS_MAX, HEADER_SECTION_BYTES_MAX,
};

use super::amount::{duration, number, size};
use super::auth_users::{AuthUser, auth_users};
use super::choice::{LogFormat, Mode, log_format, mode};
use super::destination_rate::{DestinationRates, destination_rates};
use super::dkim_key::{self, DkimKeyConfig, Selector};
use super::domain_pattern::DomainPattern;
use super::network::{network, networks_or_none};
use super::rate::{Rate, rate};
use super::refusal::Refusal;
use super::relay_host::{RelayHost, relay_host, relay_password, relay_user};
use super::routes::{Routes, routes};
use super::secret::Secret;
use super::tls_policy::{TlsPolicy, tls_policy};
use super::value::{self, list, optional, port};
use super::variable::DefaultValue::{ControlSocket, HostName, LogicalCpus, Text};
use super::variable::{About, Section, Variable};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;

/// What `SMTP_QUEUE_WORKERS` may be; its default stays below this on machines with more CPUs.
pub(super) const WORKERS_MAX: usize = 256;
const WORKER_CONCURRENCY_MAX: usize = 4_096;
/// Deliveries at one time, of all workers: each is a connection with its buffers.
pub(super) const DELIVERIES_MAX: usize = 65_536;
const CONNECTIONS_MAX: usize = 100_000;
const DESTINATION_CONCURRENCY_MAX: usize = 1_000;
/// Remote hosts wait 5 minutes for a command (RFC 5321 4.5.3.2.7).
const CONNECTION_IDLE_MAX: Duration = Duration::from_secs(5 * 60);
/// RFC 5321 4.5.3.1.8.
const RECIPIENTS_MIN: usize = 100;
/// All recipients of a transaction are committed in one batch.
const RECIPIENTS_MAX: usize = 10_000;
/// RFC 5321 4.5.3.1.7.
const MESSAGE_BYTES_MIN: u64 = 64 * KIB;
const MESSAGE_BYTES_MAX: u64 = GIB;
const RETENTION_DAYS_MAX: u64 = 3_650;
const DATA_RATE_MAX: u64 = 1_000_000;
/// RFC 9422 has room for six digits.
const MESSAGES_PER_CONNECTION_MAX: u64 = 999_999;
const REPORTS_PER_HOUR_MAX: u32 = 1_000_000;
const ERRORS_MAX: u32 = 1_000_000;
const HEADER_BYTES_MIN: u64 = 16 * KIB;
const HEADER_FIELDS_MIN: usize = 100;
/// RFC 5321 4.5.3.1.6.
const TEXT_LINE_BYTES_MIN: u64 = 1_000;

const SHORTEST: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);
const YEAR: Duration = Duration::from_secs(365 * 86_400);

const _: () = assert!(WORKERS_MAX * 256 <= DELIVERIES_MAX); // 256: default of SMTP_WORKER_CONCURRENCY

/// Each entry becomes a `static` of the name of its variable, and a row of [`ALL`].
macro_rules! variables {
    ($(
        $section:ident {
            $(
                $name:ident: $kind:ty {
                    default: $default:expr,
                    expected: $expected:literal,
                    meaning: $meaning:literal,
                    parse: $parse:expr $(,
                    secret: $secret:literal)? $(,
                    live: $live:literal)? $(,)?
                }
            )+
        }
    )+) => {
        $($(
            pub(super) static $name: Variable<$kind> = Variable {
                about: About {
                    name: stringify!($name),
                    section: Section::$section,
                    default: $default,
                    expected: $expected,
                    meaning: $meaning,
                    secret: false $(|| $secret)?,
                    live: false $(|| $live)?,
                },
                parse: $parse,
            };
        )+)+

        /// All variables, section by section.
        pub(super) static ALL: &[&About] = &[$($(&$name.about),+),+];
    };
}

variables! {
    Relay {
        SMTP_HOSTNAME: Domain {
            default: HostName,
            expected: "a domain name such as mail.example.org",
            meaning: "Our name in banner, EHLO, trace fields and reports. It should be a name that resolves to this machine.",
            parse: value::domain,
        }
        SMTP_MODE: Mode {
            default: Text("deliver"),
            expected: "deliver, hold or sink",
            meaning: "What becomes of accepted mail. deliver: it is delivered; hold: nothing is delivered until it is released; sink: it is kept and never delivered.",
            parse: mode,
        }
        SMTP_ENV_FILE: Option<PathBuf> {
            default: Text(""),
            expected: "the path of a file, in the environment only",
            meaning: "File that is read instead of .env in the working directory.",
            parse: |text| optional(text, value::path),
        }
        SMTP_SHUTDOWN_GRACE: Duration {
            default: Text("30s"),
            expected: "a time from 0s to 1h, such as 30s",
            meaning: "How long running transactions may take to end after SIGTERM.",
            parse: |text| duration(text, Duration::ZERO..=HOUR),
            live: true,
        }
    }

    Listener {
        SMTP_LISTEN_ADDRESSES: Vec<IpAddr> {
            default: Text("0.0.0.0,::"),
            expected: "IP addresses separated by commas, none of them twice, such as 127.0.0.1,::1",
            meaning: "Addresses to listen on.",
            parse: value::listen_addresses,
        }
        SMTP_PORT: u16 {
            default: Text("2525"),
            expected: "a port from 1 to 65535",
            meaning: "Port to listen on.",
            parse: port,
        }
        SMTP_BANNER: String {
            default: Text("GopherPost ready"),
            expected: "printable ASCII text of at most 200 characters",
            meaning: "Greeting that follows the host name.",
            parse: value::banner,
            live: true,
        }
        SMTP_MAX_MESSAGE_SIZE: u64 {
            default: Text("10 MiB"),
            expected: "a size from 64 KiB to 1 GiB, in bytes or with KiB, MiB or GiB",
            meaning: "Largest message taken, announced as SIZE. A larger one is refused with 552 5.3.4.",
            parse: |text| size(text, MESSAGE_BYTES_MIN..=MESSAGE_BYTES_MAX),
            live: true,
        }
        SMTP_MAX_RECIPIENTS: usize {
            default: Text("1000"),
            expected: "a number from 100 to 10000",
            meaning: "Recipients taken in one transaction. Each further one is put off with 452 4.5.3.",
            parse: |text| number(text, RECIPIENTS_MIN..=RECIPIENTS_MAX),
            live: true,
        }
        SMTP_MAX_CONNECTIONS: usize {
            default: Text("2000"),
            expected: "a number from 1 to 100000",
            meaning: "Clients connected at one time. More are put off with 421 4.3.2.",
            parse: |text| number(text, 1..=CONNECTIONS_MAX),
            live: true,
        }
        SMTP_MAX_CONNECTIONS_PER_CLIENT: usize {
            default: Text("500"),
            expected: "a number from 1 to 100000",
            meaning: "Connections of one client at one time: of an IPv4 address, or of an IPv6 /64. More are put off with 421 4.7.0.",
            parse: |text| number(text, 1..=CONNECTIONS_MAX),
            live: true,
        }
        SMTP_COMMAND_TIMEOUT: Duration {
            default: Text("5m"),
            expected: "a time above 0s and up to 1d, such as 5m",
            meaning: "How long a client may take for a command.",
            parse: |text| duration(text, SHORTEST..=DAY),
            live: true,
        }
        SMTP_DATA_TIMEOUT: Duration {
            default: Text("3m"),
            expected: "a time above 0s and up to 1d, such as 3m",
            meaning: "How long a client may take for each block of message data.",
            parse: |text| duration(text, SHORTEST..=DAY),
            live: true,
        }
        SMTP_TLS_CERT: Option<PathBuf> {
            default: Text(""),
            expected: "the path of a file in PEM form",
            meaning: "Our certificate towards clients, followed by its chain. With it and SMTP_TLS_KEY, STARTTLS is offered. Changed files are taken up while running.",
            parse: |text| optional(text, value::path),
            live: true,
        }
        SMTP_TLS_KEY: Option<PathBuf> {
            default: Text(""),
            expected: "the path of a file in PEM form",
            meaning: "The key of SMTP_TLS_CERT, not encrypted: PKCS#8, PKCS#1 or SEC1.",
            parse: |text| optional(text, value::path),
            live: true,
        }
        SMTP_TLS_DISABLE: bool {
            default: Text("false"),
            expected: "true or false",
            meaning: "Whether clients are offered no TLS at all, whatever else is set.",
            parse: value::boolean,
            live: true,
        }
        SMTP_TLS_PORT: Option<u16> {
            default: Text(""),
            expected: "a port from 1 to 65535",
            meaning: "A second port to listen on, where TLS begins at once (RFC 8314; 465 is usual). Not set: there is none.",
            parse: |text| optional(text, port),
        }
        SMTP_MIN_DATA_RATE: u64 {
            default: Text("100"),
            expected: "a number from 0 to 1000000",
            meaning: "Bytes a second that a client must send of message data at least, beyond a credit of SMTP_DATA_TIMEOUT. A slower one is ended with 421 4.4.2. 0: any speed is enough.",
            parse: |text| number(text, 0..=DATA_RATE_MAX),
            live: true,
        }
        SMTP_MAX_MESSAGES_PER_CONNECTION: u64 {
            default: Text("999999"),
            expected: "a number from 1 to 999999",
            meaning: "Transactions of one connection, announced as MAILMAX. A further one is put off with 421 4.7.0, and the connection ends.",
            parse: |text| number(text, 1..=MESSAGES_PER_CONNECTION_MAX),
            live: true,
        }
        SMTP_MAX_ERRORS: u32 {
            default: Text("100"),
            expected: "a number from 1 to 1000000",
            meaning: "Commands of one connection that are refused with 5yz, until it is ended with 421 4.7.0. An accepted message sets the count back.",
            parse: |text| number(text, 1..=ERRORS_MAX),
            live: true,
        }
        SMTP_MAX_COMMAND_LENGTH: usize {
            default: Text("2048"),
            expected: "a number from 1200 to 8000",
            meaning: "Longest command line taken, in bytes with its line end. A longer one is refused with 500 5.5.2 and thrown away.",
            parse: |text| number(text, COMMAND_LINE_BYTES_MIN..=COMMAND_LINE_BYTES_MAX),
            live: true,
        }
        SMTP_MAX_LINE_LENGTH: Option<u64> {
            default: Text(""),
            expected: "a number from 1000 to 1073741824",
            meaning: "Longest line of a message taken, in bytes with its line end (RFC 5321 4.5.3.1.6 has 1000). A message with a longer one is refused with 500 5.5.2; one that comes as BODY=BINARYMIME has no lines. Not set: any length.",
            parse: |text| optional(text, |text| number(text, TEXT_LINE_BYTES_MIN..=MESSAGE_BYTES_MAX)),
            live: true,
        }
        SMTP_MAX_HEADER_SIZE: usize {
            default: Text("1 MiB"),
            expected: "a size from 16 KiB to 1 MiB, in bytes or with KiB, MiB or GiB",
            meaning: "Largest header section of a message taken. A message with a larger one is refused with 552 5.3.4.",
            parse: |text| size(text, HEADER_BYTES_MIN..=HEADER_SECTION_BYTES_MAX as u64).map(|bytes| usize::try_from(bytes).unwrap_or(HEADER_SECTION_BYTES_MAX)),
            live: true,
        }
        SMTP_MAX_HEADER_FIELDS: usize {
            default: Text("10000"),
            expected: "a number from 100 to 10000",
            meaning: "Most fields in the header section of a message taken. A message with more is refused with 552 5.3.4.",
            parse: |text| number(text, HEADER_FIELDS_MIN..=HEADER_FIELDS_MAX),
            live: true,
        }
        SMTP_CLIENT_CONNECTION_RATE: Option<Rate> {
            default: Text(""),
            expected: "a number and a time up to 1d, such as 100/1m",
            meaning: "Connections of one client in a time: of an IPv4 address, or of an IPv6 /64. More are put off with 421 4.7.0. Not set: any number.",
            parse: |text| optional(text, rate),
            live: true,
        }
        SMTP_CLIENT_MESSAGE_RATE: Option<Rate> {
            default: Text(""),
            expected: "a number and a time up to 1d, such as 1000/1m",
            meaning: "Messages of one client in a time, over all its connections. More are put off with 450 4.7.1. Not set: any number.",
            parse: |text| optional(text, rate),
            live: true,
        }
        SMTP_CLIENT_RECIPIENT_RATE: Option<Rate> {
            default: Text(""),
            expected: "a number and a time up to 1d, such as 10000/1h",
            meaning: "Recipients of one client in a time, over all its messages. More are put off with 450 4.7.1. Not set: any number.",
            parse: |text| optional(text, rate),
            live: true,
        }
        SMTP_MEMORY_BUDGET: u64 {
            default: Text("640 MiB"),
            expected: "a size from 1 MiB to 1024 GiB, in bytes or with KiB, MiB or GiB",
            meaning: "Memory for messages that are coming in, of which each open transaction has 320 KiB set aside, whatever the size of its message, and as much again for each 100 recipients beyond the first 100. Without that much left, new mail and further recipients are put off with 452 4.3.1.",
            parse: |text| size(text, MIB..=TIB),
        }
    }

    Access {
        SMTP_ALLOW_NETWORKS: Vec<IpNet> {
            default: Text(""),
            expected: "networks and addresses separated by commas, such as 10.0.0.0/8,2001:db8::1",
            meaning: "Who may connect. With this and SMTP_ALLOW_HOSTS empty, nobody may.",
            parse: |text| list(text, network),
            live: true,
        }
        SMTP_ALLOW_HOSTS: Vec<Domain> {
            default: Text(""),
            expected: "domain names separated by commas, such as app.example.org",
            meaning: "Hosts that may connect as well. Each name is looked up for its addresses, and again when they run out; what a client calls itself and reverse DNS count for nothing.",
            parse: |text| list(text, value::domain),
            live: true,
        }
        SMTP_PROXY_NETWORKS: Vec<IpNet> {
            default: Text(""),
            expected: "networks and addresses separated by commas, such as 10.0.0.5,2001:db8::/64",
            meaning: "Load balancers that must open each connection with a PROXY protocol header, version 1 or 2. The source it states is the client from then on; a connection of theirs without such a header is closed.",
            parse: |text| list(text, network),
            live: true,
        }
        SMTP_ALLOW_OPEN_RELAY: bool {
            default: Text(""),
            expected: "nothing, or exactly yes-i-am-sure",
            meaning: "yes-i-am-sure lets SMTP_ALLOW_NETWORKS cover the whole of IPv4 or IPv6, which stops the start otherwise.",
            parse: value::open_relay,
            live: true,
        }
        SMTP_REQUIRE_LOCAL_DOMAIN: bool {
            default: Text("true"),
            expected: "true or false",
            meaning: "Whether the sender in MAIL FROM must be of SMTP_HOSTNAME or SMTP_SENDER_DOMAINS. Another one is refused with 550 5.7.1.",
            parse: value::boolean,
            live: true,
        }
        SMTP_SENDER_DOMAINS: Vec<DomainPattern> {
            default: Text(""),
            expected: "domain names separated by commas, *. before one for all its subdomains, such as example.org,*.example.org",
            meaning: "Further domains that may send. A domain does not include its subdomains, and *.example.org does not include example.org.",
            parse: |text| list(text, value::domain_pattern),
            live: true,
        }
    }

    Auth {
        SMTP_AUTH_USERS: Vec<AuthUser> {
            default: Text(""),
            expected: "user:password, several separated by commas",
            meaning: "Who may authenticate, and with what. In a name or password, % and two hexadecimal digits stand for an octet: %2C for a comma, %3A for a colon in a name, %25 for a percent sign. Instead of the password there may be what `gopherpost auth hash` prints: an argon2 hash, or a SCRAM verifier. In a file, users may also stand on lines of their own.",
            parse: auth_users,
            secret: true,
            live: true,
        }
        SMTP_AUTH_INSECURE: bool {
            default: Text("false"),
            expected: "true or false",
            meaning: "Whether clients may authenticate without TLS, too, where everybody on the way can read their password.",
            parse: value::boolean,
            live: true,
        }
        SMTP_AUTH_ANYWHERE: bool {
            default: Text("false"),
            expected: "true or false",
            meaning: "Whether clients outside SMTP_ALLOW_NETWORKS and SMTP_ALLOW_HOSTS may connect. Until they have authenticated, they can do nothing else, and have SMTP_COMMAND_TIMEOUT for it in all.",
            parse: value::boolean,
            live: true,
        }
    }

    Queue {
        SMTP_QUEUE_PATH: PathBuf {
            default: Text("./data/spool"),
            expected: "the path of a directory",
            meaning: "Directory of the queue. It is made if need be, and belongs to one process alone.",
            parse: value::path,
        }
        SMTP_MIN_FREE_SPACE: u64 {
            default: Text("128 MiB"),
            expected: "a size from 1 MiB to 1024 GiB, in bytes or with KiB, MiB or GiB",
            meaning: "With less space free in the queue's file system, new mail is put off with 452 4.3.1.",
            parse: |text| size(text, MIB..=TIB),
            live: true,
        }
        SMTP_RETENTION_DAYS: Duration {
            default: Text("7"),
            expected: "a number of days from 0 to 3650",
            meaning: "How many days a message is kept after its last recipient became final. 0: it is removed at once.",
            parse: |text| number(text, 0..=RETENTION_DAYS_MAX).map(|days| Duration::from_secs(days * 86_400)),
            live: true,
        }
        SMTP_UNDO_WINDOW: Duration {
            default: Text("1h"),
            expected: "a time up to 365d, such as 1h, or 0s",
            meaning: "How long `gopherpost queue restore` can bring back what was purged; then its space is reclaimed. 0s: it can't.",
            parse: |text| duration(text, Duration::ZERO..=YEAR),
        }
        SMTP_MESSAGE_LIFETIME: Duration {
            default: Text("5d"),
            expected: "a time above 0s and up to 365d, such as 5d",
            meaning: "A recipient that is not delivered by then expires, and the sender is told.",
            parse: |text| duration(text, SHORTEST..=YEAR),
            live: true,
        }
        SMTP_DELAY_WARNING: Option<Duration> {
            default: Text("4h"),
            expected: "a time up to 365d, such as 4h, or 0s",
            meaning: "The sender of a message that is not delivered by then is told so, once. 0s: it is not.",
            parse: |text| duration(text, Duration::ZERO..=YEAR).map(|after| Some(after).filter(|after| !after.is_zero())),
        }
        SMTP_MAX_REPORTS_PER_HOUR: NonZeroU32 {
            default: Text("1000"),
            expected: "a number from 1 to 1000000",
            meaning: "Delivery reports that one sender gets in an hour; what tells of delay or relaying has half of that. Further ones are not sent, and the log says so.",
            parse: |text| number(text, 1..=REPORTS_PER_HOUR_MAX).and_then(|n| NonZeroU32::new(n).ok_or(Refusal::Unexpected)),
            live: true,
        }
        SMTP_RETRY_BASE: Duration {
            default: Text("1m"),
            expected: "a time above 0s and up to 365d, such as 1m",
            meaning: "Wait before the first retry. It doubles with each further one.",
            parse: |text| duration(text, SHORTEST..=YEAR),
            live: true,
        }
        SMTP_RETRY_CAP: Duration {
            default: Text("64m"),
            expected: "a time of at least SMTP_RETRY_BASE and up to 365d, such as 64m",
            meaning: "Longest wait between two attempts. Up to 20 % are added or taken at random.",
            parse: |text| duration(text, SHORTEST..=YEAR),
            live: true,
        }
        SMTP_QUEUE_WORKERS: usize {
            default: LogicalCpus,
            expected: "a number from 1 to 256",
            meaning: "Delivery workers. They are no threads: SMTP_QUEUE_WORKERS times SMTP_WORKER_CONCURRENCY is how many deliveries there are at one time.",
            parse: |text| number(text, 1..=WORKERS_MAX),
        }
        SMTP_WORKER_CONCURRENCY: usize {
            default: Text("256"),
            expected: "a number from 1 to 4096",
            meaning: "Deliveries that one worker drives at once. Multiplied by SMTP_QUEUE_WORKERS: at most 65536.",
            parse: |text| number(text, 1..=WORKER_CONCURRENCY_MAX),
        }
        SMTP_DESTINATION_CONCURRENCY: usize {
            default: Text("20"),
            expected: "a number from 1 to 1000",
            meaning: "Connections to one destination at one time. A destination starts with one, has five once it has answered, and gets up to this many as it goes on answering.",
            parse: |text| number(text, 1..=DESTINATION_CONCURRENCY_MAX),
            live: true,
        }
        SMTP_DESTINATION_RATE: DestinationRates {
            default: Text(""),
            expected: "domain=number/time separated by commas, *. before a domain for all its subdomains, * for every destination, such as gmail.com=50/s,*=200/s",
            meaning: "Messages that one destination is given in a time, each destination for itself; a message to more than 100 recipients counts once for each 100. The closest item counts. Not set: any number.",
            parse: destination_rates,
            live: true,
        }
    }

    Delivery {
        SMTP_RELAY_HOST: Option<RelayHost> {
            default: Text(""),
            expected: "smtp://host, smtps://host or either with :port, an IPv6 address in brackets",
            meaning: "Smarthost that takes all mail, instead of delivery to the MX of each domain. smtps://: TLS begins at once. If no port is given it is 25, with smtps:// 465.",
            parse: |text| optional(text, relay_host),
            live: true,
        }
        SMTP_RELAY_USER: Option<Box<str>> {
            default: Text(""),
            expected: "a user's name of up to 1024 bytes without control characters",
            meaning: "As whom to authenticate to SMTP_RELAY_HOST; needs SMTP_RELAY_PASSWORD. Mail waits where that is not possible. The password never leaves in clear, unless SMTP_TLS_POLICY is none for that host.",
            parse: |text| optional(text, relay_user),
            live: true,
        }
        SMTP_RELAY_PASSWORD: Option<Secret> {
            default: Text(""),
            expected: "a password of up to 1024 bytes without control characters",
            meaning: "The password of SMTP_RELAY_USER.",
            parse: |text| optional(text, relay_password),
            secret: true,
            live: true,
        }
        SMTP_ROUTES: Routes {
            default: Text(""),
            expected: "domain=mx or domain= and an address as in SMTP_RELAY_HOST, several separated by commas; the domain may be *.example.org",
            meaning: "Ways for the mail of some domains, which beat SMTP_RELAY_HOST. The most specific domain decides; *.example.org stands for every subdomain of example.org, not for itself. mx: to the mail hosts that DNS names.",
            parse: routes,
            live: true,
        }
        SMTP_DELIVERY_PORT: u16 {
            default: Text("25"),
            expected: "a port from 1 to 65535",
            meaning: "Remote port for delivery by MX.",
            parse: port,
            live: true,
        }
        SMTP_DELIVERY_DENY_NETWORKS: Vec<IpNet> {
            default: Text("127.0.0.0/8,::1/128,0.0.0.0/8,::/128,169.254.0.0/16,fe80::/10,224.0.0.0/4,ff00::/8,255.255.255.255/32"),
            expected: "networks and addresses separated by commas, or none",
            meaning: "Never dialled for delivery by MX, whatever DNS says. none: everything may be dialled. SMTP_RELAY_HOST and the hosts of SMTP_ROUTES are exempt.",
            parse: networks_or_none,
            live: true,
        }
        SMTP_SOURCE_ADDRESSES: Vec<IpAddr> {
            default: Text(""),
            expected: "IP addresses of this machine separated by commas, none of them twice",
            meaning: "Addresses to call remote hosts from, in turn, each for hosts of its family. A family without one is not used then. Not set: the system chooses.",
            parse: value::source_addresses,
            live: true,
        }
        SMTP_DNS_SERVERS: Option<Vec<SocketAddr>> {
            default: Text(""),
            expected: "IP addresses separated by commas, each with or without a port, such as 192.0.2.53,[2001:db8::53]:5353",
            meaning: "DNS servers to ask. Not set: those of the system.",
            parse: |text| optional(text, |text| list(text, |item| value::socket_address(item, 53))),
            live: true,
        }
        SMTP_DNS_TIMEOUT: Duration {
            default: Text("10s"),
            expected: "a time above 0s and up to 1h, such as 10s",
            meaning: "Longest look-up, retries included.",
            parse: |text| duration(text, SHORTEST..=HOUR),
            live: true,
        }
        SMTP_CONNECT_TIMEOUT: Duration {
            default: Text("30s"),
            expected: "a time above 0s and up to 1d, such as 30s",
            meaning: "How long a connection to one address may take.",
            parse: |text| duration(text, SHORTEST..=DAY),
            live: true,
        }
        SMTP_REPLY_TIMEOUT: Duration {
            default: Text("5m"),
            expected: "a time above 0s and up to 1d, such as 5m",
            meaning: "How long a remote host may take for each reply, and for reading what we write.",
            parse: |text| duration(text, SHORTEST..=DAY),
            live: true,
        }
        SMTP_DATA_REPLY_TIMEOUT: Duration {
            default: Text("10m"),
            expected: "a time above 0s and up to 1d, such as 10m",
            meaning: "How long a remote host may take for its reply to the whole message. A shorter time brings duplicates.",
            parse: |text| duration(text, SHORTEST..=DAY),
            live: true,
        }
        SMTP_ATTEMPT_TIMEOUT: Duration {
            default: Text("30m"),
            expected: "a time above 0s and up to 1d, such as 30m",
            meaning: "Longest attempt at one host, from the first packet to the last.",
            parse: |text| duration(text, SHORTEST..=DAY),
            live: true,
        }
        SMTP_CONNECTION_IDLE: Duration {
            default: Text("3s"),
            expected: "a time from 0s to 5m, such as 3s",
            meaning: "How long a connection without mail is kept for further messages to the same host. It counts for SMTP_DESTINATION_CONCURRENCY. 0s: each message gets a connection of its own.",
            parse: |text| duration(text, Duration::ZERO..=CONNECTION_IDLE_MAX),
            live: true,
        }
        SMTP_TLS_POLICY: TlsPolicy {
            default: Text("valid"),
            expected: "none, opportunistic, encrypt, valid or verify, and by domain, such as valid,example.com=verify,*.internal=none",
            meaning: "How much TLS it takes to send mail. none: no TLS. opportunistic: TLS when offered, unchecked, in clear if it fails. encrypt: TLS required, unchecked. valid: TLS when offered, and then with a valid certificate for the host's name. verify: TLS required and valid. The most specific item decides; it is looked up by the domain behind the @ of the recipient or, where SMTP_RELAY_HOST or a route leads to a host, by that host's name. An address is written as in mail addresses: [192.0.2.1]=none.",
            parse: tls_policy,
            live: true,
        }
        SMTP_TLS_CA_FILE: Option<PathBuf> {
            default: Text(""),
            expected: "the path of a file in PEM form",
            meaning: "Trust anchors that count for remote certificates besides those of the system and the bundled ones.",
            parse: |text| optional(text, value::path),
            live: true,
        }
    }

    Dkim {
        SMTP_DKIM_SELECTOR: Option<Selector> {
            default: Text(""),
            expected: "a name of letters, digits and hyphens, such as s2026",
            meaning: "Selector of the key in SMTP_DKIM_KEY_PATH or SMTP_DKIM_PRIVATE_KEY: its public half is published at SELECTOR._domainkey.DOMAIN.",
            parse: |text| optional(text, dkim_key::selector),
            live: true,
        }
        SMTP_DKIM_DOMAIN: Option<Domain> {
            default: Text(""),
            expected: "a domain name such as example.org",
            meaning: "Domain that this key signs for: mail whose From is of it or of a domain below it.",
            parse: |text| optional(text, value::domain),
            live: true,
        }
        SMTP_DKIM_KEY_PATH: Option<PathBuf> {
            default: Text(""),
            expected: "the path of a file in PEM form",
            meaning: "The private key, RSA of 2048 to 4096 bits or Ed25519, not encrypted. `gopherpost dkim generate` makes one. A changed file is taken up while running.",
            parse: |text| optional(text, value::path),
            live: true,
        }
        SMTP_DKIM_PRIVATE_KEY: Option<Secret> {
            default: Text(""),
            expected: "a private key in PEM form",
            meaning: "The private key itself instead of its path. Line ends may be written as \\n.",
            parse: |text| optional(text, dkim_key::inline),
            secret: true,
            live: true,
        }
        SMTP_DKIM_KEYS: Vec<DkimKeyConfig> {
            default: Text(""),
            expected: "domain:selector:path, up to 1000 separated by commas, such as example.org:s2026:/etc/gopherpost/example.org.pem",
            meaning: "Further keys, as those above. Two keys of one domain, one RSA and one Ed25519, sign both.",
            parse: dkim_key::entries,
            live: true,
        }
    }

    Health {
        SMTP_HEALTH_ADDR: SocketAddr {
            default: Text(":8080"),
            expected: "address:port, or :port for all addresses, such as 127.0.0.1:8080",
            meaning: "Where health is served over HTTP.",
            parse: value::health_address,
        }
        SMTP_HEALTH_PORT: Option<u16> {
            default: Text(""),
            expected: "a port from 1 to 65535",
            meaning: "Replaces the port of SMTP_HEALTH_ADDR.",
            parse: |text| optional(text, port),
        }
        SMTP_HEALTH_DISABLE: bool {
            default: Text("false"),
            expected: "true or false",
            meaning: "Whether health is served nowhere.",
            parse: value::boolean,
        }
        SMTP_HEALTH_ALLOW_NETWORKS: Vec<IpNet> {
            default: Text("127.0.0.0/8,::1"),
            expected: "networks and addresses separated by commas, such as 10.0.0.0/8,2001:db8::1",
            meaning: "Who may see over HTTP what shows addresses, ids or content, such as the live events; health and numbers are for everybody.",
            parse: |text| list(text, network),
        }
        SMTP_DEBUG: bool {
            default: Text("false"),
            expected: "true or false",
            meaning: "Whether /healthz goes on with the live events, and these tell single decisions as well.",
            parse: value::boolean,
        }
        SMTP_CONTROL_SOCKET: PathBuf {
            default: ControlSocket,
            expected: "the path of a Unix socket, of at most 107 bytes",
            meaning: "Where the running relay answers gopherpost's other commands: its owner and its group, mode 0660.",
            parse: value::path,
        }
    }

    Log {
        SMTP_LOG: String {
            default: Text("info"),
            expected: "error, warn, info, debug, trace or off, or a filter such as info,hickory_resolver=debug",
            meaning: "What is logged to standard error.",
            parse: value::log_filter,
            live: true,
        }
        SMTP_LOG_FORMAT: LogFormat {
            default: Text("text"),
            expected: "text, json or logfmt",
            meaning: "How a line of the log looks: for people, one JSON object, or key=value pairs.",
            parse: log_format,
        }
    }
}

/// Names that a later version brings. They are reserved, so that setting one is told as what it is.
pub(super) static LATER: &[&str] = &["SMTP_ADMIN_TOKEN"];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::{Config, Sources};
    use super::*;

    #[test]
    fn names_are_unique_and_ours() {
        let names: Vec<&str> = ALL
            .iter()
            .map(|about| about.name)
            .chain(LATER.iter().copied())
            .collect();
        assert!(names.iter().all(|name| name.starts_with("SMTP_")));
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
    }

    #[test]
    fn texts_fit_their_sentences() {
        for about in ALL {
            assert!(about.meaning.ends_with('.'), "{}", about.name);
            assert!(!about.expected.ends_with('.'), "{}", about.name);
            assert!(!about.expected.starts_with("expected"), "{}", about.name);
        }
    }

    #[test]
    fn sections_are_in_one_piece_and_in_order() {
        let mut sections: Vec<Section> = ALL.iter().map(|about| about.section).collect();
        sections.dedup();
        assert_eq!(sections, Section::ALL);
    }

    /// Each bound of the table, at the last value taken and the first refused.
    #[test]
    fn bounds_are_where_the_texts_say() {
        for (name, taken, refused) in [
            ("SMTP_PORT", "1", "0"),
            ("SMTP_PORT", "65535", "65536"),
            ("SMTP_DELIVERY_PORT", "1", "0"),
            ("SMTP_HEALTH_PORT", "1", "0"),
            ("SMTP_SHUTDOWN_GRACE", "1h", "3601s"),
            ("SMTP_MAX_MESSAGE_SIZE", "65536", "65535"),
            ("SMTP_MAX_MESSAGE_SIZE", "1GiB", "1073741825"),
            ("SMTP_MAX_RECIPIENTS", "100", "99"),
            ("SMTP_MAX_RECIPIENTS", "10000", "10001"),
            ("SMTP_MAX_CONNECTIONS", "1", "0"),
            ("SMTP_MAX_CONNECTIONS", "100000", "100001"),
            ("SMTP_MAX_CONNECTIONS_PER_CLIENT", "1", "0"),
            ("SMTP_MAX_CONNECTIONS_PER_CLIENT", "100000", "100001"),
            ("SMTP_COMMAND_TIMEOUT", "1ms", "0s"),
            ("SMTP_COMMAND_TIMEOUT", "1d", "1d1ms"),
            ("SMTP_DATA_TIMEOUT", "1ms", "0s"),
            ("SMTP_DATA_TIMEOUT", "1d", "1d1ms"),
            ("SMTP_MIN_DATA_RATE", "0", "-1"),
            ("SMTP_MIN_DATA_RATE", "1000000", "1000001"),
            ("SMTP_MAX_MESSAGES_PER_CONNECTION", "1", "0"),
            ("SMTP_MAX_MESSAGES_PER_CONNECTION", "999999", "1000000"),
            ("SMTP_MAX_ERRORS", "1", "0"),
            ("SMTP_MAX_ERRORS", "1000000", "1000001"),
            ("SMTP_CLIENT_CONNECTION_RATE", "1/1ms", "0/1ms"),
            ("SMTP_CLIENT_MESSAGE_RATE", "1/1d", "1/25h"),
            (
                "SMTP_CLIENT_RECIPIENT_RATE",
                "1000000000/1s",
                "1000000001/1s",
            ),
            ("SMTP_MEMORY_BUDGET", "1MiB", "1048575"),
            ("SMTP_MEMORY_BUDGET", "1024GiB", "1025GiB"),
            ("SMTP_MIN_FREE_SPACE", "1MiB", "1048575"),
            ("SMTP_MIN_FREE_SPACE", "1024GiB", "1025GiB"),
            ("SMTP_RETENTION_DAYS", "3650", "3651"),
            ("SMTP_RETENTION_DAYS", "0", "7d"),
            ("SMTP_UNDO_WINDOW", "0s", "-1s"),
            ("SMTP_UNDO_WINDOW", "365d", "365d1ms"),
            ("SMTP_MESSAGE_LIFETIME", "1ms", "0s"),
            ("SMTP_MESSAGE_LIFETIME", "365d", "365d1ms"),
            ("SMTP_DELAY_WARNING", "0s", "-1s"),
            ("SMTP_DELAY_WARNING", "365d", "365d1ms"),
            ("SMTP_MAX_REPORTS_PER_HOUR", "1", "0"),
            ("SMTP_MAX_REPORTS_PER_HOUR", "1000000", "1000001"),
            ("SMTP_RETRY_BASE", "1ms", "0s"),
            ("SMTP_RETRY_CAP", "365d", "365d1ms"),
            ("SMTP_QUEUE_WORKERS", "1", "0"),
            ("SMTP_QUEUE_WORKERS", "256", "257"),
            ("SMTP_WORKER_CONCURRENCY", "1", "0"),
            ("SMTP_WORKER_CONCURRENCY", "4096", "4097"),
            ("SMTP_DESTINATION_CONCURRENCY", "1", "0"),
            ("SMTP_DESTINATION_CONCURRENCY", "1000", "1001"),
            ("SMTP_DNS_TIMEOUT", "1ms", "0s"),
            ("SMTP_DNS_TIMEOUT", "1h", "3601s"),
            ("SMTP_CONNECT_TIMEOUT", "1ms", "0s"),
            ("SMTP_CONNECT_TIMEOUT", "1d", "1d1ms"),
            ("SMTP_REPLY_TIMEOUT", "1ms", "0s"),
            ("SMTP_REPLY_TIMEOUT", "1d", "1d1ms"),
            ("SMTP_DATA_REPLY_TIMEOUT", "1ms", "0s"),
            ("SMTP_DATA_REPLY_TIMEOUT", "1d", "1d1ms"),
            ("SMTP_ATTEMPT_TIMEOUT", "1ms", "0s"),
            ("SMTP_ATTEMPT_TIMEOUT", "1d", "1d1ms"),
            ("SMTP_CONNECTION_IDLE", "0s", "-1s"),
            ("SMTP_CONNECTION_IDLE", "5m", "301s"),
        ] {
            let load = |value| Config::load(&Sources::of([(name, value)]));
            assert!(
                load(taken).is_ok(),
                "{name}={taken}: {:?}",
                load(taken).err()
            );
            assert!(load(refused).is_err(), "{name}={refused}");
        }
    }
}
