//! What must hold between variables, each of which is fine alone.

use super::dkim_key::DkimKeyConfig;
use super::network::cover_everything;
use super::problem::{Problem, Warning};
use super::reader::Reader;
use super::table::DELIVERIES_MAX;
use super::typed::{AccessConfig, AuthConfig, Config, QueueConfig};

/// Adds what is wrong to the reader's problems and warnings.
pub(super) fn check(r: &mut Reader<'_>, config: &Config, open_relay_wanted: bool) {
    check_open_relay(r, &config.access, open_relay_wanted);
    check_proxies(r, &config.access);
    check_somebody_allowed(r, config);
    check_anywhere_has_users(r, &config.auth);
    check_auth_is_possible(r, config);
    check_tls_port(r, config);
    check_retry_cap(r, &config.queue);
    check_deliveries(r, &config.queue);
}

/// TLS towards clients: what is set of certificate and key, and the port where TLS begins at once.
pub(super) fn check_server_tls(
    r: &mut Reader<'_>,
    [certificate, key]: [bool; 2],
    port: Option<u16>,
    disabled: bool,
) {
    const CERT: &str = "SMTP_TLS_CERT";
    const KEY: &str = "SMTP_TLS_KEY";
    const PORT: &str = "SMTP_TLS_PORT";
    if disabled || !r.all_taken(&[CERT, KEY, PORT]) {
        return;
    }
    let mut lacks = |set: &str, lacking: &str| {
        let what = format!("expected {lacking} with it");
        let problem = Problem::value(set, r.shown(set), what);
        r.problems.push(problem);
    };
    match (certificate, key) {
        (true, false) => lacks(CERT, KEY),
        (false, true) => lacks(KEY, CERT),
        (false, false) if port.is_some() => lacks(PORT, "SMTP_TLS_CERT and SMTP_TLS_KEY"),
        (false, false) => r.warnings.push(Warning::new(
            "clients are offered no TLS: SMTP_TLS_CERT and SMTP_TLS_KEY are not set",
            "set both, or SMTP_TLS_DISABLE=true if that is how it should be",
        )),
        (true, true) => {}
    }
}

/// Who we are at the smarthost: what is set of user, password and smarthost.
pub(super) fn check_relay_login(r: &mut Reader<'_>, [user, password, host]: [bool; 3]) {
    const USER: &str = "SMTP_RELAY_USER";
    const PASSWORD: &str = "SMTP_RELAY_PASSWORD";
    const HOST: &str = "SMTP_RELAY_HOST";
    if !r.all_taken(&[USER, PASSWORD, HOST]) {
        return;
    }
    let (set, lacking) = match (user, password) {
        (true, false) => (USER, PASSWORD),
        (false, true) => (PASSWORD, USER),
        (true, true) if !host => (USER, HOST),
        (true, true) | (false, false) => return,
    };
    let what = format!("expected {lacking} with it");
    let problem = Problem::value(set, r.shown(set), what);
    r.problems.push(problem);
}

/// What belongs to a key is set whole, or not at all: domain, selector, and the key by its path or
/// itself.
pub(super) fn check_dkim_key(r: &mut Reader<'_>, [domain, selector, path, inline]: [bool; 4]) {
    const DOMAIN: &str = "SMTP_DKIM_DOMAIN";
    const SELECTOR: &str = "SMTP_DKIM_SELECTOR";
    const PATH: &str = "SMTP_DKIM_KEY_PATH";
    const INLINE: &str = "SMTP_DKIM_PRIVATE_KEY";
    if !r.all_taken(&[DOMAIN, SELECTOR, PATH, INLINE]) {
        return;
    }
    let parts = [
        (domain, DOMAIN),
        (selector, SELECTOR),
        (path, PATH),
        (inline, INLINE),
    ];
    let Some((_, set)) = parts.iter().find(|(is_set, _)| *is_set) else {
        return;
    };
    let mut lacking: Vec<&str> = Vec::new();
    lacking.extend((!domain).then_some(DOMAIN));
    lacking.extend((!selector).then_some(SELECTOR));
    lacking.extend((!path && !inline).then_some("SMTP_DKIM_KEY_PATH or SMTP_DKIM_PRIVATE_KEY"));
    if !lacking.is_empty() {
        let what = format!("expected {} with it", lacking.join(" and "));
        r.problems.push(Problem::value(set, r.shown(set), what));
    }
    if path && inline {
        let what = format!("{INLINE} is set, too; set one of the two");
        r.problems.push(Problem::value(PATH, r.shown(PATH), what));
    }
}

/// Two keys can't be published under one name.
pub(super) fn check_dkim_keys_differ(r: &mut Reader<'_>, keys: &[DkimKeyConfig]) {
    for key in keys {
        if key.selector.record_name(&key.domain).is_none() {
            let what = "expected a shorter name: that of its record in DNS would be too long";
            let place = "SMTP_DKIM_SELECTOR";
            r.problems.push(Problem::value(place, r.shown(place), what));
        }
    }
    let mut names: Vec<_> = keys
        .iter()
        .map(|key| (&key.domain, &key.selector))
        .collect();
    names.sort();
    if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        let (domain, selector) = pair[0];
        let what = format!("expected one key for selector {selector} of {domain}, not two");
        r.problems.push(Problem::at("SMTP_DKIM_KEYS", what));
    }
}

fn check_tls_port(r: &mut Reader<'_>, config: &Config) {
    const PORT: &str = "SMTP_TLS_PORT";
    let port = config.tls.as_ref().and_then(|tls| tls.port);
    if port == Some(config.smtpd.port) && r.all_taken(&[PORT, "SMTP_PORT"]) {
        let what = "expected another port than SMTP_PORT";
        r.problems.push(Problem::value(PORT, r.shown(PORT), what));
    }
}

fn check_open_relay(r: &mut Reader<'_>, access: &AccessConfig, wanted: bool) {
    const NETWORKS: &str = "SMTP_ALLOW_NETWORKS";
    if !cover_everything(&access.allow_networks) {
        return;
    }
    if wanted {
        r.warnings.push(Warning::new(
            format!("{NETWORKS} lets everybody in: this is an open relay"),
            "narrow it unless something else keeps strangers away",
        ));
    } else {
        r.problems.push(Problem::value(
            NETWORKS,
            r.shown(NETWORKS),
            "expected less than all addresses: this would be an open relay \
             (SMTP_ALLOW_OPEN_RELAY=yes-i-am-sure permits it)",
        ));
    }
}

/// A proxy is believed whatever source it states, an allowed one too.
fn check_proxies(r: &mut Reader<'_>, access: &AccessConfig) {
    const NETWORKS: &str = "SMTP_PROXY_NETWORKS";
    if cover_everything(&access.proxy_networks) {
        r.problems.push(Problem::value(
            NETWORKS,
            r.shown(NETWORKS),
            "expected less than all addresses: everybody could state an allowed source",
        ));
    }
}

fn check_somebody_allowed(r: &mut Reader<'_>, config: &Config) {
    let access = &config.access;
    let nobody =
        !config.auth.anywhere && access.allow_networks.is_empty() && access.allow_hosts.is_empty();
    if nobody && r.all_taken(&["SMTP_ALLOW_NETWORKS", "SMTP_ALLOW_HOSTS"]) {
        r.warnings.push(Warning::new(
            "nobody may connect: SMTP_ALLOW_NETWORKS and SMTP_ALLOW_HOSTS are empty",
            "set one of them, for example SMTP_ALLOW_NETWORKS=127.0.0.0/8,::1",
        ));
    }
}

fn check_anywhere_has_users(r: &mut Reader<'_>, auth: &AuthConfig) {
    const ANYWHERE: &str = "SMTP_AUTH_ANYWHERE";
    if auth.anywhere && auth.users.is_empty() && r.all_taken(&[ANYWHERE, "SMTP_AUTH_USERS"]) {
        let what = "expected SMTP_AUTH_USERS to be set, or nobody from elsewhere could do anything";
        r.problems
            .push(Problem::value(ANYWHERE, r.shown(ANYWHERE), what));
    }
}

/// Users who can't authenticate are hardly what was meant.
fn check_auth_is_possible(r: &mut Reader<'_>, config: &Config) {
    if !config.auth.users.is_empty() && config.tls.is_none() && !config.auth.insecure {
        r.warnings.push(Warning::new(
            "SMTP_AUTH_USERS has no effect: there is no TLS, and without it nobody may authenticate",
            "set SMTP_TLS_CERT and SMTP_TLS_KEY, or SMTP_AUTH_INSECURE=true",
        ));
    }
}

fn check_retry_cap(r: &mut Reader<'_>, queue: &QueueConfig) {
    const CAP: &str = "SMTP_RETRY_CAP";
    const BASE: &str = "SMTP_RETRY_BASE";
    if queue.retry_cap < queue.retry_base && r.all_taken(&[CAP, BASE]) {
        let base = r.shown(BASE);
        let what = format!("expected at least {BASE}, which is {base}");
        r.problems.push(Problem::value(CAP, r.shown(CAP), what));
    }
}

fn check_deliveries(r: &mut Reader<'_>, queue: &QueueConfig) {
    const EACH: &str = "SMTP_WORKER_CONCURRENCY";
    // Both factors are bounded by the table, far below an overflow.
    let deliveries = queue.workers * queue.worker_concurrency;
    if deliveries > DELIVERIES_MAX && r.all_taken(&[EACH, "SMTP_QUEUE_WORKERS"]) {
        let what = format!(
            "expected at most {DELIVERIES_MAX} when multiplied by SMTP_QUEUE_WORKERS, \
             but {} times {} is {deliveries}",
            queue.worker_concurrency, queue.workers
        );
        r.problems.push(Problem::value(EACH, r.shown(EACH), what));
    }
}

#[cfg(test)]
mod tests {
    use super::super::Sources;
    use super::*;

    #[track_caller]
    fn check_problems(variables: &[(&str, &str)], want: &[&str]) {
        let got = match Config::load(&Sources::of(variables.iter().copied())) {
            Ok(_) => String::new(),
            Err(problems) => problems.to_string(),
        };
        assert_eq!(got.lines().collect::<Vec<_>>(), want);
    }

    #[track_caller]
    fn check_warnings(variables: &[(&str, &str)], want: &[&str]) {
        // Without TLS, so that nothing is said about its absence.
        let quiet = [("SMTP_TLS_DISABLE", "true")].into_iter();
        let variables = quiet.chain(variables.iter().copied());
        let loaded = Config::load(&Sources::of(variables)).unwrap();
        let got: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
        assert_eq!(got, want);
    }

    const OPEN: &str = "expected less than all addresses: this would be an open relay \
                        (SMTP_ALLOW_OPEN_RELAY=yes-i-am-sure permits it)";

    #[track_caller]
    fn check_open(networks: &str) {
        let want = format!("SMTP_ALLOW_NETWORKS={networks}: {OPEN}");
        check_problems(&[("SMTP_ALLOW_NETWORKS", networks)], &[&want]);
    }

    #[test]
    fn an_open_relay_needs_the_exact_words() {
        let all = ("SMTP_ALLOW_NETWORKS", "0.0.0.0/0");
        check_open("0.0.0.0/0");
        check_open("::/0");
        check_open("0.0.0.0/1,128.0.0.0/1");
        check_open("10.0.0.0/8, 2001:db8::/32, ::/0");
        check_problems(
            &[all, ("SMTP_ALLOW_OPEN_RELAY", "true")],
            &[
                "SMTP_ALLOW_OPEN_RELAY=true: expected nothing, or exactly yes-i-am-sure",
                &format!("SMTP_ALLOW_NETWORKS=0.0.0.0/0: {OPEN}"),
            ],
        );
        check_warnings(
            &[all, ("SMTP_ALLOW_OPEN_RELAY", "yes-i-am-sure")],
            &[
                "SMTP_ALLOW_NETWORKS lets everybody in: this is an open relay; \
               narrow it unless something else keeps strangers away",
            ],
        );
    }

    #[test]
    fn the_words_for_an_open_relay_do_no_harm_alone() {
        check_warnings(
            &[
                ("SMTP_ALLOW_NETWORKS", "10.0.0.0/8"),
                ("SMTP_ALLOW_OPEN_RELAY", "yes-i-am-sure"),
            ],
            &[],
        );
    }

    #[test]
    fn nobody_allowed_is_told() {
        check_warnings(
            &[],
            &[
                "nobody may connect: SMTP_ALLOW_NETWORKS and SMTP_ALLOW_HOSTS are empty; \
               set one of them, for example SMTP_ALLOW_NETWORKS=127.0.0.0/8,::1",
            ],
        );
        check_warnings(&[("SMTP_ALLOW_HOSTS", "app.test")], &[]);
    }

    #[test]
    fn elsewhere_somebody_must_be_able_to_authenticate() {
        let anywhere = ("SMTP_AUTH_ANYWHERE", "true");
        check_problems(
            &[anywhere],
            &[
                "SMTP_AUTH_ANYWHERE=true: expected SMTP_AUTH_USERS to be set, \
               or nobody from elsewhere could do anything",
            ],
        );
        let insecure = ("SMTP_AUTH_INSECURE", "true");
        let users = ("SMTP_AUTH_USERS", "ann:secret");
        check_warnings(&[anywhere, users, insecure], &[]);
        check_warnings(
            &[anywhere, users],
            &[
                "SMTP_AUTH_USERS has no effect: there is no TLS, and without it nobody may \
                 authenticate; set SMTP_TLS_CERT and SMTP_TLS_KEY, or SMTP_AUTH_INSECURE=true",
            ],
        );
        check_problems(
            &[anywhere, ("SMTP_AUTH_USERS", "ann")],
            &[
                "SMTP_AUTH_USERS=[secret]: expected user:password, several separated by commas \
               (an item has no colon)",
            ],
        );
    }

    #[test]
    fn tls_needs_certificate_and_key() {
        let cert = ("SMTP_TLS_CERT", "/c.pem");
        let key = ("SMTP_TLS_KEY", "/k.pem");
        let port = ("SMTP_TLS_PORT", "465");
        let off = ("SMTP_TLS_DISABLE", "true");
        check_problems(&[cert, key, port], &[]);
        check_problems(
            &[cert],
            &["SMTP_TLS_CERT=/c.pem: expected SMTP_TLS_KEY with it"],
        );
        check_problems(
            &[key, port],
            &["SMTP_TLS_KEY=/k.pem: expected SMTP_TLS_CERT with it"],
        );
        check_problems(
            &[port],
            &["SMTP_TLS_PORT=465: expected SMTP_TLS_CERT and SMTP_TLS_KEY with it"],
        );
        check_problems(
            &[cert, key, ("SMTP_TLS_PORT", "2525")],
            &["SMTP_TLS_PORT=2525: expected another port than SMTP_PORT"],
        );
        check_problems(&[cert, off], &[]);
        check_problems(&[port, off], &[]);
    }

    #[test]
    fn a_login_has_user_password_and_a_smarthost() {
        // W-19.04
        let user = ("SMTP_RELAY_USER", "ann");
        let password = ("SMTP_RELAY_PASSWORD", "secret");
        let host = ("SMTP_RELAY_HOST", "smtp://relay.test");
        check_problems(&[user, password, host], &[]);
        check_problems(&[host], &[]);
        check_problems(
            &[user, host],
            &["SMTP_RELAY_USER=ann: expected SMTP_RELAY_PASSWORD with it"],
        );
        check_problems(
            &[password, host],
            &["SMTP_RELAY_PASSWORD=[secret]: expected SMTP_RELAY_USER with it"],
        );
        check_problems(
            &[user, password],
            &["SMTP_RELAY_USER=ann: expected SMTP_RELAY_HOST with it"],
        );
        // Nothing is said about a relation to a value that was not taken.
        check_problems(
            &[user, password, ("SMTP_RELAY_HOST", "relay.test")],
            &[
                "SMTP_RELAY_HOST=relay.test: expected smtp://host, smtps://host or either with :port, \
               an IPv6 address in brackets (it does not begin with smtp:// or smtps://)",
            ],
        );
    }

    #[test]
    fn the_absence_of_tls_is_told_unless_it_is_wanted() {
        let networks = ("SMTP_ALLOW_NETWORKS", "10.0.0.0/8");
        let told = |variables: &[(&str, &str)]| -> Vec<String> {
            let loaded = Config::load(&Sources::of(variables.iter().copied())).unwrap();
            loaded.warnings.iter().map(ToString::to_string).collect()
        };
        assert_eq!(
            told(&[networks]),
            [
                "clients are offered no TLS: SMTP_TLS_CERT and SMTP_TLS_KEY are not set; \
                 set both, or SMTP_TLS_DISABLE=true if that is how it should be"
            ]
        );
        let pair = [("SMTP_TLS_CERT", "/c"), ("SMTP_TLS_KEY", "/k"), networks];
        assert!(told(&pair).is_empty());
        assert!(told(&[("SMTP_TLS_DISABLE", "true"), networks]).is_empty());
    }

    #[test]
    fn what_belongs_to_a_dkim_key_is_set_whole() {
        let domain = ("SMTP_DKIM_DOMAIN", "a.test");
        let selector = ("SMTP_DKIM_SELECTOR", "s1");
        let path = ("SMTP_DKIM_KEY_PATH", "/k.pem");
        let inline = ("SMTP_DKIM_PRIVATE_KEY", "-----BEGIN PRIVATE KEY-----");
        check_problems(&[domain, selector, path], &[]);
        check_problems(&[domain, selector, inline], &[]);
        check_problems(
            &[path],
            &[
                "SMTP_DKIM_KEY_PATH=/k.pem: expected SMTP_DKIM_DOMAIN and SMTP_DKIM_SELECTOR with it",
            ],
        );
        check_problems(
            &[inline, selector],
            &["SMTP_DKIM_SELECTOR=s1: expected SMTP_DKIM_DOMAIN with it"],
        );
        check_problems(
            &[domain, selector],
            &[
                "SMTP_DKIM_DOMAIN=a.test: expected SMTP_DKIM_KEY_PATH or SMTP_DKIM_PRIVATE_KEY with it",
            ],
        );
        check_problems(
            &[domain, selector, path, inline],
            &["SMTP_DKIM_KEY_PATH=/k.pem: SMTP_DKIM_PRIVATE_KEY is set, too; set one of the two"],
        );
        let keys = ("SMTP_DKIM_KEYS", "b.test:s:/b, A.test:S1:/a");
        check_problems(&[keys], &[]);
        check_problems(
            &[domain, selector, path, keys],
            &["SMTP_DKIM_KEYS: expected one key for selector s1 of a.test, not two"],
        );
    }

    #[test]
    fn the_retry_cap_is_not_below_the_base() {
        check_problems(
            &[("SMTP_RETRY_BASE", "10m"), ("SMTP_RETRY_CAP", "5m")],
            &["SMTP_RETRY_CAP=5m: expected at least SMTP_RETRY_BASE, which is 10m"],
        );
        check_problems(
            &[("SMTP_RETRY_BASE", "2h")],
            &["SMTP_RETRY_CAP=64m: expected at least SMTP_RETRY_BASE, which is 2h"],
        );
        // Nothing is said about a relation to a value that was not taken.
        check_problems(
            &[("SMTP_RETRY_BASE", "2h"), ("SMTP_RETRY_CAP", "long")],
            &[
                "SMTP_RETRY_CAP=long: expected a time of at least SMTP_RETRY_BASE and up to 365d, \
               such as 64m",
            ],
        );
    }

    #[test]
    fn deliveries_at_one_time_are_bounded() {
        let each = ("SMTP_WORKER_CONCURRENCY", "4096");
        check_problems(&[("SMTP_QUEUE_WORKERS", "16"), each], &[]);
        check_problems(
            &[("SMTP_QUEUE_WORKERS", "17"), each],
            &[
                "SMTP_WORKER_CONCURRENCY=4096: expected at most 65536 when multiplied by \
               SMTP_QUEUE_WORKERS, but 4096 times 17 is 69632",
            ],
        );
        check_problems(
            &[("SMTP_QUEUE_WORKERS", "1000"), each],
            &["SMTP_QUEUE_WORKERS=1000: expected a number from 1 to 256"],
        );
    }
}
