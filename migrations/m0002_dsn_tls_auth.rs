//! Schema 2: records of version 2, which tell of DSN parameters, TLS, AUTH and BINARYMIME. Records of
//! version 1 stay as they are, since each says itself what it is; the number is there so that a
//! program that does not know version 2 leaves the queue alone.

pub(crate) fn run(_db: &sled::Db) -> sled::Result<()> {
    Ok(())
}
