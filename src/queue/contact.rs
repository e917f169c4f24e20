//! How far an attempt has come, told while it is under way.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::sync::mpsc;

const NONE: u8 = 0;
const TAKING: u8 = 1;
const ANSWERED: u8 = 2;

/// What the hosts of an attempt have shown of themselves. The way out tells; the dispatcher looks.
/// Cheap to clone; clones are of the same attempt.
#[derive(Clone, Debug, Default)]
pub struct Contact(Arc<Told>);

#[derive(Debug, Default)]
struct Told {
    come_to: AtomicU8,
    hear: Option<(mpsc::Sender<u64>, u64)>,
}

impl Contact {
    /// The same that tells `who` by number, once, that a host takes the message. If there is no
    /// room, it goes untold: the end of the attempt says the same.
    pub(super) fn telling(who: mpsc::Sender<u64>, no: u64) -> Contact {
        Contact(Arc::new(Told {
            come_to: AtomicU8::new(NONE),
            hear: Some((who, no)),
        }))
    }

    /// A host takes the message: its octets begin to leave. From here on the attempt is not put off
    /// for the sake of others.
    pub fn taking(&self) {
        if self.0.come_to.fetch_max(TAKING, Ordering::Relaxed) == NONE
            && let Some((hear, no)) = &self.0.hear
        {
            let _ = hear.try_send(*no);
        }
    }

    /// A host has said what becomes of somebody, whatever it was.
    pub fn answered(&self) {
        self.0.come_to.fetch_max(ANSWERED, Ordering::Relaxed);
    }

    /// Whether it has come so far that it is not put off any more.
    pub(super) fn is_made(&self) -> bool {
        self.0.come_to.load(Ordering::Relaxed) != NONE
    }

    /// Whether somebody was answered.
    pub(super) fn is_answered(&self) -> bool {
        self.0.come_to.load(Ordering::Relaxed) == ANSWERED
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_is_told_once_that_a_host_takes_the_message() {
        let (tell, mut told) = mpsc::channel(4);
        let contact = Contact::telling(tell, 7);
        assert!(!contact.is_made());
        contact.taking();
        contact.clone().taking();
        assert!(contact.is_made() && !contact.is_answered());
        contact.answered();
        contact.taking();
        assert!(contact.is_answered());
        drop(contact);
        assert_eq!((told.recv().await, told.recv().await), (Some(7), None));
    }
}
