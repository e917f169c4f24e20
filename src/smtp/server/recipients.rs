//! The recipients of one transaction, each once (RFC 5321 4.1.1.3 lets us see that two are one).

use std::collections::BTreeSet;

use crate::mail::{Address, AddressDomain};

/// So few are compared one by one, which needs no memory.
const COMPARED_MAX: usize = 16;

/// Addresses in the order they came, without repetitions.
#[derive(Debug, Default)]
pub(super) struct Recipients {
    list: Vec<Address>,
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
    /// Adds `address` if it is a new one and there are fewer than `max`.
    pub(super) fn add(&mut self, address: Address, max: usize) -> Added {
        if self.holds(&address) {
            return Added::Yes;
        }
        if self.list.len() >= max {
            return Added::Full;
        }
        self.list.push(address);
        if self.list.len() > COMPARED_MAX {
            let unseen = if self.seen.is_empty() {
                0
            } else {
                self.list.len() - 1
            };
            self.seen.extend(self.list[unseen..].iter().map(key));
        }
        Added::Yes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(super) fn into_list(self) -> Vec<Address> {
        self.list
    }

    fn holds(&self, address: &Address) -> bool {
        if self.seen.is_empty() {
            self.list.iter().any(|held| held.same_mailbox(address))
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
    use crate::mail::Spelling;

    fn address(text: &str) -> Address {
        Address::parse(text.as_bytes(), Spelling::Ascii).unwrap()
    }

    #[test]
    fn each_is_held_once_however_many_there_are() {
        // W-3.14, W-3.15
        let mut recipients = Recipients::default();
        for n in 0..100 {
            let added = recipients.add(address(&format!("u{n}@dest.test")), 100);
            assert_eq!(added, Added::Yes);
            let again = recipients.add(address(&format!("u{n}@DEST.test")), 100);
            assert_eq!(again, Added::Yes);
        }
        let full = recipients.add(address("U1@dest.test"), 100);
        assert_eq!(full, Added::Full);
        let list = recipients.into_list();
        assert_eq!(list.len(), 100);
        assert_eq!(list[99].to_string(), "u99@dest.test");
    }
}
