//! The rules of the house, read from the source: floors, who may name sled, who may be unsafe.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Rooms by floor, bottom up; a room imports only from floors below its own.
const FLOORS: [&[&str]; 9] = [
    &["mail"],
    &["smtp", "message", "config"],
    &["store", "observe"],
    &["queue"],
    &["inbound", "outbound"],
    &["admin"],
    &["http"],
    &["service"],
    &["cli", "main", "lib"],
];

/// On one floor, yet allowed: the store tells what happened.
const SAME_FLOOR: [(&str, &str); 1] = [("store", "observe")];

/// Promised to be pure: no sockets, files, clock, randomness, async.
const PURE: [&str; 19] = [
    "src/mail/",
    "src/smtp/",
    "src/message/",
    "src/queue/action.rs",
    "src/queue/lifecycle.rs",
    "src/queue/overtaken.rs",
    "src/queue/pace.rs",
    "src/queue/backoff.rs",
    "src/queue/admission.rs",
    "src/queue/concurrency.rs",
    "src/queue/line.rs",
    "src/queue/lines.rs",
    "src/queue/patience.rs",
    "src/queue/remembered.rs",
    "src/queue/seeking.rs",
    "src/queue/standing.rs",
    "src/queue/suspension.rs",
    "src/queue/token_bucket.rs",
    "src/queue/turns.rs",
];

fn sources() -> Vec<(PathBuf, String)> {
    fn walk(dir: &Path, into: &mut Vec<(PathBuf, String)>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, into);
            } else if path.extension().is_some_and(|ext| ext == "rs") {
                into.push((path.clone(), fs::read_to_string(path).unwrap()));
            }
        }
    }
    let mut found = Vec::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    walk(&root.join("src"), &mut found);
    walk(&root.join("migrations"), &mut found);
    found
        .into_iter()
        .map(|(path, text)| (path.strip_prefix(root).unwrap().to_owned(), text))
        .collect()
}

/// The code of a file: without comments, and without its tests, which may do more.
fn code(text: &str) -> String {
    let shipped = text.split("#[cfg(test)]").next().unwrap();
    shipped
        .lines()
        .map(|line| line.split("//").next().unwrap())
        .collect::<Vec<_>>()
        .join("\n")
}

fn room(path: &Path) -> String {
    let mut parts = path.components().skip(1);
    let first = parts.next().unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

#[test]
fn a_room_imports_only_from_floors_below_it() {
    let mut broken = Vec::new();
    for (path, text) in sources() {
        if path.starts_with("migrations") {
            continue;
        }
        let own = room(&path);
        let own_floor =
            floor(&own).unwrap_or_else(|| panic!("{}: a room without a floor", path.display()));
        for (line, content) in text.lines().enumerate() {
            for after in content.split("crate::").skip(1) {
                let other: String = after
                    .chars()
                    .take_while(|c| c.is_alphanumeric() || *c == '_')
                    .collect();
                let Some(other_floor) = floor(&other) else {
                    continue;
                };
                let allowed = other == own
                    || other_floor < own_floor
                    || SAME_FLOOR.contains(&(&own, &other))
                    || own == "lib";
                if !allowed {
                    broken.push(format!(
                        "{}:{}: {own} (floor {own_floor}) imports {other} (floor {other_floor}), see docs/architecture.md",
                        path.display(),
                        line + 1
                    ));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_room_of_the_map_is_there_and_every_file_says_what_it_is_for() {
    let mut seen = BTreeMap::new();
    for (path, text) in sources() {
        assert!(
            text.starts_with("//!"),
            "{}: does not open with what it is for",
            path.display()
        );
        if path.starts_with("src") {
            seen.insert(room(&path), ());
        }
    }
    for room in FLOORS.concat() {
        assert!(seen.contains_key(room), "no room {room}");
    }
}

#[test]
fn only_the_store_names_sled() {
    for (path, text) in sources() {
        let at_home = path.starts_with("src/store") || path.starts_with("migrations");
        assert!(
            at_home || !code(&text).contains("sled::"),
            "{} names sled",
            path.display()
        );
    }
}

#[test]
fn unsafe_stands_in_two_files() {
    for (path, text) in sources() {
        let at_home = ["store/durable_flush.rs", "service/allocator.rs"];
        let at_home = at_home.iter().any(|home| path.ends_with(home));
        assert!(
            at_home || !code(&text).contains("unsafe"),
            "{} is unsafe",
            path.display()
        );
    }
}

#[test]
fn pure_rooms_do_no_io_and_read_no_clock() {
    let impure = [
        "std::net::Tcp",
        "std::net::Udp",
        "std::fs",
        "std::env",
        "Instant::now",
        "SystemTime",
        "wall_clock",
        "tokio",
        "rand::",
        "async fn",
        ".await",
        "std::thread",
    ];
    for (path, text) in sources() {
        if !PURE
            .iter()
            .any(|pure| path.starts_with(pure) || path == Path::new(pure))
        {
            continue;
        }
        let code = code(&text);
        for what in impure {
            assert!(
                !code.contains(what),
                "{} is to be pure and names {what}",
                path.display()
            );
        }
    }
}
