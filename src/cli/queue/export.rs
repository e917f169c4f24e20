//! `gopherpost queue export`: messages into files, octet for octet as they would be sent.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args};
use serde::Serialize;

use crate::admin::api::{ExportedEnvelope, QueueEntry};
use crate::cli::ask::{Asker, query_of, segment};
use crate::cli::ending::{CommandError, Outcome};
use crate::cli::filter::{Filtering, WAITING};
use crate::cli::screen::{Screen, of, output};
use crate::mail::QueueId;
use crate::observe::Shown;

use super::mailbox::Mailbox;
use super::pair::{NewFile, Pair};

#[derive(Args)]
#[command(group = ArgGroup::new("where").required(true))]
#[command(after_help = "\
A directory gets YYYY-MM-DD/ID-HASH.eml for each message and ID-HASH.json, its envelope, beside it, of
mode 0600; HASH is made from the recipients. What is there already stays as it is. A mailbox (mboxrd)
is for reading only. The queue stays as it is, too: hold the mail first, and purge it afterwards, to
move it. What is over is left out, unless --state, --id or --all asks for it.

Examples:
  gopherpost queue export --domain example.org --to-dir /var/backups/mail
  gopherpost queue export --id 01KBKZ4X2Q7V8N3M5T6R9WYEAF --mbox look.mbox

Exit status 3: nothing matches.")]
pub(in crate::cli) struct Export {
    /// Write each message to a file below this directory
    #[arg(long, value_name = "DIR", group = "where")]
    to_dir: Option<PathBuf>,
    /// Write all messages to this file, which must not be there
    #[arg(long, value_name = "FILE", group = "where")]
    mbox: Option<PathBuf>,
    /// Print JSON Lines, one message a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    filter: Filtering,
}

/// A line of `queue export --json`.
#[derive(Serialize)]
struct ExportedMessage<'a> {
    id: &'a str,
    /// Where the message is.
    file: &'a Path,
    /// Whether it was there before.
    kept: bool,
}

/// Where messages go.
enum To<'a> {
    Directory(&'a Path),
    Mailbox(Mailbox<BufWriter<NewFile>>),
}

impl Write for NewFile {
    fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
        self.file.write(octets)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

pub(super) async fn export(asked: &Export, asker: &Asker) -> Outcome {
    let mut to = match (&asked.to_dir, &asked.mbox) {
        (Some(directory), _) => To::Directory(directory),
        (None, Some(mailbox)) => To::Mailbox(new_mailbox(mailbox)?),
        (None, None) => {
            let error = "where to? give --to-dir or --mbox";
            return Err(CommandError::Usage(error.to_owned()));
        }
    };
    let mut filter = asked.filter.filter(&[]);
    if !filter.all && filter.id.is_none() && filter.state.is_none() {
        filter.state = Some(WAITING.to_owned());
    }
    let mut list = asker
        .lines(&format!("/api/v1/queue{}", query_of(&filter)?))
        .await?;
    let screen = Screen::of_output();
    let mut out = output();
    let (mut written, mut kept, mut gone) = (0, 0, 0);
    let mut last = String::new();
    while let Some((_, QueueEntry { id, .. })) = list.entry().await? {
        if id == last {
            continue; // the recipients of a message come together
        }
        last.clone_from(&id);
        let file = match one(&id, &mut to, asker).await {
            Ok(file) => file,
            // It was delivered and removed since it was listed.
            Err(CommandError::NotFound(_)) => {
                gone += 1;
                continue;
            }
            Err(error) => return Err(error),
        };
        let was_there = matches!(file, Written::WasThere(_));
        match was_there {
            true => kept += 1,
            false => written += 1,
        }
        let (Written::Now(path) | Written::WasThere(path)) = &file;
        let path = path.as_deref().or(asked.mbox.as_deref());
        if let (true, Some(file)) = (asked.json, path) {
            let line = ExportedMessage {
                id: &id,
                file,
                kept: was_there,
            };
            let line = serde_json::to_string(&line).map_err(CommandError::failed)?;
            screen.json_line(&mut out, &line)?;
        }
    }
    if written + kept + gone == 0 {
        return Err(CommandError::NotFound("nothing matches".to_owned()));
    }
    if let (To::Mailbox(mailbox), Some(path)) = (to, &asked.mbox) {
        finish(mailbox, path)?;
    }
    if !asked.json {
        let target = asked.to_dir.as_ref().or(asked.mbox.as_ref());
        let target = target.map(|path| path.display().to_string());
        let target = target.unwrap_or_default();
        writeln!(
            out,
            "{} written to {}",
            of(written, "message"),
            Shown(target)
        )?;
        if kept > 0 {
            writeln!(
                out,
                "{} there already, left as they are",
                of(kept, "message")
            )?;
        }
        if gone > 0 {
            writeln!(out, "{} gone meanwhile", of(gone, "message"))?;
        }
    }
    out.flush()?;
    Ok(())
}

/// What became of a message; in a directory, with the file it is in.
enum Written {
    Now(Option<PathBuf>),
    WasThere(Option<PathBuf>),
}

async fn one(id: &str, to: &mut To<'_>, asker: &Asker) -> Result<Written, CommandError> {
    let path = format!("/api/v1/queue/{}", segment(id));
    let envelope: ExportedEnvelope = asker.get(&format!("{path}/envelope")).await?;
    match to {
        To::Mailbox(mailbox) => {
            let mut octets = asker.lines(&format!("{path}/message")).await?;
            let failed = |error| CommandError::Failed(format!("the mailbox: {error}"));
            mailbox
                .begin(&envelope.from, &envelope.arrived)
                .map_err(failed)?;
            while let Some(piece) = octets.next_piece().await? {
                mailbox.octets(&piece).map_err(failed)?;
            }
            mailbox.end().map_err(failed)?;
            Ok(Written::Now(None))
        }
        To::Directory(root) => {
            let id: QueueId = id.parse().map_err(CommandError::failed)?;
            let pair = Pair::below(root, id, &envelope);
            match write_pair(&pair, &envelope, &path, asker).await? {
                true => Ok(Written::Now(Some(pair.message))),
                false => Ok(Written::WasThere(Some(pair.message))),
            }
        }
    }
}

/// Gives false if the message is there already. The envelope comes first, so that no message is ever
/// without one.
async fn write_pair(
    pair: &Pair,
    envelope: &ExportedEnvelope,
    path: &str,
    asker: &Asker,
) -> Result<bool, CommandError> {
    let failed = |error| at(&pair.message, error);
    if pair.message.try_exists().map_err(failed)? {
        return Ok(false);
    }
    let mut octets = asker.lines(&format!("{path}/message")).await?;
    write_envelope(&pair.envelope, envelope)?;
    let mut file = NewFile::create(&pair.message).map_err(failed)?;
    while let Some(piece) = octets.next_piece().await? {
        file.write_all(&piece).map_err(failed)?;
    }
    file.finish().map_err(failed)?;
    Ok(true)
}

/// One that is there without its message is left of an export that was cut off, and may be old.
fn write_envelope(path: &Path, envelope: &ExportedEnvelope) -> Outcome {
    let failed = |error| at(path, error);
    if path.try_exists().map_err(failed)? {
        std::fs::remove_file(path).map_err(failed)?;
    }
    let mut file = NewFile::create(path).map_err(failed)?;
    let mut json = serde_json::to_vec_pretty(envelope).map_err(CommandError::failed)?;
    json.push(b'\n');
    file.write_all(&json).map_err(failed)?;
    file.finish().map_err(failed)
}

fn new_mailbox(path: &Path) -> Result<Mailbox<BufWriter<NewFile>>, CommandError> {
    if path.try_exists().map_err(|error| at(path, error))? {
        return Err(at(path, std::io::ErrorKind::AlreadyExists.into()));
    }
    let file = NewFile::create(path).map_err(|error| at(path, error))?;
    Ok(Mailbox::new(BufWriter::new(file)))
}

fn finish(mailbox: Mailbox<BufWriter<NewFile>>, path: &Path) -> Outcome {
    let file = mailbox.into_inner().into_inner();
    let file = file.map_err(|error| at(path, error.into_error()))?;
    file.finish().map_err(|error| at(path, error))
}

fn at(path: &Path, error: std::io::Error) -> CommandError {
    CommandError::Failed(format!("{}: {error}", path.display()))
}
