//! Random choices that a failed test can repeat.

use std::hash::{BuildHasher, Hasher, RandomState};

/// Draws from a seed: `TEST_SEED` when it is set, else a fresh one. A failing test prints it. The
/// sequence (SplitMix64) is our own, so that a seed noted today draws the same next year.
#[derive(Debug)]
pub struct Random {
    seed: u64,
    state: u64,
}

impl Random {
    /// From `TEST_SEED`, or fresh.
    #[expect(
        clippy::disallowed_methods,
        reason = "the suite has no config of its own"
    )]
    pub fn new() -> Random {
        match std::env::var("TEST_SEED") {
            Ok(text) => Random::from_seed(text.parse().expect("TEST_SEED is a decimal number")),
            Err(_) => Random::fresh(),
        }
    }

    /// Never the same twice.
    pub fn fresh() -> Random {
        Random::from_seed(RandomState::new().build_hasher().finish()) // its keys are random
    }

    /// For a found case that became a test of its own.
    pub fn from_seed(seed: u64) -> Random {
        Random { seed, state: seed }
    }

    /// What to set `TEST_SEED` to for the same draws.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The next 64 bits.
    pub fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 0 up to but not including `limit`, which is not 0.
    pub fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit).expect("64 bits hold a usize here");
        usize::try_from(self.next() % limit).expect("below a usize")
    }

    /// One of `choices`, which is not empty.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }

    /// Any octets.
    pub fn octets(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next().to_le_bytes()[0]).collect()
    }

    /// Printable lines with CRLF, `count` octets in all (2 at least).
    pub fn text(&mut self, count: usize) -> Vec<u8> {
        let mut text = Vec::with_capacity(count);
        while text.len() + 2 < count {
            let line = (1 + self.below(76)).min(count - text.len() - 2);
            text.extend((0..line).map(|_| b" .ABCXYZabcxyz0189"[self.below(18)]));
            if text.len() + 4 < count {
                text.extend(b"\r\n");
            }
        }
        text.extend(b"\r\n");
        text
    }

    /// Cuts `octets` into pieces of 1 to `longest` octets.
    pub fn cut(&mut self, octets: &[u8], longest: usize) -> Vec<Vec<u8>> {
        let mut rest = octets;
        let mut pieces = Vec::new();
        while !rest.is_empty() {
            let (piece, tail) = rest.split_at((1 + self.below(longest)).min(rest.len()));
            pieces.push(piece.to_vec());
            rest = tail;
        }
        pieces
    }
}

impl Drop for Random {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("random draws: repeat them with TEST_SEED={}", self.seed);
        }
    }
}
