//! A client's octets: what it sends as it is told, and replies, read strictly.

use super::Client;
use crate::support::deadline::{Here, within};
use crate::support::reply::Reply;
use crate::support::timeline::visible;

/// Longest reply line with CRLF (RFC 5321 4.5.3.1.5).
const REPLY_LINE_OCTETS_MAX: usize = 512;

/// What every reply is held to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rules {
    /// Lines end in CRLF and have at most 512 octets, no control characters; and, but where SMTP has
    /// none (220, 334, 354, and 250 to EHLO and HELO, which name the host), an enhanced status code
    /// of the right class.
    OfTheRelay {
        /// What its 250 to EHLO begins with.
        hostname: String,
    },
    /// The same without enhanced codes.
    OfLines,
    /// Only what makes it a reply: one code, hyphens before the last line.
    Any,
}

/// The server ended the connection where a reply was due.
#[derive(Clone, Debug, thiserror::Error)]
#[error(
    "the server ended the connection ({how}) instead of a reply to {instead_of:?}; unread {unread:?}"
)]
pub struct Cut {
    /// What was not answered.
    pub instead_of: String,
    /// How the connection ended.
    pub how: String,
    /// The beginning of a reply, if one came.
    pub unread: String,
}

impl Client {
    pub(super) async fn exchange(&mut self, here: Here, line: String) -> Reply {
        match self.try_exchange(here, line).await {
            Ok(reply) => reply,
            Err(cut) => panic!("{here}: {cut}"),
        }
    }

    pub(super) async fn try_exchange(&mut self, here: Here, line: String) -> Result<Reply, Cut> {
        self.say(here, format!("{line}\r\n").as_bytes()).await;
        self.said = line;
        self.try_read(here).await
    }

    pub(super) async fn say(&mut self, here: Here, octets: &[u8]) {
        self.timeline.sent(&self.party, octets);
        self.write(here, octets).await;
    }

    pub(super) async fn write(&mut self, here: Here, octets: &[u8]) {
        let wire = self.wire.as_mut().expect("an open connection");
        let what = || "the server to take what the client sends".to_owned();
        if let Err(error) = within(here, what, wire.write(octets)).await {
            // Often the server refused and closed; what it said is still to be read.
            self.timeline
                .note(&self.party, &format!("could not send: {error}"));
        }
    }

    pub(super) async fn read(&mut self, here: Here) -> Reply {
        match self.try_read(here).await {
            Ok(reply) => reply,
            Err(cut) => panic!("{here}: {cut}"),
        }
    }

    pub(super) async fn try_read(&mut self, here: Here) -> Result<Reply, Cut> {
        let mut lines = Vec::new();
        loop {
            let line = self.read_line(here).await?;
            let more = line.as_bytes().get(3) == Some(&b'-');
            lines.push(line);
            if !more {
                break;
            }
        }
        match Reply::parse(&lines, &self.said) {
            Ok(reply) => {
                self.rules.check_code(here, &reply);
                Ok(reply)
            }
            Err(why) => panic!("{here}: {lines:?} is no reply to {:?}: {why}", self.said),
        }
    }

    async fn read_line(&mut self, here: Here) -> Result<String, Cut> {
        let end = loop {
            if let Some(at) = self.inbox.iter().position(|octet| *octet == b'\n') {
                break at + 1;
            }
            let wire = self.wire.as_mut().expect("an open connection");
            let what = || format!("a reply to {:?}", self.said);
            match within(here, what, wire.read(&mut self.inbox)).await {
                Ok(1..) => {}
                end => {
                    let how = format!("{end:?}");
                    self.timeline.note(&self.party, &format!("the end: {how}"));
                    return Err(Cut {
                        instead_of: self.said.clone(),
                        how,
                        unread: visible(&self.inbox),
                    });
                }
            }
        };
        let octets: Vec<u8> = self.inbox.drain(..end).collect();
        self.timeline.received(&self.party, &octets);
        if self.rules != Rules::Any {
            let text = octets.strip_suffix(b"\r\n");
            let proper =
                text.is_some_and(|t| t.iter().all(|o| *o == b'\t' || !o.is_ascii_control()));
            assert!(
                proper && octets.len() <= REPLY_LINE_OCTETS_MAX,
                "{here}: {:?} ({} octets) breaks the rules of reply lines",
                visible(&octets),
                octets.len()
            );
        }
        let text = String::from_utf8_lossy(&octets);
        Ok(text.trim_end_matches(['\r', '\n']).to_owned())
    }
}

impl Rules {
    fn check_code(&self, here: Here, reply: &Reply) {
        let Rules::OfTheRelay { hostname } = self else {
            return;
        };
        let names_host = || reply.lines[0].split(' ').next() == Some(hostname);
        let exempt = matches!(reply.code, 220 | 334 | 354) || reply.code == 250 && names_host();
        let class = (reply.code / 100).to_string();
        let right = |code: &String| code.starts_with(&class);
        assert!(
            exempt || reply.enhanced.as_ref().is_some_and(right),
            "{here}: {reply} to {:?} has no enhanced status code, or one of another class",
            reply.to
        );
    }
}
