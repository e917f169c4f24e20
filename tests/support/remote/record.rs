//! What a remote host saw, connection by connection and message by message.

use std::net::SocketAddr;
use std::time::Instant;

/// One connection and every command line in it.
#[derive(Clone, Debug)]
pub struct Connection {
    /// 0 for the host's first.
    pub number: usize,
    /// Who called.
    pub peer: SocketAddr,
    /// When.
    pub opened: Instant,
    /// Whether octets came before the greeting was out.
    pub spoke_first: bool,
    /// In order.
    pub commands: Vec<Command>,
    /// How the TLS handshake went, if there was one.
    pub handshake: Option<Result<(), String>>,
    /// The name that was asked for in it (SNI).
    pub server_name: Option<String>,
    /// Who authenticated.
    pub user: Option<String>,
    /// How it ended, once it has.
    pub ended: Option<Ended>,
    /// When.
    pub ended_at: Option<Instant>,
}

impl Connection {
    /// The command lines as text.
    pub fn lines(&self) -> Vec<&str> {
        self.commands.iter().map(|c| c.line.as_str()).collect()
    }

    /// Those that came in clear.
    pub fn lines_in_clear(&self) -> Vec<&str> {
        let clear = self.commands.iter().filter(|c| !c.in_tls);
        clear.map(|c| c.line.as_str()).collect()
    }

    /// Those that came inside TLS.
    pub fn lines_in_tls(&self) -> Vec<&str> {
        let tls = self.commands.iter().filter(|c| c.in_tls);
        tls.map(|c| c.line.as_str()).collect()
    }

    /// Whether more had come before some command was answered.
    pub fn pipelined(&self) -> bool {
        self.commands.iter().any(|command| command.more_was_waiting)
    }
}

/// One command line.
#[derive(Clone, Debug)]
pub struct Command {
    /// Without its line end; what is no UTF-8 replaced.
    pub line: String,
    /// As it came, with its line end.
    pub octets: Vec<u8>,
    /// Whether it came inside TLS.
    pub in_tls: bool,
    /// When it was read.
    pub at: Instant,
    /// Whether further octets had come before it was answered.
    pub more_was_waiting: bool,
}

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// After QUIT.
    Quit,
    /// The client closed without QUIT.
    ByClient,
    /// The script closed or reset it.
    ByScript,
    /// Reset by the client, a failed handshake, or the like.
    Broken(String),
}

/// MAIL to the end of the message, with DATA or BDAT, however that came.
#[derive(Clone, Debug)]
pub struct Transaction {
    /// Number of its connection.
    pub connection: usize,
    /// Whether it was inside TLS.
    pub in_tls: bool,
    /// `EHLO name` or `HELO name` as it was said.
    pub hello: String,
    /// The MAIL line.
    pub mail: String,
    /// The RCPT lines that were accepted, in order.
    pub rcpts: Vec<String>,
    /// The RCPT lines that were refused.
    pub refused: Vec<String>,
    /// The message after unstuffing, without the final dot.
    pub data: Vec<u8>,
    /// What came after DATA on the wire, the final dot included, or the octets of all chunks.
    pub wire: Vec<u8>,
    /// What became of it.
    pub end: End,
    /// When the end of the message had come, or the connection had ended within it.
    pub at: Instant,
}

/// What became of a transaction that came to DATA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The dot came and was answered with 2yz.
    Accepted,
    /// The dot came and was answered with something else.
    Refused,
    /// The dot came, and the connection ended without an answer to it.
    Unanswered,
    /// The connection ended before the dot.
    Lost,
}

impl Transaction {
    /// The reverse-path without brackets; empty for `<>`.
    pub fn from(&self) -> &str {
        path_of(&self.mail)
    }

    /// The accepted forward-paths without brackets.
    pub fn to(&self) -> Vec<&str> {
        self.rcpts.iter().map(|line| path_of(line)).collect()
    }

    /// The parameters of MAIL, in order.
    pub fn mail_parameters(&self) -> Vec<&str> {
        parameters_of(&self.mail)
    }
}

/// The path of a MAIL or RCPT line, which may have `>` inside quotes.
pub(super) fn path_of(line: &str) -> &str {
    match bracketed(line) {
        Some((from, to)) => &line[from + 1..to],
        None => "",
    }
}

/// What follows the path.
pub(super) fn parameters_of(line: &str) -> Vec<&str> {
    match bracketed(line) {
        Some((_, to)) => line[to + 1..].split_ascii_whitespace().collect(),
        None => Vec::new(),
    }
}

fn bracketed(line: &str) -> Option<(usize, usize)> {
    let open = line.find('<')?;
    let (mut quoted, mut escaped) = (false, false);
    for (at, octet) in line.bytes().enumerate().skip(open + 1) {
        match octet {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'>' if !quoted => return Some((open, at)),
            _ => {}
        }
    }
    None
}
