//! The values of the DSN parameters (RFC 3461 4.1 to 4.4), decoded.

use crate::mail::{EnvelopeId, Notify, OriginalRecipient, Ret};
use crate::smtp::{orcpt, xtext};

use super::parameter_fault::ParameterFault;

/// `RET=FULL` or `RET=HDRS`.
pub(super) fn ret(value: Option<&[u8]>) -> Result<Ret, ParameterFault> {
    match value {
        Some(v) if v.eq_ignore_ascii_case(b"FULL") => Ok(Ret::Full),
        Some(v) if v.eq_ignore_ascii_case(b"HDRS") => Ok(Ret::Headers),
        _ => Err(ParameterFault::Syntax),
    }
}

/// `ENVID=xtext`
pub(super) fn envelope_id(value: Option<&[u8]>) -> Result<EnvelopeId, ParameterFault> {
    value
        .and_then(xtext::decode)
        .and_then(|octets| String::from_utf8(octets).ok())
        .and_then(|text| EnvelopeId::parse(&text))
        .ok_or(ParameterFault::Syntax)
}

/// `NOTIFY=NEVER`, or a list of the others.
pub(super) fn notify(value: Option<&[u8]>) -> Result<Notify, ParameterFault> {
    let value = value.ok_or(ParameterFault::Syntax)?;
    if value.eq_ignore_ascii_case(b"NEVER") {
        return Ok(Notify::Never);
    }
    let (mut success, mut failure, mut delay) = (false, false, false);
    for word in value.split(|&b| b == b',') {
        let said = match word.to_ascii_uppercase().as_slice() {
            b"SUCCESS" => &mut success,
            b"FAILURE" => &mut failure,
            b"DELAY" => &mut delay,
            _ => return Err(ParameterFault::Syntax),
        };
        *said = true;
    }
    Ok(Notify::Of {
        success,
        failure,
        delay,
    })
}

/// `ORCPT=type;address`. A `utf-8` address may stand there in UTF-8 itself only with `smtputf8`.
pub(super) fn original_recipient(
    value: Option<&[u8]>,
    smtputf8: bool,
) -> Result<OriginalRecipient, ParameterFault> {
    value
        .filter(|value| smtputf8 || value.is_ascii())
        .and_then(orcpt::parse)
        .ok_or(ParameterFault::Syntax)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn bad<T: std::fmt::Debug + PartialEq>(
        read: impl Fn(Option<&[u8]>) -> Result<T, ParameterFault>,
        values: &[&str],
    ) {
        assert_eq!(read(None), Err(ParameterFault::Syntax));
        for value in values {
            let got = read(Some(value.as_bytes()));
            assert_eq!(got, Err(ParameterFault::Syntax), "{value}");
        }
    }

    #[test]
    fn ret_is_one_of_two() {
        // W-4.07
        assert_eq!(ret(Some(b"Full")), Ok(Ret::Full));
        assert_eq!(ret(Some(b"hdrs")), Ok(Ret::Headers));
        bad(ret, &["", "FULL,HDRS", "NONE"]);
    }

    #[test]
    fn envelope_ids_are_xtext_of_up_to_a_hundred() {
        // W-4.07
        for (value, want) in [("x", "x"), ("a+20b+2B+3D", "a b+=")] {
            let read = envelope_id(Some(value.as_bytes()));
            assert_eq!(read.map(|id| id.as_str().to_owned()), Ok(want.to_owned()));
        }
        assert!(envelope_id(Some("+3D".repeat(100).as_bytes())).is_ok());
        let long = "x".repeat(101);
        let bad_ones = [
            "", "+", "+3", "+3d", "+GG", "a=b", "+0D+0A", "+C3+BC", &long,
        ];
        bad(envelope_id, &bad_ones);
    }

    #[test]
    fn notify_is_never_or_a_list() {
        // W-4.08
        assert_eq!(notify(Some(b"never")), Ok(Notify::Never));
        for (value, success, failure, delay) in [
            ("SUCCESS", true, false, false),
            ("failure,Delay", false, true, true),
            ("DELAY,FAILURE,SUCCESS,DELAY", true, true, true),
        ] {
            let want = Notify::Of {
                success,
                failure,
                delay,
            };
            assert_eq!(notify(Some(value.as_bytes())), Ok(want), "{value}");
        }
        bad(
            notify,
            &[
                "",
                "NEVER,SUCCESS",
                "SUCCESS,NEVER",
                "SUCCESS,",
                ",DELAY",
                "FOO",
            ],
        );
    }

    #[test]
    fn utf8_stands_as_it_is_only_with_smtputf8() {
        // W-4.09
        let value = Some("utf-8;j\u{fc}rgen@dest.test".as_bytes());
        let read = original_recipient(value, true).unwrap();
        assert_eq!(&*read.address, "j\u{fc}rgen@dest.test");
        bad(
            |value| original_recipient(value, false),
            &["utf-8;j\u{fc}rgen@dest.test", "rfc822;\u{fc}", "rfc822"],
        );
    }
}
