//! `gopherpost reload` and SIGHUP: everything for a changed configuration is made ready first; if
//! anything is wrong nothing changes and every problem is told, otherwise all rooms are changed one right
//! after the other.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ring::digest::{SHA256, digest};
use tokio::sync::{mpsc, oneshot, watch};

use crate::admin::api::Reloaded;
use crate::admin::{By, Reload};
use crate::config::{Config, Differences, DkimKeySource, Loaded, Renewal, Sources};
use crate::inbound::{InboundChange, InboundControl};
use crate::observe::{Events, ProcessEvent, check_log_filter};
use crate::outbound::{self, Outbound, OutboundChange, Ways};
use crate::queue::QueueControl;
use crate::store::Store;

use super::{ForwardLookup, manager};

/// Reloads that may wait for their turn.
const WAITING_MAX: usize = 4;
/// Longest file whose content is compared, in bytes; all that are longer count as the same.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// What a reload changes.
#[derive(Clone)]
pub(super) struct Rooms {
    pub(super) outbound: Outbound,
    pub(super) inbound: InboundControl<ForwardLookup>,
    pub(super) queue: QueueControl,
    pub(super) ways: Ways,
    pub(super) store: Store,
    pub(super) events: Events,
    /// `SMTP_SHUTDOWN_GRACE`
    pub(super) shutdown_grace: watch::Sender<Duration>,
}

/// Carries out reloads, one at a time.
pub(super) struct Reloader {
    rooms: Rooms,
    /// What is in force.
    loaded: Loaded,
    files: Files,
    asked: mpsc::Receiver<Asked>,
}

/// Where to ask for a reload. Cheap to clone.
#[derive(Clone)]
pub(super) struct Reloads(mpsc::Sender<Asked>);

struct Asked {
    by: String,
    answer: Option<oneshot::Sender<Result<Reloaded, String>>>,
}

/// Everything that a reload needs, found and made.
struct Ready {
    renewal: Renewal,
    files: Files,
    outbound: OutboundChange,
    inbound: InboundChange<ForwardLookup>,
    ways: Ways,
}

/// What stands in the files that the configuration names: digests by path.
#[derive(Clone, Default)]
struct Files(BTreeMap<PathBuf, Option<Vec<u8>>>);

impl Reloads {
    /// For a signal: nobody waits. If some wait already, the last of them sees what this one would.
    pub(super) fn ask(&self, by: &str) {
        let by = by.to_owned();
        let _ = self.0.try_send(Asked { by, answer: None });
    }

    /// For the operator's commands.
    pub(super) fn action(&self) -> Reload {
        let asks = self.0.clone();
        Arc::new(move |by: By| {
            let asks = asks.clone();
            Box::pin(async move {
                let (answer, answered) = oneshot::channel();
                let asked = Asked {
                    by: by.as_str().to_owned(),
                    answer: Some(answer),
                };
                asks.try_send(asked)
                    .map_err(|_| "other reloads are under way; try again".to_owned())?;
                let ended = |_| Err("the relay is stopping; see its log".to_owned());
                answered.await.unwrap_or_else(ended)
            })
        })
    }
}

impl Reloader {
    /// With what is in force. Reads the files that it names.
    pub(super) fn new(rooms: Rooms, loaded: Loaded) -> (Reloader, Reloads) {
        let (ask, asked) = mpsc::channel(WAITING_MAX);
        let reloader = Reloader {
            rooms,
            files: Files::of(&loaded.config),
            loaded,
            asked,
        };
        (reloader, Reloads(ask))
    }

    /// Reloads whenever that is asked for. Dropped between two awaits, rooms may have parts of a new
    /// configuration; for the end of the process only.
    pub(super) async fn run(mut self) {
        while let Some(Asked { by, answer }) = self.asked.recv().await {
            manager::reloading();
            let outcome = self.reload(&by).await;
            manager::ready();
            if let Some(answer) = answer {
                let _ = answer.send(outcome); // who asked may be gone; the log has it
            }
        }
    }

    async fn reload(&mut self, by: &str) -> Result<Reloaded, String> {
        let (rooms, loaded) = (self.rooms.clone(), self.loaded.clone());
        let prepared = tokio::task::spawn_blocking(move || prepare(&rooms, &loaded)).await;
        let bug = |error| Err(vec![format!("a bug, please report it: {error}")]);
        match prepared.unwrap_or_else(bug) {
            Ok(ready) => Ok(self.apply(*ready, by).await),
            Err(problems) => {
                self.rooms.events.emit(ProcessEvent::ReloadFailed {
                    by,
                    problems: &problems.join("; "),
                });
                Err(problems.join("\n"))
            }
        }
    }

    /// Nothing here can fail.
    async fn apply(&mut self, ready: Ready, by: &str) -> Reloaded {
        let Ready {
            renewal,
            files,
            outbound,
            inbound,
            ways,
        } = ready;
        let Renewal {
            loaded,
            differences,
        } = renewal;
        let (config, rooms) = (&loaded.config, &self.rooms);
        rooms.queue.apply(config);
        rooms.store.set_min_free_space(config.queue.min_free_space);
        rooms
            .shutdown_grace
            .send_replace(config.smtpd.shutdown_grace);
        // Before its lines: from whichever line mail comes, it goes by the new routes.
        rooms.outbound.apply(outbound);
        rooms.ways.become_like(&ways);
        let destination_of = outbound::destination_of(&config.delivery);
        let fingerprint = outbound::routing_fingerprint(&config.delivery);
        // It fails only when the relay is stopping, and the next start makes the lines.
        let _ = rooms
            .store
            .reroute(Arc::new(destination_of), fingerprint)
            .await;
        rooms.inbound.apply(inbound);
        let reloaded = reloaded(&differences, files.changed_since(&self.files));
        if let Err(error) = rooms.events.set_log_filter(&config.log.filter) {
            rooms.events.emit(ProcessEvent::Alarm {
                what: &format!("the log goes on as before: {error}"),
                todo: "correct SMTP_LOG, and reload again",
            });
        }
        let is_new = |warning: &&_| !self.loaded.warnings.contains(warning);
        for warning in loaded.warnings.iter().filter(is_new) {
            rooms.events.emit(ProcessEvent::Warning {
                what: &warning.what,
                todo: &warning.todo,
            });
        }
        rooms.events.emit(ProcessEvent::Reloaded {
            by,
            changed: &reloaded.changed.join(", "),
            needs_restart: &reloaded.needs_restart.join(", "),
            files: &reloaded.files.join(", "),
        });
        self.loaded = loaded;
        self.files = files;
        reloaded
    }
}

fn reloaded(differences: &Differences, files: Vec<String>) -> Reloaded {
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    Reloaded {
        changed: names(&differences.live),
        needs_restart: names(&differences.restart),
        files,
    }
}

/// Reads everything anew and makes everything ready, or says everything that is wrong. Blocks.
fn prepare(rooms: &Rooms, loaded: &Loaded) -> Result<Box<Ready>, Vec<String>> {
    let renewal = loaded
        .renewed(Sources::from_process())
        .map_err(|problems| {
            problems
                .0
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
        })?;
    let config = &renewal.loaded.config;
    let mut problems = Vec::new();
    if let Err(error) = check_log_filter(&config.log.filter) {
        problems.push(error.to_string());
    }
    let fingerprint = outbound::routing_fingerprint(&config.delivery);
    if let Err(error) = rooms.store.may_reroute(&fingerprint) {
        problems.push(format!("SMTP_ROUTES, SMTP_RELAY_HOST: {error}"));
    }
    let outbound = rooms.outbound.prepare(config);
    let dns = match &outbound {
        Ok(outbound) => outbound.dns(),
        Err(_) => rooms.outbound.dns(), // only to go on looking for problems
    };
    let inbound = rooms.inbound.prepare(config, ForwardLookup(dns.clone()));
    let ways = Ways::new(config, dns, rooms.events.clone());
    match (outbound, inbound, ways) {
        (Ok(outbound), Ok(inbound), Ok(ways)) if problems.is_empty() => Ok(Box::new(Ready {
            files: Files::of(config),
            outbound,
            inbound,
            ways,
            renewal,
        })),
        (outbound, inbound, ways) => {
            if let Err(errors) = inbound {
                problems.extend(errors.iter().map(ToString::to_string));
            }
            match (outbound, ways) {
                (Err(error), _) => problems.push(error.to_string()),
                (Ok(_), Err(error)) => problems.push(error.to_string()),
                (Ok(_), Ok(_)) => {}
            }
            Err(problems)
        }
    }
}

impl Files {
    fn of(config: &Config) -> Files {
        let tls = config
            .tls
            .iter()
            .flat_map(|tls| [&tls.certificate, &tls.key]);
        let dkim = config.dkim.iter().filter_map(|key| match &key.source {
            DkimKeySource::Path(path) => Some(path),
            DkimKeySource::Inline(_) => None,
        });
        let all = tls.chain(dkim).chain(&config.delivery.tls_ca_file);
        Files(all.map(|path| (path.clone(), content(path))).collect())
    }

    /// Paths of those that were named before as well, and have another content.
    fn changed_since(&self, before: &Files) -> Vec<String> {
        let differs = |(path, content): &(&PathBuf, &Option<Vec<u8>>)| {
            before.0.get(*path).is_some_and(|before| before != *content)
        };
        let changed = self.0.iter().filter(differs);
        changed
            .map(|(path, _)| path.display().to_string())
            .collect()
    }
}

/// A digest of it, so that no key is held here.
fn content(path: &Path) -> Option<Vec<u8>> {
    let mut octets = Vec::new();
    let file = std::fs::File::open(path).ok()?;
    file.take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut octets)
        .ok()?;
    let fits = u64::try_from(octets.len()).is_ok_and(|len| len <= FILE_BYTES_MAX);
    fits.then(|| digest(&SHA256, &octets).as_ref().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_counts_as_changed_by_its_content_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca.pem");
        let shown = path.display().to_string();
        let config = |file: Option<&str>| {
            let file = file.map(|file| ("SMTP_TLS_CA_FILE", file));
            Config::load(&Sources::of(file)).unwrap().config
        };
        std::fs::write(&path, "one").unwrap();
        let one = Files::of(&config(Some(&shown)));
        std::fs::write(&path, "one").unwrap();
        assert!(
            Files::of(&config(Some(&shown)))
                .changed_since(&one)
                .is_empty()
        );
        std::fs::write(&path, "two").unwrap();
        let two = Files::of(&config(Some(&shown)));
        assert_eq!(two.changed_since(&one), [shown]);
        // That another file is named is told by the variable.
        assert!(two.changed_since(&Files::of(&config(None))).is_empty());
    }
}
