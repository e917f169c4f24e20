//! Who gives an order: told in log and history with everything that is changed.

use std::convert::Infallible;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use crate::admin::{Admin, By};
use crate::http::server::Peer;

/// What a client says of whoever told it to ask, such as SUDO_USER: not proven, and told as such.
const ON_BEHALF: &str = "x-gopherpost-user";
/// The users of this machine.
const PASSWD: &str = "/etc/passwd";
/// What is read of it at most, in bytes.
const PASSWD_BYTES_MAX: u64 = 1024 * 1024;

/// An extractor of [`By`].
pub(super) struct Caller(pub(super) By);

impl FromRequestParts<Admin> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &Admin) -> Result<Caller, Infallible> {
        let who = match parts.extensions.get::<Peer>() {
            Some(Peer::Process { uid: Some(uid) }) => user(*uid).await,
            Some(Peer::Process { uid: None }) => "unknown".to_owned(),
            Some(Peer::Network(address)) => address.ip().to_string(),
            None => user(rustix::process::geteuid().as_raw()).await, // called in process
        };
        let behalf = parts.headers.get(ON_BEHALF);
        let behalf = behalf.map(|said| String::from_utf8_lossy(said.as_bytes()));
        Ok(Caller(By::new(&who, behalf.as_deref())))
    }
}

/// The user's name, or its number where the machine's own list has none.
async fn user(uid: u32) -> String {
    let found = tokio::task::spawn_blocking(move || {
        let users = BufReader::new(File::open(PASSWD).ok()?.take(PASSWD_BYTES_MAX));
        name_in(users.lines().map_while(Result::ok), uid)
    });
    let name = found.await.ok().flatten();
    name.unwrap_or_else(|| format!("uid {uid}"))
}

fn name_in(mut lines: impl Iterator<Item = String>, uid: u32) -> Option<String> {
    lines.find_map(|line| {
        let mut fields = line.split(':');
        let (name, number) = (fields.next()?, fields.nth(1)?);
        (number.parse() == Ok(uid) && !name.is_empty()).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_number_in_the_machines_list() {
        let list = "root:x:0:0:root:/root:/bin/sh\nbroken\nann:x:1000:1000::/home/ann:/bin/sh\n";
        let name = |uid| name_in(list.lines().map(str::to_owned), uid);
        assert_eq!(name(0).as_deref(), Some("root"));
        assert_eq!(name(1_000).as_deref(), Some("ann"));
        assert_eq!(name(1), None);
    }
}
