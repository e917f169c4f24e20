//! The surroundings of a relay under test, all in the test's own process: a DNS server, remote mail
//! hosts that follow a script, clients that can say anything, and the real binary in their midst.
#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    reason = "support for tests that are still to be written; a test binary exports nothing"
)]

mod client;
mod deadline;
mod dial;
mod dns;
mod fields;
mod history;
mod http;
mod journal;
mod log;
mod mail;
mod message;
mod port;
mod random;
mod relay;
mod remote;
mod reply;
mod report;
mod stuffing;
mod submission;
mod task;
mod timeline;
mod tls;
mod wire;
mod world;

pub use self::client::{Client, Cut};
pub use self::deadline::{deadline, within};
pub use self::dial::Dial;
pub use self::dns::{Dns, Query, RData, RecordType, Transport, Trouble};
pub use self::fields::{Field, Fields};
pub use self::history::History;
pub use self::http::HttpAnswer;
pub use self::log::{Line, Log};
pub use self::mail::{Mail, mail};
pub use self::message::{Message, Trace, same_octets};
pub use self::port::Port;
pub use self::random::Random;
pub use self::relay::{Relay, StartFailure};
pub use self::remote::{
    Answer, Command, Connection, End, Ended, Gate, Handshake, Phase, Remote, RemotePlan,
    Transaction, close, hang, raw, read_data, reply, reset, segments, stop_reading, trickle,
};
pub use self::reply::{Id, Reply, Wanted};
pub use self::report::{Part, Report};
pub use self::stuffing::{stuffed, unstuffed};
pub use self::submission::Submission;
pub use self::timeline::visible;
pub use self::tls::{Ca, Certificate};
pub use self::world::{Setup, World};
