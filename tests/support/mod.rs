//! The surroundings of a relay under test, all in the test's own process: a DNS server, remote mail
//! hosts that follow a script, clients that can say anything, and the real binary in their midst.
//! Everything is on loopback, on ports that no other test has.
//!
//! ```
//! use crate::support::{World, mail};
//!
//! #[tokio::test]
//! async fn recipient_refused_for_now_is_retried_and_arrives_once() {
//!     let world = World::new().await;
//!     let mx = world.remote("example.net").rcpt(["451 4.2.0 later", "250 2.1.5 ok"]).await;
//!
//!     let sent = mail().to("ann@example.net").body("A line.\n.\nAnother.");
//!     let id = world.client().send(sent.clone()).await.accepted();
//!     world.history(&id).shows(["deferred 4.2.0"]).await;
//!
//!     world.relay().kill_and_restart().await;
//!     world.history(&id).shows(["deferred 4.2.0", "delivered"]).await;
//!     mx.received_exactly(1).await; // and no more until the test ends
//!     mx.message().await.arrived_as(sent.octets());
//! }
//! ```
//!
//! # How to say it
//!
//! | to say | write |
//! | --- | --- |
//! | another environment | `World::setup().set("SMTP_MODE", "hold").unset("SMTP_ALLOW_NETWORKS").await` |
//! | what is changed while it runs | `world.relay().set_in_file("SMTP_BANNER", "hi");` `world.relay().reloads().await.field("changed")` · `refuses_to_reload()` |
//! | a start that must fail | `World::setup().set(...).expect_start_failure().await.code` |
//! | a host's misbehaviour | `world.remote("example.net").mail([reply("250 ok"), hang(), close(), reset()]).await` |
//! | slow, late, in pieces | `reply("220 hi").after(span)` · `trickle(span, "250 ok")` · `segments([...])` · `raw(b"250 ok\n")` |
//! | not before the test says so | `let gate = Gate::new();` `.dot([reply("250 ok").behind(&gate)])` · `gate.reached().await` · `gate.open()` |
//! | one recipient among many | `.rcpt_for("bob@example.net", ["550 5.1.1 unknown"])` |
//! | from now on | `mx.answers(Phase::Rcpt, ["250 ok"])` · `mx.goes_down()` · `mx.comes_back().await` |
//! | a second MX, another address | `.preference(20)` · `.at("127.0.0.5")` · `.at("::1")` · `.named("mx.other.test")` |
//! | no connection, ever | `.never_accepts()` times out · `world.next_address()` refuses · `mx.never_called()` claims |
//! | TLS | `.tls(Certificate::Good)` or `Expired`, `WrongName`... · `.handshake(Handshake::Garbage)` · `.starttls(["454 4.7.0 no"])` |
//! | TLS of the relay | `World::setup().with_tls().await` · `c.starttls(world.ca().client(), "gp.test").await` · `.port(world.tls_port())` and `c.handshake(...)` |
//! | DNS | `world.dns().mx(...)`, `.a(...)`, `.null_mx(...)`, `.troubles("example.net", MX, Trouble::ServFail)` or `Trouble::Forged {...}`, `.never_asked(...)` |
//! | DKIM | `world.starts_signing_for("gp.test").await` · `world.verifies(message.octets()).await` · `world.checked_keys().await` |
//! | a dialogue | `let mut c = world.client().session().await;` `c.cmd("RCPT TO:<a@b>").await.expect("503 5.5.1");` |
//! | many lines of it | `c.dialogue([("MAIL FROM:<a@b>", "250"), ("RCPT TO:<a@b>", "250"), ("DATA", "354")]).await;` |
//! | the first octets | `let mut c = world.client().from("127.0.0.9").connect().await;` `c.read_reply().await.expect("554 5.7.1");` |
//! | exactly these data | `c.up_to_data(&mail().to("a@b")).await;` `c.send_octets("x\r\n.\r\n").await;` `c.read_reply().await.expect(250);` |
//! | segments | `c.send_octets(...)` one · `c.send_each_octet(...)` · `c.send_pieces(random.cut(...))` · `c.pipeline([...])` |
//! | how it ends | `c.expect_closed().await` · `c.in_sync().await` · `c.half_close().await` · `c.reset()` |
//! | the control socket | `relay.control().get("/api/v1/queue").await.lines()` · `.post("/api/v1/queue/purge", json!({...})).await.done()` |
//! | what systemd hears | `let manager = ServiceManager::new();` `.set("NOTIFY_SOCKET", &manager.path())` · `manager.hears("READY=1").await` |
//! | a program on a terminal | `let mut t = world.relay().on_a_terminal(["auth", "hash"]);` `t.shows("Password: ").await;` `t.types("x");` |
//! | a command | `world.relay().does(["queue", "list", "--json"]).await.json_lines()` · `.ends_with(3).complains("nothing matches")` |
//! | a command that goes on | `let mut watch = world.relay().begins(["queue", "watch"]);` `watch.line().await` · `watch.interrupt()` · `watch.ends().await` |
//! | a relay that may die meanwhile | `world.client().try_send(mail().to("a@b")).await` is `None` without a last reply |
//! | the message as it came | `mx.message().await`: `.header`, `.body()`, `.trace()`, `.report()`, `.transaction.wire` |
//! | a bounce | `home.message().await.report().says("bob@example.net", "failed", "5.1.1")` |
//! | what became of it | `world.history(&id).shows_for("bob@example.net", ["failed 5.1.1"]).await` |
//! | any other fact | `world.log().wait_for(\|line\| line.is("possible_duplicate")).await` |
//! | nothing of this got in | `world.nothing_queued().await` · `world.accepted_only([&id]).await` |
//! | still alive afterwards | `world.takes_and_delivers_a_mail().await` |
//!
//! # Rules
//!
//! - Whatever is awaited is awaited under one deadline ([`deadline`]), and the failure names the line
//!   of the test. Sleeps are for hosts whose slowness is the point, never for waiting.
//! - A claim about the absence of something (`received_exactly`, `receives_nothing`, `never_called`)
//!   is checked again when the [`World`] goes, so a duplicate that comes late still fails the test.
//!   So do a panic in the relay, and an end that nobody asked for.
//! - A failed test prints what every party said, DNS and the relay's log between, in the order of
//!   time; with a [`Random`] also its seed, which `TEST_SEED` takes back.
//! - The log is read as JSON Lines. Facts about recipients are the events `delivered`, `deferred`,
//!   `failed` and `expired` with the fields `queue_id`, `rcpt` and `dsn`.
//! - Every reply of the relay is held to the rules that hold for all of them: CRLF, at most 512 octets
//!   a line, one code, no control characters, an enhanced status code of the right class.
//! - To see whether a relay answers, it is connected to once or more at each start; such a session
//!   has no commands.
//!
//! # Variables
//!
//! `TEST_SEED`: see above. `TEST_DEADLINE_SECONDS`: longer waits, for a slow machine. `TEST_BINARY`:
//! the absolute path of another build to test, such as a release one.
#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    reason = "support for tests that are still to be written; a test binary exports nothing"
)]

mod client;
mod control;
mod deadline;
mod dial;
mod dkim;
mod dns;
mod fields;
mod history;
mod http;
mod journal;
mod log;
mod mail;
mod message;
mod port;
mod ran;
mod random;
mod relay;
mod remote;
mod reply;
mod report;
mod running;
mod scram;
mod service_manager;
mod stuffing;
mod submission;
mod task;
mod terminal;
mod timeline;
mod tls;
mod wire;
mod world;

pub use self::client::{Client, Cut, Rules};
pub use self::control::{Control, ControlAnswer};
pub use self::deadline::{deadline, within};
pub use self::dial::Dial;
pub use self::dkim::{ED25519_PEM, RSA_PEM};
pub use self::dns::{Dns, Query, RData, RecordType, Transport, Trouble, Wrong};
pub use self::fields::{Field, Fields};
pub use self::history::History;
pub use self::http::{HttpAnswer, Live};
pub use self::log::{Line, Log};
pub use self::mail::{Mail, mail};
pub use self::message::{Message, Trace, same_octets};
pub use self::port::Port;
pub use self::ran::Ran;
pub use self::random::Random;
pub use self::relay::{Relay, StartFailure};
pub use self::remote::{
    Answer, Command, Connection, End, Ended, Gate, Handshake, Phase, Remote, RemotePlan,
    Transaction, close, hang, raw, read_data, reply, reset, segments, stop_reading, trickle,
};
pub use self::reply::{Id, Reply, Wanted};
pub use self::report::{Part, Report};
pub use self::running::Running;
pub use self::scram::Scram;
pub use self::service_manager::ServiceManager;
pub use self::stuffing::{stuffed, unstuffed};
pub use self::submission::Submission;
pub use self::task::Task;
pub use self::terminal::Terminal;
pub use self::timeline::visible;
pub use self::tls::{Ca, Certificate};
pub use self::wire::Wire;
pub use self::world::{Setup, World};
