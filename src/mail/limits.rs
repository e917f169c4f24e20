//! Every fixed bound of the program, with its unit and its source; what an operator can set is in
//! `config` instead. Relations between bounds are checked when the program is compiled.

use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::time::Duration;

/// Longest command line that can be allowed, in bytes with CRLF.
pub const COMMAND_LINE_BYTES_MAX: usize = 8_000;
/// Shortest limit of a command line that can be set, in bytes with CRLF: RFC 5321 4.5.3.1.4 asks for
/// 512, the extensions on offer (RFC 1870, RFC 3461, RFC 4954, RFC 6152, RFC 6531) for some 680 more.
pub const COMMAND_LINE_BYTES_MIN: usize = 1_200;
/// Longest line of a client within an AUTH exchange, in bytes with CRLF (RFC 4954 4).
pub const AUTH_LINE_BYTES_MAX: usize = 12_288;
/// A command line that has grown to this many bytes without CRLF ends the session.
pub const COMMAND_FLOOD_BYTES_MAX: usize = 64 * 1024;
/// Longest reply line written, in bytes with CRLF (RFC 5321 4.5.3.1.5).
pub const REPLY_LINE_BYTES_MAX: usize = 512;
/// Longest local-part taken, in bytes. RFC 5321 4.5.3.1.1 allows 64; longer ones exist in the field.
pub const LOCAL_PART_BYTES_MAX: usize = 256;
/// Longest domain, in bytes as A-labels (RFC 1035 2.3.4, without the final dot).
pub const DOMAIN_BYTES_MAX: usize = 253;
/// Longest label of a domain, in bytes (RFC 1035 2.3.4).
pub const LABEL_BYTES_MAX: usize = 63;
/// Longest value of ORCPT, in bytes, as it comes and as it goes on (RFC 3461 4.2).
pub const ORCPT_BYTES_MAX: usize = 500;
/// Longest EHLO name that is kept, in bytes; the rest is cut.
pub const HELO_BYTES_MAX: usize = 255;

/// Read buffer of a session while commands are read, in bytes.
pub const SESSION_READ_BYTES: usize = 8 * 1024;
/// Read buffer of a session while message data is read, in bytes.
pub const DATA_READ_BYTES: usize = 64 * 1024;
/// Replies to pipelined commands that are gathered before they are written, in bytes.
pub const REPLIES_BYTES_MAX: usize = 16 * 1024;
/// Connections that the kernel keeps for us until we accept them.
pub const LISTEN_BACKLOG: i32 = 1_024;
/// Clients that are being turned away, or whose right to connect is being looked up, at one time.
/// More are turned away without waiting for them to listen.
pub const LOBBY_MAX: usize = 256;
/// Client networks whose rate is remembered at one time, for each rate.
pub const RATED_CLIENTS_MAX: usize = 100_000;
/// Longest PROXY protocol header taken, in bytes: the longest without TLVs has 232.
pub const PROXY_HEADER_BYTES_MAX: usize = 4_096;
/// How long a proxy may take for the header of a connection.
pub const PROXY_HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// Names of allowed hosts that are looked up at one time.
pub const HOST_LOOKUPS_MAX: usize = 16;
/// Failures to authenticate at which a session ends.
pub const AUTH_FAILURES_IN_SESSION_MAX: u8 = 3;
/// Failures to authenticate of one client network within [`AUTH_FAILURE_WINDOW`], after which
/// nobody there can.
pub const AUTH_FAILURES_MAX: u32 = 20;
/// See [`AUTH_FAILURES_MAX`]; begins with the first of them.
pub const AUTH_FAILURE_WINDOW: Duration = Duration::from_secs(5 * 60);
/// A failure to authenticate is answered so long after the client's last line.
pub const AUTH_FAILURE_DELAY: Duration = Duration::from_millis(500);
/// Client networks whose failures are remembered.
pub const AUTH_FAILURE_CLIENTS_MAX: usize = 10_000;
/// Passwords that are checked at one time; each takes 19 MiB with argon2's usual parameters.
pub const PASSWORD_CHECKS_MAX: usize = 4;
/// Rounds of PBKDF2 in SCRAM keys that we make (RFC 7677 4 asks for at least 4096).
pub const SCRAM_ITERATIONS: NonZeroU32 = NonZeroU32::new(10_000).unwrap();
/// Rounds of PBKDF2 that a remote host may ask of us in SCRAM: fewer would give the password away to
/// whoever plays the host (RFC 7677 4), more would be work without end.
pub const SCRAM_ITERATIONS_ACCEPTED: RangeInclusive<u32> = 4_096..=1_000_000;
/// How long a client waits for its turn to have its password checked.
pub const PASSWORD_CHECK_WAIT: Duration = Duration::from_secs(20);
/// Octets that are read and thrown away behind a last reply.
pub const LINGER_BYTES_MAX: usize = 1024 * 1024;
/// Received fields at which a message is taken to loop (RFC 5321 6.3 asks for at least 100).
pub const RECEIVED_FIELDS_MAX: usize = 100;
/// Longest header section that can be allowed, in bytes.
pub const HEADER_SECTION_BYTES_MAX: usize = 1024 * 1024;
/// Most names that a DKIM signature lists; a message with more of the fields that are signed is
/// malformed (RFC 5322 3.6), and is not signed.
pub const DKIM_SIGNED_FIELDS_MAX: usize = 100;
/// Messages that are signed at one time: each may have a header section in memory.
pub const DKIM_SIGNINGS_MAX: usize = 4;
/// Most DKIM keys.
pub const DKIM_KEYS_MAX: usize = 1_000;
/// Largest file of a DKIM key that is read, in bytes.
pub const DKIM_KEY_FILE_BYTES_MAX: u64 = 64 * 1024;
/// Most fields in a header section that can be allowed.
pub const HEADER_FIELDS_MAX: usize = 10_000;
/// What is kept of a Message-ID, in bytes: no line of RFC 5322 2.1.1 is longer.
pub const MESSAGE_ID_BYTES_MAX: usize = 998;

/// Largest body kept inside the database, in bytes; larger ones are files (DESIGN 5.3: above this
/// the database writes 4 to 5 times the body's size).
pub const INLINE_BODY_BYTES_MAX: usize = 32 * 1024;
/// Largest value that is ever put into the database, in bytes: sled turns pages above a quarter of
/// a segment into files that it never syncs.
pub const STORE_VALUE_BYTES_MAX: usize = 64 * 1024;
/// Piece in which a large body is written to and read from its file, in bytes.
pub const BODY_PIECE_BYTES: usize = 256 * 1024;
/// What is remembered of one recipient's attempts and of what operators did to it, but for its last
/// attempt; then the oldest attempts are forgotten, all but the first.
pub const HISTORY_EVENTS_MAX: usize = 100;
/// Most changes of the store that share one flush.
pub const COMMIT_GROUP_MAX: usize = 100;
/// Most body bytes that share one flush.
pub const COMMIT_GROUP_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Changes that may wait for the committer.
pub const COMMIT_QUEUE_MAX: usize = 1_024;

/// Longest reply of a remote host that is read, in bytes and in lines.
pub const REMOTE_REPLY_BYTES_MAX: usize = 64 * 1024;
/// See [`REMOTE_REPLY_BYTES_MAX`].
pub const REMOTE_REPLY_LINES_MAX: usize = 1_000;
/// What is kept of a remote's reply text, in bytes.
pub const REPLY_TEXT_BYTES_MAX: usize = 2_048;
/// Recipients that go into one outgoing transaction (RFC 5321 4.5.3.1.8 asks servers for 100).
pub const TRANSACTION_RECIPIENTS_MAX: usize = 100;
/// Address literals and hosts tried in one attempt, counted in hosts and in addresses.
pub const ATTEMPT_HOSTS_MAX: usize = 5;
/// See [`ATTEMPT_HOSTS_MAX`].
pub const ATTEMPT_ADDRESSES_MAX: usize = 10;
/// Names of mail hosts looked up in one attempt, those without an address included.
pub const ATTEMPT_NAMES_MAX: usize = 20;
/// Longest CNAME chain followed.
pub const CNAME_CHAIN_MAX: usize = 10;
/// How long we listen for the reply to QUIT, and how long we try to say it.
pub const FAREWELL: Duration = Duration::from_secs(2);
/// Transactions on one outgoing connection. Some hosts count them and begin to refuse at a hundred;
/// and the addresses of a host that is called again may have changed for the better.
pub const CONNECTION_TRANSACTIONS_MAX: usize = 100;
/// Age at which an outgoing connection is used no more: what was found out for it, such as the
/// host's address and certificate, should not be older.
pub const CONNECTION_AGE_MAX: Duration = Duration::from_secs(5 * 60);
/// Outgoing connections that are kept without mail at one time, of all destinations. Each takes a
/// descriptor and, with TLS, some 40 KiB.
pub const IDLE_CONNECTIONS_MAX: usize = 512;
/// Message octets that go into one write towards a remote host, about, in bytes.
pub const OUTGOING_WRITE_BYTES: usize = 64 * 1024;
/// Largest original that a delivery report gives back whole although nobody asked for it, in bytes.
pub const REPORT_WHOLE_BYTES_MAX: u64 = 64 * 1024;
/// Header section of the original that a delivery report gives back, in bytes.
pub const REPORT_HEADER_BYTES_MAX: usize = 64 * 1024;

/// Items of one destination's line that are held in memory; a longer line stays in the store.
pub const LINE_WINDOW_ITEMS_MAX: usize = 64;
/// Destinations without mail of which is remembered how they last answered.
pub const DESTINATIONS_REMEMBERED_MAX: usize = 10_000;
/// Destinations that operators may have suspended at one time.
pub const DESTINATIONS_ORDERED_MAX: usize = 1_000;
/// Messages that an order to bounce works on at one time; each has a report that is composed meanwhile.
pub const BOUNCES_AT_ONE_TIME: usize = 16;
/// Recipients of one message that are attempted together.
pub const CLAIM_RECIPIENTS_MAX: usize = 1_000;
/// Lines that are read from the store at one time.
pub const LINE_READS_MAX: usize = 16;
/// Damaged items of one line that are kept aside in memory, so that they don't come again.
pub const LINE_SET_ASIDE_MAX: usize = 1_000;
/// Held recipients that are released in one step, but for those of one message, which go together.
pub const RELEASE_RECIPIENTS_MAX: usize = 500;
/// Messages that the sweeper handles in one step.
pub const SWEEP_MESSAGES_MAX: usize = 500;
/// Messages that the sweeper looks at in one step, to see whether anything is in line.
pub const SWEEP_EXAMINED_MAX: usize = 5_000;
/// Senders of whom it is known how many reports they got in the last hour.
pub const REPORT_SENDERS_MAX: usize = 10_000;

/// What is kept of an operator's name, in bytes.
pub const BY_BYTES_MAX: usize = 64;
/// What is kept of an operator's reason, in bytes.
pub const REASON_BYTES_MAX: usize = 500;

/// A client that was refused before the banner is listened to this long, so that the refusal
/// reaches it and is not overtaken by a reset.
pub const LINGER: Duration = Duration::from_secs(2);
/// Pause after a failed accept, such as for lack of descriptors.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Look-up of one allowed host, and of all that a decision about a client needs.
pub const HOST_LOOKUP_TIMEOUT: Duration = Duration::from_secs(8);
/// See [`HOST_LOOKUP_TIMEOUT`].
pub const ACCESS_DECISION_TIMEOUT: Duration = Duration::from_secs(9);
/// How long an allowed host's addresses are used at least and at most, whatever their TTL says.
pub const HOST_TTL_MIN: Duration = Duration::from_secs(1);
/// See [`HOST_TTL_MIN`].
pub const HOST_TTL_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// How long it is believed that an allowed host's name does not exist.
pub const NO_SUCH_HOST_TTL: Duration = Duration::from_secs(30);
/// How soon an allowed host's name is looked up again after a temporary failure.
pub const HOST_RETRY: Duration = Duration::from_secs(2);
/// How often the files of our TLS certificate and key are looked at.
pub const TLS_FILES_INTERVAL: Duration = Duration::from_secs(1);
/// Tickets for TLS 1.3 that a client gets at most, if it asks for some (RFC 9149).
pub const TLS13_TICKETS_MAX: usize = 2;
/// How long a client may take to read what we wrote.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// Memory that a transaction can come to need for its data, in bytes: what was read and a piece of
/// the body, whatever the size of the message.
pub const TRANSACTION_MEMORY_BYTES: u64 = (DATA_READ_BYTES + BODY_PIECE_BYTES) as u64;
/// Recipients for which a transaction needs no more memory than that; for each so many beyond, as much
/// again. One takes up to about 2.5 KiB, with its ORCPT and what tells repetitions.
pub const MEMORY_SHARE_RECIPIENTS: usize = 100;

const _: () = assert!(COMMAND_LINE_BYTES_MIN >= 512);
const _: () = assert!(COMMAND_LINE_BYTES_MAX < SESSION_READ_BYTES);
const _: () = assert!(HOST_LOOKUP_TIMEOUT.as_millis() < ACCESS_DECISION_TIMEOUT.as_millis());
const _: () = assert!(SESSION_READ_BYTES <= DATA_READ_BYTES);
const _: () = assert!(INLINE_BODY_BYTES_MAX < STORE_VALUE_BYTES_MAX);
const _: () = assert!(BODY_PIECE_BYTES <= COMMIT_GROUP_BYTES_MAX);
const _: () = assert!(LINE_WINDOW_ITEMS_MAX <= CLAIM_RECIPIENTS_MAX);
const _: () = assert!(REPLY_TEXT_BYTES_MAX < REMOTE_REPLY_BYTES_MAX);
const _: () = assert!(ATTEMPT_HOSTS_MAX <= ATTEMPT_NAMES_MAX);
