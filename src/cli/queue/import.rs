//! `gopherpost queue import`: messages that were exported, taken in again.
//!
//! While a message is on its way, its file is `X.eml.importing`; once it is in the queue, `X.eml.imported`.
//! So a repeated import takes nothing twice, not even what a crash interrupted.

use std::fs::File;
use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};

use axum::body::{Body, Bytes};
use clap::Args;
use futures_util::stream;
use hyper::Method;
use serde::Serialize;

use crate::admin::api::{ExportedEnvelope, Imported};
use crate::cli::ask::{Asker, Content};
use crate::cli::ending::{CommandError, Outcome, say};
use crate::cli::screen::{Screen, of, output};
use crate::observe::Shown;

use super::pair::{Pair, directory_of, sync_directory};

/// Octets that are read of a file at a time.
const PIECE_BYTES: usize = 64 * 1024;
/// Longest envelope that is read, in bytes.
const ENVELOPE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// How deep directories are looked into: a day below what `--to-dir` names.
const DEPTH_MAX: usize = 2;

const MESSAGE: &str = "eml";
const IMPORTING: &str = "eml.importing";
const IMPORTED: &str = "eml.imported";

#[derive(Args)]
#[command(after_help = "\
Takes what `queue export --to-dir` wrote: each X.eml with its envelope X.json beside it. Recipients that
were over then are left out. What is in the queue is renamed to X.eml.imported, so that the same command
again takes only the rest. A message whose fate is not known, because the answer was lost, stays behind as
X.eml.importing: look for it with `queue history`, and rename it to X.eml if it is not there.

Examples:
  gopherpost queue import /var/backups/mail
  gopherpost queue import mail/2026-11-25/01KBKZ4X2Q7V8N3M5T6R9WYEAF-5f0c6e3ab01d9a77.eml

Exit status 1: something was not taken; 3: there is nothing to take.")]
pub(in crate::cli) struct Import {
    /// Directories, and files that end in .eml
    #[arg(required = true, value_name = "DIR|FILE.eml")]
    paths: Vec<PathBuf>,
    /// Print JSON Lines, one message a line
    #[arg(long)]
    json: bool,
}

/// A line of `queue import --json`.
#[derive(Serialize)]
struct ImportedFile<'a> {
    file: &'a Path,
    #[serde(flatten)]
    imported: Option<Imported>,
    /// Why it was not taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

pub(super) async fn import(asked: &Import, asker: &Asker) -> Outcome {
    let mut told = Told {
        json: asked.json,
        screen: Screen::of_output(),
        out: output(),
        taken: 0,
        failed: 0,
    };
    let mut places: Vec<(PathBuf, usize)> = asked.paths.iter().map(|p| (p.clone(), 0)).collect();
    places.reverse();
    while let Some((place, depth)) = places.pop() {
        if !place.is_dir() {
            let result = one(&place, asker).await;
            told.tell(&place, result)?;
            continue;
        }
        let found = match messages_in(&place) {
            Ok(found) => found,
            Err(error) => {
                told.tell(&place, Err(CommandError::failed(error)))?;
                continue;
            }
        };
        for uncertain in found.uncertain {
            let error = "an import of it was cut off: it may be in the queue, see --help";
            told.tell(&uncertain, Err(CommandError::Failed(error.to_owned())))?;
        }
        for message in found.messages {
            let result = one(&message, asker).await;
            told.tell(&message, result)?;
        }
        if depth + 1 < DEPTH_MAX {
            let below = found.directories.into_iter().rev();
            places.extend(below.map(|directory| (directory, depth + 1)));
        }
    }
    told.end()
}

/// What a directory has, in the order of names.
#[derive(Default)]
struct Found {
    messages: Vec<PathBuf>,
    uncertain: Vec<PathBuf>,
    directories: Vec<PathBuf>,
}

fn messages_in(directory: &Path) -> io::Result<Found> {
    let mut found = Found::default();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        if path.is_dir() {
            found.directories.push(path);
        } else if name.starts_with('.') {
            // an export is writing it
        } else if name.ends_with(&format!(".{MESSAGE}")) {
            found.messages.push(path);
        } else if name.ends_with(&format!(".{IMPORTING}")) {
            found.uncertain.push(path);
        }
    }
    found.messages.sort();
    found.uncertain.sort();
    found.directories.sort();
    Ok(found)
}

/// Takes one message in.
async fn one(message: &Path, asker: &Asker) -> Result<Imported, CommandError> {
    if message
        .extension()
        .is_none_or(|extension| extension != MESSAGE)
    {
        let error = "expected a directory, or a file that ends in .eml";
        return Err(CommandError::Failed(error.to_owned()));
    }
    let pair = Pair::of_message(message.to_owned());
    let mut first = envelope_line(&pair.envelope)?;
    first.push(b'\n');
    let file = File::open(message).map_err(CommandError::failed)?;
    let on_its_way = renamed(message, message.with_extension(IMPORTING))?;
    let body = Content::Stream(octets(first, file));
    let answer = asker.send(Method::POST, "/api/v1/import", body).await;
    let imported: Result<Imported, CommandError> = match answer {
        Ok(answer) => match answer.json().await {
            // It was taken, whatever was said.
            Err(CommandError::Failed(error)) => Err(CommandError::Lost(error)),
            imported => imported,
        },
        Err(error) => Err(error),
    };
    match imported {
        Ok(imported) => {
            renamed(&on_its_way, message.with_extension(IMPORTED))?;
            Ok(imported)
        }
        Err(CommandError::Lost(error)) => Err(CommandError::Lost(format!(
            "{error}; it may be in the queue, see --help"
        ))),
        Err(error) => {
            renamed(&on_its_way, message.to_owned())?;
            Err(error)
        }
    }
}

fn envelope_line(path: &Path) -> Result<Vec<u8>, CommandError> {
    let failed = |error: &dyn std::fmt::Display| {
        CommandError::Failed(format!("its envelope {}: {error}", path.display()))
    };
    let mut json = Vec::new();
    let file = File::open(path).map_err(|error| failed(&error))?;
    let read = file.take(ENVELOPE_BYTES_MAX).read_to_end(&mut json);
    read.map_err(|error| failed(&error))?;
    let envelope: ExportedEnvelope =
        serde_json::from_slice(&json).map_err(|error| failed(&error))?;
    serde_json::to_vec(&envelope).map_err(|error| failed(&error))
}

/// The first line, and then what is in the file.
fn octets(first: Vec<u8>, file: File) -> Body {
    let first = Bytes::from(first);
    Body::from_stream(stream::unfold(
        (Some(first), file),
        |(first, mut file)| async {
            if let Some(first) = first {
                return Some((Ok(first), (None, file)));
            }
            let mut piece = vec![0; PIECE_BYTES];
            match file.read(&mut piece) {
                Ok(0) => None,
                Ok(count) => {
                    piece.truncate(count);
                    Some((Ok(Bytes::from(piece)), (None, file)))
                }
                Err(error) => Some((Err(error), (None, file))),
            }
        },
    ))
}

/// Renames durably, and gives the new name.
fn renamed(from: &Path, to: PathBuf) -> Result<PathBuf, CommandError> {
    std::fs::rename(from, &to)
        .and_then(|()| sync_directory(directory_of(&to)))
        .map_err(|error| {
            CommandError::Failed(format!("renaming it to {}: {error}", to.display()))
        })?;
    Ok(to)
}

/// What is said of each file, and in the end.
struct Told<W> {
    json: bool,
    screen: Screen,
    out: W,
    taken: u64,
    failed: u64,
}

impl<W: Write> Told<W> {
    fn tell(&mut self, file: &Path, result: Result<Imported, CommandError>) -> io::Result<()> {
        match &result {
            Ok(_) => self.taken += 1,
            Err(_) => self.failed += 1,
        }
        if self.json {
            let (imported, error) = match result {
                Ok(imported) => (Some(imported), None),
                Err(error) => (None, Some(error.to_string())),
            };
            let line = ImportedFile {
                file,
                imported,
                error,
            };
            return self
                .screen
                .json_line(&mut self.out, &serde_json::to_string(&line)?);
        }
        let file = file.display().to_string();
        match result {
            Ok(Imported { id, recipients }) => writeln!(
                self.out,
                "{}: {id}, {}",
                Shown(file),
                of(recipients, "recipient")
            ),
            Err(error) => {
                self.out.flush()?;
                say(&format!("{file}: {error}"));
                Ok(())
            }
        }
    }

    fn end(mut self) -> Outcome {
        if !self.json && self.taken > 0 {
            writeln!(self.out, "{} taken in", of(self.taken, "message"))?;
        }
        self.out.flush()?;
        match (self.taken, self.failed) {
            (0, 0) => Err(CommandError::NotFound(
                "no file that ends in .eml is there".to_owned(),
            )),
            (_, 0) => Ok(()),
            (_, failed) => Err(CommandError::Failed(format!("{failed} not taken"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_messages_and_such_whose_fate_is_not_known() {
        let directory = tempfile::tempdir().unwrap();
        for name in [
            "b.eml",
            "a.eml",
            ".c.eml.1.tmp",
            "d.eml.imported",
            "e.eml.importing",
            "a.json",
        ] {
            std::fs::write(directory.path().join(name), "").unwrap();
        }
        std::fs::create_dir(directory.path().join("2026-11-25")).unwrap();
        let found = messages_in(directory.path()).unwrap();
        let names = |paths: &[PathBuf]| -> Vec<String> {
            let names = paths.iter().filter_map(|path| path.file_name());
            names
                .map(|name| name.to_string_lossy().into_owned())
                .collect()
        };
        assert_eq!(names(&found.messages), ["a.eml", "b.eml"]);
        assert_eq!(names(&found.uncertain), ["e.eml.importing"]);
        assert_eq!(names(&found.directories), ["2026-11-25"]);
        assert_eq!(
            Path::new("x/a.eml").with_extension(IMPORTED),
            Path::new("x/a.eml.imported")
        );
    }
}
