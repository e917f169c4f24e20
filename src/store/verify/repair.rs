//! Putting aside what is damaged: first a copy, durable, then the change of the store.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::mail::QueueId;
use crate::observe::QueueEvent;
use crate::store::body_files::BodyFiles;
use crate::store::committer::Work;
use crate::store::engine::Engine;
use crate::store::mend::Mend;
use crate::store::quarantine::{Quarantine, body_name, record_name};
use crate::store::record::Place;
use crate::store::{Store, VerifyError, read};

use super::Damage;
use super::check::Finding;

impl Store {
    /// Puts aside what was found. If it is no more as it was found, nothing is changed.
    pub(super) async fn repair(&self, finding: Finding) -> Result<Damage, VerifyError> {
        let Finding {
            mut damage,
            mut mend,
        } = finding;
        let aside = Aside {
            engine: self.0.engine.clone(),
            files: self.0.files.clone(),
            quarantine: self.0.quarantine.clone(),
        };
        let copied = tokio::task::spawn_blocking(move || {
            let kept = aside.copy(&mend);
            if let (Mend::Body { kept: name, .. }, Ok(Some(path))) = (&mut mend, &kept) {
                let file = path.file_name().map(|name| name.to_string_lossy().into());
                *name = file;
            }
            kept.map(|kept| (kept, mend))
        });
        let copied = copied.await.map_err(|_| closed())?;
        let (kept, mend) = copied.map_err(|error| VerifyError::Repair(error.to_string()))?;
        let work = |done| Work::Mend(Box::new(mend), done);
        let mended = self.ask(work).await;
        let mended = mended.map_err(|error| VerifyError::Repair(error.to_string()))?;
        if let Some(file) = mended.file {
            let files = self.0.files.clone();
            let remove = tokio::task::spawn_blocking(move || files.remove(&file));
            // what stays is an orphan, which a start after a crash removes
            drop(remove.await);
        }
        if mended.made
            && let Some(path) = &kept
        {
            self.0.events.emit(QueueEvent::Quarantined {
                id: damage.id,
                what: &format!(
                    "{}: {}, put aside as {}",
                    damage.what.as_str(),
                    damage.error,
                    path.display()
                ),
            });
        }
        damage.quarantined = kept.filter(|_| mended.made);
        Ok(damage)
    }
}

fn closed() -> VerifyError {
    VerifyError::Repair("the process is stopping".into())
}

/// What is needed to copy something into quarantine.
struct Aside {
    engine: Arc<Engine>,
    files: Arc<BodyFiles>,
    quarantine: Quarantine,
}

impl Aside {
    /// Where the copy is; `None`: there is nothing to copy. Blocks.
    fn copy(&self, mend: &Mend) -> io::Result<Option<PathBuf>> {
        match mend {
            Mend::Record { tree, key, was } if *tree == "bodies" && key.len() == 16 => {
                let name = match crate::store::key::parse_message(key) {
                    Some(id) => body_name(id),
                    None => record_name(tree, key),
                };
                self.quarantine.keep(&name, was).map(Some)
            }
            Mend::Record { tree, key, was } => {
                let name = record_name(tree, key);
                self.quarantine.keep(&name, was).map(Some)
            }
            Mend::Message { key, was } => self.message(key, was).map(Some),
            Mend::Body { id, .. } => self.body(*id),
            Mend::Count(_) | Mend::Place(_) => Ok(None),
        }
    }

    /// With a message's record go its recipients and its octets.
    fn message(&self, key: &[u8], was: &[u8]) -> io::Result<PathBuf> {
        let trees = self.engine.trees().map_err(io::Error::other)?;
        let failed = |error: sled::Error| io::Error::other(error.to_string());
        let kept = self.quarantine.keep(&record_name("messages", key), was)?;
        for entry in trees.recipients.scan_prefix(key) {
            let (key, sealed) = entry.map_err(failed)?;
            self.quarantine
                .keep(&record_name("recipients", &key), &sealed)?;
        }
        let Some(id) = crate::store::key::parse_message(key) else {
            return Ok(kept);
        };
        if let Some(octets) = trees.bodies.get(key).map_err(failed)? {
            self.quarantine.keep(&body_name(id), &octets)?;
        }
        for file in self.files.of_message(id)? {
            self.quarantine
                .keep_file(&body_name(id), &self.files.path(&file))?;
        }
        Ok(kept)
    }

    fn body(&self, id: QueueId) -> io::Result<Option<PathBuf>> {
        let trees = self.engine.trees().map_err(io::Error::other)?;
        let Ok(Some(stored)) = read::message(&trees, id) else {
            return Ok(None); // gone meanwhile
        };
        match stored.place {
            Place::Inline => {
                let octets = trees.bodies.get(id.to_bytes());
                let octets = octets.map_err(|error| io::Error::other(error.to_string()))?;
                let keep = |octets: sled::IVec| self.quarantine.keep(&body_name(id), &octets);
                octets.map(keep).transpose()
            }
            Place::File(name) => {
                let path = self.files.path(&name);
                match self.quarantine.keep_file(&body_name(id), &path) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                    kept => kept.map(Some),
                }
            }
            Place::PutAside(_) => Ok(None),
        }
    }
}
