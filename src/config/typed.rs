//! The typed configuration: what other rooms see of it.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use crate::mail::Domain;

use super::auth_users::AuthUser;
use super::choice::{LogFormat, Mode};
use super::destination_rate::DestinationRates;
use super::dkim_key::DkimKeyConfig;
use super::domain_pattern::DomainPattern;
use super::rate::Rate;
use super::relay_host::{RelayHost, RelayLogin};
use super::routes::Routes;
use super::tls_policy::TlsPolicy;

/// What the operator decided, checked and typed.
#[derive(Clone, Debug)]
pub struct Config {
    /// Our name in banner, EHLO, trace fields and reports.
    pub hostname: Domain,
    /// What becomes of accepted mail.
    pub mode: Mode,
    /// How events are written to the log.
    pub log: LogConfig,
    /// Where health is served; `None`: nowhere.
    pub health: Option<SocketAddr>,
    /// `SMTP_HEALTH_ALLOW_NETWORKS`
    pub health_allow_networks: Vec<IpNet>,
    /// `SMTP_DEBUG`
    pub debug: bool,
    /// `SMTP_CONTROL_SOCKET`: where other commands reach the running relay.
    pub control_socket: PathBuf,
    /// Listeners and sessions.
    pub smtpd: SmtpdConfig,
    /// TLS towards clients; `None`: they are offered none.
    pub tls: Option<ServerTlsConfig>,
    /// What one client or session may use up.
    pub limits: LimitsConfig,
    /// Who may connect, and send as whom.
    pub access: AccessConfig,
    /// Who may authenticate.
    pub auth: AuthConfig,
    /// The store, retries and retention.
    pub queue: QueueConfig,
    /// Everything about the way out.
    pub delivery: DeliveryConfig,
    /// The keys that sign; none: nothing is signed.
    pub dkim: Vec<DkimKeyConfig>,
}

/// `SMTP_LOG`, `SMTP_LOG_FORMAT`
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// Filter in the syntax of tracing's `EnvFilter`.
    pub filter: String,
    /// How a line looks.
    pub format: LogFormat,
}

/// Listeners and sessions.
#[derive(Clone, Debug)]
pub struct SmtpdConfig {
    /// `SMTP_LISTEN_ADDRESSES`
    pub listen_addresses: Vec<IpAddr>,
    /// `SMTP_PORT`
    pub port: u16,
    /// `SMTP_BANNER`: the greeting behind the host name.
    pub banner: String,
    /// `SMTP_MAX_MESSAGE_SIZE`, bytes.
    pub max_message_size: u64,
    /// `SMTP_MAX_RECIPIENTS` of one transaction.
    pub max_recipients: usize,
    /// `SMTP_MAX_CONNECTIONS` at one time.
    pub max_connections: usize,
    /// `SMTP_MAX_CONNECTIONS_PER_CLIENT`: per IPv4 address or IPv6 /64.
    pub max_connections_per_client: usize,
    /// `SMTP_COMMAND_TIMEOUT`: for a whole command line.
    pub command_timeout: Duration,
    /// `SMTP_DATA_TIMEOUT`: for each block of data.
    pub data_timeout: Duration,
    /// `SMTP_SHUTDOWN_GRACE`: for running transactions after SIGTERM.
    pub shutdown_grace: Duration,
}

/// TLS towards clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTlsConfig {
    /// `SMTP_TLS_CERT`: our certificate and its chain, PEM.
    pub certificate: PathBuf,
    /// `SMTP_TLS_KEY`, PEM.
    pub key: PathBuf,
    /// `SMTP_TLS_PORT`: where TLS begins at once; `None`: nowhere.
    pub port: Option<u16>,
}

/// What one client or session may use up.
#[derive(Clone, Debug)]
pub struct LimitsConfig {
    /// `SMTP_MIN_DATA_RATE`, bytes a second; 0: none.
    pub min_data_rate: u64,
    /// `SMTP_MAX_MESSAGES_PER_CONNECTION`
    pub max_messages_per_connection: u64,
    /// `SMTP_MAX_ERRORS`: commands refused with 5yz since the last accepted message.
    pub max_errors: u32,
    /// `SMTP_MAX_COMMAND_LENGTH`, bytes with CRLF.
    pub max_command_length: usize,
    /// `SMTP_MAX_LINE_LENGTH` of a message, bytes with CRLF; `None`: any.
    pub max_line_length: Option<u64>,
    /// `SMTP_MAX_HEADER_SIZE`, bytes.
    pub max_header_size: usize,
    /// `SMTP_MAX_HEADER_FIELDS`
    pub max_header_fields: usize,
    /// `SMTP_CLIENT_CONNECTION_RATE`: per IPv4 address or IPv6 /64, as the next two.
    pub client_connection_rate: Option<Rate>,
    /// `SMTP_CLIENT_MESSAGE_RATE`
    pub client_message_rate: Option<Rate>,
    /// `SMTP_CLIENT_RECIPIENT_RATE`
    pub client_recipient_rate: Option<Rate>,
    /// `SMTP_MEMORY_BUDGET`, bytes.
    pub memory_budget: u64,
}

/// Who may connect, and send as whom.
#[derive(Clone, Debug)]
pub struct AccessConfig {
    /// `SMTP_ALLOW_NETWORKS`
    pub allow_networks: Vec<IpNet>,
    /// `SMTP_ALLOW_HOSTS`: looked up forward.
    pub allow_hosts: Vec<Domain>,
    /// `SMTP_PROXY_NETWORKS`: peers whose connections must open with a PROXY protocol header.
    pub proxy_networks: Vec<IpNet>,
    /// `SMTP_REQUIRE_LOCAL_DOMAIN`: MAIL FROM must be of the host name or a sender domain.
    pub require_local_domain: bool,
    /// `SMTP_SENDER_DOMAINS`: what counts as local besides the host name.
    pub sender_domains: Vec<DomainPattern>,
}

/// Who may authenticate.
#[derive(Clone, Debug)]
pub struct AuthConfig {
    /// `SMTP_AUTH_USERS`
    pub users: Vec<AuthUser>,
    /// `SMTP_AUTH_INSECURE`: without TLS, too.
    pub insecure: bool,
    /// `SMTP_AUTH_ANYWHERE`: others than those of [`AccessConfig`] may connect in order to.
    pub anywhere: bool,
}

/// The store, retries and retention.
#[derive(Clone, Debug)]
pub struct QueueConfig {
    /// `SMTP_QUEUE_PATH`
    pub path: PathBuf,
    /// `SMTP_QUEUE_WORKERS`
    pub workers: usize,
    /// `SMTP_WORKER_CONCURRENCY`: deliveries that one worker drives at once.
    pub worker_concurrency: usize,
    /// `SMTP_DESTINATION_CONCURRENCY`: connections to one destination.
    pub destination_concurrency: usize,
    /// `SMTP_DESTINATION_RATE`: messages to one destination.
    pub destination_rates: DestinationRates,
    /// `SMTP_RETENTION_DAYS` as a span; zero: removed at once.
    pub retention: Duration,
    /// `SMTP_UNDO_WINDOW`: how long what was purged can be restored.
    pub undo_window: Duration,
    /// `SMTP_MESSAGE_LIFETIME`
    pub lifetime: Duration,
    /// `SMTP_DELAY_WARNING`: from arrival until the sender is told; `None`: it is not.
    pub delay_warning: Option<Duration>,
    /// `SMTP_MAX_REPORTS_PER_HOUR` to one sender.
    pub max_reports_per_hour: NonZeroU32,
    /// `SMTP_RETRY_BASE`
    pub retry_base: Duration,
    /// `SMTP_RETRY_CAP`
    pub retry_cap: Duration,
    /// `SMTP_MIN_FREE_SPACE`, bytes.
    pub min_free_space: u64,
}

/// Everything about the way out.
#[derive(Clone, Debug)]
pub struct DeliveryConfig {
    /// `SMTP_RELAY_HOST`: all mail goes there for which `routes` says nothing.
    pub relay_host: Option<RelayHost>,
    /// `SMTP_RELAY_USER`, `SMTP_RELAY_PASSWORD`: as whom we authenticate to it, and to no other host.
    pub relay_login: Option<RelayLogin>,
    /// `SMTP_ROUTES`
    pub routes: Routes,
    /// `SMTP_DELIVERY_PORT`: remote port for MX delivery.
    pub port: u16,
    /// `SMTP_DELIVERY_DENY_NETWORKS`: never dialled by MX delivery.
    pub deny_networks: Vec<IpNet>,
    /// `SMTP_SOURCE_ADDRESSES`: ours, to call from; empty: the system chooses.
    pub source_addresses: Vec<IpAddr>,
    /// `SMTP_DNS_SERVERS`; `None`: as the system says.
    pub dns_servers: Option<Vec<SocketAddr>>,
    /// `SMTP_DNS_TIMEOUT`: one look-up, retries included.
    pub dns_timeout: Duration,
    /// `SMTP_CONNECT_TIMEOUT`
    pub connect_timeout: Duration,
    /// `SMTP_REPLY_TIMEOUT`: each reply and each write.
    pub reply_timeout: Duration,
    /// `SMTP_DATA_REPLY_TIMEOUT`: the reply to the final dot.
    pub data_reply_timeout: Duration,
    /// `SMTP_ATTEMPT_TIMEOUT`: a whole attempt at one host.
    pub attempt_timeout: Duration,
    /// `SMTP_CONNECTION_IDLE`: how long a connection is kept unused; zero: not at all.
    pub connection_idle: Duration,
    /// `SMTP_TLS_POLICY`
    pub tls_policy: TlsPolicy,
    /// `SMTP_TLS_CA_FILE`: further trust anchors, PEM.
    pub tls_ca_file: Option<PathBuf>,
}
