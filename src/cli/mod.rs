//! Commands and how they print.
mod config_check; // what `config check` prints
