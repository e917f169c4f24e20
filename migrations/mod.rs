//! The steps that bring a database to today's schema, one module each, run in order by the store
//! when it opens. A step may be run again after a crash in the middle of it, so it must come out the
//! same; the version is written, durably, after each.

mod m0001_first_schema;
mod m0002_dsn_tls_auth;
mod m0003_remote_security;
mod m0004_delay_reports;
mod m0005_tombstones_history;

/// The schema that this program writes.
pub(crate) const SCHEMA: u32 = 5;

/// One step.
pub(crate) struct Migration {
    /// The schema that it leaves behind.
    pub(crate) to: u32,
    /// What it does, for the log.
    pub(crate) what: &'static str,
    /// Does it.
    pub(crate) run: fn(&sled::Db) -> sled::Result<()>,
}

/// All steps, in order.
pub(crate) const ALL: &[Migration] = &[
    Migration {
        to: 1,
        what: "creates the trees of the first schema",
        run: m0001_first_schema::run,
    },
    Migration {
        to: 2,
        what: "records may tell of DSN, TLS, AUTH and BINARYMIME",
        run: m0002_dsn_tls_auth::run,
    },
    Migration {
        to: 3,
        what: "records may tell how a remote host was secured",
        run: m0003_remote_security::run,
    },
    Migration {
        to: 4,
        what: "records of recipients may tell of delay reports",
        run: m0004_delay_reports::run,
    },
    Migration {
        to: 5,
        what: "records may tell of purges and Message-IDs; attempts have a history",
        run: m0005_tombstones_history::run,
    },
];

const _: () = assert!(ALL[ALL.len() - 1].to == SCHEMA);
