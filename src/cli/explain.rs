//! `gopherpost explain`: why mail is where it is and where it would go, on one screen.

use std::io::{self, Write};

use clap::Args;

use crate::admin::api::QueueEntry;
use crate::admin::{ExplainedHost, ExplainedRecipient, ExplainedWay, Explanation};
use crate::config::Sources;
use crate::http::EXPLAIN;
use crate::observe::Shown;

use super::ask::{Whom, ask};
use super::ending::{CommandError, Outcome};
use super::screen::{Screen, output};

#[derive(Args)]
#[command(after_help = "\
Examples:
  gopherpost explain ann@example.org
  gopherpost explain 01KBKZ4X2Q7V8N3M5T6R9WYEAF

Exit status 3: there is no such message.")]
pub(super) struct Explain {
    /// An address, a domain or a queue id
    subject: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Does it.
pub(super) fn run(asked: &Explain, sources: &Sources) -> Outcome {
    let of: String = form_urlencoded::byte_serialize(asked.subject.as_bytes()).collect();
    let path = format!("{EXPLAIN}?of={of}");
    ask(sources, Whom::Anyone, async |asker| {
        let json = asker.lines(&path).await?.text().await?;
        let mut out = output();
        if asked.json {
            Screen::of_output().json_line(&mut out, json.trim_end())?;
        } else {
            let explanation = serde_json::from_str(&json).map_err(CommandError::failed)?;
            let mut text = Vec::new();
            print(&explanation, &mut text)?;
            for line in String::from_utf8_lossy(&text).lines() {
                writeln!(out, "{}", Shown(line))?;
            }
        }
        out.flush()?;
        Ok(())
    })
}

/// Prints it for people.
///
/// # Errors
/// `out` can't be written to.
fn print(explanation: &Explanation, out: &mut impl Write) -> io::Result<()> {
    let Explanation {
        asked,
        message,
        ways,
        recipients,
        left_out,
    } = explanation;
    writeln!(out, "{asked}")?;
    if let Some(message) = message {
        writeln!(
            out,
            "  from <{}>, {} octets, taken {} from {}",
            message.from, message.size, message.arrived, message.client
        )?;
    }
    for way in ways {
        print_way(way, out)?;
    }
    if recipients.is_empty() {
        writeln!(out, "\nnothing of it waits")?;
    }
    for rcpt in recipients {
        print_recipient(rcpt, out)?;
    }
    if let Some(left_out) = left_out {
        writeln!(out, "\nnot shown: {left_out}")?;
    }
    out.flush()
}

fn print_way(way: &ExplainedWay, out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "\nmail for {} waits in the line {}",
        way.domain, way.destination
    )?;
    writeln!(out, "  route      {}  ({})", way.route, way.route_rule)?;
    writeln!(out, "  TLS        {}  ({})", way.tls, way.tls_rule)?;
    if let Some(suspended) = &way.suspended {
        writeln!(out, "  suspended  {suspended}")?;
    }
    for host in &way.hosts {
        writeln!(out, "  host       {}", host_line(host))?;
    }
    if let Some(settled) = &way.settled {
        writeln!(out, "  outcome    {settled}")?;
    }
    Ok(())
}

fn host_line(host: &ExplainedHost) -> String {
    let preference = host.preference.map(|preference| format!("{preference} "));
    let reach = match &host.trouble {
        Some(trouble) => trouble.clone(),
        None => host.addresses.join(" "),
    };
    format!("{}{}  {reach}", preference.unwrap_or_default(), host.host)
}

fn print_recipient(rcpt: &ExplainedRecipient, out: &mut impl Write) -> io::Result<()> {
    let ExplainedRecipient { entry, why } = rcpt;
    let QueueEntry {
        id,
        from,
        to,
        state,
        attempts,
        next_attempt,
        last_attempt,
        remote,
        ..
    } = entry;
    writeln!(out, "\n{to}  {state}, {id} from <{from}>")?;
    writeln!(out, "  why        {why}")?;
    if let Some(last) = last_attempt {
        let remote = remote.as_deref().map(|remote| format!(" at {remote}"));
        let tries = if *attempts == 1 {
            "attempt"
        } else {
            "attempts"
        };
        let remote = remote.unwrap_or_default();
        writeln!(out, "  last       {last}{remote}, {attempts} {tries}")?;
    }
    if let Some(next) = next_attempt {
        writeln!(out, "  next       {next}")?;
    }
    Ok(())
}
