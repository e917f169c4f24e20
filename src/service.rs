//! Builds everything, wires it, runs it, drains it.
