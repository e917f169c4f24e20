//! Schema 5: records of recipients of version 5, which tell when and out of which state one was purged;
//! records of messages that tell the Message-ID; the trees `history` and
//! `tombstones`. Earlier records stay as they are,
//! since each says itself what it is.

pub(crate) fn run(db: &sled::Db) -> sled::Result<()> {
    db.open_tree("history")?;
    db.open_tree("tombstones").map(drop)
}
