//! The protocol as pure functions and state machines. No sockets, no clock.

pub mod data_decoder;
pub mod server;
