//! The recipients of one transaction, each once (RFC 5321 4.1.1.3 lets us see that two are one).

use std::collections::BTreeSet;

use crate::mail::{Address, AddressDomain, DsnRecipient};

/// So few are compared one by one, which needs no memory.
const COMPARED_MAX: usize = 16;

/// What one RCPT named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Whom.
    pub address: Address,
    /// What the client asked to be told about it.
    pub dsn: DsnRecipient,
}

/// Recipients in the order they came, without repetitions. Of a repetition nothing is kept: what the
/// first RCPT asked for holds.
#[derive(Debug, Default)]
pub(super) struct Recipients {
    list: Vec<Named>,
    /// What the list holds, once it is longer than [`COMPARED_MAX`].
    seen: BTreeSet<(Box<str>, AddressDomain)>,
}

/// What became of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Added {
    /// It is among the recipients, by now or before.
    Yes,
    /// There are as many as there may be.
    Full,
}

impl Recipients {
    /// Adds `named` if its address is a new one and there are fewer than `max`.
    pub(super) fn add(&mut self, named: Named, max: usize) -> Added {
        if self.holds(&named.address) {
            return Added::Yes;
        }
        if self.list.len() >= max {
            return Added::Full;
        }
        self.list.push(named);
        if self.list.len() > COMPARED_MAX {
            let unseen = if self.seen.is_empty() {
                0
            } else {
                self.list.len() - 1
            };
            self.seen
                .extend(self.list[unseen..].iter().map(|named| key(&named.address)));
        }
        Added::Yes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    pub(super) fn into_list(self) -> Vec<Named> {
        self.list
    }

    fn holds(&self, address: &Address) -> bool {
        if self.seen.is_empty() {
            self.list
                .iter()
                .any(|held| held.address.same_mailbox(address))
        } else {
            self.seen.contains(&key(address))
        }
    }
}

/// Equal where [`Address::same_mailbox`] says so.
fn key(address: &Address) -> (Box<str>, AddressDomain) {
    (address.local_part().into(), address.domain().clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{Notify, Spelling};

    fn named(text: &str, notify: Option<Notify>) -> Named {
        Named {
            address: Address::parse(text.as_bytes(), Spelling::Ascii).unwrap(),
            dsn: DsnRecipient {
                notify,
                original: None,
            },
        }
    }

    #[test]
    fn each_is_held_once_however_many_there_are() {
        // W-3.14, W-3.15
        let mut recipients = Recipients::default();
        for n in 0..100 {
            let added = recipients.add(named(&format!("u{n}@dest.test"), None), 100);
            assert_eq!(added, Added::Yes);
            let again = recipients.add(named(&format!("u{n}@DEST.test"), Some(Notify::Never)), 100);
            assert_eq!(again, Added::Yes);
        }
        let full = recipients.add(named("U1@dest.test", None), 100);
        assert_eq!(full, Added::Full);
        let list = recipients.into_list();
        assert_eq!(list.len(), 100);
        assert_eq!(list[99].address.to_string(), "u99@dest.test");
        assert!(list.iter().all(|named| named.dsn.notify.is_none()));
    }
}
