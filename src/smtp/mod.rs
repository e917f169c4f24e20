//! The protocol as pure functions and state machines. No sockets, no clock.
