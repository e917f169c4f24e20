//! What a session may do by the state of everything around it: the store, other sessions of the
//! same client, memory.

use super::reply::Say;

/// Asked last, when a command is right in itself and in its place; a yes is counted as used.
pub trait Allowance {
    /// Whether one more message may be begun, or what to say instead.
    fn message(&mut self) -> Result<(), Say>;

    /// Whether one more recipient may be named besides these `others` of the transaction, or what to
    /// say instead.
    fn recipient(&mut self, others: usize) -> Result<(), Say> {
        let _ = others; // nothing else matters
        Ok(())
    }
}

/// Whether mail can be taken at this moment, and nothing else matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailIntake {
    /// It can.
    Open,
    /// It can't; the client may come again.
    Closed,
}

impl Allowance for MailIntake {
    fn message(&mut self) -> Result<(), Say> {
        match self {
            MailIntake::Open => Ok(()),
            MailIntake::Closed => Err(Say::NoRoom),
        }
    }
}
