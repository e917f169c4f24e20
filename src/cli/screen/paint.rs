//! Colours, few of them: each means one thing.

/// What a colour says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Paint {
    /// A heading.
    Strong,
    /// Less important than the rest.
    Faint,
    /// As it should be.
    Good,
    /// Waits, or is held up.
    Waits,
    /// Has gone wrong.
    Bad,
    /// Nothing special.
    Plain,
}

impl Paint {
    /// `text` with the terminal's codes around it.
    pub(super) fn on(self, text: &str) -> String {
        let code = match self {
            Paint::Strong => "1",
            Paint::Faint => "2",
            Paint::Good => "32",
            Paint::Waits => "33",
            Paint::Bad => "31",
            Paint::Plain => return text.to_owned(),
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    /// That of a recipient's state.
    pub(in crate::cli) fn of_state(state: &str) -> Paint {
        match state {
            "delivered" => Paint::Good,
            "deferred" | "held" => Paint::Waits,
            "failed" | "expired" => Paint::Bad,
            "purged" => Paint::Faint,
            _ => Paint::Plain, // also what a later relay may have
        }
    }
}
