//! The queue in the operator's hands: the admin API, and the commands that ask it.

mod api;
