//! Variables that take one of a few words.

use super::refusal::{Parsed, Refusal};

/// `SMTP_MODE`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Accept and deliver.
    Deliver,
    /// Accept; deliver nothing until released.
    Hold,
    /// Accept and keep; never deliver.
    Sink,
}

pub(super) fn mode(text: &str) -> Parsed<Mode> {
    match text {
        "deliver" => Ok(Mode::Deliver),
        "hold" => Ok(Mode::Hold),
        "sink" => Ok(Mode::Sink),
        _ => Err(Refusal::Unexpected),
    }
}

/// `SMTP_LOG_FORMAT`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
    /// `key=value` pairs.
    Logfmt,
}

pub(super) fn log_format(text: &str) -> Parsed<LogFormat> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        "logfmt" => Ok(LogFormat::Logfmt),
        _ => Err(Refusal::Unexpected),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_exact() {
        assert_eq!(mode("deliver"), Ok(Mode::Deliver));
        assert_eq!(mode("hold"), Ok(Mode::Hold));
        assert_eq!(mode("sink"), Ok(Mode::Sink));
        assert!(mode("Hold").is_err());
        assert_eq!(log_format("text"), Ok(LogFormat::Text));
        assert_eq!(log_format("json"), Ok(LogFormat::Json));
        assert_eq!(log_format("logfmt"), Ok(LogFormat::Logfmt));
        assert!(log_format("xml").is_err());
    }
}
