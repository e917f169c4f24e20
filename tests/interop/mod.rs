//! Trials with real programs: senders, a receiver and a mail parser of others, and a tracer that shows
//! in which order the relay writes, flushes and answers.
//!
//! They need programs that a machine may lack, so they run only with `INTEROP=1` in the environment,
//! as `tests/interop/run` sets it; without it each says that it was left out.

mod clients;
mod dkimpy;
mod openssl;
mod program;
mod python_email;
mod smtp_sink;
mod smtp_source;
mod strace;
mod swaks;
mod system_calls;
