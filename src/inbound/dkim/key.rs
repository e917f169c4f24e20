//! One private key: read, tried, and used.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use mail_auth::common::crypto::{Ed25519Key, RsaKey, Sha256, SigningKey as _};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::{self, PemObject as _};

use crate::config::DkimKeySource;
use crate::mail::limits::DKIM_KEY_FILE_BYTES_MAX;
use crate::message::dkim::{DkimAlgorithm, record_text};

/// How Ed25519 is named in a PKCS#8 key (RFC 8410 3): its object identifier in DER.
const ED25519: [u8; 5] = [0x06, 0x03, 0x2b, 0x65, 0x70];

/// A private key that can sign.
pub struct SigningKey(Kind);

enum Kind {
    Rsa(RsaKey<Sha256>),
    Ed25519(Ed25519Key),
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({})", self.algorithm().as_str())
    }
}

/// Reads a key from where it is; blocks for a moment.
///
/// # Errors
/// What is wrong, in a few words, and nothing of the key.
pub fn load_dkim_key(source: &DkimKeySource) -> Result<SigningKey, String> {
    match source {
        DkimKeySource::Path(path) => {
            let pem = read(path).map_err(|error| format!("can't be read ({error})"))?;
            SigningKey::from_pem(&pem)
        }
        DkimKeySource::Inline(key) => SigningKey::from_pem(key.expose().as_bytes()),
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut pem = Vec::new();
    let mut file = File::open(path)?.take(DKIM_KEY_FILE_BYTES_MAX);
    file.read_to_end(&mut pem)?;
    Ok(pem)
}

impl SigningKey {
    /// Reads PKCS#8 or PKCS#1 in PEM form, and signs something, so that a key that can't is found
    /// here.
    ///
    /// # Errors
    /// What is wrong, in a few words, and nothing of the key.
    pub fn from_pem(pem: &[u8]) -> Result<SigningKey, String> {
        let der = PrivateKeyDer::from_pem_slice(pem).map_err(|error| match error {
            pem::Error::NoItemsFound => "no private key in PEM form in it".to_owned(),
            _ => "no whole private key in PEM form in it".to_owned(),
        })?;
        let kind = match &der {
            PrivateKeyDer::Pkcs8(key) if is_ed25519(key.secret_pkcs8_der()) => {
                let key = Ed25519Key::from_pkcs8_maybe_unchecked_der(key.secret_pkcs8_der());
                Kind::Ed25519(key.map_err(|_| "no sound Ed25519 key".to_owned())?)
            }
            PrivateKeyDer::Pkcs8(_) | PrivateKeyDer::Pkcs1(_) => {
                let key = RsaKey::from_key_der(der);
                Kind::Rsa(key.map_err(|_| {
                    "neither Ed25519 nor a sound RSA key of 2048 to 4096 bits".to_owned()
                })?)
            }
            _ => return Err("neither an RSA nor an Ed25519 key".to_owned()),
        };
        let key = SigningKey(kind);
        key.sign(b"a trial")?;
        Ok(key)
    }

    /// What it signs with.
    #[must_use]
    pub fn algorithm(&self) -> DkimAlgorithm {
        match self.0 {
            Kind::Rsa(_) => DkimAlgorithm::Rsa,
            Kind::Ed25519(_) => DkimAlgorithm::Ed25519,
        }
    }

    /// Its public half, as [`record_text`] takes it.
    #[must_use]
    pub fn public_key(&self) -> Vec<u8> {
        match &self.0 {
            Kind::Rsa(key) => key.public_key(),
            Kind::Ed25519(key) => key.public_key(),
        }
    }

    /// The text of the record that publishes its public half.
    #[must_use]
    pub fn record(&self) -> String {
        record_text(self.algorithm(), &self.public_key())
    }

    /// The signature over the SHA-256 of `octets`. Takes about a millisecond of CPU with RSA.
    pub(super) fn sign(&self, octets: &[u8]) -> Result<Vec<u8>, String> {
        let signed = match &self.0 {
            Kind::Rsa(key) => key.sign(octets),
            Kind::Ed25519(key) => key.sign(octets),
        };
        signed.map_err(|_| "the key can't sign".to_owned())
    }
}

fn is_ed25519(pkcs8: &[u8]) -> bool {
    // Behind the outer header and the version; nowhere near the end of any key.
    let front = &pkcs8[..pkcs8.len().min(24)];
    front.windows(ED25519.len()).any(|octets| octets == ED25519)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made for the tests of TLS and protects nothing.
    const RSA: &str = include_str!("../tls/pkcs1.pem");
    const SEC1: &str = include_str!("../tls/sec1.pem");
    /// RFC 8463 A.2, as PKCS#8.
    const ED: &str = "-----BEGIN PRIVATE KEY-----\n\
        MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n\
        -----END PRIVATE KEY-----\n";

    #[test]
    fn the_key_of_rfc_8463_has_its_record() {
        // RFC 8463 A.2
        let key = SigningKey::from_pem(ED.as_bytes()).unwrap();
        assert_eq!(
            key.record(),
            "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
        );
    }

    #[test]
    fn an_rsa_key_is_published_in_the_form_that_verifiers_know() {
        use mail_auth::common::parse::TxtRecordParser as _;
        use mail_auth::common::verify::DomainKey;
        let key = SigningKey::from_pem(RSA.as_bytes()).unwrap();
        assert_eq!(key.algorithm(), DkimAlgorithm::Rsa);
        let record = key.record();
        assert!(record.starts_with("v=DKIM1; k=rsa; p=MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A"));
        let published = DomainKey::parse(record.as_bytes()).unwrap();
        assert_eq!(published.p.public_key_bits(), 2048);
    }

    #[track_caller]
    fn check_refused(pem: &str, want: &str) {
        let why = SigningKey::from_pem(pem.as_bytes()).unwrap_err();
        assert!(why.contains(want) && !why.contains('\n'), "{why}");
    }

    #[test]
    fn what_can_not_sign_is_refused() {
        check_refused("", "no private key");
        check_refused("nonsense", "no private key");
        check_refused(SEC1, "neither an RSA nor an Ed25519 key");
        check_refused(&ED.replace("-----END", "-----EN"), "no whole private key");
        check_refused(
            &ED.replace("PRIVATE", "ENCRYPTED PRIVATE"),
            "no private key",
        );
        let short = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsQ==\n-----END PRIVATE KEY-----\n";
        check_refused(short, "no sound Ed25519");
    }

    #[test]
    fn nothing_of_a_key_is_printed() {
        let key = SigningKey::from_pem(ED.as_bytes()).unwrap();
        assert_eq!(format!("{key:?}"), "SigningKey(ed25519-sha256)");
    }
}
