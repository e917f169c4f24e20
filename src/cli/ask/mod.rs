//! How a command gets its answers: each is an HTTP request, sent to the running relay over its control
//! socket, or, if none runs, to the same API over the queue that the command opens itself. Never both.

mod answer;
mod offline;
mod relay;

use std::path::PathBuf;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::signal::unix::{SignalKind, signal};

use crate::config::{Sources, control_socket};

use super::ending::{CommandError, Outcome, configuration, say};
use super::surroundings;

pub(super) use answer::{Answer, printable};

/// How long nothing may come, in one answer: `explain` asks DNS, and a list may look at a million
/// before it finds somebody.
const SILENCE_MAX: Duration = Duration::from_secs(120);
/// What a command that asks a relay adds to its niceness: mail goes before it.
const NICENESS: i32 = 10;
/// Who asked for it, if the user was changed in between; told with what is changed.
const ON_BEHALF: &str = "x-gopherpost-user";
/// Longest name that is told there, in bytes.
const ON_BEHALF_BYTES_MAX: usize = 64;

/// Whom a command may ask.
#[derive(Clone, Copy, Debug)]
pub(super) enum Whom {
    /// The relay, or the queue if none runs.
    Anyone,
    /// The running relay; the name says what is useless without one.
    RelayOnly(&'static str),
}

/// Gives a command somebody to ask, and waits until it has ended. What it was about when the user
/// interrupts it is dropped, and what it opened is closed.
///
/// For a relay that runs, where it listens is all that has to be right in the configuration: so its queue is in
/// reach while a setting is wrong, or where only the service has all of them (`LoadCredential=`).
pub(super) fn ask(
    sources: &Sources,
    whom: Whom,
    command: impl AsyncFnOnce(&Asker) -> Outcome,
) -> Outcome {
    let socket = control_socket(sources).map_err(CommandError::failed)?;
    if relay::runs(&socket)? {
        // A list of everything keeps a CPU busy that the relay may want. It is all the same if this fails.
        let _ = rustix::process::nice(NICENESS);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(CommandError::failed)?;
        return runtime.block_on(until_interrupted(command, Asker::of_relay(socket)));
    }
    match whom {
        Whom::RelayOnly(what) => Err(CommandError::Failed(format!(
            "no relay runs (nobody listens on {}): {what} is for a running one",
            socket.display()
        ))),
        Whom::Anyone => {
            let config = configuration(sources)?;
            say(&"no relay runs: the queue is opened by this command");
            offline::with_queue(&config, async |api| {
                until_interrupted(command, Asker::of_queue(api)).await
            })
        }
    }
}

async fn until_interrupted(command: impl AsyncFnOnce(&Asker) -> Outcome, asker: Asker) -> Outcome {
    let mut interrupted = signal(SignalKind::interrupt()).map_err(CommandError::failed)?;
    let mut told_to_end = signal(SignalKind::terminate()).map_err(CommandError::failed)?;
    let command = Box::pin(command(&asker));
    tokio::select! {
        biased; // a command that says itself what the interruption means goes first
        outcome = command => outcome,
        _ = interrupted.recv() => Err(CommandError::Failed("interrupted".to_owned())),
        _ = told_to_end.recv() => Err(CommandError::Failed("told to end".to_owned())),
    }
}

/// Somebody who answers.
pub(super) struct Asker {
    way: Way,
    on_behalf: Option<HeaderValue>,
}

enum Way {
    Relay(PathBuf),
    Queue(Router),
}

/// What is sent with a request.
pub(super) enum Content {
    Nothing,
    Json(Vec<u8>),
    /// Whatever it is; comes in pieces.
    Stream(Body),
}

impl Content {
    pub(super) fn json(value: &impl Serialize) -> Result<Content, CommandError> {
        let json = serde_json::to_vec(value).map_err(CommandError::failed)?;
        Ok(Content::Json(json))
    }
}

impl Asker {
    fn of_relay(socket: PathBuf) -> Asker {
        Asker {
            way: Way::Relay(socket),
            on_behalf: on_behalf(),
        }
    }

    fn of_queue(api: Router) -> Asker {
        Asker {
            way: Way::Queue(api),
            on_behalf: on_behalf(),
        }
    }

    /// Whether the queue was opened for this command, since no relay runs.
    pub(super) fn opened_queue(&self) -> bool {
        matches!(self.way, Way::Queue(_))
    }

    /// Asks, and gives the answer as soon as it begins. The path and query must be valid in a request
    /// line: see [`query_of`] and [`segment`].
    pub(super) async fn send(
        &self,
        method: Method,
        path_and_query: &str,
        content: Content,
    ) -> Result<Answer, CommandError> {
        let answer = self
            .send_whatever_comes(method, path_and_query, content)
            .await?;
        answer.unless_refused().await
    }

    /// The same where a refusal is an answer as well.
    pub(super) async fn send_whatever_comes(
        &self,
        method: Method,
        path_and_query: &str,
        content: Content,
    ) -> Result<Answer, CommandError> {
        let mut request = Request::builder()
            .method(method)
            .uri(path_and_query)
            .header(HOST, "localhost")
            .header(ACCEPT, "application/x-ndjson, application/json, */*");
        if let Some(on_behalf) = &self.on_behalf {
            request = request.header(ON_BEHALF, on_behalf);
        }
        let request = match content {
            Content::Nothing => request.body(Body::empty()),
            Content::Json(json) => request
                .header(CONTENT_TYPE, "application/json")
                .body(Body::from(json)),
            Content::Stream(body) => request.body(body),
        };
        let request = request.map_err(CommandError::failed)?;
        match &self.way {
            Way::Relay(socket) => relay::send(socket, request).await,
            Way::Queue(api) => offline::send(api, request).await,
        }
    }

    /// Asks for something that comes as a whole.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, CommandError> {
        let answer = self.send(Method::GET, path, Content::Nothing).await?;
        answer.json().await
    }

    /// Asks for lines.
    pub(super) async fn lines(&self, path_and_query: &str) -> Result<Answer, CommandError> {
        self.send(Method::GET, path_and_query, Content::Nothing)
            .await
    }

    /// Orders something, and gives the answer as it comes.
    pub(super) async fn post(
        &self,
        path: &str,
        order: &impl Serialize,
    ) -> Result<Answer, CommandError> {
        self.send(Method::POST, path, Content::json(order)?).await
    }
}

fn on_behalf() -> Option<HeaderValue> {
    let user = surroundings::sudo_user()?;
    let user = &user[..user.floor_char_boundary(ON_BEHALF_BYTES_MAX)];
    HeaderValue::from_str(user).ok() // a name that no header can have is told by nobody
}

/// The fields of `asked` that are set, as a query with its question mark.
pub(super) fn query_of(asked: &impl Serialize) -> Result<String, CommandError> {
    let asked = serde_json::to_value(asked).map_err(CommandError::failed)?;
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in asked.as_object().into_iter().flatten() {
        match value {
            serde_json::Value::Null => {}
            serde_json::Value::String(text) => drop(query.append_pair(name, text)),
            other => drop(query.append_pair(name, &other.to_string())),
        }
    }
    let query = query.finish();
    Ok(match query.is_empty() {
        true => query,
        false => format!("?{query}"),
    })
}

/// `text` as one segment of a path.
pub(super) fn segment(text: &str) -> String {
    let mut segment = String::new();
    for octet in text.bytes() {
        match octet {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => {
                segment.push(char::from(octet));
            }
            octet => segment.push_str(&format!("%{octet:02X}")),
        }
    }
    segment
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::api::Filter;

    #[test]
    fn a_query_has_what_is_set_and_nothing_else() {
        let nothing = Filter::default();
        assert_eq!(query_of(&nothing).unwrap(), "");
        let some = Filter {
            to: Some("a+b&c@*.test".to_owned()),
            all: true,
            limit: Some(5),
            ..Filter::default()
        };
        assert_eq!(
            query_of(&some).unwrap(),
            "?all=true&limit=5&to=a%2Bb%26c%40*.test"
        );
    }

    #[test]
    fn a_segment_can_not_leave_its_place() {
        assert_eq!(segment("dest.test"), "dest.test");
        assert_eq!(segment("[192.0.2.1]"), "%5B192.0.2.1%5D");
        assert_eq!(segment("a/../b?c d"), "a%2F..%2Fb%3Fc%20d");
    }
}
