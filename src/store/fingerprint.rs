//! Whether two sets of keys are the same, without holding them or looking one up in the other: each
//! is summed up, in any order. Different sets are taken for the same once in 2^64 times.

use std::hash::{BuildHasher as _, RandomState};

/// The sum of a set. A key that comes twice counts twice.
#[derive(Clone, Debug, Default)]
pub(super) struct Fingerprint {
    hasher: RandomState,
    sum: u64,
    count: u64,
}

impl Fingerprint {
    /// Of an empty set, to be compared with this one.
    pub(super) fn empty_like(&self) -> Fingerprint {
        Fingerprint {
            hasher: self.hasher.clone(),
            sum: 0,
            count: 0,
        }
    }

    pub(super) fn add(&mut self, key: &[u8]) {
        self.sum = self.sum.wrapping_add(self.hasher.hash_one(key));
        self.count += 1;
    }

    /// Whether both are of the same set; one must be [`Fingerprint::empty_like`] the other.
    pub(super) fn is_of_the_same(&self, other: &Fingerprint) -> bool {
        (self.sum, self.count) == (other.sum, other.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_does_not_count_and_everything_else_does() {
        let mut one = Fingerprint::default();
        for key in [b"a", b"b", b"c"] {
            one.add(key);
        }
        let like = |keys: &[&[u8]]| {
            let mut other = one.empty_like();
            keys.iter().for_each(|key| other.add(key));
            one.is_of_the_same(&other)
        };
        assert!(like(&[b"c", b"a", b"b"]));
        for keys in [
            &[&b"a"[..], b"b"][..],
            &[b"a", b"b", b"d"],
            &[b"a", b"b", b"c", b"c"],
        ] {
            assert!(!like(keys), "{keys:?}");
        }
    }
}
