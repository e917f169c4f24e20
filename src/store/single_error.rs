//! Finding the one octet that is wrong, from a CRC-32 that does not match. A checksum of 32 bits tells one
//! wrong octet from all others as long as there are far fewer of them than 2^24; wrong in several, a
//! message is taken for one with a single error only once in as many times.

/// Where a single error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SingleError {
    /// In the checksum itself; all octets are right.
    Checksum,
    /// In this octet, which becomes right by this exclusive or.
    Octet { at: usize, xor: u8 },
}

const POLYNOMIAL: u32 = 0xedb8_8320;

/// What one octet makes of a checksum of zero.
const TABLE: [u32; 256] = table();
/// Which octet has this top octet in [`TABLE`]: each has another.
const BY_TOP: [u8; 256] = by_top();

#[expect(clippy::cast_possible_truncation, reason = "counted to 256")]
const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut octet = 0;
    while octet < table.len() {
        let mut crc = octet as u32;
        let mut bit = 0;
        while bit < 8 {
            let low = crc & 1;
            crc >>= 1;
            if low == 1 {
                crc ^= POLYNOMIAL;
            }
            bit += 1;
        }
        table[octet] = crc;
        octet += 1;
    }
    table
}

#[expect(clippy::cast_possible_truncation, reason = "counted to 256")]
const fn by_top() -> [u8; 256] {
    let mut by_top = [0; 256];
    let mut octet = 0;
    while octet < by_top.len() {
        by_top[(TABLE[octet] >> 24) as usize] = octet as u8;
        octet += 1;
    }
    by_top
}

/// The one error in `len` octets whose checksum is `computed` and should be `stored`; `None` if it is
/// none, or more than one.
pub(super) fn find(stored: u32, computed: u32, len: usize) -> Option<SingleError> {
    let mut syndrome = stored ^ computed;
    let wrong = syndrome
        .to_be_bytes()
        .iter()
        .filter(|&&octet| octet != 0)
        .count();
    match wrong {
        0 => return None,
        1 => return Some(SingleError::Checksum),
        _ => {}
    }
    // An error changes the checksum by its entry in the table, carried on over all octets behind it. So
    // carry it back, octet by octet, until it is an entry.
    for at in (0..len).rev() {
        let octet = BY_TOP[usize::from(syndrome.to_be_bytes()[0])];
        let entry = TABLE[usize::from(octet)];
        if entry == syndrome {
            return Some(SingleError::Octet { at, xor: octet });
        }
        syndrome = ((syndrome ^ entry) << 8) | u32::from(octet);
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_single_error_is_found_wherever_it_is(
            octets in prop::collection::vec(any::<u8>(), 1..3_000),
            at in any::<prop::sample::Index>(),
            xor in 1..=255_u8,
        ) {
            let (stored, at) = (crc32fast::hash(&octets), at.index(octets.len()));
            let mut wrong = octets.clone();
            wrong[at] ^= xor;
            let found = find(stored, crc32fast::hash(&wrong), wrong.len());
            prop_assert_eq!(found, Some(SingleError::Octet { at, xor }));
        }
    }

    #[test]
    fn an_error_in_the_checksum_and_many_errors_are_told_apart() {
        let computed = crc32fast::hash(b"hello");
        assert_eq!(find(computed, computed, 5), None);
        assert_eq!(
            find(computed ^ 0x4000, computed, 5),
            Some(SingleError::Checksum)
        );
        assert_eq!(find(computed, crc32fast::hash(b"jelly"), 5), None);
        assert_eq!(find(computed, crc32fast::hash(b"hello\0"), 6), None);
    }
}
