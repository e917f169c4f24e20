//! What can be wrong with a parameter of MAIL or RCPT, whichever it is.

/// Why parameters can't be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ParameterFault {
    /// Malformed, or given twice.
    Syntax,
    /// Of an extension that was not offered.
    Unknown,
}
