//! `gopherpost dkim check`: whether verifiers find the public halves of our keys.

use std::io::{self, Write};

use clap::Args;
use serde_json::json;

use crate::config::{Config, DkimKeyConfig};
use crate::inbound::{SigningKey, load_dkim_key};
use crate::mail::Domain;
use crate::message::dkim::KeyRecord;
use crate::outbound::{Dns, Found};

use super::zone_line;

#[derive(Args)]
pub(crate) struct Check {
    /// Only the keys of this domain.
    domain: Option<String>,
    /// Print one line of JSON for each key.
    #[arg(long)]
    json: bool,
}

/// Why nothing could be compared.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CheckError {
    #[error("{0:?} is no domain name")]
    Domain(String),
    #[error(transparent)]
    Dns(#[from] crate::outbound::DnsSetupError),
    #[error("the system refused threads: {0}")]
    Runtime(io::Error),
    #[error("standard output: {0}")]
    Output(#[from] io::Error),
}

/// What was found out about one key.
struct Finding {
    result: Outcome,
    /// Everything that is worth saying, each a clause.
    notes: Vec<String>,
    /// The key, if it could be read.
    key: Option<SigningKey>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Good,
    /// The private key can't be used.
    BadKey,
    /// Nothing is published.
    Missing,
    /// What is published does not fit.
    Wrong,
    /// DNS gave no answer.
    Unknown,
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Outcome::Good => "ok",
            Outcome::BadKey => "bad_key",
            Outcome::Missing => "missing",
            Outcome::Wrong => "wrong",
            Outcome::Unknown => "unknown",
        }
    }
}

/// Compares, and tells of each key. Gives the exit status: 0 if all is well, 1 if something is
/// not, 3 if there is no such key.
pub(crate) fn check(
    asked: &Check,
    config: &Config,
    out: &mut impl Write,
) -> Result<u8, CheckError> {
    let only = asked
        .domain
        .as_ref()
        .map(|text| Domain::parse(text).map_err(|_| CheckError::Domain(text.clone())));
    let only = only.transpose()?;
    let wanted = |key: &&DkimKeyConfig| only.as_ref().is_none_or(|only| key.domain == *only);
    let keys: Vec<&DkimKeyConfig> = config.dkim.iter().filter(wanted).collect();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(CheckError::Runtime)?;
    let all_good = runtime.block_on(async {
        let dns = Dns::new(&config.delivery)?;
        let mut all_good = true;
        for key in &keys {
            let finding = look(&dns, key).await;
            all_good &= finding.result == Outcome::Good;
            tell(key, &finding, asked.json, out)?;
        }
        out.flush()?;
        Ok::<bool, CheckError>(all_good)
    })?;
    Ok(match (keys.is_empty(), all_good) {
        (true, _) => 3,
        (false, true) => 0,
        (false, false) => 1,
    })
}

async fn look(dns: &Dns, config: &DkimKeyConfig) -> Finding {
    let without_key = |result, note| Finding {
        result,
        notes: vec![note],
        key: None,
    };
    let key = match load_dkim_key(&config.source) {
        Ok(key) => key,
        Err(why) => return without_key(Outcome::BadKey, format!("the private key: {why}")),
    };
    let Some(name) = record_name(config) else {
        let note = "the name of its record is too long".to_owned(); // stops a start
        return without_key(Outcome::Wrong, note);
    };
    let (result, notes) = compare(dns.texts(&name).await, &key);
    Finding {
        result,
        notes,
        key: Some(key),
    }
}

fn compare(found: Found<Vec<u8>>, key: &SigningKey) -> (Outcome, Vec<String>) {
    let texts = match found {
        Found::Records(texts) => texts,
        Found::NoData | Found::NxDomain => {
            return (Outcome::Missing, vec!["there is no such record".to_owned()]);
        }
        Found::Temporary(why) => return (Outcome::Unknown, vec![why.into()]),
    };
    let [text] = &texts[..] else {
        let notes = vec![format!(
            "there are {} records, and which one a verifier takes is not defined",
            texts.len()
        )];
        return (Outcome::Wrong, notes);
    };
    let record = match KeyRecord::parse(text) {
        Ok(record) => record,
        Err(fault) => return (Outcome::Wrong, vec![fault.to_string()]),
    };
    let faults = record.faults(key.algorithm(), &key.public_key());
    if !faults.is_empty() {
        return (
            Outcome::Wrong,
            faults.iter().map(ToString::to_string).collect(),
        );
    }
    let testing = "it says that the domain only tries (t=y), and verifiers may ignore signatures";
    let notes = record.is_testing().then(|| testing.to_owned());
    (Outcome::Good, notes.into_iter().collect())
}

fn record_name(key: &DkimKeyConfig) -> Option<Domain> {
    key.selector.record_name(&key.domain)
}

fn tell(
    config: &DkimKeyConfig,
    finding: &Finding,
    json: bool,
    out: &mut impl Write,
) -> io::Result<()> {
    let name = record_name(config);
    let shown = name.as_ref().map_or("", Domain::as_str);
    let Finding { result, notes, key } = finding;
    let algorithm = key.as_ref().map(|key| key.algorithm().as_str());
    let record = key.as_ref().map(SigningKey::record);
    if json {
        let line = json!({
            "domain": config.domain.as_str(),
            "selector": config.selector.as_str(),
            "algorithm": algorithm,
            "name": shown,
            "result": result.as_str(),
            "notes": notes,
            "record": record,
        });
        return writeln!(out, "{line}");
    }
    let algorithm = algorithm.unwrap_or("no key");
    writeln!(out, "{shown} ({algorithm}): {}", result.as_str())?;
    for note in notes {
        writeln!(out, "  {note}")?;
    }
    if let (Outcome::Missing | Outcome::Wrong, Some(name), Some(record)) = (result, name, record) {
        writeln!(out, "  publish this: {}", zone_line(&name, &record))?;
    }
    Ok(())
}
