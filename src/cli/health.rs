//! `gopherpost health`: whether the running relay does its work, for those who watch containers and have
//! no HTTP client in there.

use std::io::Write as _;

use hyper::Method;

use crate::config::Sources;
use crate::observe::Shown;

use super::ask::{Content, Whom, ask};
use super::ending::{CommandError, Outcome};
use super::screen::output;

/// Prints what `/healthz` says; fails if that is bad news.
pub(super) fn run(sources: &Sources) -> Outcome {
    ask(sources, Whom::RelayOnly("health"), async |asker| {
        let mut answer = asker
            .send_whatever_comes(Method::GET, "/healthz", Content::Nothing)
            .await?;
        // Only the first line: under SMTP_DEBUG the live events follow, without an end.
        let told = answer.line().await?.unwrap_or_default();
        if !answer.is_good_news() {
            return Err(CommandError::Failed(Shown(&told).to_string()));
        }
        let mut out = output();
        writeln!(out, "{}", Shown(&told))?;
        out.flush()?;
        Ok(())
    })
}
