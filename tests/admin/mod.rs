//! The operator's commands, through the real binary, while the relay runs and while it does not.

mod cli_destinations;
mod cli_files;
mod cli_list;
mod cli_manual;
mod cli_orders;
mod cli_relay_only;
mod cli_terminal;
mod cli_verify;
