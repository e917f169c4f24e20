//! Keys of the trees, and back.

use crate::mail::{Destination, QueueId, RecipientNo, UnixMillis};

use super::DueItem;

const ID_BYTES: usize = 16;
const TAIL_BYTES: usize = 1 + 8 + ID_BYTES + 4;
pub(super) const HISTORY_BYTES: usize = ID_BYTES + 4 + 4 + 1;
/// No time begins like this.
const PURGED: u8 = 0xff;

/// `recipients`: queue id, recipient number.
pub(super) fn recipient(id: QueueId, no: RecipientNo) -> [u8; ID_BYTES + 4] {
    let mut key = [0; ID_BYTES + 4];
    key[..ID_BYTES].copy_from_slice(&id.to_bytes());
    key[ID_BYTES..].copy_from_slice(&no.0.to_be_bytes());
    key
}

/// Back from [`recipient`].
pub(super) fn parse_recipient(key: &[u8]) -> Option<(QueueId, RecipientNo)> {
    let (id, no) = key.split_first_chunk::<ID_BYTES>()?;
    let no = u32::from_be_bytes(no.try_into().ok()?);
    Some((QueueId::from_bytes(*id), RecipientNo(no)))
}

/// `messages`, `bodies`: queue id.
pub(super) fn parse_message(key: &[u8]) -> Option<QueueId> {
    Some(QueueId::from_bytes(key.try_into().ok()?))
}

/// `due`: destination, NUL, time, queue id, recipient number.
pub(super) fn due(item: &DueItem) -> Vec<u8> {
    let destination = item.destination.as_str().as_bytes();
    let mut key = Vec::with_capacity(destination.len() + TAIL_BYTES);
    key.extend_from_slice(destination);
    key.push(0);
    key.extend_from_slice(&item.due.0.to_be_bytes());
    key.extend_from_slice(&recipient(item.id, item.no));
    key
}

/// Back from [`due`].
pub(super) fn parse_due(key: &[u8]) -> Option<DueItem> {
    let name_len = key.len().checked_sub(TAIL_BYTES)?;
    let (name, tail) = key.split_at(name_len);
    let (time, tail) = tail.strip_prefix(&[0])?.split_first_chunk::<8>()?;
    let (id, no) = parse_recipient(tail)?;
    Some(DueItem {
        destination: Destination::from_stored(std::str::from_utf8(name).ok()?),
        due: UnixMillis(u64::from_be_bytes(*time)),
        id,
        no,
    })
}

/// The destination's name and the queue id in a key of [`due`], without a copy.
pub(super) fn parse_due_line(key: &[u8]) -> Option<(&str, QueueId)> {
    let (name, tail) = key.split_at_checked(key.len().checked_sub(TAIL_BYTES)?)?;
    let (_, tail) = tail.strip_prefix(&[0])?.split_first_chunk::<8>()?;
    let (id, _) = parse_recipient(tail)?;
    Some((std::str::from_utf8(name).ok()?, id))
}

/// Where a destination's line begins in `due`.
pub(super) fn line_start(destination: &Destination) -> Vec<u8> {
    let mut key = destination.as_str().as_bytes().to_vec();
    key.push(0);
    key
}

/// Where it ends: the first key that belongs to no item of this destination or an earlier one.
pub(super) fn line_end(destination: &Destination) -> Vec<u8> {
    let mut key = destination.as_str().as_bytes().to_vec();
    key.push(1);
    key
}

/// `closing`: time, queue id.
pub(super) fn closing(at: UnixMillis, id: QueueId) -> [u8; 8 + ID_BYTES] {
    let mut key = [0; 8 + ID_BYTES];
    key[..8].copy_from_slice(&at.0.to_be_bytes());
    key[8..].copy_from_slice(&id.to_bytes());
    key
}

/// `closing`, of messages all of whose recipients are purged: 0xFF, time, queue id. They stand behind
/// all others, since these go by another span.
pub(super) fn purged(at: UnixMillis, id: QueueId) -> [u8; 1 + 8 + ID_BYTES] {
    let mut key = [PURGED; 1 + 8 + ID_BYTES];
    key[1..].copy_from_slice(&closing(at, id));
    key
}

/// Back from [`purged`].
pub(super) fn parse_purged(key: &[u8]) -> Option<(UnixMillis, QueueId)> {
    parse_closing(key.strip_prefix(&[PURGED])?)
}

/// `history`: queue id, recipient number, number of the event, and what it is an event of.
pub(super) fn history(recipient: &[u8; ID_BYTES + 4], no: u32, kind: u8) -> [u8; HISTORY_BYTES] {
    let mut key = [kind; HISTORY_BYTES];
    key[..ID_BYTES + 4].copy_from_slice(recipient);
    key[ID_BYTES + 4..ID_BYTES + 8].copy_from_slice(&no.to_be_bytes());
    key
}

/// Back from [`history`]: whose, and the number of the event.
pub(super) fn parse_history(key: &[u8]) -> Option<(QueueId, RecipientNo, u32)> {
    let (recipient, rest) = key.split_first_chunk::<{ ID_BYTES + 4 }>()?;
    let (no, [_]) = rest.split_first_chunk::<4>()? else {
        return None;
    };
    let (id, rcpt) = parse_recipient(recipient)?;
    Some((id, rcpt, u32::from_be_bytes(*no)))
}

/// Back from [`closing`].
pub(super) fn parse_closing(key: &[u8]) -> Option<(UnixMillis, QueueId)> {
    let (time, id) = key.split_first_chunk::<8>()?;
    let id = QueueId::from_bytes(id.try_into().ok()?);
    Some((UnixMillis(u64::from_be_bytes(*time)), id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::AddressDomain;

    fn item(domain: &str, due: u64) -> DueItem {
        DueItem {
            destination: Destination::of_domain(&AddressDomain::parse(domain).unwrap()),
            due: UnixMillis(due),
            id: QueueId::new(UnixMillis(7), 9),
            no: RecipientNo(3),
        }
    }

    #[test]
    fn keys_come_back_as_they_went() {
        for domain in ["a.test", "[IPv6:::1]", "[127.0.0.1]"] {
            let want = item(domain, 0x0102_0304);
            let key = due(&want);
            let line = Some((want.destination.as_str(), want.id));
            assert_eq!(parse_due_line(&key), line);
            assert_eq!(parse_due(&key), Some(want));
        }
        assert_eq!(parse_due(b"short"), None);
        let id = QueueId::new(UnixMillis(1), 2);
        assert_eq!(
            parse_closing(&closing(UnixMillis(5), id)),
            Some((UnixMillis(5), id))
        );
        assert_eq!(parse_closing(&purged(UnixMillis(5), id)), None);
        assert_eq!(
            parse_purged(&purged(UnixMillis(5), id)),
            Some((UnixMillis(5), id))
        );
        assert_eq!(parse_purged(&closing(UnixMillis(5), id)), None);
        assert!(purged(UnixMillis(0), id)[..] > closing(UnixMillis(u64::MAX >> 8), id)[..]);
        let rcpt = recipient(id, RecipientNo(8));
        assert_eq!(parse_recipient(&rcpt), Some((id, RecipientNo(8))));
        assert_eq!(
            parse_history(&history(&rcpt, 7, 1)),
            Some((id, RecipientNo(8), 7))
        );
        assert_eq!(parse_history(&rcpt), None);
    }

    #[test]
    fn a_line_is_ordered_by_time_and_holds_no_other_destination() {
        let (early, late) = (due(&item("a.test", 255)), due(&item("a.test", 256)));
        assert!(early < late);
        let a = &item("a.test", 0).destination;
        assert!(line_start(a) < early && late < line_end(a));
        for other in ["a.test.b", "a.tes", "a.testa", "a.test-b"] {
            let key = due(&item(other, 256));
            assert!(key < line_start(a) || line_end(a) <= key, "{other}");
        }
    }
}
