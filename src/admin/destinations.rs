//! Destinations that get no attempts: which, why, and by whose hand.

use crate::mail::{AddressDomain, Destination};
use crate::observe::{QueueEvent, wall_clock};
use crate::queue::{Operator, SuspendError};
use crate::store::{Suspension, SuspensionCause};

use super::api::{Suspend, SuspendedDestination};
use super::by::{By, reason, safe};
use super::entry::rfc3339;
use super::selection::span_of;
use super::{Admin, AdminError};

/// Longest name of a line, in bytes.
const NAME_BYTES_MAX: usize = 500;

impl Admin {
    /// All that are suspended, in the order of names.
    ///
    /// # Errors
    /// The store failed.
    pub async fn suspended_destinations(&self) -> Result<Vec<SuspendedDestination>, AdminError> {
        let Some(store) = &self.store else {
            return Ok(Vec::new());
        };
        let suspensions = store.suspensions().await?;
        let told = suspensions
            .iter()
            .map(|(name, suspension)| told(name, suspension));
        Ok(told.collect())
    }

    /// No attempts at a destination, for a span or until it is resumed.
    ///
    /// # Errors
    /// There is no such line, the span can't be read, there are too many, or the store failed.
    pub async fn suspend(
        &self,
        name: &str,
        suspend: &Suspend,
        by: &By,
    ) -> Result<SuspendedDestination, AdminError> {
        let destination = self.line(name)?;
        let span = suspend
            .span
            .as_deref()
            .map(|text| span_of("span", text))
            .transpose()?;
        let until = span.map(|span| wall_clock().after(span));
        let reason = reason(&suspend.reason);
        let suspended = self
            .operator()?
            .suspend(&destination, until, &reason, by.as_str())
            .await;
        let suspension = suspended.map_err(|error| match error {
            SuspendError::TooMany => AdminError::TooMany(error.to_string()),
            SuspendError::Read(error) => error.into(),
            SuspendError::Commit(error) => error.into(),
        })?;
        Ok(told(&destination, &suspension))
    }

    /// Opens a destination again, whoever suspended it; its mail is attempted at once.
    ///
    /// # Errors
    /// It is not suspended, or the store failed.
    pub async fn resume(&self, name: &str, by: &By) -> Result<(), AdminError> {
        let destination = self.line(name)?;
        if !self.operator()?.resume(&destination).await? {
            return Err(AdminError::NotFound(format!(
                "{destination} is not suspended"
            )));
        }
        self.events.emit(QueueEvent::Ordered {
            action: "resume",
            by: by.as_str(),
            reason: "",
            filter: &format!("destination={destination}"),
            matched: 1,
            changed: 1,
            in_flight: 0,
        });
        Ok(())
    }

    pub(super) fn operator(&self) -> Result<&Operator, AdminError> {
        let none = || AdminError::NotFound("there is no queue yet".to_owned());
        self.operator.as_ref().ok_or_else(none)
    }

    /// A line by its name: of a domain, or of a route as lists show it.
    fn line(&self, name: &str) -> Result<Destination, AdminError> {
        let shown = safe(name, NAME_BYTES_MAX);
        if name.contains('/') && name == shown {
            return Ok(Destination::of_route(name));
        }
        let domain = AddressDomain::parse(name).ok_or_else(|| {
            AdminError::Malformed(format!("{shown:?} is neither a domain nor a route's name"))
        })?;
        let own = Destination::of_domain(&domain);
        let line = self.ways.destination(&domain);
        match line == own {
            true => Ok(own),
            false => Err(AdminError::Malformed(format!(
                "mail for {domain} waits in the line {line}, perhaps with mail for others; name that"
            ))),
        }
    }
}

fn told(destination: &Destination, suspension: &Suspension) -> SuspendedDestination {
    let Suspension {
        since,
        until,
        cause,
    } = suspension;
    let (times, why, by) = match cause {
        SuspensionCause::Trouble { times, answer } => (*times, answer.words(), "relay"),
        SuspensionCause::Order { by, reason } => (0, reason.to_string(), &**by),
    };
    SuspendedDestination {
        destination: destination.to_string(),
        since: rfc3339(*since),
        until: until.map(rfc3339),
        times,
        why,
        by: by.to_owned(),
    }
}
