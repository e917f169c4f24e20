//! `gopherpost explain`: why mail is where it is and where it would go, on one screen.

use std::io::{self, Write};

use crate::admin::{
    Admin, AdminError, ExplainedHost, ExplainedRecipient, ExplainedWay, Explanation,
};
use crate::config::Config;
use crate::http::EXPLAIN;
use crate::service::ask_offline;

use super::control::{AskError, CommandError, ask, become_owner_of};

/// Asks the running relay, or the queue itself if none runs.
pub(super) fn explain(config: &Config, subject: &str) -> Result<Explanation, CommandError> {
    let of: String = form_urlencoded::byte_serialize(subject.as_bytes()).collect();
    match ask(&config.control_socket, &format!("{EXPLAIN}?of={of}")) {
        Err(AskError::NobodyThere) => {}
        answered => return Ok(answered?),
    }
    let failed = |error: &dyn std::fmt::Display| CommandError::Failed(error.to_string());
    let queue = &config.queue.path;
    become_owner_of(queue).map_err(|error| failed(&format!("{}: {error}", queue.display())))?;
    let subject = subject.to_owned();
    let explain = |admin: Admin| async move { admin.explain(&subject).await };
    let answer = ask_offline(config, explain).map_err(|error| failed(&error))?;
    answer.map_err(|error| match error {
        AdminError::NotFound(what) => CommandError::NotFound(what),
        other => CommandError::Failed(other.to_string()),
    })
}

/// Prints it as one line of JSON.
///
/// # Errors
/// `out` can't be written to.
pub(super) fn print_json(explanation: &Explanation, out: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer(&mut *out, explanation)?;
    writeln!(out)?;
    out.flush()
}

/// Prints it for people.
///
/// # Errors
/// `out` can't be written to.
pub(super) fn print(explanation: &Explanation, out: &mut impl Write) -> io::Result<()> {
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
    let ExplainedRecipient {
        id,
        from,
        to,
        state,
        attempts,
        next_attempt,
        last_attempt,
        remote,
        why,
        ..
    } = rcpt;
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
