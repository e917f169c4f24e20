//! What is seen on the wire, statement by statement; each test cites the numbers it shows.

mod access;
mod addresses;
mod command_lines;
mod commands;
mod custody;
mod data;
mod dns_trouble;
mod extensions;
mod first_mail;
mod mx;
mod odd_turn;
mod outgoing_session;
mod outgoing_tls;
mod outgoing_transaction;
mod parameters;
mod remote_replies;
mod shutdown;
mod smuggling;
mod transactions;
