//! All keys by domain, taken from their files anew when these change.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use tokio::time::{MissedTickBehavior, interval};

use crate::config::{DkimKeyConfig, DkimKeySource, Selector};
use crate::mail::Domain;
use crate::mail::limits::TLS_FILES_INTERVAL;
use crate::message::dkim::DkimAlgorithm;
use crate::observe::{Events, ProcessEvent};

use super::super::file_stamp::FileStamp;
use super::key::{SigningKey, load_dkim_key};

/// A key can't be used. One line that names what to change.
#[derive(Debug, thiserror::Error)]
pub enum DkimKeyError {
    /// It is not there, or is none.
    #[error(
        "{place}: {what}; expected an RSA key of 2048 to 4096 bits or an Ed25519 key in PEM form, not encrypted"
    )]
    Unusable {
        /// The variable, and which of its items.
        place: String,
        /// What is wrong with it.
        what: String,
    },
    /// Two keys would sign alike.
    #[error(
        "{place}: a second {algorithm} key for {domain}; expected one key of each kind for a domain"
    )]
    Twice {
        /// The variable, and which of its items.
        place: String,
        /// What both sign with.
        algorithm: &'static str,
        /// For whom.
        domain: Domain,
    },
}

/// Whether all keys are there and can sign. Reads their files.
///
/// # Errors
/// What would stop the start.
pub fn check_dkim_keys(keys: &[DkimKeyConfig]) -> Result<(), DkimKeyError> {
    Keyring::load(keys).map(drop)
}

/// A key with the name under which it is published.
#[derive(Debug)]
pub(super) struct Signer {
    pub(super) selector: Selector,
    pub(super) key: SigningKey,
}

/// The keys of one domain, at most one of each algorithm.
type Signers = Arc<[Arc<Signer>]>;

pub(super) struct Keyring {
    slots: Vec<Slot>,
    in_use: RwLock<InUse>,
}

/// One configured key.
struct Slot {
    config: DkimKeyConfig,
    /// What its file looked like before it was read.
    loaded: Option<FileStamp>,
}

/// The keys as they sign now.
struct InUse {
    /// In the order of the slots.
    signers: Vec<Arc<Signer>>,
    by_domain: HashMap<Domain, Signers>,
}

impl Keyring {
    pub(super) fn load(keys: &[DkimKeyConfig]) -> Result<Keyring, DkimKeyError> {
        let (mut slots, mut signers) = (Vec::new(), Vec::new());
        for config in keys {
            let loaded = path_of(config).and_then(|path| FileStamp::of(path).ok());
            signers.push(Arc::new(load_signer(config)?));
            slots.push(Slot {
                config: config.clone(),
                loaded,
            });
        }
        let by_domain = by_domain(&slots, &signers)?;
        Ok(Keyring {
            slots,
            in_use: RwLock::new(InUse { signers, by_domain }),
        })
    }

    /// The keys that sign for an author at `author`, and the domain that they sign as: the author's
    /// own, or the nearest one above that has any.
    pub(super) fn signers_for(&self, author: &Domain) -> Option<(Domain, Signers)> {
        let in_use = self.in_use.read().unwrap_or_else(PoisonError::into_inner);
        let mut name = author.as_str();
        loop {
            // What was cut off at a dot of a domain is a domain.
            let domain = Domain::parse(name).ok()?;
            if let Some(signers) = in_use.by_domain.get(&domain) {
                return Some((domain, Arc::clone(signers)));
            }
            name = name.split_once('.')?.1;
        }
    }

    /// Takes up changed files, for ever. One that can't be used is told once, and the key in use
    /// stays.
    pub(super) async fn watch(&self, events: &Events) -> std::convert::Infallible {
        let mut ticks = interval(TLS_FILES_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let paths: Arc<[Option<PathBuf>]> = self
            .slots
            .iter()
            .map(|slot| path_of(&slot.config).map(Path::to_owned))
            .collect();
        let mut taken: Vec<_> = self.slots.iter().map(|slot| slot.loaded).collect();
        let mut before = taken.clone();
        loop {
            ticks.tick().await;
            let Some(now) = stamps(&paths).await else {
                continue; // the runtime is ending
            };
            for at in 0..self.slots.len() {
                // Two looks alike: nobody is in the middle of writing it.
                if now[at] != taken[at] && now[at] == before[at] {
                    self.take_up(at, events).await;
                    taken[at] = now[at];
                }
            }
            before = now;
        }
    }

    async fn take_up(&self, at: usize, events: &Events) {
        let config = self.slots[at].config.clone();
        let loaded = tokio::task::spawn_blocking(move || load_signer(&config)).await;
        let Ok(loaded) = loaded else {
            return; // the runtime is ending
        };
        let config = &self.slots[at].config;
        match loaded.and_then(|signer| self.replace(at, Arc::new(signer))) {
            Ok(()) => events.emit(ProcessEvent::DkimKeyReloaded {
                domain: config.domain.as_str(),
                selector: config.selector.as_str(),
                path: path_of(config).unwrap_or(Path::new("")),
            }),
            Err(error) => events.emit(ProcessEvent::Alarm {
                what: &format!(
                    "the new DKIM key can't be used, the one before stays in use: {error}"
                ),
                todo: "put a good file in its place; it is taken up without a restart",
            }),
        }
    }

    fn replace(&self, at: usize, signer: Arc<Signer>) -> Result<(), DkimKeyError> {
        let mut in_use = self.in_use.write().unwrap_or_else(PoisonError::into_inner);
        let mut signers = in_use.signers.clone();
        signers[at] = signer;
        let by_domain = by_domain(&self.slots, &signers)?;
        *in_use = InUse { signers, by_domain };
        Ok(())
    }
}

fn load_signer(config: &DkimKeyConfig) -> Result<Signer, DkimKeyError> {
    let key = load_dkim_key(&config.source).map_err(|what| DkimKeyError::Unusable {
        place: place(config),
        what,
    })?;
    Ok(Signer {
        selector: config.selector.clone(),
        key,
    })
}

fn by_domain(
    slots: &[Slot],
    signers: &[Arc<Signer>],
) -> Result<HashMap<Domain, Signers>, DkimKeyError> {
    let mut keys: HashMap<&Domain, BTreeMap<DkimAlgorithm, Arc<Signer>>> = HashMap::new();
    for (Slot { config, .. }, signer) in slots.iter().zip(signers) {
        let algorithm = signer.key.algorithm();
        let of_domain = keys.entry(&config.domain).or_default();
        if of_domain.insert(algorithm, Arc::clone(signer)).is_some() {
            return Err(DkimKeyError::Twice {
                place: place(config),
                algorithm: algorithm.as_str(),
                domain: config.domain.clone(),
            });
        }
    }
    let signers = |keys: BTreeMap<_, Arc<Signer>>| keys.into_values().collect::<Signers>();
    Ok(keys
        .into_iter()
        .map(|(domain, keys)| (domain.clone(), signers(keys)))
        .collect())
}

fn path_of(config: &DkimKeyConfig) -> Option<&Path> {
    match &config.source {
        DkimKeySource::Path(path) => Some(path),
        DkimKeySource::Inline(_) => None,
    }
}

/// As `config` has it: a problem names the variable that is to be changed.
fn place(config: &DkimKeyConfig) -> String {
    let DkimKeyConfig {
        domain,
        selector,
        source,
        variable,
    } = config;
    match source {
        DkimKeySource::Path(path) if *variable == DkimKeyConfig::LIST => {
            format!("{variable}={domain}:{selector}:{}", path.display())
        }
        DkimKeySource::Path(path) => format!("{variable}={}", path.display()),
        DkimKeySource::Inline(_) => (*variable).to_owned(),
    }
}

/// `None` for a file that is missing, and for keys without one.
async fn stamps(paths: &Arc<[Option<PathBuf>]>) -> Option<Vec<Option<FileStamp>>> {
    let paths = Arc::clone(paths);
    let look = move || {
        let stamp = |path: &Option<PathBuf>| FileStamp::of(path.as_deref()?).ok();
        paths.iter().map(stamp).collect()
    };
    tokio::task::spawn_blocking(look).await.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ed25519(directory: &Path, name: &str) -> PathBuf {
        let path = directory.join(name);
        let pem = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        std::fs::write(&path, pem.serialize_pem()).unwrap();
        path
    }

    fn key(domain: &str, selector: &str, path: &Path) -> DkimKeyConfig {
        DkimKeyConfig {
            domain: Domain::parse(domain).unwrap(),
            selector: Selector::parse(selector).unwrap(),
            source: DkimKeySource::Path(path.to_owned()),
            variable: DkimKeyConfig::LIST,
        }
    }

    #[test]
    fn the_nearest_domain_that_has_keys_signs() {
        let directory = tempfile::tempdir().unwrap();
        let path = ed25519(directory.path(), "a.pem");
        let keys = [
            key("example.org", "s1", &path),
            key("sub.example.org", "s2", &path),
        ];
        let keyring = Keyring::load(&keys).unwrap();
        #[track_caller]
        fn check(keyring: &Keyring, author: &str, want: Option<(&str, &str)>) {
            let found = keyring.signers_for(&Domain::parse(author).unwrap());
            let found = found.map(|(domain, signers)| {
                assert_eq!(signers.len(), 1);
                (domain.to_string(), signers[0].selector.to_string())
            });
            let found = found.as_ref().map(|(d, s)| (d.as_str(), s.as_str()));
            assert_eq!(found, want, "{author}");
        }
        check(&keyring, "example.org", Some(("example.org", "s1")));
        check(&keyring, "a.b.example.org", Some(("example.org", "s1")));
        check(&keyring, "sub.example.org", Some(("sub.example.org", "s2")));
        check(
            &keyring,
            "x.sub.example.org",
            Some(("sub.example.org", "s2")),
        );
        check(&keyring, "org", None);
        check(&keyring, "evilexample.org", None);
        check(&keyring, "example.org.evil.test", None);
    }

    #[test]
    fn a_key_that_would_sign_as_another_does_is_not_taken_up() {
        let directory = tempfile::tempdir().unwrap();
        let ed25519 = ed25519(directory.path(), "e.pem");
        let rsa = directory.path().join("r.pem");
        std::fs::write(&rsa, include_str!("../tls/pkcs1.pem")).unwrap();
        let keys = [key("a.test", "s1", &rsa), key("a.test", "s2", &ed25519)];
        let keyring = Keyring::load(&keys).unwrap();
        let author = Domain::parse("a.test").unwrap();
        let in_use = || {
            let (_, signers) = keyring.signers_for(&author).unwrap();
            let name = |signer: &Arc<Signer>| {
                format!("{}/{}", signer.key.algorithm().as_str(), signer.selector)
            };
            signers.iter().map(name).collect::<Vec<_>>()
        };
        assert_eq!(in_use(), ["rsa-sha256/s1", "ed25519-sha256/s2"]);
        let second_rsa = load_signer(&key("a.test", "s2", &rsa)).unwrap();
        let refused = keyring.replace(1, Arc::new(second_rsa)).unwrap_err();
        assert!(refused.to_string().contains("a second rsa-sha256 key"));
        assert_eq!(in_use(), ["rsa-sha256/s1", "ed25519-sha256/s2"]);
        let other = load_signer(&key("a.test", "s2", &ed25519)).unwrap();
        keyring.replace(1, Arc::new(other)).unwrap();
        assert_eq!(in_use(), ["rsa-sha256/s1", "ed25519-sha256/s2"]);
    }

    #[test]
    fn what_stops_the_start_names_the_variable() {
        let directory = tempfile::tempdir().unwrap();
        let path = ed25519(directory.path(), "a.pem");
        let missing = directory.path().join("b.pem");
        let refused = |keys: &[DkimKeyConfig]| check_dkim_keys(keys).unwrap_err().to_string();
        let line = refused(&[key("a.test", "s1", &missing)]);
        assert!(line.starts_with("SMTP_DKIM_KEYS=a.test:s1:/"), "{line}");
        assert!(
            line.contains("can't be read") && !line.contains('\n'),
            "{line}"
        );
        let line = refused(&[key("a.test", "s1", &path), key("a.test", "s2", &path)]);
        assert!(
            line.contains("a second ed25519-sha256 key for a.test"),
            "{line}"
        );
        let seed = DkimKeyConfig {
            variable: "SMTP_DKIM_KEY_PATH",
            ..key("a.test", "s1", &missing)
        };
        let line = refused(&[seed]);
        assert!(line.starts_with("SMTP_DKIM_KEY_PATH=/"), "{line}");
    }
}
