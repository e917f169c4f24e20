//! How a session does one turn: reading, writing, and everything a script can ask for besides.

use std::io;
use std::time::Instant;

use super::answer::{Act, Answer};
use super::record::{Command, Ended};
use super::session::{Said, Session};
use crate::support::wire::Wire;

/// Octets of one command line that are read before the host gives up on its peer.
const COMMAND_OCTETS_MAX: usize = 1024 * 1024;

impl Session<'_> {
    pub(super) async fn perform(&mut self, answer: Answer) -> Result<Said, Ended> {
        self.said = None;
        for act in answer.acts {
            match act {
                Act::Send(octets) => {
                    self.said = self.said.or(octets.first().copied());
                    self.look_ahead().await;
                    self.write(&octets).await?;
                }
                Act::SendCut { octets, pause } => {
                    self.said = self.said.or(octets.first().copied());
                    self.look_ahead().await;
                    self.host.timeline.sent(self.party, &octets);
                    for octet in octets {
                        self.write_quietly(&[octet]).await?;
                        tokio::time::sleep(pause).await; // slowness is what the script asks for
                    }
                }
                Act::Pause(pause) => tokio::time::sleep(pause).await, // the same
                Act::Gate(gate) => gate.pass().await,
                Act::ReadData(octets) => {
                    while self.inbox.len() < octets {
                        self.fill().await?;
                    }
                }
                Act::Close => {
                    self.finish().await;
                    return Err(Ended::ByScript);
                }
                Act::Reset => {
                    if let Some(wire) = self.wire.take() {
                        wire.reset();
                    }
                    return Err(Ended::ByScript);
                }
                Act::Hang => loop {
                    self.fill().await?;
                },
                Act::StopReading => std::future::pending().await,
            }
        }
        Ok(self.said)
    }

    /// Notes whether the client went on before its last command was answered.
    async fn look_ahead(&mut self) {
        if let Some(wire) = &mut self.wire {
            let _ = wire.read_waiting(&mut self.inbox).await; // an error shows again at the next read
        }
        if !self.inbox.is_empty() {
            self.host
                .connections
                .update(self.number, |c| match c.commands.last_mut() {
                    Some(command) => command.more_was_waiting = true,
                    None => c.spoke_first = true,
                });
        }
    }

    pub(super) async fn command(&mut self) -> Result<String, Ended> {
        let end = loop {
            if let Some(at) = self.inbox.iter().position(|octet| *octet == b'\n') {
                break at + 1;
            }
            if self.inbox.len() > COMMAND_OCTETS_MAX {
                return Err(Ended::Broken("endless command line".to_owned()));
            }
            self.fill().await?;
        };
        let octets: Vec<u8> = self.inbox.drain(..end).collect();
        self.host.timeline.received(self.party, &octets);
        let text = String::from_utf8_lossy(&octets);
        let line = text.trim_end_matches(['\r', '\n']).to_owned();
        let command = Command {
            line: line.clone(),
            octets,
            in_tls: self.wire.as_ref().is_some_and(Wire::is_tls),
            at: Instant::now(),
            more_was_waiting: false,
        };
        self.host
            .connections
            .update(self.number, |c| c.commands.push(command));
        Ok(line)
    }

    pub(super) async fn fill(&mut self) -> Result<(), Ended> {
        let wire = self.wire.as_mut().expect("a session reads before its end");
        match wire.read(&mut self.inbox).await {
            Ok(0) => Err(Ended::ByClient),
            Ok(_) => Ok(()),
            Err(error) => Err(broken(&error)),
        }
    }

    /// In TLS the end is said inside as well, so that it can be told from a cut.
    pub(super) async fn finish(&mut self) {
        if let Some(wire) = &mut self.wire {
            let _ = wire.finish_sending().await; // the peer may have gone first
        }
    }

    pub(super) async fn write(&mut self, octets: &[u8]) -> Result<(), Ended> {
        self.host.timeline.sent(self.party, octets);
        self.write_quietly(octets).await
    }

    async fn write_quietly(&mut self, octets: &[u8]) -> Result<(), Ended> {
        let wire = self.wire.as_mut().expect("a session writes before its end");
        wire.write(octets).await.map_err(|error| broken(&error))
    }
}

fn broken(error: &io::Error) -> Ended {
    Ended::Broken(error.to_string())
}
