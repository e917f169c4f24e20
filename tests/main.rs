//! The one test binary: the rules of the house, and the real program over real sockets, one module
//! for each theme.

mod fairness;
mod house;
mod support;
mod support_works;
mod wire;
