//! The record in which a domain publishes a public key (RFC 6376 3.6.1, RFC 8463 4).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// What stands before an RSA public key (PKCS#1) to make the form that everybody publishes, a
/// SubjectPublicKeyInfo, apart from lengths: the algorithm, which is RSA without parameters.
const RSA_ALGORITHM: [u8; 15] = [
    0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00,
];

/// What a key signs with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DkimAlgorithm {
    /// RSA with SHA-256.
    Rsa,
    /// Ed25519 over SHA-256.
    Ed25519,
}

impl DkimAlgorithm {
    /// As `a=` in a signature has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            DkimAlgorithm::Rsa => "rsa-sha256",
            DkimAlgorithm::Ed25519 => "ed25519-sha256",
        }
    }

    /// As `k=` in a record has it.
    fn key_type(self) -> &'static str {
        match self {
            DkimAlgorithm::Rsa => "rsa",
            DkimAlgorithm::Ed25519 => "ed25519",
        }
    }
}

/// The text of the record for a public key: of RSA in the form of PKCS#1, of Ed25519 its 32 octets.
#[must_use]
pub fn record_text(algorithm: DkimAlgorithm, public_key: &[u8]) -> String {
    let published = match algorithm {
        DkimAlgorithm::Rsa => STANDARD.encode(public_key_info(public_key)),
        DkimAlgorithm::Ed25519 => STANDARD.encode(public_key),
    };
    format!("v=DKIM1; k={}; p={published}", algorithm.key_type())
}

fn public_key_info(pkcs1: &[u8]) -> Vec<u8> {
    let bits = der(0x03, &[&[0], pkcs1].concat());
    der(0x30, &[&RSA_ALGORITHM[..], &bits].concat())
}

/// A value of DER with its tag and length.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let significant = &length[length.iter().take_while(|octet| **octet == 0).count()..];
    let mut out = vec![tag];
    match (significant, u8::try_from(significant.len())) {
        ([], _) => out.push(0),
        ([short @ 0..=0x7f], _) => out.push(*short),
        (long, Ok(count)) => {
            out.push(0x80 | count);
            out.extend_from_slice(long);
        }
        (_, Err(_)) => unreachable!("a length has at most eight octets"),
    }
    out.extend_from_slice(content);
    out
}

/// A record as it is published, as far as it matters to who signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRecord {
    tags: Vec<(String, String)>,
}

/// What is wrong with a published record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordFault {
    /// It does not consist of tags and values.
    #[error("it is no list of tags and values such as v=DKIM1; k=rsa; p=...")]
    Malformed,
    /// RFC 6376 3.6.1: it must be the first, and this.
    #[error("v= is not DKIM1, or does not stand first")]
    Version,
    /// Another kind of key than ours.
    #[error("it is of a key for {published}, ours is for {ours}")]
    KeyType {
        /// `k=`
        published: String,
        /// What `k=` should be.
        ours: &'static str,
    },
    /// There is no `p=`.
    #[error("it has no public key (p=)")]
    NoKey,
    /// An empty `p=`.
    #[error("the key is revoked (p= is empty)")]
    Revoked,
    /// `p=` is no base64.
    #[error("its public key (p=) can't be read: it is no base64")]
    NoBase64,
    /// A key, but not ours.
    #[error("its public key is another one than that of our private key")]
    OtherKey,
    /// `h=` without sha256.
    #[error("it does not allow sha256 (h=)")]
    Hash,
    /// `s=` without email.
    #[error("it is not for email (s=)")]
    Service,
}

impl KeyRecord {
    /// Reads the record's text.
    ///
    /// # Errors
    /// It is no list of tags.
    pub fn parse(text: &[u8]) -> Result<KeyRecord, RecordFault> {
        let text = std::str::from_utf8(text).map_err(|_| RecordFault::Malformed)?;
        let items = text.split(';').map(str::trim);
        let tags = items.filter(|item| !item.is_empty()).map(|item| {
            let (tag, value) = item.split_once('=')?;
            Some((tag.trim().to_owned(), value.trim().to_owned()))
        });
        let tags: Option<Vec<_>> = tags.collect();
        match tags {
            Some(tags) if !tags.is_empty() => Ok(KeyRecord { tags }),
            Some(_) | None => Err(RecordFault::Malformed),
        }
    }

    /// What keeps verifiers from accepting signatures of the key with this public half, given as for
    /// [`record_text`]. Empty if nothing does.
    #[must_use]
    pub fn faults(&self, algorithm: DkimAlgorithm, public_key: &[u8]) -> Vec<RecordFault> {
        if !self.is_of_dkim() {
            return vec![RecordFault::Version]; // of something else, so the rest says nothing
        }
        let ours = algorithm.key_type();
        let key_type = self.tag("k").unwrap_or("rsa");
        let mut faults = Vec::new();
        if !self.allows("h", &["sha256"]) {
            faults.push(RecordFault::Hash);
        }
        if !self.allows("s", &["*", "email"]) {
            faults.push(RecordFault::Service);
        }
        if key_type != ours {
            faults.push(RecordFault::KeyType {
                published: key_type.chars().take(40).collect(),
                ours,
            });
        } else {
            faults.extend(self.key_fault(algorithm, public_key));
        }
        faults
    }

    /// Without `v=` it is, too.
    fn is_of_dkim(&self) -> bool {
        match self.tags.iter().position(|(tag, _)| tag == "v") {
            Some(at) => at == 0 && self.tags[0].1 == "DKIM1",
            None => true,
        }
    }

    /// Whether a list has one of these, or is not there.
    fn allows(&self, tag: &str, wanted: &[&str]) -> bool {
        self.tag(tag)
            .is_none_or(|list| list.split(':').any(|item| wanted.contains(&item.trim())))
    }

    /// Whether the domain says that it only tries (`t=y`): verifiers then treat a message as if it
    /// was not signed.
    #[must_use]
    pub fn is_testing(&self) -> bool {
        self.tag("t")
            .is_some_and(|flags| flags.split(':').any(|flag| flag.trim() == "y"))
    }

    fn key_fault(&self, algorithm: DkimAlgorithm, public_key: &[u8]) -> Option<RecordFault> {
        let Some(text) = self.tag("p") else {
            return Some(RecordFault::NoKey);
        };
        let text: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        if text.is_empty() {
            return Some(RecordFault::Revoked);
        }
        let Ok(published) = STANDARD.decode(text) else {
            return Some(RecordFault::NoBase64);
        };
        let same = published == public_key
            || (algorithm == DkimAlgorithm::Rsa && published == public_key_info(public_key));
        (!same).then_some(RecordFault::OtherKey)
    }

    fn tag(&self, name: &str) -> Option<&str> {
        let mut tags = self.tags.iter();
        tags.find(|(tag, _)| tag == name).map(|(_, value)| &**value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(record: &str, want: &[RecordFault]) {
        let got = match KeyRecord::parse(record.as_bytes()) {
            Ok(record) => record.faults(DkimAlgorithm::Ed25519, b"the key"),
            Err(fault) => vec![fault],
        };
        assert_eq!(got, want, "{record:?}");
    }

    #[test]
    fn what_we_print_is_right() {
        check(&record_text(DkimAlgorithm::Ed25519, b"the key"), &[]);
        let key = [7; 300];
        let record = record_text(DkimAlgorithm::Rsa, &key);
        let parsed = KeyRecord::parse(record.as_bytes()).unwrap();
        assert_eq!(parsed.faults(DkimAlgorithm::Rsa, &key), []);
        let bare = format!("p={}", STANDARD.encode(key)); // PKCS#1, as the RFC's text has it
        let parsed = KeyRecord::parse(bare.as_bytes()).unwrap();
        assert_eq!(parsed.faults(DkimAlgorithm::Rsa, &key), []);
    }

    #[test]
    fn records_of_the_field_are_understood() {
        check("k=ed25519;p=dGhlIGtleQ==", &[]);
        check(
            " v = DKIM1 ; k = ed25519; n=a note;\tp= dGhl IGtl\t eQ== ; ",
            &[],
        );
        check(
            "v=DKIM1; k=ed25519; h=sha1:sha256; s=email:x; t=s; p=dGhlIGtleQ==",
            &[],
        );
        check("v=DKIM1; k=ed25519; s=*; p=dGhlIGtleQ==", &[]);
    }

    #[test]
    fn each_fault_is_named() {
        use RecordFault::*;
        check("", &[Malformed]);
        check("v=spf1 -all; x", &[Malformed]);
        check("v=DKIM2; k=ed25519; p=dGhlIGtleQ==", &[Version]);
        check("k=ed25519; v=DKIM1; p=dGhlIGtleQ==", &[Version]);
        check("v=DKIM1; k=ed25519", &[NoKey]);
        check("v=DKIM1; k=ed25519; p=", &[Revoked]);
        check("v=DKIM1; k=ed25519; p=!", &[NoBase64]);
        check("v=DKIM1; k=ed25519; p=AAAA", &[OtherKey]);
        check("v=DKIM1; k=ed25519; h=sha1; p=dGhlIGtleQ==", &[Hash]);
        check("v=DKIM1; k=ed25519; s=tlsrpt; p=dGhlIGtleQ==", &[Service]);
        let other = KeyType {
            published: "rsa".to_owned(),
            ours: "ed25519",
        };
        check("v=DKIM1; p=dGhlIGtleQ==", &[other]);
    }

    #[test]
    fn testing_is_seen() {
        let testing = |text: &str| KeyRecord::parse(text.as_bytes()).unwrap().is_testing();
        assert!(testing("t=y") && testing("t=s : y"));
        assert!(!testing("t=s") && !testing("p=y"));
    }

    #[test]
    fn lengths_of_der_have_as_many_octets_as_they_need() {
        assert_eq!(der(3, &[]), [3, 0]);
        assert_eq!(der(3, &[1; 127])[..2], [3, 127]);
        assert_eq!(der(3, &[1; 128])[..3], [3, 0x81, 128]);
        assert_eq!(der(3, &[1; 300])[..4], [3, 0x82, 1, 44]);
    }
}
