//! What it means to be a variable.

use super::refusal::Parsed;

/// A variable with the parser into its typed value.
pub(super) struct Variable<T> {
    pub(super) about: About,
    /// Takes the trimmed text; an empty one only where the default is empty too.
    pub(super) parse: fn(&str) -> Parsed<T>,
}

/// What is known of a variable apart from its type.
#[derive(Debug)]
pub(super) struct About {
    pub(super) name: &'static str,
    pub(super) section: Section,
    pub(super) default: DefaultValue,
    /// Completes the sentence "expected ...".
    pub(super) expected: &'static str,
    /// For operators: what it does, without the default.
    pub(super) meaning: &'static str,
    /// Never printed, and may be given as `NAME_FILE`.
    pub(super) secret: bool,
    /// Whether `gopherpost reload` takes a new value up; otherwise it takes a restart.
    pub(super) live: bool,
}

/// What holds when a variable is not set.
#[derive(Clone, Copy, Debug)]
pub(super) enum DefaultValue {
    /// This text; empty: the variable stays unset.
    Text(&'static str),
    /// The system's host name.
    HostName,
    /// `control.sock` in `$RUNTIME_DIRECTORY`, else in the queue's directory.
    ControlSocket,
    /// The number of logical CPUs, up to [`super::table::WORKERS_MAX`].
    LogicalCpus,
}

/// Where a variable stands in the reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    Relay,
    Listener,
    Access,
    Auth,
    Queue,
    Delivery,
    Dkim,
    Health,
    Log,
}

impl Section {
    /// All of them, in the order of the reference.
    pub(super) const ALL: [Section; 9] = [
        Section::Relay,
        Section::Listener,
        Section::Access,
        Section::Auth,
        Section::Queue,
        Section::Delivery,
        Section::Dkim,
        Section::Health,
        Section::Log,
    ];

    pub(super) fn title(self) -> &'static str {
        match self {
            Section::Relay => "The relay",
            Section::Listener => "Listener and sessions",
            Section::Access => "Who may connect, and send as whom",
            Section::Auth => "Authentication",
            Section::Queue => "Queue, retries and retention",
            Section::Delivery => "Delivery",
            Section::Dkim => "DKIM signatures",
            Section::Health => "Health",
            Section::Log => "Log",
        }
    }
}
