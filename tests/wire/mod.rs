//! What is seen on the wire, statement by statement; each test cites the numbers it shows.

mod first_mail;
