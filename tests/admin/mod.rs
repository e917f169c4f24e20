//! The queue in the operator's hands: the admin API, and the commands that ask it.

mod api;
mod cli_destinations;
mod cli_every;
mod cli_files;
mod cli_list;
mod cli_manual;
mod cli_orders;
mod cli_relay_only;
mod cli_terminal;
mod cli_verify;
