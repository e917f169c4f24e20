//! Parameters of MAIL and RCPT (RFC 5321 4.1.2, RFC 1870, RFC 3030, RFC 6152, RFC 6531,
//! RFC 3461).

use crate::mail::{BodyKind, DsnEnvelope, DsnRecipient};
use crate::smtp::xtext;

use super::dsn_parameters;
use super::parameter_fault::ParameterFault;

/// What MAIL said behind its path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MailParameters {
    /// Octets the client means to send; 0: it doesn't say (RFC 1870 6.1).
    pub(super) size: u64,
    /// `BODY`
    pub(super) body_kind: BodyKind,
    /// `SMTPUTF8`
    pub(super) smtputf8: bool,
    /// `RET` and `ENVID`
    pub(super) dsn: DsnEnvelope,
}

/// Whether `SMTPUTF8` is among the parameters, which decides how the path before them is read.
pub(super) fn ask_for_smtputf8(parameters: &[u8]) -> bool {
    tokens(parameters).any(|token| token.eq_ignore_ascii_case(b"SMTPUTF8"))
}

/// Reads the parameters of MAIL; `auth` says whether AUTH is among them (RFC 4954 5).
pub(super) fn of_mail(parameters: &[u8], auth: bool) -> Result<MailParameters, ParameterFault> {
    let (mut size, mut body_kind, mut smtputf8, mut submitter) = (None, None, None, None);
    let mut dsn = DsnEnvelope::default();
    for token in tokens(parameters) {
        let (name, value) = parameter(token)?;
        if name.eq_ignore_ascii_case(b"SIZE") {
            once(&mut size, declared_size(value)?)?;
        } else if name.eq_ignore_ascii_case(b"BODY") {
            once(&mut body_kind, declared_body(value)?)?;
        } else if name.eq_ignore_ascii_case(b"SMTPUTF8") {
            let flag = value.is_none().then_some(()).ok_or(ParameterFault::Syntax);
            once(&mut smtputf8, flag?)?;
        } else if name.eq_ignore_ascii_case(b"RET") {
            once(&mut dsn.ret, dsn_parameters::ret(value)?)?;
        } else if name.eq_ignore_ascii_case(b"ENVID") {
            once(&mut dsn.envelope_id, dsn_parameters::envelope_id(value)?)?;
        } else if auth && name.eq_ignore_ascii_case(b"AUTH") {
            // Who authenticated is what counts, so what is said about another is not kept.
            once(&mut submitter, declared_submitter(value)?)?;
        } else {
            return Err(ParameterFault::Unknown);
        }
    }
    Ok(MailParameters {
        size: size.unwrap_or(0),
        body_kind: body_kind.unwrap_or(BodyKind::SevenBit),
        smtputf8: smtputf8.is_some(),
        dsn,
    })
}

/// Reads the parameters of RCPT; `smtputf8`: whether MAIL said `SMTPUTF8`.
pub(super) fn of_rcpt(parameters: &[u8], smtputf8: bool) -> Result<DsnRecipient, ParameterFault> {
    let mut dsn = DsnRecipient::default();
    for token in tokens(parameters) {
        let (name, value) = parameter(token)?;
        if name.eq_ignore_ascii_case(b"NOTIFY") {
            once(&mut dsn.notify, dsn_parameters::notify(value)?)?;
        } else if name.eq_ignore_ascii_case(b"ORCPT") {
            let original = dsn_parameters::original_recipient(value, smtputf8)?;
            once(&mut dsn.original, original)?;
        } else {
            return Err(ParameterFault::Unknown);
        }
    }
    Ok(dsn)
}

fn tokens(parameters: &[u8]) -> impl Iterator<Item = &[u8]> {
    parameters
        .split(|&b| b == b' ')
        .filter(|token| !token.is_empty())
}

/// `name` or `name=value`.
fn parameter(token: &[u8]) -> Result<(&[u8], Option<&[u8]>), ParameterFault> {
    let (name, value) = match memchr::memchr(b'=', token) {
        Some(at) => (&token[..at], Some(&token[at + 1..])),
        None => (token, None),
    };
    let name_good = name.first().is_some_and(u8::is_ascii_alphanumeric)
        && name.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-');
    let in_value = |b: &u8| *b > b' ' && *b != b'=' && *b != 0x7F;
    let value_good = value.is_none_or(|value| !value.is_empty() && value.iter().all(in_value));
    if name_good && value_good {
        Ok((name, value))
    } else {
        Err(ParameterFault::Syntax)
    }
}

/// A parameter may be given once (RFC 5321 4.1.1.11 has it as an error of syntax).
fn once<T>(place: &mut Option<T>, value: T) -> Result<(), ParameterFault> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(ParameterFault::Syntax),
    }
}

/// Up to 20 digits (RFC 1870 6.1); what `u64` can't hold is more than any limit.
fn declared_size(value: Option<&[u8]>) -> Result<u64, ParameterFault> {
    let digits = value
        .filter(|v| v.len() <= 20 && v.iter().all(u8::is_ascii_digit))
        .and_then(|v| std::str::from_utf8(v).ok())
        .ok_or(ParameterFault::Syntax)?;
    Ok(digits.parse().unwrap_or(u64::MAX))
}

fn declared_body(value: Option<&[u8]>) -> Result<BodyKind, ParameterFault> {
    match value {
        Some(v) if v.eq_ignore_ascii_case(b"7BIT") => Ok(BodyKind::SevenBit),
        Some(v) if v.eq_ignore_ascii_case(b"8BITMIME") => Ok(BodyKind::EightBitMime),
        Some(v) if v.eq_ignore_ascii_case(b"BINARYMIME") => Ok(BodyKind::BinaryMime),
        _ => Err(ParameterFault::Syntax),
    }
}

/// `<>` or xtext (RFC 4954 5).
fn declared_submitter(value: Option<&[u8]>) -> Result<(), ParameterFault> {
    match value {
        Some(b"<>") => Ok(()),
        Some(value) if xtext::decode(value).is_some() => Ok(()),
        Some(_) | None => Err(ParameterFault::Syntax),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: MailParameters = MailParameters {
        size: 0,
        body_kind: BodyKind::SevenBit,
        smtputf8: false,
        dsn: DsnEnvelope {
            ret: None,
            envelope_id: None,
        },
    };

    #[track_caller]
    fn good(text: &str, want: MailParameters) {
        assert_eq!(of_mail(text.as_bytes(), false), Ok(want), "{text}");
    }

    #[track_caller]
    fn bad(text: &[u8], want: ParameterFault) {
        assert_eq!(of_mail(text, false), Err(want), "{}", text.escape_ascii());
    }

    #[test]
    fn size_is_up_to_twenty_digits() {
        // W-4.01
        good("", PLAIN);
        good(" SIZE=0", PLAIN);
        good(" size=17", MailParameters { size: 17, ..PLAIN });
        let huge = MailParameters {
            size: u64::MAX,
            ..PLAIN
        };
        good(" SIZE=99999999999999999999", huge);
        for text in [
            &b"SIZE"[..],
            b"SIZE=",
            b"SIZE=-1",
            b"SIZE=1k",
            b"SIZE=+1",
            b"SIZE=999999999999999999999",
        ] {
            bad(text, ParameterFault::Syntax);
        }
    }

    #[test]
    fn body_is_one_of_two() {
        // W-4.03
        let eight = MailParameters {
            body_kind: BodyKind::EightBitMime,
            ..PLAIN
        };
        good("BODY=8bitMIME", eight);
        good("body=7bit", PLAIN);
        for text in [&b"BODY"[..], b"BODY=", b"BODY=9BIT", b"BODY=BINARY"] {
            bad(text, ParameterFault::Syntax);
        }
    }

    #[test]
    fn the_rest_is_unknown_or_malformed() {
        // W-4.04, W-4.05, W-2.28
        for text in [&b"X"[..], b"AUTH=<>", b"MT-PRIORITY=3", b"XOORG=x"] {
            bad(text, ParameterFault::Unknown);
            assert_eq!(of_rcpt(text, false), Err(ParameterFault::Unknown));
        }
        for text in [
            &b"=1"[..],
            b"-X",
            b"X_Y=1",
            b"X=1=2",
            b"X=",
            b"\xe9X=1",
            b"X=\t",
        ] {
            bad(text, ParameterFault::Syntax);
            assert_eq!(of_rcpt(text, false), Err(ParameterFault::Syntax));
        }
        for text in [
            &b"SMTPUTF8=x"[..],
            b"SIZE=1 SIZE=1",
            b"BODY=7BIT  body=8BITMIME",
            b"SMTPUTF8 smtputf8",
        ] {
            bad(text, ParameterFault::Syntax);
        }
        assert_eq!(of_rcpt(b"  ", false), Ok(DsnRecipient::default()));
    }

    #[test]
    fn dsn_parameters_stand_where_they_belong_and_once() {
        // W-4.07, W-4.08, W-4.09
        let asked = of_mail(b"ret=full SIZE=1 Envid=x", false).unwrap().dsn;
        assert!(asked.ret.is_some() && asked.envelope_id.is_some());
        let asked = of_rcpt(b"notify=DELAY orcpt=rfc822;b", false).unwrap();
        assert!(asked.notify.is_some() && asked.original.is_some());
        for text in [
            &b"RET=FULL ret=FULL"[..],
            b"ENVID=a ENVID=a",
            b"RET",
            b"ENVID",
        ] {
            bad(text, ParameterFault::Syntax);
            assert_eq!(of_rcpt(text, false), Err(ParameterFault::Unknown));
        }
        for text in [
            &b"NOTIFY=NEVER notify=NEVER"[..],
            b"ORCPT=a;b ORCPT=a;b",
            b"NOTIFY",
            b"ORCPT",
        ] {
            assert_eq!(of_rcpt(text, false), Err(ParameterFault::Syntax));
            bad(text, ParameterFault::Unknown);
        }
    }

    #[test]
    fn auth_is_taken_where_it_is_offered() {
        // W-4.06
        for text in [
            &b"AUTH=<>"[..],
            b"auth=ann+40gp.test",
            b"AUTH=ann+3D@gp.test",
        ] {
            assert_eq!(of_mail(text, true), Ok(PLAIN));
            bad(text, ParameterFault::Unknown);
        }
        for text in [
            &b"AUTH"[..],
            b"AUTH=",
            b"AUTH=a+4",
            b"AUTH=a+zz",
            b"AUTH=a+3d",
            b"AUTH=a=b",
            b"AUTH=\xc3\xbc",
            b"AUTH=<> AUTH=<>",
        ] {
            assert_eq!(of_mail(text, true), Err(ParameterFault::Syntax));
        }
    }

    #[test]
    fn smtputf8_is_seen_beforehand() {
        assert!(ask_for_smtputf8(b" SIZE=1 smtpUTF8"));
        assert!(!ask_for_smtputf8(b" SIZE=1 XSMTPUTF8"));
        let utf8 = MailParameters {
            smtputf8: true,
            ..PLAIN
        };
        good(" SMTPUTF8", utf8);
    }
}
