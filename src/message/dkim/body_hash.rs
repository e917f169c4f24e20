//! The hash of a body in its relaxed form (RFC 6376 3.4.4), made while the octets come in.

use ring::digest::{Context, SHA256};

/// Canonical octets that are gathered before they are hashed, about.
const GATHERED_BYTES: usize = 4 * 1024;

/// SHA-256 over a canonical body, as `bh=` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyDigest(pub [u8; 32]);

/// Takes a body in pieces of any size. It holds a few KiB, whatever the body's size.
///
/// A CR or LF that stands alone, as only BINARYMIME has it, is text like any other octet.
#[derive(Clone)]
pub struct BodyHash {
    hash: Context,
    canonical: Canonical,
}

impl Default for BodyHash {
    fn default() -> BodyHash {
        BodyHash {
            hash: Context::new(&SHA256),
            canonical: Canonical::default(),
        }
    }
}

impl std::fmt::Debug for BodyHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BodyHash").finish_non_exhaustive()
    }
}

impl BodyHash {
    /// Takes the next octets.
    pub fn update(&mut self, octets: &[u8]) {
        let BodyHash { hash, canonical } = self;
        canonical.take(octets, &mut |octets| hash.update(octets));
    }

    /// Ends the body.
    #[must_use]
    pub fn finish(self) -> BodyDigest {
        let BodyHash {
            mut hash,
            canonical,
        } = self;
        canonical.finish(&mut |octets| hash.update(octets));
        let mut digest = [0; 32];
        digest.copy_from_slice(hash.finish().as_ref());
        BodyDigest(digest)
    }
}

/// What is known of the body so far, and what is held back until it is clear whether it counts.
#[derive(Clone, Debug, Default)]
struct Canonical {
    gathered: Vec<u8>,
    /// Line ends since the last text: they count only if text follows.
    line_ends: u64,
    /// Blanks since the last text in this line: they count as one, and only if text follows.
    blanks: bool,
    /// A CR that may begin a line end.
    cr: bool,
    /// Whether there was text at all.
    text: bool,
}

impl Canonical {
    fn take(&mut self, mut octets: &[u8], out: &mut impl FnMut(&[u8])) {
        if self.cr
            && let Some((&first, rest)) = octets.split_first()
        {
            self.cr = false;
            if first == b'\n' {
                self.line_end();
                octets = rest;
            } else {
                self.text(b"\r", out);
            }
        }
        while let Some(&first) = octets.first() {
            match first {
                b' ' | b'\t' => {
                    self.blanks = true;
                    octets = &octets[1..];
                }
                b'\r' => match octets.get(1) {
                    Some(b'\n') => {
                        self.line_end();
                        octets = &octets[2..];
                    }
                    Some(_) => {
                        self.text(b"\r", out);
                        octets = &octets[1..];
                    }
                    None => {
                        self.cr = true;
                        return;
                    }
                },
                _ => {
                    let special = |octet: &u8| matches!(octet, b' ' | b'\t' | b'\r');
                    let end = octets.iter().position(special).unwrap_or(octets.len());
                    self.text(&octets[..end], out);
                    octets = &octets[end..];
                }
            }
        }
    }

    fn line_end(&mut self) {
        self.blanks = false;
        self.line_ends += 1;
    }

    fn text(&mut self, octets: &[u8], out: &mut impl FnMut(&[u8])) {
        for _ in 0..std::mem::take(&mut self.line_ends) {
            self.put(b"\r\n", out);
        }
        if std::mem::take(&mut self.blanks) {
            self.put(b" ", out);
        }
        self.text = true;
        self.put(octets, out);
    }

    fn put(&mut self, octets: &[u8], out: &mut impl FnMut(&[u8])) {
        if self.gathered.len() + octets.len() > GATHERED_BYTES {
            out(&self.gathered);
            self.gathered.clear();
        }
        if octets.len() > GATHERED_BYTES {
            out(octets);
        } else {
            self.gathered.extend_from_slice(octets);
        }
    }

    fn finish(mut self, out: &mut impl FnMut(&[u8])) {
        if std::mem::take(&mut self.cr) {
            self.text(b"\r", out);
        }
        if self.text {
            self.put(b"\r\n", out);
        }
        out(&self.gathered);
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    use super::*;

    fn canonical(body: &[u8], piece: usize) -> Vec<u8> {
        let (mut state, mut out) = (Canonical::default(), Vec::new());
        for piece in body.chunks(piece) {
            state.take(piece, &mut |octets| out.extend_from_slice(octets));
        }
        state.finish(&mut |octets| out.extend_from_slice(octets));
        out
    }

    #[track_caller]
    fn check(body: &str, want: &str) {
        for piece in [usize::MAX, 1, 2, 3] {
            let got = canonical(body.as_bytes(), piece);
            assert_eq!(
                String::from_utf8(got).unwrap(),
                want,
                "in pieces of {piece}"
            );
        }
    }

    #[test]
    fn the_examples_of_the_rfc() {
        // RFC 6376 3.4.5 and 3.4.4
        check(" C \r\nD \t E\r\n\r\n\r\n", " C\r\nD E\r\n");
        check("", "");
    }

    #[test]
    fn lines_that_end_up_empty_at_the_end_are_none() {
        check("\r\n", "");
        check("\r\n\r\n", "");
        check(" \r\n\t\r\n", "");
        check(" ", "");
        check("a\r\n \r\n\t \r\n\r\n", "a\r\n");
        check("a\r\n ", "a\r\n");
    }

    #[test]
    fn lines_that_are_empty_elsewhere_stay() {
        check("\r\n\r\na\r\n \r\n\r\nb\r\n", "\r\n\r\na\r\n\r\n\r\nb\r\n");
    }

    #[test]
    fn a_last_line_without_an_end_gets_one() {
        check("a", "a\r\n");
        check("a \t", "a\r\n");
        check("a\r\nb", "a\r\nb\r\n");
    }

    #[test]
    fn blanks_are_one_blank_and_none_before_a_line_end() {
        check("\t a\t\t b \t \r\n", " a b\r\n");
        check(".a\r\n..\r\n", ".a\r\n..\r\n");
        check("\u{fc} \u{c}x\u{b}\r\n", "\u{fc} \u{c}x\u{b}\r\n");
    }

    #[test]
    fn line_ends_that_stand_alone_are_text() {
        check("a\rb\nc\r", "a\rb\nc\r\r\n");
        check("\r\r\n\n", "\r\r\n\n\r\n");
        check("a \r b", "a \r b\r\n");
    }

    #[test]
    fn the_hash_of_nothing() {
        // RFC 6376 3.4.4
        let digest = BodyHash::default().finish();
        assert_eq!(
            STANDARD.encode(digest.0),
            "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
        );
    }

    #[test]
    fn the_hash_of_rfc_8463() {
        // RFC 8463 A.3
        let mut hash = BodyHash::default();
        hash.update(b"Hi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n\r\nJoe.\r\n");
        assert_eq!(
            STANDARD.encode(hash.finish().0),
            "2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8="
        );
    }

    fn body() -> impl Strategy<Value = Vec<u8>> {
        let token = prop::sample::select(vec![
            "\r\n", "\r\n", "\r", "\n", " ", "\t", "a", ".", "bc", "\u{fc}", "\0",
        ]);
        prop::collection::vec(token, 0..40).prop_map(|tokens| tokens.concat().into_bytes())
    }

    proptest! {
        #[test]
        fn any_segmentation_gives_the_same(body in body(), piece in 1usize..9) {
            prop_assert_eq!(canonical(&body, piece), canonical(&body, usize::MAX));
        }

        #[test]
        fn what_is_canonical_stays_so(body in body()) {
            let once = canonical(&body, usize::MAX);
            prop_assert_eq!(canonical(&once, usize::MAX), once);
        }

        #[test]
        fn mail_auth_sees_it_the_same(body in "(([a-c .]{0,3}[a-c]|) ?\r\n){0,8}") {
            use mail_auth::common::crypto::{HashContext as _, HashImpl as _, Sha256};
            use mail_auth::dkim::{Canonicalization, canonicalize::BodyHasher};
            // Lines of blanks at the end are where it differs, see the room's page.
            prop_assume!(!body.split("\r\n").any(|line| line == " "));
            let mut theirs = BodyHasher::new(Sha256::hasher(), Canonicalization::Relaxed, 0);
            theirs.write(body.as_bytes());
            let mut ours = BodyHash::default();
            ours.update(body.as_bytes());
            let theirs = theirs.finish().0.complete();
            prop_assert_eq!(&ours.finish().0[..], theirs.as_ref());
        }
    }
}
