//! Commands and how they print.
