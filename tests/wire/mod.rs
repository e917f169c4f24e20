//! What is seen on the wire, statement by statement; each test cites the numbers it shows.

mod addresses;
mod custody;
mod data;
mod first_mail;
mod parameters;
mod smuggling;
mod dns_trouble;
mod first_mail;
mod mx;
mod odd_turn;
mod outgoing_session;
mod remote_replies;
mod extensions;
mod first_mail;
mod outgoing_tls;
mod outgoing_transaction;
mod access;
mod command_lines;
mod commands;
mod first_mail;
mod shutdown;
mod transactions;
