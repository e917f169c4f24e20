//! What SCRAM keeps of a password (RFC 5802 3): enough to check a client, not enough to be one.

use std::fmt;
use std::num::NonZeroU32;

use ring::{digest, hmac, pbkdf2};
use subtle::ConstantTimeEq as _;

/// Length of each key, in bytes: that of SHA-256.
pub const SCRAM_KEY_BYTES: usize = 32;

type Key = [u8; SCRAM_KEY_BYTES];

/// A user's keys, with what the client needs to make its own from the password.
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
        let mut salted: Key = [0; SCRAM_KEY_BYTES];
        pbkdf2::derive(
            pbkdf2::PBKDF2_HMAC_SHA256,
            iterations,
            salt,
            password,
            &mut salted,
        );
        ScramKeys {
            salt: salt.into(),
            iterations,
            stored_key: sha256(&hmac_sha256(&salted, b"Client Key")),
            server_key: hmac_sha256(&salted, b"Server Key"),
        }
    }

    /// Whether they are the keys of this password. Takes as long as [`ScramKeys::derive`].
    #[must_use]
    pub fn are_of(&self, password: &[u8]) -> bool {
        let derived = ScramKeys::derive(password, &self.salt, self.iterations);
        derived.stored_key.ct_eq(&self.stored_key).into()
    }

    /// Whether a client that proves this over `message` has the password (RFC 5802 3).
    pub(super) fn verify(&self, proof: &Key, message: &[u8]) -> bool {
        let mut client_key = hmac_sha256(&self.stored_key, message);
        for (key, proof) in client_key.iter_mut().zip(proof) {
            *key ^= proof;
        }
        sha256(&client_key).ct_eq(&self.stored_key).into()
    }

    /// What shows the client over `message` that we have its keys.
    pub(super) fn server_signature(&self, message: &[u8]) -> Key {
        hmac_sha256(&self.server_key, message)
    }
}

impl fmt::Debug for ScramKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ScramKeys([secret])")
    }
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
}
