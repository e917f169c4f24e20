//! Names of queued messages.

use std::fmt;

use super::time::UnixMillis;

/// Names one message for ever: a ULID, so ids sort by the time they were made. 16 bytes,
/// big-endian, in keys; 26 characters of Crockford's base 32 for people.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueId(u128);

/// Not a queue id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a queue id has 26 characters, such as 01ARZ3NDEKTSV4RRFFQ69G5FAV")]
pub struct QueueIdError;

impl QueueId {
    /// An id of the moment `at`, made unique by 80 random bits.
    #[must_use]
    pub fn new(at: UnixMillis, random: u128) -> QueueId {
        QueueId(ulid::Ulid::from_parts(at.0, random).0)
    }

    /// The least id of the moment `at`: everything made before sorts before it.
    #[must_use]
    pub fn first_of(at: UnixMillis) -> QueueId {
        QueueId::new(at, 0)
    }

    /// When it was made.
    #[must_use]
    pub fn made_at(self) -> UnixMillis {
        UnixMillis(ulid::Ulid(self.0).timestamp_ms())
    }

    /// As in keys of the store.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// Reads back [`QueueId::to_bytes`].
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> QueueId {
        QueueId(u128::from_be_bytes(bytes))
    }
}

impl std::str::FromStr for QueueId {
    type Err = QueueIdError;

    fn from_str(text: &str) -> Result<QueueId, QueueIdError> {
        ulid::Ulid::from_string(text)
            .map(|ulid| QueueId(ulid.0))
            .map_err(|_| QueueIdError)
    }
}

impl fmt::Display for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut buffer = [0; ulid::ULID_LEN];
        f.write_str(ulid::Ulid(self.0).array_to_str(&mut buffer))
    }
}

impl fmt::Debug for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_time_and_survive_both_spellings() {
        let (early, late) = (
            QueueId::new(UnixMillis(5), u128::MAX),
            QueueId::first_of(UnixMillis(6)),
        );
        assert!(early < late && early.to_bytes() < late.to_bytes());
        assert_eq!(early.made_at(), UnixMillis(5));
        assert_eq!(early.to_string().parse(), Ok(early));
        assert_eq!(QueueId::from_bytes(early.to_bytes()), early);
        assert_eq!("nonsense".parse::<QueueId>(), Err(QueueIdError));
    }
}
