//! What is still to be built: faces only.

use futures_util::Stream;
use futures_util::stream::BoxStream;

use super::api::*;
use super::{Admin, AdminError, By};
use crate::mail::QueueId;

type Pages<T> = BoxStream<'static, Result<Vec<T>, AdminError>>;

#[expect(
    missing_docs,
    unused_variables,
    clippy::unused_async,
    reason = "to be built"
)]
impl Admin {
    pub async fn stats(&self, limit: Option<u64>) -> Result<Stats, AdminError> {
        Err(AdminError::NotHere("not built yet"))
    }
    pub async fn import<S>(
        &self,
        envelope: &ExportedEnvelope,
        octets: S,
        by: &By,
    ) -> Result<Imported, AdminError>
    where
        S: Stream<Item = Result<bytes::Bytes, String>> + Send + Unpin,
    {
        Err(AdminError::NotHere("not built yet"))
    }
    pub fn verify(&self, repair: bool, by: &By) -> Result<Pages<VerifyLine>, AdminError> {
        Err(AdminError::NotHere("not built yet"))
    }
    pub fn order(
        &self,
        action: &str,
        order: &Order,
        by: By,
    ) -> Result<Pages<OrderLine>, AdminError> {
        Err(AdminError::NotHere("not built yet"))
    }
    pub async fn suspended_destinations(&self) -> Result<Vec<SuspendedDestination>, AdminError> {
        Err(AdminError::NotHere("not built yet"))
    }
    pub async fn suspend(
        &self,
        name: &str,
        suspend: &Suspend,
        by: &By,
    ) -> Result<SuspendedDestination, AdminError> {
        Err(AdminError::NotHere("not built yet"))
    }
    pub async fn resume(&self, name: &str, by: &By) -> Result<(), AdminError> {
        Err(AdminError::NotHere("not built yet"))
    }
    pub fn audit(&self) -> Result<AuditState, AdminError> {
        Err(AdminError::NotHere("not built yet"))
    }
    pub fn set_audit(&self, state: AuditState, by: &By) -> Result<AuditState, AdminError> {
        Err(AdminError::NotHere("not built yet"))
    }
    pub async fn reload(&self, by: &By) -> Result<Reloaded, AdminError> {
        Err(AdminError::NotHere("not built yet"))
    }
}
