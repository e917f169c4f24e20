//! The protocol as pure functions and state machines. No sockets, no clock.

pub mod chunk_checker;
pub mod client;
pub mod data_decoder;
pub mod dot_stuffing;
pub mod orcpt;
pub mod scram;
pub mod server;
pub mod xtext;
