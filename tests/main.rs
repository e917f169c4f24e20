//! The one test binary: the rules of the house, and the real program over real sockets, one module
//! for each theme.

mod admin;
mod crash;
mod docs;
mod explain;
mod fairness;
mod hooks;
mod house;
mod install;
mod interop;
mod log_formats;
mod random_remotes;
mod schema;
mod start_up;
mod support;
mod support_works;
mod terminal;
mod wire;
