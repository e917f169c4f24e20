//! What strace wrote, and whether it shows that a message was safe before its 250.

use std::collections::{BTreeMap, HashMap};

/// Calls that write; each names its file first.
const WRITES: [&str; 4] = ["write", "writev", "pwrite64", "pwritev"];

/// Calls that return when a file's data, and what is needed to read it, are on the device.
const FLUSHES: [&str; 2] = ["fdatasync", "fsync"];

/// Every system call of a trace that was begun, in the order of beginning.
#[derive(Debug)]
pub(super) struct SystemCalls(Vec<Call>);

#[derive(Debug)]
struct Call {
    name: String,
    /// What the first argument, a descriptor, stands for: a path, or `TCP:[...]`.
    target: String,
    /// All arguments.
    arguments: String,
    /// Behind the `=`.
    result: String,
    /// Line of the trace where it was begun, and that where it had returned.
    began: usize,
    ended: usize,
}

/// A message to look for.
#[derive(Debug)]
pub(super) struct Traced<'m> {
    /// Its queue id, which the reply to its end names.
    pub id: &'m str,
    /// Pieces of its envelope and text, all of which must be on disk.
    pub pieces: Vec<&'m str>,
}

impl SystemCalls {
    /// Reads the output of `strace -f -yy`. Calls that never returned are left out.
    pub(super) fn parse(trace: &str) -> SystemCalls {
        let mut calls = Vec::new();
        let mut unfinished: HashMap<&str, (usize, String)> = HashMap::new();
        for (number, line) in trace.lines().enumerate() {
            let Some((thread, event)) = line.split_once(' ') else {
                continue;
            };
            let event = event.trim_start();
            if let Some(begun) = event.strip_suffix("<unfinished ...>") {
                unfinished.insert(thread, (number, begun.to_owned()));
            } else if event.starts_with("<... ") {
                if let Some((began, begun)) = unfinished.remove(thread)
                    && let Some((_, rest)) = event.split_once("resumed>")
                {
                    calls.extend(Call::parse(&format!("{begun}{rest}"), began, number));
                }
            } else {
                calls.extend(Call::parse(event, number, number));
            }
        }
        calls.sort_by_key(|call| call.began);
        SystemCalls(calls)
    }

    /// The files below `spool` that hold the message, if each of them was flushed after the last of
    /// it was written and before its 250 was; a body file's directory likewise, after the file was
    /// made. Otherwise why not.
    pub(super) fn safe_before_250(
        &self,
        spool: &str,
        message: &Traced<'_>,
    ) -> Result<Vec<String>, String> {
        let replies = |call: &&Call| {
            call.name == "sendto"
                && call.target.starts_with("TCP:")
                && call.arguments.contains("\"250 ")
                && call.arguments.contains(message.id)
        };
        let reply = self.0.iter().find(replies);
        let reply = reply.ok_or_else(|| format!("no 250 for {}", message.id))?;

        let mut last_writes: BTreeMap<&str, usize> = BTreeMap::new();
        let mut missing = message.pieces.clone();
        for write in self.successful(&WRITES) {
            let holds = |piece: &&str| write.arguments.contains(piece);
            let is_ours = write.target.starts_with(spool) && message.pieces.iter().any(holds);
            if is_ours && write.ended < reply.began {
                last_writes.insert(&write.target, write.ended);
                missing.retain(|piece| !holds(piece));
            }
        }
        if !missing.is_empty() {
            let (count, all) = (missing.len(), message.pieces.len());
            let first = missing[0];
            return Err(format!(
                "not written before the 250: {count} pieces of {all}, first {first:?}"
            ));
        }

        for (file, written) in &last_writes {
            self.flushed(file, *written, reply)?;
            if let Some((directory, name)) = file.rsplit_once('/')
                && name.ends_with(".eml")
            {
                let is_its = |call: &&Call| {
                    call.arguments.contains("O_CREAT")
                        && call.result.ends_with(&format!("<{file}>"))
                };
                let made = self.successful(&["openat"]).find(is_its);
                let made = made.ok_or_else(|| format!("nothing shows how {file} was made"))?;
                self.flushed(directory, made.ended, reply)?;
            }
        }
        Ok(last_writes.into_keys().map(str::to_owned).collect())
    }

    fn flushed(&self, path: &str, after: usize, reply: &Call) -> Result<(), String> {
        let flushed = self
            .successful(&FLUSHES)
            .any(|call| call.target == path && call.began > after && call.ended < reply.began);
        if flushed {
            Ok(())
        } else {
            Err(format!(
                "no flush of {path} between its last change and the 250"
            ))
        }
    }

    fn successful<'a>(&'a self, names: &'a [&str]) -> impl Iterator<Item = &'a Call> {
        let named = move |call: &&Call| names.contains(&call.name.as_str());
        let calls = self.0.iter().filter(named);
        calls.filter(|call| {
            call.result
                .starts_with(|first: char| first.is_ascii_digit())
        })
    }
}

impl Call {
    /// `name(3<target>, more) = result`; none for signals and ends of threads.
    fn parse(event: &str, began: usize, ended: usize) -> Option<Call> {
        let (name, rest) = event.split_once('(')?;
        let (arguments, result) = rest.rsplit_once(" = ")?;
        let arguments = arguments.trim_end().strip_suffix(')')?.trim_end();
        let behind_number = arguments.trim_start_matches(|c: char| c.is_ascii_digit());
        let target = behind_number.strip_prefix('<').unwrap_or_default();
        // Addresses of a connection have an arrow between them, which ends nothing.
        let target = target.split(">,").next().unwrap_or_default();
        Some(Call {
            name: name.to_owned(),
            target: target.trim_end_matches('>').to_owned(),
            arguments: arguments.to_owned(),
            result: result.to_owned(),
            began,
            ended,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{SystemCalls, Traced};

    const TRACE: &str = r#"7 openat(AT_FDCWD</>, "/q/bodies/day/X.eml", O_WRONLY|O_CREAT, 0600) = 9</q/bodies/day/X.eml>
7 write(9</q/bodies/day/X.eml>, "To: b\r\n\r\nfirst\r\n", 16) = 16
7 write(9</q/bodies/day/X.eml>, "last (\"2\") = 3\r\n", 8 <unfinished ...>
8 pwrite64(4</q/db/db>, "\1before", 7, 0) = 7
7 <... write resumed>) = 8
7 fdatasync(9</q/bodies/day/X.eml>) = 0
8 fsync(5</q/bodies/day>) = 0
8 pwrite64(4</q/db/db>, "\1\2b@dest.test\0", 30, 716) = 30
8 fdatasync(4</q/db/db> <unfinished ...>
9 recvfrom(13<TCP:[127.0.0.1:25->127.0.0.1:9]>, "NOOP\r\n", 8192, 0, NULL, NULL) = 6
8 <... fdatasync resumed>)          = 0
9 sendto(13<TCP:[127.0.0.1:25->127.0.0.1:9]>, "250 2.0.0 queued as X\r\n", 20, MSG_NOSIGNAL, NULL, 0) = 20
9 --- SIGTERM {si_signo=SIGTERM} ---
9 +++ exited with 0 +++
"#;

    #[test]
    fn the_right_order_is_recognized() {
        let files = judge(TRACE).expect("nothing is wrong");
        assert_eq!(files, ["/q/bodies/day/X.eml", "/q/db/db"]);
    }

    #[test]
    fn every_wrong_order_is_found() {
        const EML: &str = "7 fdatasync(9</q/bodies/day/X.eml>) = 0\n";
        const DAY: &str = "8 fsync(5</q/bodies/day>) = 0\n";
        const RECORD: &str = "8 pwrite64(4</q/db/db>, \"\\1\\2b@dest.test\\0\", 30, 716) = 30\n";
        const MADE: &str = "7 openat(AT_FDCWD</>, \"/q/bodies/day/X.eml\", O_WRONLY|O_CREAT, 0600) = 9</q/bodies/day/X.eml>\n";
        const REPLY: &str = "9 sendto(13<TCP:[127.0.0.1:25->127.0.0.1:9]>, \"250 2.0.0 queued as X\\r\\n\", 20, MSG_NOSIGNAL, NULL, 0) = 20\n";
        for (what, trace, why) in [
            ("no reply", TRACE.replace("as X", "as Y"), "no 250 for X"),
            (
                "no flush of the body",
                TRACE.replace(EML, ""),
                "no flush of /q/bodies/day/X.eml",
            ),
            (
                "the flush fails",
                TRACE.replace(
                    EML,
                    "7 fdatasync(9</q/bodies/day/X.eml>) = -1 EIO (Input/output error)\n",
                ),
                "no flush of /q/bodies/day/X.eml",
            ),
            (
                "a flush before the last write returned",
                TRACE.replace(EML, "").replace(
                    "8 pwrite64(4</q/db/db>, \"\\1before",
                    &format!("{EML}8 pwrite64(4</q/db/db>, \"\\1before"),
                ),
                "no flush of /q/bodies/day/X.eml",
            ),
            (
                "no flush of the directory",
                TRACE.replace(DAY, ""),
                "no flush of /q/bodies/day ",
            ),
            (
                "the directory is flushed before the file is made",
                format!("{DAY}{}", TRACE.replace(DAY, "")),
                "no flush of /q/bodies/day ",
            ),
            (
                "nothing made the file",
                TRACE.replace(MADE, ""),
                "nothing shows how",
            ),
            (
                "the record is missing",
                TRACE.replace(RECORD, ""),
                "not written before the 250",
            ),
            (
                "the last line is missing",
                TRACE.replace("last (", "else ("),
                "not written before the 250",
            ),
            (
                "the reply before the last flush has returned",
                TRACE
                    .replace(REPLY, "")
                    .replace("9 recvfrom", &format!("{REPLY}9 recvfrom")),
                "no flush of /q/db/db",
            ),
            (
                "the reply before the record is written",
                format!("{REPLY}{}", TRACE.replace(REPLY, "")),
                "not written before the 250",
            ),
        ] {
            assert_ne!(trace, TRACE, "{what}: the case changes nothing");
            let told = judge(&trace).expect_err(what);
            assert!(told.contains(why), "{what}: {told}");
        }
    }

    fn judge(trace: &str) -> Result<Vec<String>, String> {
        let message = Traced {
            id: "X",
            pieces: vec!["b@dest.test", "first", "last ("],
        };
        SystemCalls::parse(trace).safe_before_250("/q", &message)
    }
}
