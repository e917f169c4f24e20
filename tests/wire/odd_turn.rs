//! Hosts that behave well but for one turn, each in a domain of its own, and what becomes of one
//! mail to all of them.

use crate::support::{Answer, Phase, Remote, Setup, World, mail};

/// One host and what its odd turn leads to.
#[derive(Debug)]
pub(super) struct OddTurn {
    /// First label of its domain; a failure shows it.
    pub(super) name: String,
    /// When it is odd, and in what way.
    pub(super) phase: Phase,
    pub(super) answer: Answer,
    /// What the history of the recipient there is.
    pub(super) becomes: &'static str,
}

/// A world where everything is attempted once, since the next attempt is hours away.
pub(super) fn one_attempt() -> Setup {
    World::setup()
        .set("SMTP_RETRY_BASE", "10h")
        .set("SMTP_RETRY_CAP", "10h")
}

/// A row of a table.
pub(super) fn odd(
    name: impl Into<String>,
    phase: Phase,
    answer: impl Into<Answer>,
    becomes: &'static str,
) -> OddTurn {
    OddTurn {
        name: name.into(),
        phase,
        answer: answer.into(),
        becomes,
    }
}

/// Starts the hosts, which do without PIPELINING so that each command gets its own reply, sends one
/// mail to all of them, and fails unless its recipients become what their rows say.
pub(super) async fn check(world: &World, turns: Vec<OddTurn>) -> Vec<(String, Remote)> {
    let mut hosts = Vec::new();
    let mut claims = Vec::new();
    for turn in turns {
        let plan = world.remote(&format!("{}.test", turn.name));
        let plan = plan.offers(["SIZE 10000000"]);
        hosts.push((turn.name, plan.answers(turn.phase, [turn.answer]).await));
        claims.push(turn.becomes);
    }
    let mailboxes: Vec<String> = hosts.iter().map(|(name, _)| mailbox_at(name)).collect();
    let sent = world.client().send(mail().recipients(&mailboxes)).await;
    let history = world.history(&sent.accepted());
    for (mailbox, claim) in mailboxes.iter().zip(claims) {
        history.shows_for(mailbox, [claim]).await;
    }
    hosts
}

/// The recipient in a row's domain.
pub(super) fn mailbox_at(name: &str) -> String {
    format!("ann@{name}.test")
}

/// The verbs of a host's first connection, in order.
pub(super) fn verbs(host: &Remote) -> Vec<String> {
    let connections = host.connections();
    let lines = connections[0].lines();
    let verb = |line: &&str| line.split(' ').next().unwrap_or_default().to_owned();
    lines.iter().map(verb).collect()
}

/// What a client says until this phase is answered.
pub(super) fn verbs_until(phase: Phase) -> Vec<&'static str> {
    let all = ["EHLO", "MAIL", "RCPT", "DATA"];
    let count = match phase {
        Phase::Greeting => 0,
        Phase::Ehlo => 1,
        Phase::Mail => 2,
        Phase::Rcpt => 3,
        Phase::Data | Phase::Dot => 4,
        other => panic!("{other:?} is no phase of every delivery"),
    };
    all[..count].to_vec()
}
