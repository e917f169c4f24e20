//! GopherPost, a crash-tolerant relay MTA. `docs/architecture.md` is the map; a room imports only
//! from rooms above it in this list.

pub mod mail; // the vocabulary: addresses, ids, replies, states

pub mod config; // every variable, once
pub mod message; // the bytes of a message: headers, trace fields, reports
pub mod smtp; // the protocol as pure functions and state machines

pub mod observe; // what happened, told once
pub mod store; // the queue on disk; the only room that knows sled

pub mod queue; // the life of a queued recipient

pub mod inbound; // listeners, access, sessions
pub mod outbound; // routes, DNS, connections, attempts

pub mod admin; // what the operator asks and gets told

pub mod http; // health, and the control socket

pub mod service; // builds, wires, runs and drains the relay

pub mod cli; // commands and how they print
