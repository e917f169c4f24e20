//! The one test binary: the real program over real sockets, and the rules of the house.

mod house;
