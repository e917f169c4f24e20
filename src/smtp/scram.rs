//! What both sides of SCRAM-SHA-256 share (RFC 5802, RFC 7677): the keys that a password makes, and
//! how messages are written.

use std::fmt;
use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::{digest, hmac, pbkdf2};
use subtle::ConstantTimeEq as _;

/// Length of each key, in bytes: that of SHA-256.
pub const SCRAM_KEY_BYTES: usize = 32;

type Key = [u8; SCRAM_KEY_BYTES];

/// What a server keeps of a password: enough to check a client, not enough to be one. With it is
/// what the client needs to make its own keys from the password.
#[derive(Clone)]
pub struct ScramKeys {
    /// Salt of the password.
    pub salt: Box<[u8]>,
    /// Rounds of PBKDF2.
    pub iterations: NonZeroU32,
    /// SHA-256 of the client's key.
    pub stored_key: Key,
    /// Shows the client that we know it.
    pub server_key: Key,
}

impl ScramKeys {
    /// Derives keys from a password. Takes as long as the iterations take.
    #[must_use]
    pub fn derive(password: &[u8], salt: &[u8], iterations: NonZeroU32) -> ScramKeys {
        PasswordKeys::derive(password, salt, iterations).of_server(salt, iterations)
    }

    /// Whether they are the keys of this password. Takes as long as [`ScramKeys::derive`].
    #[must_use]
    pub fn are_of(&self, password: &[u8]) -> bool {
        let derived = ScramKeys::derive(password, &self.salt, self.iterations);
        derived.stored_key.ct_eq(&self.stored_key).into()
    }

    /// Whether a client that proves this over `message` has the password (RFC 5802 3).
    pub(in crate::smtp) fn verify(&self, proof: &Key, message: &[u8]) -> bool {
        let mut client_key = hmac_sha256(&self.stored_key, message);
        for (key, proof) in client_key.iter_mut().zip(proof) {
            *key ^= proof;
        }
        sha256(&client_key).ct_eq(&self.stored_key).into()
    }

    /// What shows the client over `message` that we have its keys.
    pub(in crate::smtp) fn server_signature(&self, message: &[u8]) -> Key {
        hmac_sha256(&self.server_key, message)
    }
}

/// What a client makes of its password.
pub(in crate::smtp) struct PasswordKeys {
    client_key: Key,
    server_key: Key,
}

impl PasswordKeys {
    /// Takes as long as the iterations take.
    #[must_use]
    pub(in crate::smtp) fn derive(
        password: &[u8],
        salt: &[u8],
        iterations: NonZeroU32,
    ) -> PasswordKeys {
        let mut salted: Key = [0; SCRAM_KEY_BYTES];
        pbkdf2::derive(
            pbkdf2::PBKDF2_HMAC_SHA256,
            iterations,
            salt,
            password,
            &mut salted,
        );
        PasswordKeys {
            client_key: hmac_sha256(&salted, b"Client Key"),
            server_key: hmac_sha256(&salted, b"Server Key"),
        }
    }

    /// Shows the server over `message` that we have the password.
    #[must_use]
    pub(in crate::smtp) fn proof(&self, message: &[u8]) -> Key {
        let mut proof = hmac_sha256(&sha256(&self.client_key), message);
        for (octet, key) in proof.iter_mut().zip(&self.client_key) {
            *octet ^= key;
        }
        proof
    }

    /// Whether the server shows by `signature` over `message` that it knows the password's keys.
    #[must_use]
    pub(in crate::smtp) fn are_known_to(&self, signature: &[u8], message: &[u8]) -> bool {
        hmac_sha256(&self.server_key, message)
            .ct_eq(signature)
            .into()
    }

    fn of_server(&self, salt: &[u8], iterations: NonZeroU32) -> ScramKeys {
        ScramKeys {
            salt: salt.into(),
            iterations,
            stored_key: sha256(&self.client_key),
            server_key: self.server_key,
        }
    }
}

impl fmt::Debug for ScramKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ScramKeys([secret])")
    }
}

/// What stands before the first comma, and behind it.
pub(in crate::smtp) fn until_comma(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let comma = memchr::memchr(b',', text)?;
    Some((&text[..comma], &text[comma + 1..]))
}

/// The value of `name=value`.
pub(in crate::smtp) fn attribute(text: Option<&[u8]>, name: u8) -> Option<&[u8]> {
    text?.strip_prefix(&[name, b'='])
}

/// The same, where the value is in base64.
pub(in crate::smtp) fn base64_attribute(text: Option<&[u8]>, name: u8) -> Option<Vec<u8>> {
    STANDARD.decode(attribute(text, name)?).ok()
}

/// A name in which `=2C` is a comma and `=3D` an equals sign, and no other `=` stands.
pub(in crate::smtp) fn saslname(text: &[u8]) -> Option<Vec<u8>> {
    let mut name = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [octet, more @ ..] = rest {
        rest = more;
        name.push(match (octet, more) {
            (b'=', [b'2', b'C', more @ ..]) => {
                rest = more;
                b','
            }
            (b'=', [b'3', b'D', more @ ..]) => {
                rest = more;
                b'='
            }
            (b'=' | 0, _) => return None,
            (octet, _) => *octet,
        });
    }
    Some(name)
}

/// The same name as it is written.
pub(in crate::smtp) fn as_saslname(name: &str) -> String {
    name.replace('=', "=3D").replace(',', "=2C")
}

fn hmac_sha256(key: &[u8], octets: &[u8]) -> Key {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), octets);
    key_of(tag.as_ref())
}

fn sha256(octets: &[u8]) -> Key {
    key_of(digest::digest(&digest::SHA256, octets).as_ref())
}

fn key_of(octets: &[u8]) -> Key {
    octets.try_into().expect("SHA-256 gives 32 octets")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_those_of_their_password_only() {
        let keys = ScramKeys::derive(b"pencil", b"salt", NonZeroU32::new(2).unwrap());
        assert!(keys.are_of(b"pencil"));
        assert!(!keys.are_of(b"pencil ") && !keys.are_of(b""));
        assert!(!format!("{keys:?}").contains("115"));
    }

    #[test]
    fn both_sides_prove_the_same_password() {
        let iterations = NonZeroU32::new(2).unwrap();
        let client = PasswordKeys::derive(b"pencil", b"salt", iterations);
        let server = ScramKeys::derive(b"pencil", b"salt", iterations);
        assert!(server.verify(&client.proof(b"m"), b"m"));
        assert!(!server.verify(&client.proof(b"m"), b"n"));
        assert!(client.are_known_to(&server.server_signature(b"m"), b"m"));
        assert!(!client.are_known_to(&server.server_signature(b"m"), b"n"));
        assert!(!client.are_known_to(b"", b"m"));
    }

    #[test]
    fn names_come_back_as_they_were_written() {
        for name in ["ann", "a,b=c", "=2C", "\u{fc}", "==,,"] {
            let written = as_saslname(name);
            assert!(!written.contains(','), "{written}");
            assert_eq!(
                saslname(written.as_bytes()).as_deref(),
                Some(name.as_bytes())
            );
        }
        assert_eq!(saslname(b"a=b"), None);
    }
}
