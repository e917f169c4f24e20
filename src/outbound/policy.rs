//! How much TLS a connection must have, and when a password may go over it. Pure.
//!
//! `SMTP_TLS_POLICY` is asked for the next hop: for mail that goes by MX the recipients' domain, for a
//! configured host its name, since one connection to it carries mail of many domains. It is asked
//! anew in each attempt; nothing of it is kept in the queue.

use std::sync::Arc;

use crate::config::{DeliveryConfig, RelayName, RelayScheme, TlsLevel};
use crate::mail::{AddressDomain, Channel, Security, TlsFacts};

use super::route::Route;
use super::target::{Opening, Terms};

/// How to go on after EHLO in clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AfterHello {
    /// With STARTTLS.
    StartTls,
    /// With MAIL.
    InClear,
    /// Not at all.
    NoTlsThere,
}

/// What keeps us from TLS, as far as another policy would change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// STARTTLS is not offered.
    NotOffered,
    /// STARTTLS is refused, or the handshake fails.
    Broken,
    /// There is TLS, with a certificate that can't be trusted.
    Certificate,
}

/// What holds for connections on a route.
#[must_use]
pub(super) fn terms_of(config: &DeliveryConfig, route: &Route) -> Arc<Terms> {
    let (next_hop, opening, login) = match route {
        Route::Mx(domain) => (AddressDomain::Name(domain.clone()), Opening::StartTls, None),
        Route::Literal(address) => (AddressDomain::Literal(*address), Opening::StartTls, None),
        Route::Relay(relay) => {
            let next_hop = match &relay.host {
                RelayName::Name(name) => AddressDomain::Name(name.clone()),
                RelayName::Address(address) => AddressDomain::Literal(*address),
            };
            let opening = match relay.scheme {
                RelayScheme::Smtp => Opening::StartTls,
                RelayScheme::Smtps => Opening::Tls,
            };
            // The password is for that host alone.
            let is_smarthost = config.relay_host.as_ref() == Some(relay);
            let login = config.relay_login.clone().filter(|_| is_smarthost);
            (next_hop, opening, login)
        }
    };
    let rule = config.tls_policy.rule(&next_hop);
    Arc::new(Terms {
        tls: rule.level,
        rule: rule.item.into(),
        next_hop,
        opening,
        login,
        may_be_us: matches!(route, Route::Relay(_)),
    })
}

impl Terms {
    /// What follows EHLO in clear.
    #[must_use]
    pub(super) fn after_hello(&self, starttls_offered: bool) -> AfterHello {
        match (self.tls, starttls_offered) {
            (TlsLevel::None, _) => AfterHello::InClear,
            (_, true) => AfterHello::StartTls,
            (TlsLevel::Opportunistic | TlsLevel::Valid, false) => AfterHello::InClear,
            (TlsLevel::Encrypt | TlsLevel::Verify, false) => AfterHello::NoTlsThere,
        }
    }

    /// Whether mail goes in clear where TLS was tried and did not come about.
    #[must_use]
    pub(super) fn falls_back_to_clear(&self) -> bool {
        match (self.tls, self.opening) {
            (TlsLevel::None | TlsLevel::Opportunistic, Opening::StartTls) => true,
            (TlsLevel::None | TlsLevel::Opportunistic, Opening::Tls) => false,
            (TlsLevel::Encrypt | TlsLevel::Valid | TlsLevel::Verify, _) => false,
        }
    }

    /// Whether the certificate must be valid for the host.
    #[must_use]
    pub(super) fn checks_certificate(&self) -> bool {
        match self.tls {
            TlsLevel::None | TlsLevel::Opportunistic | TlsLevel::Encrypt => false,
            TlsLevel::Valid | TlsLevel::Verify => true,
        }
    }

    /// Whether we may authenticate in clear: only where the operator says by name that there be no
    /// TLS. Anything less could be brought about by whoever is in the middle of the way.
    #[must_use]
    pub(super) fn allows_login_in_clear(&self) -> bool {
        self.tls == TlsLevel::None
    }

    /// What came about, and by which rule.
    #[must_use]
    pub(super) fn security(&self, tls: Option<TlsFacts>) -> Security {
        Security {
            rule: self.rule.clone(),
            channel: match tls {
                None => Channel::Clear,
                Some(facts) if self.checks_certificate() => Channel::Verified(facts),
                Some(facts) => Channel::Unchecked(facts),
            },
        }
    }

    /// What there is to do about a host whose TLS is no good: which setting would change it, and
    /// which holds now.
    #[must_use]
    pub(super) fn mend(&self, obstacle: Obstacle) -> String {
        let rule = &self.rule;
        let enough = match (obstacle, self.opening, self.tls) {
            (Obstacle::Certificate, _, _) => TlsLevel::Encrypt,
            (Obstacle::NotOffered, _, TlsLevel::Verify) => TlsLevel::Valid,
            (Obstacle::NotOffered | Obstacle::Broken, Opening::StartTls, _) => {
                TlsLevel::Opportunistic
            }
            (Obstacle::NotOffered | Obstacle::Broken, Opening::Tls, _) => {
                return format!(
                    "the remote host must mend it, or SMTP_RELAY_HOST go to another \
                     (SMTP_TLS_POLICY is {rule} here)"
                );
            }
        };
        format!(
            "the remote host must mend it; SMTP_TLS_POLICY=...,{}={enough} would send mail there all \
             the same (now: {rule})",
            self.next_hop
        )
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{RelayHost, RelayLogin, Secret, TlsPolicy};
    use crate::mail::Domain;

    use super::super::test_config;
    use super::*;

    fn name(text: &str) -> Domain {
        Domain::parse(text).unwrap()
    }

    fn terms(level: TlsLevel, opening: Opening) -> Terms {
        Terms {
            tls: level,
            rule: level.as_str().into(),
            next_hop: AddressDomain::Name(name("dest.test")),
            opening,
            login: None,
            may_be_us: false,
        }
    }

    #[test]
    fn what_follows_ehlo_depends_on_the_level_and_the_offer() {
        // W-18.01, W-18.02a, W-18.05
        use AfterHello::{InClear, NoTlsThere, StartTls};
        for (level, offered, not_offered, falls_back, checks) in [
            (TlsLevel::None, InClear, InClear, true, false),
            (TlsLevel::Opportunistic, StartTls, InClear, true, false),
            (TlsLevel::Encrypt, StartTls, NoTlsThere, false, false),
            (TlsLevel::Valid, StartTls, InClear, false, true),
            (TlsLevel::Verify, StartTls, NoTlsThere, false, true),
        ] {
            let terms = terms(level, Opening::StartTls);
            assert_eq!(terms.after_hello(true), offered, "{level}");
            assert_eq!(terms.after_hello(false), not_offered, "{level}");
            assert_eq!(terms.falls_back_to_clear(), falls_back, "{level}");
            assert_eq!(terms.checks_certificate(), checks, "{level}");
            assert_eq!(terms.allows_login_in_clear(), level == TlsLevel::None);
        }
    }

    #[test]
    fn where_tls_begins_at_once_there_is_no_way_back_to_clear() {
        for level in [TlsLevel::None, TlsLevel::Opportunistic, TlsLevel::Verify] {
            assert!(!terms(level, Opening::Tls).falls_back_to_clear(), "{level}");
        }
    }

    #[track_caller]
    fn check(level: TlsLevel, opening: Opening, obstacle: Obstacle, want: &str) {
        let text = terms(level, opening).mend(obstacle);
        assert!(text.contains(want), "{text}");
        assert!(text.contains(level.as_str()), "{text}");
    }

    #[test]
    fn the_setting_that_would_change_it_is_named() {
        // W-18.02, W-18.05
        use Obstacle::{Broken, Certificate, NotOffered};
        let starttls = Opening::StartTls;
        let encrypt = "SMTP_TLS_POLICY=...,dest.test=encrypt ";
        let opportunistic = "SMTP_TLS_POLICY=...,dest.test=opportunistic ";
        let valid = "SMTP_TLS_POLICY=...,dest.test=valid ";
        check(TlsLevel::Valid, starttls, Certificate, encrypt);
        check(TlsLevel::Verify, Opening::Tls, Certificate, encrypt);
        check(TlsLevel::Valid, starttls, Broken, opportunistic);
        check(TlsLevel::Encrypt, starttls, Broken, opportunistic);
        check(TlsLevel::Encrypt, starttls, NotOffered, opportunistic);
        check(TlsLevel::Verify, starttls, NotOffered, valid);
        check(TlsLevel::Valid, Opening::Tls, Broken, "SMTP_RELAY_HOST");
    }

    #[test]
    fn the_policy_is_asked_for_the_next_hop() {
        // W-18.05, W-19.04
        let mut config = test_config();
        config.tls_policy = TlsPolicy::of_all(TlsLevel::Encrypt);
        let login = RelayLogin {
            user: "ann".into(),
            password: Secret::new("pencil".to_owned()),
        };
        let relay = |host: RelayName| RelayHost {
            scheme: RelayScheme::Smtps,
            host,
            port: 465,
        };
        let smarthost = relay(RelayName::Name(name("relay.test")));
        config.relay_host = Some(smarthost.clone());
        config.relay_login = Some(login.clone());
        let of = |route: &Route| Terms::clone(&terms_of(&config, route));

        let by_mx = of(&Route::Mx(name("dest.test")));
        assert_eq!(by_mx.next_hop.to_string(), "dest.test");
        assert_eq!((by_mx.opening, by_mx.login), (Opening::StartTls, None));
        assert_eq!((by_mx.tls, &*by_mx.rule), (TlsLevel::Encrypt, "encrypt"));

        let literal = of(&Route::Literal("192.0.2.1".parse().unwrap()));
        assert_eq!(literal.next_hop.to_string(), "[192.0.2.1]");
        assert_eq!(literal.login, None);

        let to_smarthost = of(&Route::Relay(smarthost));
        assert_eq!(to_smarthost.next_hop.to_string(), "relay.test");
        assert_eq!(to_smarthost.opening, Opening::Tls);
        assert_eq!(to_smarthost.login, Some(login));

        let other = RelayName::Address("192.0.2.1".parse().unwrap());
        let other = of(&Route::Relay(relay(other)));
        assert_eq!(other.next_hop.to_string(), "[192.0.2.1]");
        assert_eq!(other.login, None);
    }
}
