//! What the parser of a variable gives back when it does not take a text.

/// What a parser gives back.
pub(super) type Parsed<T> = Result<T, Refusal>;

/// Why a text was not taken. What is expected instead is in the table, so most need no word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It is simply not what is expected.
    Unexpected,
    /// This part of it, or this property, is the trouble.
    Because(String),
    /// As [`Refusal::Because`], and the text may hold a password: it must not be repeated.
    Unprintable(&'static str),
}
