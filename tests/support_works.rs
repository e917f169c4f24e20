//! The support of the tests, set against itself: before a test blames the relay, DNS, remote hosts
//! and clients have shown here that they do what they are told.

mod client_reads_strictly;
mod dns_answers;
mod failures_are_told;
mod remote_follows_its_script;
mod tls_is_real;
