//! How much is in the queue, and how old it is.

use std::collections::HashMap;
use std::time::Duration;

use crate::mail::{Destination, StateName, UnixMillis};
use crate::observe::wall_clock;
use crate::store::{DestinationAges, Suspension};

use super::api::{DestinationStats, Stats};
use super::entry::rfc3339;
use super::{Admin, AdminError};

/// Upper bounds of the columns of ages, in minutes.
const BOUNDS_MINUTES: [u64; 9] = [5, 10, 20, 40, 80, 160, 320, 640, 1_280];
/// Destinations that are told of, if nothing else is asked for.
const DESTINATIONS: u64 = 100;
/// Destinations that are told of at most.
const DESTINATIONS_MAX: u64 = 10_000;
/// The states in which recipients wait.
const WAITING: [StateName; 3] = [StateName::Queued, StateName::Deferred, StateName::Held];

impl Admin {
    /// How much is in the queue, by state and, for what waits, by destination and age.
    ///
    /// # Errors
    /// The store failed.
    pub async fn stats(&self, limit: Option<u64>) -> Result<Stats, AdminError> {
        let now = wall_clock();
        let empty = Stats {
            at: rfc3339(now),
            age_bounds_minutes: BOUNDS_MINUTES.to_vec(),
            ..Stats::default()
        };
        let Some(store) = &self.store else {
            return Ok(empty);
        };
        let bounds = BOUNDS_MINUTES.map(|minutes| Duration::from_secs(60 * minutes));
        let mut ages = store.ages(now, &bounds).await?;
        let suspended: HashMap<Destination, Suspension> =
            store.suspensions().await?.into_iter().collect();
        ages.sort_by(|(a, of_a), (b, of_b)| {
            of_b.recipients.cmp(&of_a.recipients).then_with(|| a.cmp(b))
        });
        let limit = limit.unwrap_or(DESTINATIONS).min(DESTINATIONS_MAX);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut by_age = vec![0; BOUNDS_MINUTES.len() + 1];
        for (_, of_one) in &ages {
            for (all, one) in by_age.iter_mut().zip(&of_one.by_age) {
                *all += one;
            }
        }
        let left_out = ages.len().saturating_sub(limit) as u64;
        ages.truncate(limit);
        let counts = store.counts();
        let named = StateName::ALL.map(|state| (state.as_str(), counts.recipients_in(state)));
        let oldest = WAITING.map(|state| (state, store.oldest(state)));
        Ok(Stats {
            messages: counts.messages,
            bytes: counts.bytes,
            recipients: named.map(|(name, count)| (name.to_owned(), count)).into(),
            oldest_age_seconds: oldest
                .map(|(state, oldest)| (state.as_str().to_owned(), age(oldest, now)))
                .into(),
            by_age,
            destinations: ages
                .into_iter()
                .map(|(name, ages)| of_destination(&name, ages, suspended.get(&name), now))
                .collect(),
            left_out,
            ..empty
        })
    }
}

fn of_destination(
    name: &Destination,
    ages: DestinationAges,
    suspension: Option<&Suspension>,
    now: UnixMillis,
) -> DestinationStats {
    DestinationStats {
        destination: name.to_string(),
        recipients: ages.recipients,
        held: ages.held,
        by_age: ages.by_age,
        oldest_age_seconds: age(ages.oldest, now),
        suspended_until: suspension.map(|suspension| match suspension.until {
            Some(until) => rfc3339(until),
            None => "resumed".to_owned(),
        }),
    }
}

fn age(oldest: Option<UnixMillis>, now: UnixMillis) -> u64 {
    oldest.map_or(0, |oldest| now.since(oldest).as_secs())
}
