//! Routes, DNS, connections, attempts.
