//! A thread of low priority for work on the whole queue that somebody waits for but no mail does: lists,
//! statistics, verification. On an idle machine it is as fast as any other thread, on a busy one mail
//! goes first.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tokio::sync::{mpsc, oneshot};

use crate::observe::{Events, ProcessEvent};

/// What is added to the niceness of the process: a tenth of the share of an ordinary thread.
const NICENESS: i32 = 10;
/// Pieces of work that may wait; who brings more waits himself.
const WAITING_MAX: usize = 64;

type Job = Box<dyn FnOnce() + Send>;

/// See the module. The thread ends with this.
pub(super) struct Background(mpsc::Sender<Job>);

/// The work panicked.
#[derive(Debug)]
pub(super) struct Panicked;

impl Background {
    /// Starts the thread.
    pub(super) fn start(events: &Events) -> io::Result<Background> {
        let (jobs, mut to_do) = mpsc::channel::<Job>(WAITING_MAX);
        let events = events.clone();
        let work = move || {
            if let Err(error) = lower_priority() {
                events.emit(ProcessEvent::Warning {
                    what: &format!("lists of the queue have the same priority as mail: {error}"),
                    todo: "nothing, unless mail slows down while somebody lists the queue",
                });
            }
            while let Some(job) = to_do.blocking_recv() {
                job();
            }
        };
        std::thread::Builder::new()
            .name("operator".into())
            .spawn(work)?;
        Ok(Background(jobs))
    }

    /// Does `work` on the thread.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Panicked> {
        let (done, answer) = oneshot::channel();
        // Nobody waits any more: then it need not be done.
        let job = move || {
            if !done.is_closed()
                && let Ok(value) = catch_unwind(AssertUnwindSafe(work))
            {
                let _ = done.send(value);
            }
        };
        self.0.send(Box::new(job)).await.map_err(|_| Panicked)?;
        answer.await.map_err(|_| Panicked)
    }
}

/// Of the calling thread; on Linux each has its own.
fn lower_priority() -> io::Result<()> {
    let own = Some(rustix::thread::gettid());
    let now = rustix::process::getpriority_process(own)?;
    Ok(rustix::process::setpriority_process(own, now + NICENESS)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_is_done_in_turn_and_a_panic_costs_only_its_own() {
        let background = Background::start(&Events::default()).unwrap();
        assert_eq!(background.run(|| 1).await.unwrap(), 1);
        assert!(
            background
                .run(|| -> u8 { panic!("as asked") })
                .await
                .is_err()
        );
        let niceness = background
            .run(|| rustix::process::getpriority_process(Some(rustix::thread::gettid())))
            .await;
        let ours = rustix::process::getpriority_process(None).unwrap();
        assert_eq!(niceness.unwrap().unwrap(), (ours + NICENESS).min(19));
    }
}
