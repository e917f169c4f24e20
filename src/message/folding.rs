//! Long lines broken at blanks (RFC 5322 2.2.3), so that taking the line ends out again gives back
//! what was there.

/// Where a line ends by preference, in octets without CRLF (RFC 5322 2.1.1).
pub(super) const LINE_BYTES_NICE: usize = 78;
/// Where a line must end, in octets without CRLF (RFC 5322 2.1.1).
pub(super) const LINE_BYTES_MAX: usize = 998;

/// Appends `text`, which begins with a blank, breaking lines before blanks so that none grows beyond
/// [`LINE_BYTES_NICE`] where that can be helped. Each new line begins with `indent` and then with
/// the blank before the break. A line of blanks only is never made.
///
/// A single word that is longer than a line may be is broken inside, with a blank put in: the limit
/// of the line weighs more.
pub(super) fn append_folded(out: &mut String, text: &str, indent: &str) {
    debug_assert!(text.is_empty() || text.starts_with(' '));
    let mut rest = text.trim_end_matches(' ');
    while !rest.is_empty() {
        let (token, behind) = rest.split_at(token_end(rest));
        append_token(out, token, indent);
        rest = behind;
    }
}

/// Appends a blank and `words`, or a line break before them if the line would grow beyond
/// [`LINE_BYTES_NICE`]; never breaks inside.
pub(super) fn append_clause(out: &mut String, words: &str) {
    let fits = column(out) + 1 + words.len() <= LINE_BYTES_NICE;
    out.push_str(if fits { " " } else { "\r\n\t" });
    out.push_str(words);
}

/// `token` is some blanks and one word behind them.
fn append_token(out: &mut String, token: &str, indent: &str) {
    if column(out) + token.len() <= LINE_BYTES_NICE {
        out.push_str(token);
    } else if indent.len() + token.len() <= LINE_BYTES_MAX {
        out.push_str("\r\n");
        out.push_str(indent);
        out.push_str(token);
    } else {
        for piece in pieces(token.trim_start_matches(' ')) {
            out.push_str("\r\n");
            out.push_str(indent);
            out.push(' ');
            out.push_str(piece);
        }
    }
}

/// Where the first word of `text` ends; blanks before it are its own.
fn token_end(text: &str) -> usize {
    let blanks = text.len() - text.trim_start_matches(' ').len();
    text[blanks..]
        .find(' ')
        .map_or(text.len(), |at| blanks + at)
}

/// `word` in pieces that leave room for an indentation.
fn pieces(word: &str) -> impl Iterator<Item = &str> {
    let mut rest = word;
    std::iter::from_fn(move || {
        let (piece, behind) = rest.split_at(rest.floor_char_boundary(900));
        rest = behind;
        (!piece.is_empty()).then_some(piece)
    })
}

/// How long the last line of `text` is, in octets.
fn column(text: &str) -> usize {
    text.rfind('\n')
        .map_or(text.len(), |end| text.len() - end - 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn folded(text: &str, indent: &str) -> String {
        let mut out = "Field:".to_owned();
        append_folded(&mut out, text, indent);
        out
    }

    #[test]
    fn lines_break_before_blanks_and_unfold_to_what_was_there() {
        let (a, b) = ("a".repeat(60), "b".repeat(60));
        assert_eq!(
            folded(&format!(" {a} x {b}"), ""),
            format!("Field: {a} x\r\n {b}")
        );
        assert_eq!(
            folded(&format!(" {a}   {b}  "), ""),
            format!("Field: {a}\r\n   {b}")
        );
        assert_eq!(
            folded(&format!(" {a} {b}"), "   "),
            format!("Field: {a}\r\n    {b}")
        );
        assert_eq!(folded("", ""), "Field:");
        assert_eq!(folded("   ", ""), "Field:");
    }

    #[test]
    fn a_word_longer_than_a_line_is_broken() {
        let x = "x".repeat(900);
        assert_eq!(
            folded(&format!(" 550 {x}{x}xx y"), ""),
            format!("Field: 550\r\n {x}\r\n {x}\r\n xx y")
        );
    }

    #[test]
    fn clauses_stay_whole() {
        let mut out = "Field: a".to_owned();
        append_clause(&mut out, "b c");
        append_clause(&mut out, &format!("{} x", "d".repeat(70)));
        append_clause(&mut out, "e");
        assert_eq!(out, format!("Field: a b c\r\n\t{} x e", "d".repeat(70)));
    }

    proptest! {
        #[test]
        fn no_line_is_over_long_or_blank(text in "( ( {0,3}| {900,1200})([!-~ü]{0,90}|[!-~ü]{900,2100})){0,9}", indent in " {0,4}") {
            let out = folded(&text, &indent);
            for line in out.split("\r\n") {
                prop_assert!(line.len() <= LINE_BYTES_MAX && !line.trim().is_empty());
                prop_assert!(line.starts_with(' ') || line.starts_with("Field:"));
            }
            let words = |text: &str| text.replace([' ', '\r', '\n'], "");
            prop_assert_eq!(words(&out), format!("Field:{}", words(&text)));
            if indent.is_empty() && text.split(' ').all(|word| word.len() < 400) && !text.contains("     ") {
                prop_assert_eq!(out.replace("\r\n", ""), format!("Field:{}", text.trim_end()));
            }
        }
    }
}
