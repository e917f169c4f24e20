//! Who a message says it is from: the domain of the addresses in From (RFC 5322 3.4, 3.6.2).
//!
//! The reading is generous towards display names, which are often not as the RFC has them, and takes
//! no octet of a quoted string or comment for an address.

use crate::mail::Domain;

/// The domain that all addresses in the value of a From field have; `None` if there is no address,
/// one without a domain name, or several of different domains.
pub(super) fn author_domain(value: &[u8]) -> Option<Domain> {
    let mut addresses = addresses(value).into_iter();
    let first = domain_of(&addresses.next()?)?;
    let same = |address: Vec<u8>| domain_of(&address).as_ref() == Some(&first);
    addresses.all(same).then_some(first)
}

fn domain_of(address: &[u8]) -> Option<Domain> {
    let at = memchr::memrchr(b'@', address)?;
    let domain: Vec<u8> = address[at + 1..]
        .iter()
        .copied()
        .filter(|octet| !octet.is_ascii_whitespace())
        .collect();
    Domain::parse(std::str::from_utf8(&domain).ok()?).ok()
}

/// What stands in angle brackets, or has an `@` without such brackets, in each element of the list.
/// Quoted strings are left out of it, as they can't be domains.
fn addresses(value: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let (mut plain, mut bracketed): (Vec<u8>, Option<Vec<u8>>) = (Vec::new(), None);
    let mut in_brackets = false;
    let mut rest = value;
    while let Some((&octet, behind)) = rest.split_first() {
        rest = behind;
        match octet {
            b'"' => {
                rest = behind_quoted(rest);
                push(&mut plain, &mut bracketed, in_brackets, b'q'); // stands for the string
            }
            b'(' => rest = behind_comment(rest),
            b'<' => {
                in_brackets = true;
                bracketed = Some(Vec::new());
            }
            b'>' => in_brackets = false,
            b',' | b';' if !in_brackets => end_element(&mut found, &mut plain, &mut bracketed),
            b':' if !in_brackets => plain.clear(), // the name of a group
            b':' => bracketed = Some(Vec::new()),  // a source route (RFC 5322 4.4)
            _ => push(&mut plain, &mut bracketed, in_brackets, octet),
        }
    }
    end_element(&mut found, &mut plain, &mut bracketed);
    found
}

fn push(plain: &mut Vec<u8>, bracketed: &mut Option<Vec<u8>>, in_brackets: bool, octet: u8) {
    match bracketed {
        Some(address) if in_brackets => address.push(octet),
        Some(_) => {}
        None => plain.push(octet),
    }
}

fn end_element(found: &mut Vec<Vec<u8>>, plain: &mut Vec<u8>, bracketed: &mut Option<Vec<u8>>) {
    let plain = std::mem::take(plain);
    match bracketed.take() {
        Some(address) => found.push(address),
        None if plain.contains(&b'@') => found.push(plain),
        None => {} // an empty element, or part of a display name with a comma in it
    }
}

fn behind_quoted(mut rest: &[u8]) -> &[u8] {
    loop {
        match rest {
            [b'\\', _, behind @ ..] => rest = behind,
            [b'"', behind @ ..] => return behind,
            [_, behind @ ..] => rest = behind,
            [] => return rest,
        }
    }
}

fn behind_comment(mut rest: &[u8]) -> &[u8] {
    let mut depth = 1;
    loop {
        match rest {
            [b'\\', _, behind @ ..] => rest = behind,
            [b'(', behind @ ..] => {
                depth += 1;
                rest = behind;
            }
            [b')', behind @ ..] => {
                depth -= 1;
                rest = behind;
                if depth == 0 {
                    return rest;
                }
            }
            [_, behind @ ..] => rest = behind,
            [] => return rest,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: &str, want: Option<&str>) {
        let got = author_domain(value.as_bytes());
        assert_eq!(got.as_ref().map(Domain::as_str), want, "{value:?}");
    }

    #[test]
    fn one_address_is_found_however_it_is_dressed() {
        for value in [
            " a@good.test\r\n",
            " A <a@GOOD.test>\r\n",
            "\"a@evil.test\" <a@good.test>",
            "\"b\\\"<a@evil.test>\" <a@good.test>",
            "(b@evil.test (<c@evil.test>)) a@good.test (\\) d@evil.test)",
            "a@evil.test <a@good.test>",
            "Foo, Inc. <a@good.test>",
            "J\u{fc}rgen <j\u{fc}rgen@good.test>",
            "\"a b\"@good.test",
            "\"a@evil.test\"@good.test",
            "<\"a>b@evil.test\"@good.test>",
            "a@ good.test",
            "a@good.\r\n test",
            "Group: a@good.test;",
            "<@evil.test:a@good.test>",
            "a@good.test,",
        ] {
            check(value, Some("good.test"));
        }
        check("<a@b\u{fc}cher.test>", Some("xn--bcher-kva.test"));
    }

    #[test]
    fn several_addresses_count_as_long_as_they_agree() {
        check("a@good.test, B <b@good.test>", Some("good.test"));
        check("a@good.test, b@evil.test", None);
        check("<a@good.test>, <b@sub.good.test>", None);
        check("g: a@good.test, b@evil.test;", None);
    }

    #[test]
    fn without_a_domain_name_there_is_no_domain() {
        for value in [
            "",
            "\r\n",
            "Ann",
            "<>",
            "<ann>",
            "ann@",
            "ann@[192.0.2.1]",
            "undisclosed:;",
            "\"a@good.test\"",
            "(a@good.test)",
            "\"a@good.test",
            "a@good..test",
            "a@good.test <b>",
            "a@good.test, <ann>",
            "\u{fffd}@\u{0}",
        ] {
            check(value, None);
        }
    }
}
