//! The users, and whether a password is theirs. Whoever asks learns nothing about users from the
//! answer or from its time: for a user that does not exist the same work is done on a decoy, which
//! is like one of the users there are, and for one name always like the same.

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

/// Salt of the keys that we make ourselves.
const SALT_BYTES: usize = 16;

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

/// What is worked on, or shown, for names that don't have it; one of each is chosen by the name. Empty:
/// nobody has it, so no time is spent.
struct Decoys {
    argon2: Vec<PasswordHash>,
    scram: Vec<ScramKeys>,
    shapes: Vec<ScramShape>,
}

/// What a client sees of a user's SCRAM keys, but for the salt itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ScramShape {
    iterations: NonZeroU32,
    salt_bytes: usize,
}

/// The work that passwords cost, apart from the decision what to do.
trait PasswordWork {
    fn fits_hash(&mut self, hash: &PasswordHash, password: &[u8]) -> bool;
    fn fits_keys(&mut self, keys: &ScramKeys, password: &[u8]) -> bool;
}

struct RealWork;

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
        Credentials::under(key, Arc::new(Semaphore::new(PASSWORD_CHECKS_MAX)), config)
    }

    /// For another configuration. Salts stay as they were, and decoys, as far as they can.
    pub(super) fn renewed(&self, config: &AuthConfig) -> Credentials {
        Credentials::under(self.key.clone(), Arc::clone(&self.checks), config)
    }

    fn under(key: hmac::Key, checks: Arc<Semaphore>, config: &AuthConfig) -> Credentials {
        let credentials = || config.users.iter().map(|user| &user.credential);
        let argon2: Vec<PasswordHash> = credentials()
            .filter_map(|credential| match credential {
                Credential::Argon2(hash) => PasswordHash::new(hash.expose()).ok(),
                Credential::Password(_) | Credential::Scram(_) => None,
            })
            .collect();
        let scram: Vec<ScramKeys> = credentials()
            .filter_map(|credential| match credential {
                Credential::Scram(verifier) => Some(keys_of_verifier(verifier)),
                Credential::Password(_) | Credential::Argon2(_) => None,
            })
            .collect();
        let iterations = scram
            .first()
            .map_or(SCRAM_ITERATIONS, |keys| keys.iterations);
        let policy = AuthPolicy {
            users: !config.users.is_empty(),
            scram: argon2.is_empty(),
            insecure: config.insecure,
        };
        let users = config.users.iter().map(|user| {
            let name = user.name.as_bytes();
            let keys = match &user.credential {
                Credential::Password(password) if policy.scram => {
                    let password = password.expose().as_bytes();
                    let salt = salt(&key, name, SALT_BYTES);
                    Some(ScramKeys::derive(password, &salt, iterations))
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
        let users: HashMap<Box<[u8]>, User> = users.collect();
        let shapes = users.values().filter_map(|user| user.keys.as_ref());
        let shapes = shapes.map(|keys| ScramShape {
            iterations: keys.iterations,
            salt_bytes: keys.salt.len(),
        });
        Credentials {
            decoys: Decoys {
                shapes: shapes.collect(),
                argon2,
                scram,
            },
            users,
            policy,
            key,
            checks,
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
        known.unwrap_or_else(|| {
            let shape = self.chosen(&self.decoys.shapes, user);
            let shape = shape.copied().unwrap_or(ScramShape {
                iterations: SCRAM_ITERATIONS,
                salt_bytes: SALT_BYTES,
            });
            ScramKeys {
                salt: salt(&self.key, user, shape.salt_bytes).into(),
                iterations: shape.iterations,
                stored_key: rand::random::<[u8; SCRAM_KEY_BYTES]>(),
                server_key: rand::random::<[u8; SCRAM_KEY_BYTES]>(),
            }
        })
    }

    /// The decoy of this name: the same one as long as the process lives.
    fn chosen<'a, T>(&self, decoys: &'a [T], user: &[u8]) -> Option<&'a T> {
        let tag = hmac::sign(&self.key, &[b"decoy\0", user].concat());
        let number = tag.as_ref().iter().take(8);
        let number = number.fold(0_u64, |number, octet| number << 8 | u64::from(*octet));
        let count = u64::try_from(decoys.len()).ok()?;
        let at = number.checked_rem(count)?;
        decoys.get(usize::try_from(at).ok()?)
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
        if self.decoys.argon2.is_empty() && self.decoys.scram.is_empty() {
            return self.check_now(&claim, &mut RealWork);
        }
        let credentials = Arc::clone(self);
        let work = tokio::task::spawn_blocking(move || {
            let checked = credentials.check_now(&claim, &mut RealWork);
            drop(permit); // not when the session is gone, but when the work is
            checked
        });
        work.await.unwrap_or(Checked::Busy)
    }

    /// Does all the work that any user's password takes, whoever it is.
    fn check_now(&self, claim: &PasswordClaim, work: &mut impl PasswordWork) -> Checked {
        let user = self.users.get(&claim.user);
        let password = &*claim.password;
        let known = user.map(|user| &user.credential);

        let hash = match known {
            Some(Known::Argon2(hash)) => Some(&**hash),
            Some(Known::Password(_) | Known::Scram) | None => {
                self.chosen(&self.decoys.argon2, &claim.user)
            }
        };
        let argon2 = hash.is_some_and(|hash| work.fits_hash(hash, password));
        let keys = match known {
            Some(Known::Scram) => user.and_then(|user| user.keys.as_ref()),
            Some(Known::Password(_) | Known::Argon2(_)) | None => {
                self.chosen(&self.decoys.scram, &claim.user)
            }
        };
        let scram = keys.is_some_and(|keys| work.fits_keys(keys, password));
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

impl PasswordWork for RealWork {
    fn fits_hash(&mut self, hash: &PasswordHash, password: &[u8]) -> bool {
        Argon2::default().verify_password(password, hash).is_ok()
    }

    fn fits_keys(&mut self, keys: &ScramKeys, password: &[u8]) -> bool {
        keys.are_of(password)
    }
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
fn salt(key: &hmac::Key, user: &[u8], bytes: usize) -> Vec<u8> {
    let mut salt = Vec::with_capacity(bytes);
    for block in 0_u8.. {
        if salt.len() >= bytes {
            break;
        }
        let tag = hmac::sign(key, &[b"salt\0", &[block][..], user].concat());
        salt.extend_from_slice(tag.as_ref());
    }
    salt.truncate(bytes);
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
        argon2_of(text, 8)
    }

    fn argon2_of(text: &str, kib: u32) -> Credential {
        let cheap = argon2::Params::new(kib, 1, 1, None).unwrap();
        let hash = Argon2::from(cheap).hash_password(text.as_bytes()).unwrap();
        Credential::Argon2(Secret::new(hash.to_string()))
    }

    fn scram(text: &str) -> Credential {
        scram_of(text, b"salt", FEW)
    }

    fn scram_of(text: &str, salt: &[u8], iterations: NonZeroU32) -> Credential {
        let keys = ScramKeys::derive(text.as_bytes(), salt, iterations);
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

    /// Does nothing, and writes down what it would have cost: memory in KiB, or rounds.
    #[derive(Debug, Default, PartialEq, Eq)]
    struct Counted {
        argon2: Vec<u32>,
        rounds: Vec<u32>,
    }

    impl PasswordWork for Counted {
        fn fits_hash(&mut self, hash: &PasswordHash, _: &[u8]) -> bool {
            let params = argon2::Params::try_from(hash).unwrap();
            self.argon2.push(params.m_cost());
            false
        }

        fn fits_keys(&mut self, keys: &ScramKeys, _: &[u8]) -> bool {
            self.rounds.push(keys.iterations.get());
            false
        }
    }

    #[test]
    fn every_name_costs_the_same_work_whether_there_is_such_a_user_or_not() {
        // W-9.07
        let more = NonZeroU32::new(5_000).unwrap();
        let all = credentials([
            ("ann", password("one")),
            ("bob", argon2_of("two", 8)),
            ("kim", argon2_of("two", 16)),
            ("eve", scram_of("three", b"salt", FEW)),
            ("joe", scram_of("three", b"another salt", more)),
        ]);
        let cost = |user: &str, password: &str| {
            let mut counted = Counted::default();
            let claim = PasswordClaim {
                user: user.as_bytes().into(),
                password: password.as_bytes().into(),
            };
            all.check_now(&claim, &mut counted);
            counted
        };
        assert_eq!(cost("kim", "x").argon2, [16]);
        assert_eq!(cost("joe", "x").rounds, [5_000]);
        let strangers: Vec<String> = (0..100).map(|n| format!("stranger{n}")).collect();
        let strangers = strangers.iter().map(String::as_str);
        let mut seen = (Vec::new(), Vec::new());
        for user in ["ann", "bob", "kim", "eve", "joe", ""]
            .into_iter()
            .chain(strangers)
        {
            let work = cost(user, "one");
            assert_eq!((work.argon2.len(), work.rounds.len()), (1, 1), "{user}");
            assert_eq!(work, cost(user, "three"), "{user}");
            seen.0.extend(work.argon2);
            seen.1.extend(work.rounds);
        }
        for costs in [&mut seen.0, &mut seen.1] {
            costs.sort_unstable();
            costs.dedup();
        }
        // No cost is that of users alone, and none that of strangers alone.
        assert_eq!(seen, (vec![8, 16], vec![4_096, 5_000]));
    }

    #[test]
    fn a_stranger_is_shown_what_some_user_is_shown() {
        // W-9.07
        let more = NonZeroU32::new(5_000).unwrap();
        let all = credentials([
            ("ann", password("one")),
            ("eve", scram_of("three", b"salt", FEW)),
            ("joe", scram_of("three", &[7; 40], more)),
        ]);
        let shown = |user: &str| {
            let keys = all.keys(user.as_bytes());
            (keys.iterations.get(), keys.salt.len())
        };
        let mut users = ["ann", "eve", "joe"].map(shown);
        let mut strangers: Vec<_> = (0..100).map(|n| shown(&format!("{n}"))).collect();
        users.sort_unstable();
        strangers.sort_unstable();
        strangers.dedup();
        assert_eq!(strangers, users);
        assert_eq!(all.keys(b"3").salt, all.keys(b"3").salt);
    }
}
