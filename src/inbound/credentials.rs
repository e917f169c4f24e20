//! The users, and whether a password is theirs. Whoever asks learns nothing about users from the
//! answer or from its time: for a user that does not exist the same work is done on a decoy.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use argon2::Argon2;
use argon2::password_hash::PasswordVerifier as _;
use argon2::password_hash::phc::PasswordHash;
use ring::hmac;
use subtle::ConstantTimeEq as _;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::config::{AuthConfig, Credential, ScramVerifier};
use crate::mail::limits::{PASSWORD_CHECK_WAIT, PASSWORD_CHECKS_MAX, SCRAM_ITERATIONS};
use crate::smtp::server::AuthPolicy;
use crate::smtp::server::auth::{PasswordClaim, SCRAM_KEY_BYTES, ScramKeys};

/// All users.
pub(super) struct Credentials {
    users: HashMap<Box<[u8]>, User>,
    policy: AuthPolicy,
    decoys: Decoys,
    /// Of this process: passwords are compared, and salts made, under it.
    key: hmac::Key,
    checks: Arc<Semaphore>,
}

struct User {
    name: Box<str>,
    credential: Known,
    /// For SCRAM, if it is offered.
    keys: Option<ScramKeys>,
}

/// A password as it is held here.
enum Known {
    /// Its HMAC under [`Credentials::key`], so that a comparison tells nothing.
    Password(hmac::Tag),
    Argon2(Box<PasswordHash>),
    Scram,
}

/// What is worked on for users that don't have it. `None`: nobody has it, so no time is spent.
struct Decoys {
    argon2: Option<PasswordHash>,
    scram: Option<ScramKeys>,
    iterations: NonZeroU32,
}

/// What came of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Checked {
    /// It is this user's password.
    Right(Box<str>),
    /// It is not, or there is no such user.
    Wrong,
    /// So many passwords are being checked that it was not this one's turn.
    Busy,
}

impl Credentials {
    /// Takes a moment for each user with a plain password, if SCRAM is offered.
    pub(super) fn new(config: &AuthConfig) -> Credentials {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &rand::random::<[u8; 32]>());
        let credentials = || config.users.iter().map(|user| &user.credential);
        let argon2 = credentials().find_map(|credential| match credential {
            Credential::Argon2(hash) => PasswordHash::new(hash.expose()).ok(),
            Credential::Password(_) | Credential::Scram(_) => None,
        });
        let scram = credentials().find_map(|credential| match credential {
            Credential::Scram(verifier) => Some(keys_of_verifier(verifier)),
            Credential::Password(_) | Credential::Argon2(_) => None,
        });
        let iterations = scram
            .as_ref()
            .map_or(SCRAM_ITERATIONS, |keys| keys.iterations);
        let policy = AuthPolicy {
            users: !config.users.is_empty(),
            scram: argon2.is_none(),
            insecure: config.insecure,
        };
        let users = config.users.iter().map(|user| {
            let name = user.name.as_bytes();
            let keys = match &user.credential {
                Credential::Password(password) if policy.scram => {
                    let password = password.expose().as_bytes();
                    Some(ScramKeys::derive(password, &salt(&key, name), iterations))
                }
                Credential::Password(_) | Credential::Argon2(_) => None,
                Credential::Scram(verifier) => Some(keys_of_verifier(verifier)),
            };
            let credential = match &user.credential {
                Credential::Password(password) => {
                    Known::Password(hmac::sign(&key, password.expose().as_bytes()))
                }
                Credential::Argon2(hash) => Known::Argon2(Box::new(
                    PasswordHash::new(hash.expose()).expect("a hash that the configuration took"),
                )),
                Credential::Scram(_) => Known::Scram,
            };
            let user = User {
                name: user.name.clone(),
                credential,
                keys,
            };
            (name.into(), user)
        });
        Credentials {
            users: users.collect(),
            policy,
            decoys: Decoys {
                argon2,
                scram,
                iterations,
            },
            key,
            checks: Arc::new(Semaphore::new(PASSWORD_CHECKS_MAX)),
        }
    }

    /// What clients may do. SCRAM is offered if every user can use it, and nobody can with an
    /// argon2 hash.
    pub(super) fn policy(&self) -> AuthPolicy {
        self.policy
    }

    /// The user of this name.
    pub(super) fn name(&self, user: &[u8]) -> Option<Box<str>> {
        self.users.get(user).map(|user| user.name.clone())
    }

    /// What SCRAM is to be spoken with: the user's keys, or for others some that no password fits.
    pub(super) fn keys(&self, user: &[u8]) -> ScramKeys {
        let known = self.users.get(user).and_then(|user| user.keys.clone());
        known.unwrap_or_else(|| ScramKeys {
            salt: salt(&self.key, user).into(),
            iterations: self.decoys.iterations,
            stored_key: rand::random::<[u8; SCRAM_KEY_BYTES]>(),
            server_key: rand::random::<[u8; SCRAM_KEY_BYTES]>(),
        })
    }

    /// Checks a password, off the async threads if that takes work. `go_on` is asked when it is its
    /// turn.
    pub(super) async fn check(
        self: &Arc<Credentials>,
        claim: PasswordClaim,
        go_on: impl FnOnce() -> bool,
    ) -> Checked {
        let turn = Arc::clone(&self.checks).acquire_owned();
        let Ok(Ok(permit)) = timeout(PASSWORD_CHECK_WAIT, turn).await else {
            return Checked::Busy;
        };
        if !go_on() {
            return Checked::Busy;
        }
        if self.decoys.argon2.is_none() && self.decoys.scram.is_none() {
            return self.check_now(&claim);
        }
        let credentials = Arc::clone(self);
        let work = tokio::task::spawn_blocking(move || {
            let checked = credentials.check_now(&claim);
            drop(permit); // not when the session is gone, but when the work is
            checked
        });
        work.await.unwrap_or(Checked::Busy)
    }

    /// Does all the work that any user's password takes, whoever it is.
    fn check_now(&self, claim: &PasswordClaim) -> Checked {
        let user = self.users.get(&claim.user);
        let password = &*claim.password;
        let known = user.map(|user| &user.credential);

        let argon2 = match (known, &self.decoys.argon2) {
            (Some(Known::Argon2(hash)), _) => argon2_fits(hash, password),
            (_, Some(hash)) => argon2_fits(hash, password),
            (_, None) => false,
        };
        let keys = match known {
            Some(Known::Scram) => user.and_then(|user| user.keys.as_ref()),
            Some(Known::Password(_) | Known::Argon2(_)) | None => self.decoys.scram.as_ref(),
        };
        let scram = keys.is_some_and(|keys| keys.are_of(password));
        let tag = hmac::sign(&self.key, password);
        let right = match known {
            Some(Known::Password(stored)) => tag.as_ref().ct_eq(stored.as_ref()).into(),
            Some(Known::Argon2(_)) => argon2,
            Some(Known::Scram) => scram,
            None => false,
        };
        match user {
            Some(user) if right => Checked::Right(user.name.clone()),
            Some(_) | None => Checked::Wrong,
        }
    }
}

fn argon2_fits(hash: &PasswordHash, password: &[u8]) -> bool {
    Argon2::default().verify_password(password, hash).is_ok()
}

fn keys_of_verifier(verifier: &ScramVerifier) -> ScramKeys {
    ScramKeys {
        salt: verifier.salt.clone(),
        iterations: verifier.iterations,
        stored_key: verifier.stored_key,
        server_key: verifier.server_key,
    }
}

/// The same for one name as long as the process lives, whether there is such a user or not.
fn salt(key: &hmac::Key, user: &[u8]) -> [u8; 16] {
    let tag = hmac::sign(key, user);
    let mut salt = [0; 16];
    salt.copy_from_slice(&tag.as_ref()[..16]); // of 32
    salt
}

#[cfg(test)]
mod tests {
    use argon2::PasswordHasher as _;

    use super::*;
    use crate::config::{AuthUser, Secret};

    const FEW: NonZeroU32 = NonZeroU32::new(4_096).unwrap();

    fn password(text: &str) -> Credential {
        Credential::Password(Secret::new(text.to_owned()))
    }

    fn argon2(text: &str) -> Credential {
        let cheap = argon2::Params::new(8, 1, 1, None).unwrap();
        let hash = Argon2::from(cheap).hash_password(text.as_bytes()).unwrap();
        Credential::Argon2(Secret::new(hash.to_string()))
    }

    fn scram(text: &str) -> Credential {
        let keys = ScramKeys::derive(text.as_bytes(), b"salt", FEW);
        Credential::Scram(ScramVerifier {
            iterations: keys.iterations,
            salt: keys.salt,
            stored_key: keys.stored_key,
            server_key: keys.server_key,
        })
    }

    fn credentials<const N: usize>(users: [(&str, Credential); N]) -> Arc<Credentials> {
        let users = users.map(|(name, credential)| AuthUser {
            name: name.into(),
            credential,
        });
        Arc::new(Credentials::new(&AuthConfig {
            users: users.to_vec(),
            insecure: false,
            anywhere: false,
        }))
    }

    async fn check(credentials: &Arc<Credentials>, user: &str, password: &str) -> Checked {
        let claim = PasswordClaim {
            user: user.as_bytes().into(),
            password: password.as_bytes().into(),
        };
        credentials.check(claim, || true).await
    }

    #[tokio::test]
    async fn each_kind_takes_its_own_password_only() {
        // W-9.03, W-9.07
        let all = credentials([
            ("ann", password("one")),
            ("bob", argon2("two")),
            ("eve", scram("three")),
        ]);
        for (user, right) in [("ann", "one"), ("bob", "two"), ("eve", "three")] {
            for tried in ["one", "two", "three", "", "One", "one\0"] {
                let want = if tried == right {
                    Checked::Right(user.into())
                } else {
                    Checked::Wrong
                };
                assert_eq!(check(&all, user, tried).await, want, "{user} {tried}");
                assert_eq!(check(&all, "nobody", tried).await, Checked::Wrong);
            }
        }
    }

    #[tokio::test]
    async fn when_it_must_not_go_on_nothing_is_checked() {
        // W-9.10
        let one = credentials([("ann", password("one"))]);
        let claim = PasswordClaim {
            user: b"ann".as_slice().into(),
            password: b"one".as_slice().into(),
        };
        assert_eq!(one.check(claim, || false).await, Checked::Busy);
    }

    #[test]
    fn scram_is_offered_if_everybody_can_use_it() {
        // W-9.01
        let offered = |credentials: Arc<Credentials>| credentials.policy().scram;
        assert!(offered(credentials([
            ("a", password("x")),
            ("b", scram("x"))
        ])));
        assert!(!offered(credentials([
            ("a", password("x")),
            ("b", argon2("x"))
        ])));
        assert!(!credentials([]).policy().users);
    }

    #[test]
    fn a_stranger_has_a_salt_too_and_always_the_same() {
        // W-9.07
        let one = credentials([("ann", password("one"))]);
        let (known, unknown) = (one.keys(b"ann"), one.keys(b"nobody"));
        assert_eq!(known.salt.len(), unknown.salt.len());
        assert_eq!(known.iterations, unknown.iterations);
        assert_eq!(unknown.salt, one.keys(b"nobody").salt);
        assert!(known.are_of(b"one") && !unknown.are_of(b"one"));
    }
}
