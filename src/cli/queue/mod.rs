//! `gopherpost queue`: mail in the queue, looked at and moved by hand.

mod entries;
mod export;
mod history;
mod import;
mod list;
mod mailbox;
mod order;
mod pair;
mod show;
mod stats;
mod verify;
mod watch;

use clap::Subcommand;

use crate::config::Sources;

use super::ask::{Whom, ask};
use super::ending::{CommandError, Outcome};

#[derive(Subcommand)]
pub(super) enum QueueCommand {
    /// List recipients, the oldest message first
    List(list::List),
    /// Show a message: envelope, recipients, what was tried, header
    Show(show::Show),
    /// Attempt recipients now
    Retry(order::PacedOrdering),
    /// Attempt recipients no more until they are released
    Hold(order::Ordering),
    /// Put held recipients back in line
    Release(order::PacedOrdering),
    /// Take recipients out of the queue; restore brings them back for a while (SMTP_UNDO_WINDOW)
    Purge(order::Ordering),
    /// Bring purged recipients back
    Restore(order::Ordering),
    /// Give recipients up, and tell their senders
    Bounce(order::Ordering),
    /// Show how much waits for which destination, and for how long
    Stats(stats::StatsOf),
    /// Show what became of mail, also after its end
    History(history::HistoryOf),
    /// Write messages to files
    Export(export::Export),
    /// Take in messages that were exported
    Import(import::Import),
    /// Read all that is stored, and name what is damaged
    Verify(verify::Verify),
    /// Show what happens, as it happens
    Watch(watch::Watch),
}

/// Does it.
pub(super) fn run(command: &QueueCommand, sources: &Sources) -> Outcome {
    use order::Action;
    let anyone = Whom::Anyone;
    match command {
        QueueCommand::List(asked) => ask(sources, anyone, async |asker| {
            list::list(asked, asker).await
        }),
        QueueCommand::Show(asked) => ask(sources, anyone, async |asker| {
            show::show(asked, asker).await
        }),
        QueueCommand::Retry(asked) => paced(Action::Retry, asked, sources),
        QueueCommand::Hold(asked) => ordered(Action::Hold, asked, sources),
        QueueCommand::Release(asked) => paced(Action::Release, asked, sources),
        QueueCommand::Purge(asked) => ordered(Action::Purge, asked, sources),
        QueueCommand::Restore(asked) => ordered(Action::Restore, asked, sources),
        QueueCommand::Bounce(asked) => ordered(Action::Bounce, asked, sources),
        QueueCommand::Stats(asked) => ask(sources, anyone, async |asker| {
            stats::stats(asked, asker).await
        }),
        QueueCommand::History(asked) => {
            asked.says_whose()?;
            ask(sources, anyone, async |asker| {
                history::history(asked, asker).await
            })
        }
        QueueCommand::Export(asked) => ask(sources, anyone, async |asker| {
            export::export(asked, asker).await
        }),
        QueueCommand::Import(asked) => ask(sources, anyone, async |asker| {
            import::import(asked, asker).await
        }),
        QueueCommand::Verify(asked) => ask(sources, anyone, async |asker| {
            verify::verify(asked, asker).await
        }),
        QueueCommand::Watch(asked) => {
            let whom = Whom::RelayOnly("watch");
            ask(sources, whom, async |asker| {
                watch::watch(asked, asker).await
            })
        }
    }
}

fn ordered(action: order::Action, asked: &order::Ordering, sources: &Sources) -> Outcome {
    let order = asked.order(None)?;
    ask(sources, Whom::Anyone, async |asker| {
        order::carry_out(action, order, asked, asker).await
    })
}

fn paced(action: order::Action, asked: &order::PacedOrdering, sources: &Sources) -> Outcome {
    let order = asked.ordering.order(asked.rate.clone())?;
    ask(sources, Whom::Anyone, async |asker| {
        order::carry_out(action, order, &asked.ordering, asker).await
    })
}

/// What a stream of lines lacks that ends without its last one.
fn cut_off() -> CommandError {
    CommandError::Failed("the answer broke off before its end: has the relay stopped?".to_owned())
}
