//! What of a message is signed, and the field that comes of it.

use mail_auth::common::crypto::Algorithm;
use mail_auth::dkim::Signature;

use super::author::author_domain;
use super::body_hash::BodyDigest;
use super::fields::{Field, fields, has_bare_line_end};
use super::record::DkimAlgorithm;
use crate::mail::limits::DKIM_SIGNED_FIELDS_MAX;
use crate::mail::{Domain, UnixMillis};
use crate::message::{HeaderFacts, SectionEnd};

/// Fields that are named once more than they are there, so that none can be added on the way
/// (RFC 6376 8.15): what a reader is shown, and what decides how the body is shown.
const SEALED: [&str; 16] = [
    "From",
    "Reply-To",
    "Subject",
    "Date",
    "To",
    "Cc",
    "Message-ID",
    "In-Reply-To",
    "References",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
    "Content-ID",
    "Content-Description",
    "Content-Disposition",
    "Content-Language",
];

/// Fields that are signed as often as they are there; others may join them, as a mailing list or
/// somebody who sends a message on adds them. RFC 8058 4 asks for the two of unsubscribing.
const SIGNED: [&str; 17] = [
    "Sender",
    "Resent-Date",
    "Resent-From",
    "Resent-Sender",
    "Resent-To",
    "Resent-Cc",
    "Resent-Message-ID",
    "List-ID",
    "List-Help",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "List-Subscribe",
    "List-Post",
    "List-Owner",
    "List-Archive",
    "Feedback-ID",
    "Autocrypt",
];

/// Why a message is not signed, although there are keys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsigned {
    /// There is no From.
    #[error("no From field")]
    NoFrom,
    /// RFC 5322 3.6 allows one.
    #[error("more than one From field")]
    SeveralFrom,
    /// The addresses in From don't say which domain it would be.
    #[error("From has no address with a domain name, or addresses of different domains")]
    NoOneDomain,
    /// Verifiers would not agree where the header section ends, or what a line is.
    #[error("malformed header section")]
    Malformed,
    /// There are more of the fields that are signed than [`DKIM_SIGNED_FIELDS_MAX`].
    #[error("too many of the header fields that are signed")]
    TooManyFields,
    /// Nobody gave us a key for the domain in From, nor for one above it.
    #[error("no key for the domain in From")]
    NoKey,
}

/// Everything about a message that its signatures are made from, but for the keys.
#[derive(Debug)]
pub struct Signable {
    author: Domain,
    template: Signature,
    /// The fields that `h=` names, in their relaxed form.
    headers: Vec<u8>,
}

impl Signable {
    /// `added` are the fields that we put above `section`, apart from trace fields; `section` is the
    /// header section as `facts` measured it.
    ///
    /// # Errors
    /// Why such a message is not signed.
    pub fn new(
        added: &[u8],
        section: &[u8],
        facts: &HeaderFacts,
        body: BodyDigest,
        now: UnixMillis,
    ) -> Result<Signable, Unsigned> {
        let all: Vec<Field<'_>> = fields(added).chain(fields(section)).collect();
        let mut from = all.iter().filter(|field| field.is("From"));
        let author = match (from.next(), from.next()) {
            (None, _) => return Err(Unsigned::NoFrom),
            (Some(_), Some(_)) => return Err(Unsigned::SeveralFrom),
            (Some(from), None) => author_domain(from.value).ok_or(Unsigned::NoOneDomain)?,
        };
        if facts.section_end == SectionEnd::Text || has_bare_line_end(section) {
            return Err(Unsigned::Malformed);
        }
        let (names, headers) = signed_headers(&all)?;
        Ok(Signable {
            author,
            template: Signature {
                v: 1,
                bh: body.0.to_vec(),
                h: names,
                t: now.0 / 1000,
                ..Signature::default()
            },
            headers,
        })
    }

    /// The domain of the address in From.
    #[must_use]
    pub fn author(&self) -> &Domain {
        &self.author
    }

    /// What a key has to sign. The caller sees to it that `domain` is the author's or one above it.
    #[must_use]
    pub fn prepare(&self, domain: &Domain, selector: &str, algorithm: DkimAlgorithm) -> Prepared {
        let mut signature = self.template.clone();
        signature.a = match algorithm {
            DkimAlgorithm::Rsa => Algorithm::RsaSha256,
            DkimAlgorithm::Ed25519 => Algorithm::Ed25519Sha256,
        };
        signature.d = domain.as_str().to_owned();
        signature.s = selector.to_owned();
        let mut octets = self.headers.clone();
        signature.write(&mut octets, false); // with an empty b=, as RFC 6376 3.7 wants it
        Prepared { signature, octets }
    }
}

/// A signature that lacks only the key's part.
#[derive(Debug)]
pub struct Prepared {
    signature: Signature,
    octets: Vec<u8>,
}

impl Prepared {
    /// The octets that the key signs (over their SHA-256).
    #[must_use]
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// The DKIM-Signature field, ASCII, folded, with CRLF.
    #[must_use]
    pub fn field(mut self, signature: Vec<u8>) -> Vec<u8> {
        self.signature.b = signature;
        let mut field = Vec::with_capacity(1024);
        self.signature.write(&mut field, true);
        field
    }
}

/// The names for `h=`, and the fields that they mean: of several of one name, the lowest first
/// (RFC 6376 5.4.2); a name too many means nothing.
fn signed_headers(all: &[Field<'_>]) -> Result<(Vec<String>, Vec<u8>), Unsigned> {
    let sealed = SEALED.iter().map(|name| (*name, true));
    let signed = SIGNED.iter().map(|name| (*name, false));
    let (mut names, mut headers) = (Vec::new(), Vec::new());
    for (name, is_sealed) in sealed.chain(signed) {
        for field in all.iter().rev().filter(|field| field.is(name)) {
            names.push(name.to_owned());
            field.append_relaxed(&mut headers);
        }
        if is_sealed {
            names.push(name.to_owned());
        }
    }
    if names.len() > DKIM_SIGNED_FIELDS_MAX {
        return Err(Unsigned::TooManyFields);
    }
    Ok((names, headers))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn signable(section: &str) -> Result<Signable, Unsigned> {
        let facts = HeaderFacts {
            section_end: SectionEnd::EmptyLine,
            ..HeaderFacts::default()
        };
        let (body, now) = (BodyDigest([7; 32]), UnixMillis(1_795_478_399_999));
        Signable::new(b"Date: now\r\n", section.as_bytes(), &facts, body, now)
    }

    fn domain() -> Domain {
        Domain::parse("a.test").unwrap()
    }

    #[test]
    fn what_is_there_is_named_and_once_more() {
        let signable = signable(
            "To: two\r\nFROM: x@a.test\r\nTo : one\r\nReceived: r\r\nDKIM-Signature: old\r\n\
             list-id: l\r\nX-Note: n\r\n",
        );
        let signable = signable.unwrap();
        let names = signable.template.h.join(":");
        assert_eq!(
            names,
            "From:From:Reply-To:Subject:Date:Date:To:To:To:Cc:Message-ID:In-Reply-To:References:\
             MIME-Version:Content-Type:Content-Transfer-Encoding:Content-ID:Content-Description:\
             Content-Disposition:Content-Language:List-ID"
        );
        // Of several the lowest first.
        assert_eq!(
            String::from_utf8(signable.headers).unwrap(),
            "from:x@a.test\r\ndate:now\r\nto:one\r\nto:two\r\nlist-id:l\r\n"
        );
    }

    #[test]
    fn the_signed_octets_end_with_the_field_without_its_value() {
        let signable = signable("From: x@sub.a.test\r\n").unwrap();
        assert_eq!(signable.author().as_str(), "sub.a.test");
        let prepared = signable.prepare(&domain(), "s1", DkimAlgorithm::Ed25519);
        let octets = String::from_utf8(prepared.octets().to_vec()).unwrap();
        let begin = "from:x@sub.a.test\r\ndate:now\r\n\
             dkim-signature:v=1; a=ed25519-sha256; s=s1; d=a.test; c=relaxed/relaxed; h=From:From:";
        assert!(octets.starts_with(begin), "{octets}");
        assert!(octets.ends_with("; b=;"), "{octets}");
        assert!(octets.contains("; t=1795478399;"), "{octets}");
    }

    #[test]
    fn the_field_is_folded_and_says_what_was_signed() {
        let signable = signable("From: x@a.test\r\n").unwrap();
        let prepared = signable.prepare(&domain(), "s1", DkimAlgorithm::Rsa);
        let signed = prepared.octets().to_vec();
        let field = String::from_utf8(prepared.field(vec![9; 512])).unwrap();
        let lines: Vec<&str> = field.strip_suffix("\r\n").unwrap().split("\r\n").collect();
        assert!(lines[0].starts_with("DKIM-Signature: v=1;"), "{field}");
        assert!(
            lines[1..].iter().all(|line| line.starts_with('\t')),
            "{field}"
        );
        assert!(lines.iter().all(|line| line.len() <= 78), "{field}");
        // RFC 6376 3.7: with the value of b= taken out, it is what was signed.
        let mut relaxed = Vec::new();
        let whole = fields(field.as_bytes()).next().unwrap();
        whole.append_relaxed(&mut relaxed);
        let relaxed = String::from_utf8(relaxed).unwrap();
        let (before, value) = relaxed.split_once(" b=").unwrap();
        assert!(value.ends_with(";\r\n"));
        let without = format!("{before} b=;");
        assert!(signed.ends_with(without.as_bytes()), "{without}");
    }

    #[test]
    fn a_message_that_is_not_signed_has_a_reason() {
        #[track_caller]
        fn check(section: &str, want: Unsigned) {
            assert_eq!(signable(section).unwrap_err(), want);
        }
        check("To: x\r\n", Unsigned::NoFrom);
        check(
            "From: x@a.test\r\nfrom : x@a.test\r\n",
            Unsigned::SeveralFrom,
        );
        check("From: x@a.test, y@b.test\r\n", Unsigned::NoOneDomain);
        check("From: x@a.test\n\r\n", Unsigned::Malformed);
        let many = "Subject: x\r\n".repeat(DKIM_SIGNED_FIELDS_MAX);
        check(
            &format!("From: x@a.test\r\n{many}"),
            Unsigned::TooManyFields,
        );
        let facts = HeaderFacts {
            section_end: SectionEnd::Text,
            ..HeaderFacts::default()
        };
        let from = b"From: x@a.test\r\n";
        let made = Signable::new(b"", from, &facts, BodyDigest([0; 32]), UnixMillis(0));
        assert_eq!(made.unwrap_err(), Unsigned::Malformed);
    }

    proptest! {
        #[test]
        fn whatever_stands_in_the_section_the_field_is_sound(
            section in "((From|Subject|to|X-Y|DATE)[ :](\\PC{0,9}| a@b\\.test|\\(|\"|<|>|,){0,6}(\r\n[ \t]?|\n)){0,9}",
        ) {
            if let Ok(signable) = signable(&section) {
                let prepared = signable.prepare(signable.author(), "s1", DkimAlgorithm::Rsa);
                let field = String::from_utf8(prepared.field(vec![1; 256])).unwrap();
                prop_assert!(field.is_ascii() && field.ends_with(";\r\n"));
                for line in field.strip_suffix("\r\n").unwrap().split("\r\n").skip(1) {
                    prop_assert!(line.starts_with('\t') && line.len() <= 78, "{line:?}");
                }
            }
        }
    }
}
