//! Who may authenticate: `user:password`, where the password may be replaced by what shows nothing
//! of it.

use std::fmt;
use std::num::NonZeroU32;

use argon2::password_hash::phc::PasswordHash;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::refusal::{Parsed, Refusal};
use super::secret::{MASK, Secret};

/// Most users.
const USERS_MAX: usize = 1_000;
/// Longest name, and longest password, in bytes.
const NAME_BYTES_MAX: usize = 255;
const PASSWORD_BYTES_MAX: usize = 1_024;
/// RFC 7677 4 asks for at least 4096 rounds; each password that is checked costs them.
const ITERATIONS_MIN: u32 = 4_096;
const ITERATIONS_MAX: u32 = 1_000_000;
const SALT_BYTES_MAX: usize = 64;
/// What a hash may cost, whoever made it: 256 MiB, 16 passes, 16 lanes.
const ARGON2_KIB_MAX: u32 = 256 * 1_024;
const ARGON2_PASSES_MAX: u32 = 16;
const ARGON2_LANES_MAX: u32 = 16;

const ARGON2_PREFIX: &str = "$argon2";
const SCRAM_PREFIX: &str = "SCRAM-SHA-256$";
const SCRAM_KEY_BYTES: usize = 32;

/// One who may authenticate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthUser {
    /// Unique.
    pub name: Box<str>,
    /// What shows that a client is that user.
    pub credential: Credential,
}

/// What a user's password is held against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// The password itself.
    Password(Secret),
    /// An argon2 hash as a PHC string, known to parse. SCRAM is not possible with it.
    Argon2(Secret),
    /// Keys of SCRAM.
    Scram(ScramVerifier),
}

/// What SCRAM-SHA-256 keeps of a password (RFC 5803). `Display` gives
/// `SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey`; `Debug` gives nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct ScramVerifier {
    /// Rounds of PBKDF2.
    pub iterations: NonZeroU32,
    /// Salt of the password.
    pub salt: Box<[u8]>,
    /// What the client's proof is held against.
    pub stored_key: [u8; SCRAM_KEY_BYTES],
    /// What we prove ourselves with.
    pub server_key: [u8; SCRAM_KEY_BYTES],
}

/// The value of `SMTP_AUTH_USERS`. No refusal repeats any of it.
pub(super) fn auth_users(text: &str) -> Parsed<Vec<AuthUser>> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let mut users: Vec<AuthUser> = Vec::new();
    for item in items(text) {
        let user = auth_user(&item)?;
        if users.iter().any(|other| other.name == user.name) {
            return refuse("a user is there twice");
        }
        if users.len() == USERS_MAX {
            return refuse("there are more than 1000 users");
        }
        users.push(user);
    }
    Ok(users)
}

/// Items end at a comma or a line end. The commas within the parameters of an argon2 hash
/// (`m=19456,t=2,p=1`) end none: what follows them has no colon.
fn items(text: &str) -> Vec<String> {
    let mut items: Vec<String> = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        for (n, piece) in line.split(',').enumerate() {
            match items.last_mut() {
                Some(item) if n > 0 && has_argon2(item) && !piece.contains(':') => {
                    item.push(',');
                    item.push_str(piece);
                }
                _ => items.push(piece.to_owned()),
            }
        }
    }
    items
}

fn has_argon2(item: &str) -> bool {
    item.split_once(':')
        .is_some_and(|(_, secret)| secret.starts_with(ARGON2_PREFIX))
}

fn auth_user(item: &str) -> Parsed<AuthUser> {
    let item = item.trim();
    let Some((name, secret)) = item.split_once(':') else {
        return refuse(if item.is_empty() {
            "an item is empty"
        } else {
            "an item has no colon"
        });
    };
    let credential = if secret.starts_with(ARGON2_PREFIX) {
        argon2(secret)?
    } else if let Some(verifier) = secret.strip_prefix(SCRAM_PREFIX) {
        let verifier = scram_verifier(verifier);
        Credential::Scram(verifier.ok_or(Refusal::Unprintable("a SCRAM verifier is malformed"))?)
    } else {
        Credential::Password(Secret::new(text_of(secret, PASSWORD_BYTES_MAX)?))
    };
    Ok(AuthUser {
        name: text_of(name, NAME_BYTES_MAX)?.into(),
        credential,
    })
}

/// A name or password, in which `%` and two hexadecimal digits stand for an octet.
fn text_of(written: &str, bytes_max: usize) -> Parsed<String> {
    let mut octets = Vec::with_capacity(written.len());
    let mut rest = written.as_bytes();
    while let [octet, more @ ..] = rest {
        rest = more;
        octets.push(match (octet, more) {
            (b'%', [high, low, more @ ..]) => {
                rest = more;
                match (hex(*high), hex(*low)) {
                    (Some(high), Some(low)) => high << 4 | low,
                    _ => return refuse(BAD_PERCENT),
                }
            }
            (b'%', _) => return refuse(BAD_PERCENT),
            (octet, _) => *octet,
        });
    }
    let Ok(text) = String::from_utf8(octets) else {
        return refuse("a name or password is no UTF-8");
    };
    match text.len() {
        0 => refuse("a name or password is empty"),
        len if len > bytes_max => refuse("a name or password is too long"),
        _ if text.chars().any(char::is_control) => {
            refuse("a name or password has a control character")
        }
        _ => Ok(text),
    }
}

const BAD_PERCENT: &str = "a % is not followed by two hexadecimal digits; write %25 for it";

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

fn argon2(text: &str) -> Parsed<Credential> {
    let known = PasswordHash::new(text)
        .ok()
        .filter(|hash| hash.salt.is_some() && hash.hash.is_some())
        .and_then(|hash| argon2::Params::try_from(&hash).ok());
    let Some(params) = known else {
        return refuse("an argon2 hash is malformed");
    };
    if params.m_cost() > ARGON2_KIB_MAX
        || params.t_cost() > ARGON2_PASSES_MAX
        || params.p_cost() > ARGON2_LANES_MAX
    {
        return refuse("an argon2 hash costs more than m=262144,t=16,p=16");
    }
    Ok(Credential::Argon2(Secret::new(text.to_owned())))
}

/// `iterations:salt$StoredKey:ServerKey`, as PostgreSQL writes it.
fn scram_verifier(text: &str) -> Option<ScramVerifier> {
    let (cost, keys) = text.split_once('$')?;
    let (iterations, salt) = cost.split_once(':')?;
    let (stored_key, server_key) = keys.split_once(':')?;
    let iterations = iterations.parse().ok()?;
    let salt = STANDARD.decode(salt).ok()?;
    let key = |text| STANDARD.decode(text).ok()?.try_into().ok();
    let good = (ITERATIONS_MIN..=ITERATIONS_MAX).contains(&iterations)
        && (1..=SALT_BYTES_MAX).contains(&salt.len());
    good.then_some(())?;
    Some(ScramVerifier {
        iterations: NonZeroU32::new(iterations)?,
        salt: salt.into(),
        stored_key: key(stored_key)?,
        server_key: key(server_key)?,
    })
}

fn refuse<T>(why: &'static str) -> Parsed<T> {
    Err(Refusal::Unprintable(why))
}

impl fmt::Display for ScramVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{SCRAM_PREFIX}{}:{}${}:{}",
            self.iterations,
            STANDARD.encode(&self.salt),
            STANDARD.encode(self.stored_key),
            STANDARD.encode(self.server_key)
        )
    }
}

impl fmt::Debug for ScramVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARGON2: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$\
                          6eMKpV7eXZ1DL3HgHgH9/7p3b1l1r3pXb5YvX9Gk8uI";
    /// Of the password `pencil` (RFC 7677 3).
    const SCRAM: &str = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$\
                         WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:\
                         wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

    fn password(name: &str, password: &str) -> AuthUser {
        AuthUser {
            name: name.into(),
            credential: Credential::Password(Secret::new(password.to_owned())),
        }
    }

    #[track_caller]
    fn check(text: &str, want: &[AuthUser]) {
        assert_eq!(auth_users(text).as_deref(), Ok(want), "{text}");
    }

    #[track_caller]
    fn bad(text: &str, want: &str) {
        let got = auth_users(text).unwrap_err();
        assert!(
            matches!(got, Refusal::Unprintable(why) if why.contains(want)),
            "{text}: {got:?}"
        );
    }

    #[test]
    fn users_are_separated_by_commas_or_line_ends() {
        check("", &[]);
        check("ann:secret", &[password("ann", "secret")]);
        let both = [password("ann@gp.test", "s$cr:t#"), password("bob", "a b")];
        check("ann@gp.test:s$cr:t#, bob:a b", &both);
        check("ann@gp.test:s$cr:t#\nbob:a b", &both);
        check("ann@gp.test:s$cr:t#\r\n\r\nbob:a b\n", &both);
    }

    #[test]
    fn percent_escapes_what_would_end_something() {
        check("a%3Ab%2c:%25%2C%20", &[password("a:b,", "%, ")]);
        check("%c3%bc:ü", &[password("ü", "ü")]);
        check("a:%24argon2", &[password("a", "$argon2")]);
    }

    #[test]
    fn hashes_and_verifiers_are_known_by_their_beginning() {
        let users = auth_users(&format!("ann:{ARGON2},bob:{SCRAM},eve:x")).unwrap();
        let argon2 = Credential::Argon2(Secret::new(ARGON2.to_owned()));
        assert_eq!(users[0].credential, argon2);
        match &users[1].credential {
            Credential::Scram(verifier) => assert_eq!(verifier.to_string(), SCRAM),
            other => panic!("{other:?}"),
        }
        assert_eq!(users[2], password("eve", "x"));
        assert_eq!(
            format!("{:?}", users[1]),
            "AuthUser { name: \"bob\", credential: Scram([secret]) }"
        );
    }

    #[test]
    fn what_is_wrong_is_said_without_repeating_it() {
        bad("ann", "no colon");
        bad("ann:x,", "empty");
        bad("ann:x,,bob:x", "empty");
        bad(":x", "empty");
        bad("ann:", "empty");
        bad("ann:x,ann:y", "twice");
        bad("ann:100%", "%25");
        bad("ann:%zz", "%25");
        bad("ann:%ff", "UTF-8");
        bad("ann:%00", "control");
        bad(&format!("{}:x", "a".repeat(256)), "long");
        bad(&format!("a:{}", "x".repeat(1_025)), "long");
        let many: Vec<String> = (0..=USERS_MAX).map(|n| format!("u{n}:x")).collect();
        bad(&many.join(","), "more than 1000");
        bad("ann:$argon2id$v=19$m=19456,t=2,p=1", "malformed");
        bad(&format!("ann:{ARGON2},t=1"), "malformed");
        bad(
            &ARGON2
                .replace("$argon2id", "ann:$argon2id")
                .replace("m=19456", "m=999999"),
            "costs",
        );
        bad(&format!("a:{}", SCRAM.replace("4096", "4095")), "malformed");
        bad(&format!("a:{}", SCRAM.replace("WG5d", "WG5")), "malformed");
        bad("a:SCRAM-SHA-256$4096", "malformed");
    }
}
