//! What the operator did to a recipient, for its history.

/// What was done by hand, by whom and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// `retry`, `hold`, `release`, `purge`, `restore`, `bounce` or `import`.
    pub action: Box<str>,
    /// Who: a user name or number, cut to a bound and escaped.
    pub by: Box<str>,
    /// In their words, cut to a bound and escaped; empty: none given.
    pub reason: Box<str>,
}
