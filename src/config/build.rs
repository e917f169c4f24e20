//! From sources to [`Config`]: each variable taken once, then the relations between them.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::dkim_key::{DkimKeyConfig, DkimKeySource};
use super::problem::{ConfigProblems, Warning};
use super::reader::{Reader, Setting};
use super::relation;
use super::relay_host::{RelayHost, RelayLogin};
use super::sources::Sources;
use super::table;
use super::typed::{
    AccessConfig, AuthConfig, Config, DeliveryConfig, LimitsConfig, LogConfig, QueueConfig,
    ServerTlsConfig, SmtpdConfig,
};
use super::unknown;

/// A configuration that can be started with.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The typed values.
    pub config: Config,
    /// Every variable and where it comes from, in the order of the reference.
    pub settings: Vec<Setting>,
    /// To be told once at start.
    pub warnings: Vec<Warning>,
    /// Names of what the environment set just as the file of settings did when the process started.
    pub(super) read_twice: BTreeSet<String>,
}

/// All that can be said about a configuration, good or not.
#[derive(Clone, Debug)]
pub struct Examination {
    /// As [`Loaded::settings`]; without those whose value could not even be found.
    pub settings: Vec<Setting>,
    /// As [`Loaded::warnings`].
    pub warnings: Vec<Warning>,
    /// The typed values, or everything that is wrong with them.
    pub outcome: Result<Config, ConfigProblems>,
}

impl Config {
    /// Turns what was given into typed values.
    ///
    /// # Errors
    /// All problems at once, each the operator's.
    pub fn load(sources: &Sources) -> Result<Loaded, ConfigProblems> {
        let Examination {
            settings,
            warnings,
            outcome,
        } = examine(sources);
        outcome.map(|config| Loaded {
            config,
            settings,
            warnings,
            read_twice: sources.read_twice.clone(),
        })
    }
}

/// As [`Config::load`], and tells settings and warnings in any case.
#[must_use]
pub fn examine(sources: &Sources) -> Examination {
    let mut reader = Reader::new(sources);
    let config = read(&mut reader);
    // Where it names a file, the sources have read it.
    let _read = reader.value(&table::SMTP_ENV_FILE);
    let open_relay_wanted = reader.value(&table::SMTP_ALLOW_OPEN_RELAY);
    relation::check(&mut reader, &config, open_relay_wanted);
    unknown::check(&mut reader);
    let Reader {
        mut settings,
        warnings,
        problems,
        ..
    } = reader;
    settings.sort_by_key(|setting| {
        table::ALL
            .iter()
            .position(|about| about.name == setting.name)
    });
    Examination {
        settings,
        warnings,
        outcome: if problems.is_empty() {
            Ok(config)
        } else {
            Err(ConfigProblems(problems))
        },
    }
}

/// Where the running relay takes commands, whatever else is wrong with its configuration.
///
/// # Errors
/// What can't be read of the sources, and what is wrong with SMTP_CONTROL_SOCKET itself.
pub fn control_socket(sources: &Sources) -> Result<PathBuf, ConfigProblems> {
    let mut reader = Reader::new(sources);
    let socket = reader.value(&table::SMTP_CONTROL_SOCKET);
    match reader.problems.is_empty() {
        true => Ok(socket),
        false => Err(ConfigProblems(reader.problems)),
    }
}

fn read(r: &mut Reader<'_>) -> Config {
    Config {
        hostname: r.value(&table::SMTP_HOSTNAME),
        mode: r.value(&table::SMTP_MODE),
        smtpd: read_smtpd(r),
        tls: read_server_tls(r),
        limits: read_limits(r),
        access: read_access(r),
        auth: AuthConfig {
            users: r.value(&table::SMTP_AUTH_USERS),
            insecure: r.value(&table::SMTP_AUTH_INSECURE),
            anywhere: r.value(&table::SMTP_AUTH_ANYWHERE),
        },
        queue: read_queue(r),
        delivery: read_delivery(r),
        dkim: read_dkim(r),
        health: read_health(r),
        health_allow_networks: r.value(&table::SMTP_HEALTH_ALLOW_NETWORKS),
        debug: r.value(&table::SMTP_DEBUG),
        control_socket: r.value(&table::SMTP_CONTROL_SOCKET),
        log: LogConfig {
            filter: r.value(&table::SMTP_LOG),
            format: r.value(&table::SMTP_LOG_FORMAT),
        },
    }
}

fn read_smtpd(r: &mut Reader<'_>) -> SmtpdConfig {
    SmtpdConfig {
        listen_addresses: r.value(&table::SMTP_LISTEN_ADDRESSES),
        port: r.value(&table::SMTP_PORT),
        banner: r.value(&table::SMTP_BANNER),
        max_message_size: r.value(&table::SMTP_MAX_MESSAGE_SIZE),
        max_recipients: r.value(&table::SMTP_MAX_RECIPIENTS),
        max_connections: r.value(&table::SMTP_MAX_CONNECTIONS),
        max_connections_per_client: r.value(&table::SMTP_MAX_CONNECTIONS_PER_CLIENT),
        command_timeout: r.value(&table::SMTP_COMMAND_TIMEOUT),
        data_timeout: r.value(&table::SMTP_DATA_TIMEOUT),
        shutdown_grace: r.value(&table::SMTP_SHUTDOWN_GRACE),
    }
}

fn read_server_tls(r: &mut Reader<'_>) -> Option<ServerTlsConfig> {
    let certificate = r.value(&table::SMTP_TLS_CERT);
    let key = r.value(&table::SMTP_TLS_KEY);
    let port = r.value(&table::SMTP_TLS_PORT);
    let disabled = r.value(&table::SMTP_TLS_DISABLE);
    relation::check_server_tls(r, [certificate.is_some(), key.is_some()], port, disabled);
    if disabled {
        return None;
    }
    Some(ServerTlsConfig {
        certificate: certificate?,
        key: key?,
        port,
    })
}

fn read_limits(r: &mut Reader<'_>) -> LimitsConfig {
    LimitsConfig {
        min_data_rate: r.value(&table::SMTP_MIN_DATA_RATE),
        max_messages_per_connection: r.value(&table::SMTP_MAX_MESSAGES_PER_CONNECTION),
        max_errors: r.value(&table::SMTP_MAX_ERRORS),
        max_command_length: r.value(&table::SMTP_MAX_COMMAND_LENGTH),
        max_line_length: r.value(&table::SMTP_MAX_LINE_LENGTH),
        max_header_size: r.value(&table::SMTP_MAX_HEADER_SIZE),
        max_header_fields: r.value(&table::SMTP_MAX_HEADER_FIELDS),
        client_connection_rate: r.value(&table::SMTP_CLIENT_CONNECTION_RATE),
        client_message_rate: r.value(&table::SMTP_CLIENT_MESSAGE_RATE),
        client_recipient_rate: r.value(&table::SMTP_CLIENT_RECIPIENT_RATE),
        memory_budget: r.value(&table::SMTP_MEMORY_BUDGET),
    }
}

fn read_access(r: &mut Reader<'_>) -> AccessConfig {
    AccessConfig {
        allow_networks: r.value(&table::SMTP_ALLOW_NETWORKS),
        allow_hosts: r.value(&table::SMTP_ALLOW_HOSTS),
        proxy_networks: r.value(&table::SMTP_PROXY_NETWORKS),
        require_local_domain: r.value(&table::SMTP_REQUIRE_LOCAL_DOMAIN),
        sender_domains: r.value(&table::SMTP_SENDER_DOMAINS),
    }
}

fn read_queue(r: &mut Reader<'_>) -> QueueConfig {
    QueueConfig {
        path: r.value(&table::SMTP_QUEUE_PATH),
        workers: r.value(&table::SMTP_QUEUE_WORKERS),
        worker_concurrency: r.value(&table::SMTP_WORKER_CONCURRENCY),
        destination_concurrency: r.value(&table::SMTP_DESTINATION_CONCURRENCY),
        destination_rates: r.value(&table::SMTP_DESTINATION_RATE),
        retention: r.value(&table::SMTP_RETENTION_DAYS),
        undo_window: r.value(&table::SMTP_UNDO_WINDOW),
        lifetime: r.value(&table::SMTP_MESSAGE_LIFETIME),
        delay_warning: r.value(&table::SMTP_DELAY_WARNING),
        max_reports_per_hour: r.value(&table::SMTP_MAX_REPORTS_PER_HOUR),
        retry_base: r.value(&table::SMTP_RETRY_BASE),
        retry_cap: r.value(&table::SMTP_RETRY_CAP),
        min_free_space: r.value(&table::SMTP_MIN_FREE_SPACE),
    }
}

fn read_relay_login(r: &mut Reader<'_>, relay_host: Option<&RelayHost>) -> Option<RelayLogin> {
    let user = r.value(&table::SMTP_RELAY_USER);
    let password = r.value(&table::SMTP_RELAY_PASSWORD);
    let given = [user.is_some(), password.is_some(), relay_host.is_some()];
    relation::check_relay_login(r, given);
    Some(RelayLogin {
        user: user?,
        password: password?,
    })
}

fn read_delivery(r: &mut Reader<'_>) -> DeliveryConfig {
    let relay_host = r.value(&table::SMTP_RELAY_HOST);
    let relay_login = read_relay_login(r, relay_host.as_ref());
    DeliveryConfig {
        relay_host,
        relay_login,
        routes: r.value(&table::SMTP_ROUTES),
        port: r.value(&table::SMTP_DELIVERY_PORT),
        deny_networks: r.value(&table::SMTP_DELIVERY_DENY_NETWORKS),
        source_addresses: r.value(&table::SMTP_SOURCE_ADDRESSES),
        dns_servers: r.value(&table::SMTP_DNS_SERVERS),
        dns_timeout: r.value(&table::SMTP_DNS_TIMEOUT),
        connect_timeout: r.value(&table::SMTP_CONNECT_TIMEOUT),
        reply_timeout: r.value(&table::SMTP_REPLY_TIMEOUT),
        data_reply_timeout: r.value(&table::SMTP_DATA_REPLY_TIMEOUT),
        attempt_timeout: r.value(&table::SMTP_ATTEMPT_TIMEOUT),
        connection_idle: r.value(&table::SMTP_CONNECTION_IDLE),
        tls_policy: r.value(&table::SMTP_TLS_POLICY),
        tls_ca_file: r.value(&table::SMTP_TLS_CA_FILE),
    }
}

fn read_dkim(r: &mut Reader<'_>) -> Vec<DkimKeyConfig> {
    let domain = r.value(&table::SMTP_DKIM_DOMAIN);
    let selector = r.value(&table::SMTP_DKIM_SELECTOR);
    let path = r.value(&table::SMTP_DKIM_KEY_PATH);
    let inline = r.value(&table::SMTP_DKIM_PRIVATE_KEY);
    let mut keys = r.value(&table::SMTP_DKIM_KEYS);
    relation::check_dkim_key(
        r,
        [
            domain.is_some(),
            selector.is_some(),
            path.is_some(),
            inline.is_some(),
        ],
    );
    let source = match (path, inline) {
        (Some(path), _) => Some((DkimKeySource::Path(path), "SMTP_DKIM_KEY_PATH")),
        (None, Some(key)) => Some((DkimKeySource::Inline(key), "SMTP_DKIM_PRIVATE_KEY")),
        (None, None) => None,
    };
    if let (Some(domain), Some(selector), Some((source, variable))) = (domain, selector, source) {
        let key = DkimKeyConfig {
            domain,
            selector,
            source,
            variable,
        };
        keys.insert(0, key);
    }
    relation::check_dkim_keys_differ(r, &keys);
    keys
}

fn read_health(r: &mut Reader<'_>) -> Option<SocketAddr> {
    let mut address = r.value(&table::SMTP_HEALTH_ADDR);
    if let Some(port) = r.value(&table::SMTP_HEALTH_PORT) {
        address.set_port(port);
    }
    let disabled = r.value(&table::SMTP_HEALTH_DISABLE);
    (!disabled).then_some(address)
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::path::PathBuf;
    use std::time::Duration;

    use crate::mail::Domain;

    use super::super::choice::{LogFormat, Mode};
    use super::super::problem::Problem;
    use super::super::rate::Rate;
    use super::super::relay_host::{RelayHost, RelayName, RelayScheme};
    use super::super::routes::{Routes, Via};
    use super::super::sources::Origin;
    use super::super::tls_policy::{TlsLevel, TlsPolicy};
    use super::*;

    fn config(variables: &[(&str, &str)]) -> Config {
        Config::load(&Sources::of(variables.iter().copied()))
            .unwrap()
            .config
    }

    #[track_caller]
    fn check_problems(variables: &[(&str, &str)], want: &[&str]) {
        let got = match Config::load(&Sources::of(variables.iter().copied())) {
            Ok(_) => String::new(),
            Err(problems) => problems.to_string(),
        };
        assert_eq!(got.lines().collect::<Vec<_>>(), want);
    }

    #[test]
    fn defaults_are_those_of_the_design() {
        let c = config(&[]);
        let secs = Duration::from_secs;
        assert_eq!(c.hostname.as_str(), "localhost");
        assert_eq!(c.mode, Mode::Deliver);
        assert_eq!(c.log.filter, "info");
        assert_eq!(c.log.format, LogFormat::Text);
        assert_eq!(c.health, Some("[::]:8080".parse().unwrap()));

        let any: [IpAddr; 2] = ["0.0.0.0".parse().unwrap(), "::".parse().unwrap()];
        assert_eq!(c.smtpd.listen_addresses, any);
        assert_eq!(c.smtpd.port, 2525);
        assert_eq!(c.smtpd.banner, "GopherPost ready");
        assert_eq!(c.smtpd.max_message_size, 10_485_760);
        assert_eq!(c.smtpd.max_recipients, 1_000);
        assert_eq!(c.smtpd.max_connections, 2_000);
        assert_eq!(c.smtpd.max_connections_per_client, 500);
        assert_eq!(c.smtpd.command_timeout, secs(300));
        assert_eq!(c.smtpd.data_timeout, secs(180));
        assert_eq!(c.smtpd.shutdown_grace, secs(30));

        assert_eq!(c.tls, None);
        assert_eq!(c.limits.min_data_rate, 100);
        assert_eq!(c.limits.max_messages_per_connection, 999_999);
        assert_eq!(c.limits.max_errors, 100);
        assert_eq!(c.limits.max_command_length, 2_048);
        assert_eq!(c.limits.max_line_length, None);
        assert_eq!(c.limits.max_header_size, 1 << 20);
        assert_eq!(c.limits.max_header_fields, 10_000);
        assert_eq!(c.limits.client_connection_rate, None);
        assert_eq!(c.limits.client_message_rate, None);
        assert_eq!(c.limits.client_recipient_rate, None);
        assert_eq!(c.limits.memory_budget, 640 << 20);

        assert!(c.access.proxy_networks.is_empty());
        assert!(c.access.allow_networks.is_empty());
        assert!(c.access.allow_hosts.is_empty());
        assert!(c.access.require_local_domain);
        assert!(c.access.sender_domains.is_empty());

        assert!(c.auth.users.is_empty() && !c.auth.insecure && !c.auth.anywhere);

        assert_eq!(c.queue.path, PathBuf::from("./data/spool"));
        assert_eq!(c.queue.workers, 2);
        assert_eq!(c.queue.worker_concurrency, 256);
        assert_eq!(c.queue.destination_concurrency, 20);
        assert_eq!(c.queue.retention, secs(7 * 86_400));
        assert_eq!(c.queue.undo_window, secs(3_600));
        assert_eq!(c.queue.lifetime, secs(5 * 86_400));
        assert_eq!(c.queue.retry_base, secs(60));
        assert_eq!(c.queue.retry_cap, secs(64 * 60));
        assert_eq!(c.queue.delay_warning, Some(secs(4 * 3_600)));
        assert_eq!(c.queue.max_reports_per_hour.get(), 1_000);
        assert_eq!(c.queue.min_free_space, 134_217_728);

        assert_eq!(c.delivery.relay_host, None);
        assert_eq!(c.delivery.relay_login, None);
        assert_eq!(c.delivery.tls_policy, TlsPolicy::of_all(TlsLevel::Valid));
        assert_eq!(c.delivery.routes, Routes::default());
        assert!(c.delivery.source_addresses.is_empty());
        assert_eq!(c.delivery.port, 25);
        assert_eq!(c.delivery.dns_servers, None);
        assert_eq!(c.delivery.dns_timeout, secs(10));
        assert_eq!(c.delivery.connect_timeout, secs(30));
        assert_eq!(c.delivery.reply_timeout, secs(300));
        assert_eq!(c.delivery.data_reply_timeout, secs(600));
        assert_eq!(c.delivery.attempt_timeout, secs(1_800));
        assert_eq!(c.delivery.connection_idle, secs(3));
        assert_eq!(c.delivery.tls_ca_file, None);
        assert!(c.dkim.is_empty());
    }

    #[test]
    fn what_no_mx_should_name_is_denied_by_default() {
        let denied = config(&[]).delivery.deny_networks;
        let is_denied = |text: &str| {
            let address: IpAddr = text.parse().unwrap();
            denied.iter().any(|net| net.contains(&address))
        };
        for text in [
            "127.0.0.1",
            "127.255.255.255",
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "224.0.0.1",
            "239.255.255.255",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "febf::1",
            "ff02::1",
        ] {
            assert!(is_denied(text), "{text}");
        }
        for text in [
            "10.0.0.1",
            "192.0.2.1",
            "::2",
            "2001:db8::1",
            "fec0::1",
            "fd00::1",
        ] {
            assert!(!is_denied(text), "{text}");
        }
        let none = config(&[("SMTP_DELIVERY_DENY_NETWORKS", "none")]);
        assert!(none.delivery.deny_networks.is_empty());
    }

    #[test]
    fn each_value_reaches_its_field() {
        let c = config(&[
            ("SMTP_HOSTNAME", "GP.test"),
            ("SMTP_MODE", "sink"),
            ("SMTP_LOG", "debug"),
            ("SMTP_LOG_FORMAT", "json"),
            ("SMTP_CONTROL_SOCKET", "/c"),
            ("SMTP_LISTEN_ADDRESSES", "127.0.0.1"),
            ("SMTP_PORT", "1"),
            ("SMTP_BANNER", "hello"),
            ("SMTP_MAX_MESSAGE_SIZE", "64 KiB"),
            ("SMTP_MAX_RECIPIENTS", "101"),
            ("SMTP_MAX_CONNECTIONS", "2"),
            ("SMTP_MAX_CONNECTIONS_PER_CLIENT", "3"),
            ("SMTP_COMMAND_TIMEOUT", "4s"),
            ("SMTP_DATA_TIMEOUT", "5s"),
            ("SMTP_SHUTDOWN_GRACE", "0s"),
            ("SMTP_MIN_DATA_RATE", "0"),
            ("SMTP_MAX_MESSAGES_PER_CONNECTION", "16"),
            ("SMTP_MAX_ERRORS", "17"),
            ("SMTP_CLIENT_CONNECTION_RATE", "18/1s"),
            ("SMTP_CLIENT_MESSAGE_RATE", "19/2s"),
            ("SMTP_CLIENT_RECIPIENT_RATE", "20/3s"),
            ("SMTP_MEMORY_BUDGET", "21 MiB"),
            ("SMTP_MAX_COMMAND_LENGTH", "2200"),
            ("SMTP_MAX_LINE_LENGTH", "2300"),
            ("SMTP_MAX_HEADER_SIZE", "24 KiB"),
            ("SMTP_MAX_HEADER_FIELDS", "250"),
            ("SMTP_PROXY_NETWORKS", "192.0.2.0/24"),
            ("SMTP_ALLOW_NETWORKS", "10.0.0.0/8, 192.0.2.1"),
            ("SMTP_ALLOW_HOSTS", "app.test"),
            ("SMTP_REQUIRE_LOCAL_DOMAIN", "false"),
            ("SMTP_SENDER_DOMAINS", "*.example.org"),
            ("SMTP_QUEUE_PATH", "/q"),
            ("SMTP_QUEUE_WORKERS", "6"),
            ("SMTP_WORKER_CONCURRENCY", "7"),
            ("SMTP_DESTINATION_CONCURRENCY", "8"),
            ("SMTP_DESTINATION_RATE", "*=9/s"),
            ("SMTP_RETENTION_DAYS", "0"),
            ("SMTP_UNDO_WINDOW", "8s"),
            ("SMTP_MESSAGE_LIFETIME", "9s"),
            ("SMTP_RETRY_BASE", "10ms"),
            ("SMTP_RETRY_CAP", "10ms"),
            ("SMTP_MIN_FREE_SPACE", "1 MiB"),
            ("SMTP_RELAY_HOST", "smtps://relay.test:26"),
            ("SMTP_RELAY_USER", "ann"),
            ("SMTP_RELAY_PASSWORD", "hunter2"),
            ("SMTP_TLS_POLICY", "encrypt"),
            ("SMTP_ROUTES", "example.org=mx"),
            ("SMTP_SOURCE_ADDRESSES", "192.0.2.7"),
            ("SMTP_DELIVERY_PORT", "2626"),
            ("SMTP_DELIVERY_DENY_NETWORKS", "::1"),
            ("SMTP_DNS_SERVERS", "127.0.0.1:5353,::1"),
            ("SMTP_DNS_TIMEOUT", "11s"),
            ("SMTP_CONNECT_TIMEOUT", "12s"),
            ("SMTP_REPLY_TIMEOUT", "13s"),
            ("SMTP_DATA_REPLY_TIMEOUT", "14s"),
            ("SMTP_ATTEMPT_TIMEOUT", "15s"),
            ("SMTP_CONNECTION_IDLE", "16s"),
            ("SMTP_TLS_CA_FILE", "/ca.pem"),
            ("SMTP_TLS_CERT", "/cert.pem"),
            ("SMTP_TLS_KEY", "/key.pem"),
            ("SMTP_TLS_PORT", "465"),
            ("SMTP_DKIM_DOMAIN", "a.test"),
            ("SMTP_DKIM_SELECTOR", "s1"),
            ("SMTP_DKIM_KEY_PATH", "/dkim.pem"),
            ("SMTP_DKIM_KEYS", "b.test:s2:/b.pem"),
        ]);
        let secs = Duration::from_secs;
        let gp = Domain::parse("gp.test").unwrap();
        assert_eq!((c.hostname, c.mode), (gp, Mode::Sink));
        assert_eq!(
            (c.log.filter.as_str(), c.log.format),
            ("debug", LogFormat::Json)
        );
        let s = c.smtpd;
        assert_eq!(s.listen_addresses, ["127.0.0.1".parse::<IpAddr>().unwrap()]);
        assert_eq!((s.port, s.banner.as_str()), (1, "hello"));
        assert_eq!((s.max_message_size, s.max_recipients), (65_536, 101));
        assert_eq!((s.max_connections, s.max_connections_per_client), (2, 3));
        assert_eq!((s.command_timeout, s.data_timeout), (secs(4), secs(5)));
        assert_eq!(s.shutdown_grace, Duration::ZERO);
        let tls = ServerTlsConfig {
            certificate: PathBuf::from("/cert.pem"),
            key: PathBuf::from("/key.pem"),
            port: Some(465),
        };
        assert_eq!(c.tls, Some(tls));
        let l = c.limits;
        assert_eq!(
            (l.min_data_rate, l.max_messages_per_connection, l.max_errors),
            (0, 16, 17)
        );
        let rate = |count, seconds| {
            let per = secs(seconds);
            Some(Rate { count, per })
        };
        assert_eq!(l.client_connection_rate, rate(18, 1));
        assert_eq!(l.client_message_rate, rate(19, 2));
        assert_eq!(l.client_recipient_rate, rate(20, 3));
        assert_eq!(l.memory_budget, 21 << 20);
        assert_eq!(
            (l.max_command_length, l.max_line_length),
            (2_200, Some(2_300))
        );
        assert_eq!((l.max_header_size, l.max_header_fields), (24 << 10, 250));
        let a = c.access;
        assert_eq!(format!("{:?}", a.proxy_networks), "[192.0.2.0/24]");
        assert_eq!(
            format!("{:?}", a.allow_networks),
            "[10.0.0.0/8, 192.0.2.1/32]"
        );
        assert_eq!(format!("{:?}", a.allow_hosts), "[Domain(app.test)]");
        assert!(!a.require_local_domain);
        assert!(a.sender_domains[0].matches(&Domain::parse("a.example.org").unwrap()));
        let q = c.queue;
        assert_eq!(q.path, PathBuf::from("/q"));
        assert_eq!(
            (q.workers, q.worker_concurrency, q.destination_concurrency),
            (6, 7, 8)
        );
        assert_eq!((q.retention, q.lifetime), (Duration::ZERO, secs(9)));
        assert_eq!(q.undo_window, secs(8));
        assert_eq!(
            (q.retry_base, q.retry_cap),
            (Duration::from_millis(10), Duration::from_millis(10))
        );
        assert_eq!(q.min_free_space, 1 << 20);
        let d = c.delivery;
        let relay = RelayName::Name(Domain::parse("relay.test").unwrap());
        assert_eq!(
            d.relay_host,
            Some(RelayHost {
                scheme: RelayScheme::Smtps,
                host: relay,
                port: 26
            })
        );
        let login = d.relay_login.unwrap();
        assert_eq!((&*login.user, login.password.expose()), ("ann", "hunter2"));
        assert_eq!(d.tls_policy, TlsPolicy::of_all(TlsLevel::Encrypt));
        let routed = Domain::parse("example.org").unwrap();
        assert_eq!(d.routes.of(&routed), Some(&Via::Mx));
        assert_eq!(d.source_addresses, ["192.0.2.7".parse::<IpAddr>().unwrap()]);
        assert_eq!(d.port, 2_626);
        assert_eq!(format!("{:?}", d.deny_networks), "[::1/128]");
        let servers = [
            "127.0.0.1:5353".parse().unwrap(),
            "[::1]:53".parse().unwrap(),
        ];
        assert_eq!(d.dns_servers, Some(servers.to_vec()));
        assert_eq!(
            (d.dns_timeout, d.connect_timeout, d.reply_timeout),
            (secs(11), secs(12), secs(13))
        );
        assert_eq!(
            (d.data_reply_timeout, d.attempt_timeout, d.connection_idle),
            (secs(14), secs(15), secs(16))
        );
        assert_eq!(d.tls_ca_file, Some(PathBuf::from("/ca.pem")));
        assert_eq!(c.control_socket, PathBuf::from("/c"));
        let keys = c.dkim.iter().map(|key| {
            let DkimKeyConfig {
                domain,
                selector,
                source,
                variable,
            } = key;
            format!("{variable} {domain} {selector} {source:?}")
        });
        let want = [
            "SMTP_DKIM_KEY_PATH a.test s1 Path(\"/dkim.pem\")",
            "SMTP_DKIM_KEYS b.test s2 Path(\"/b.pem\")",
        ];
        assert_eq!(keys.collect::<Vec<_>>(), want);
    }

    #[test]
    fn health_has_an_address_a_port_and_a_switch() {
        let health = |variables: &[(&str, &str)]| config(variables).health.map(|a| a.to_string());
        let at = |text: &str| Some(text.to_owned());
        let addr = ("SMTP_HEALTH_ADDR", "127.0.0.1:81");
        assert_eq!(health(&[addr]), at("127.0.0.1:81"));
        assert_eq!(health(&[("SMTP_HEALTH_PORT", "82")]), at("[::]:82"));
        assert_eq!(
            health(&[addr, ("SMTP_HEALTH_PORT", "82")]),
            at("127.0.0.1:82")
        );
        let off = ("SMTP_HEALTH_DISABLE", "true");
        assert_eq!(health(&[addr, off, ("SMTP_HEALTH_PORT", "82")]), None);
    }

    #[test]
    fn the_control_socket_is_in_the_runtime_directory_or_in_the_queue() {
        let socket = |sources: Sources| examine(&sources).outcome.unwrap().control_socket;
        let queue = [("SMTP_QUEUE_PATH", "/q")];
        let default = PathBuf::from("./data/spool/control.sock");
        assert_eq!(socket(Sources::of([])), default);
        assert_eq!(socket(Sources::of(queue)), PathBuf::from("/q/control.sock"));
        let mut sources = Sources::of(queue);
        sources.runtime_directory = Some("/run/gopherpost".to_owned());
        assert_eq!(
            socket(sources),
            PathBuf::from("/run/gopherpost/control.sock")
        );
    }

    #[test]
    fn all_problems_are_listed_at_once() {
        check_problems(
            &[
                ("SMTP_PORT", "abc"),
                ("SMTP_MODE", "on"),
                ("SMTP_ALLOW_NETWORKS", "10.0.0.0/8,10.0.0.300"),
                ("SMTP_HEALTH_DISABLE", "yes"),
            ],
            &[
                "SMTP_MODE=on: expected deliver, hold or sink",
                "SMTP_PORT=abc: expected a port from 1 to 65535",
                "SMTP_ALLOW_NETWORKS=10.0.0.0/8,10.0.0.300: expected networks and addresses \
                 separated by commas, such as 10.0.0.0/8,2001:db8::1 (\"10.0.0.300\" is none)",
                "SMTP_HEALTH_DISABLE=yes: expected true or false",
            ],
        );
    }

    #[test]
    fn every_variable_that_can_be_refused_has_a_stand_in() {
        // A line end in the middle is right for paths alone.
        let given = table::ALL.iter().map(|about| (about.name, "\u{1}\n\u{1}"));
        let examined = examine(&Sources::of(given));
        let paths = [
            "SMTP_CONTROL_SOCKET",
            "SMTP_ENV_FILE",
            "SMTP_QUEUE_PATH",
            "SMTP_TLS_CA_FILE",
            "SMTP_TLS_CERT",
            "SMTP_TLS_KEY",
            "SMTP_DKIM_KEY_PATH",
        ];
        let problems = examined.outcome.unwrap_err().0;
        assert_eq!(problems.len(), table::ALL.len() - paths.len());
        for problem in &problems {
            assert!(!problem.to_string().contains(['\n', '\u{1}']), "{problem}");
        }
    }

    #[test]
    fn every_variable_of_the_table_is_read_once() {
        let settings = examine(&Sources::of([])).settings;
        let names: Vec<&str> = settings.iter().map(|setting| setting.name).collect();
        let table: Vec<&str> = table::ALL.iter().map(|about| about.name).collect();
        assert_eq!(names, table);
    }

    #[test]
    fn settings_tell_the_text_and_where_it_comes_from() {
        let examined = examine(&Sources::of([("SMTP_PORT", " 25 "), ("SMTP_MODE", "on")]));
        let shown = |name: &str| {
            let setting = examined.settings.iter().find(|s| s.name == name).unwrap();
            (setting.shown.clone(), setting.origin.clone())
        };
        assert_eq!(shown("SMTP_PORT"), ("25".to_owned(), Origin::Environment));
        assert_eq!(shown("SMTP_MODE"), ("on".to_owned(), Origin::Environment));
        assert_eq!(
            shown("SMTP_HOSTNAME"),
            ("localhost".to_owned(), Origin::Default)
        );
        assert_eq!(shown("SMTP_RELAY_HOST"), (String::new(), Origin::Default));
    }

    #[test]
    fn a_system_host_name_that_is_none_must_be_replaced() {
        let mut sources = Sources::of([]);
        sources.host_name = "(none)".to_owned();
        let problems = Config::load(&sources).unwrap_err();
        assert_eq!(
            problems.to_string(),
            "SMTP_HOSTNAME: not set, and the system's \"(none)\" does not fit: \
             expected a domain name such as mail.example.org"
        );
        let mut sources = Sources::of([("SMTP_HOSTNAME", "gp.test")]);
        sources.host_name = "(none)".to_owned();
        assert!(Config::load(&sources).is_ok());
    }

    #[test]
    fn many_cpus_are_no_problem() {
        let mut sources = Sources::of([]);
        sources.logical_cpus = 1_000;
        let config = Config::load(&sources).unwrap().config;
        assert_eq!(config.queue.workers, 256);
    }

    #[test]
    fn a_password_in_the_smarthost_shows_nowhere() {
        let examined = examine(&Sources::of([(
            "SMTP_RELAY_HOST",
            "smtp://ann:hunter2@mx.test",
        )]));
        let printed = format!("{examined:?} {}", examined.outcome.as_ref().unwrap_err());
        assert!(!printed.contains("hunter2"), "{printed}");
        assert!(
            printed.contains("SMTP_RELAY_HOST=[secret]: expected"),
            "{printed}"
        );
    }

    #[test]
    fn troubles_of_the_sources_stop_the_start() {
        let mut sources = Sources::of([]);
        sources
            .problems
            .push(Problem::at(".env, line 3", "expected NAME=value"));
        let problems = Config::load(&sources).unwrap_err();
        assert_eq!(problems.to_string(), ".env, line 3: expected NAME=value");
    }
}
