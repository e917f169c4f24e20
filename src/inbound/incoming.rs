//! A message that is coming in, whichever way, and what is said when it can't be taken.

use crate::mail::limits::RECEIVED_FIELDS_MAX;
use crate::mail::{QueueId, Recipient, UnixMillis};
use crate::message::{Scan, Scanned};
use crate::smtp::data_decoder::DataFault;
use crate::smtp::server::{Say, Submission};
use crate::store::{CommitError, FinishedBody, Intake};

/// Octets that came in whole, and what was found out about them.
pub(super) type Received = (FinishedBody, Scanned);

/// A message that is coming in.
pub(super) struct Incoming {
    pub(super) id: QueueId,
    pub(super) now: UnixMillis,
    pub(super) submission: Submission,
    pub(super) recipients: Vec<Recipient>,
}

/// Ends a message whose octets are fit, if its header section is.
pub(super) async fn finish(scan: Scan, mut intake: Intake) -> Result<Received, Say> {
    let scanned = scan.finish(intake.buffer());
    if scanned.header.received >= RECEIVED_FIELDS_MAX {
        return Err(Say::Looping);
    }
    if scanned.header.over_limits {
        return Err(Say::HeaderTooLarge);
    }
    match intake.finish().await {
        Ok(body) => Ok((body, scanned)),
        Err(error) => Err(no_room(&error)),
    }
}

pub(super) fn data_fault(fault: DataFault) -> Say {
    match fault {
        DataFault::Nul => Say::NulInData,
        DataFault::BareLineEnd => Say::BareLineEndInData,
        DataFault::TooLarge => Say::TooLarge,
        DataFault::LineTooLong => Say::TextLineTooLong,
    }
}

/// Whatever keeps the store from taking a message, the client may come again.
pub(super) fn no_room(error: &CommitError) -> Say {
    match error {
        CommitError::DiskFull | CommitError::Failed(_) | CommitError::Closed => Say::NoRoom,
    }
}
