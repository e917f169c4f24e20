//! `gopherpost dkim generate`: a new key in a file, and the record that publishes it.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use ring::rand::{SecureRandom as _, SystemRandom};
use rsa::pkcs8::{EncodePrivateKey as _, LineEnding};
use serde_json::json;

use crate::config::Selector;
use crate::inbound::SigningKey;
use crate::mail::Domain;

use super::zone_line;

/// What stands before the 32 octets of an Ed25519 key to make it PKCS#8 (RFC 8410 7).
const ED25519_PKCS8: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

#[derive(Args)]
pub(crate) struct Generate {
    /// The domain that the key will sign for.
    domain: String,
    /// The name of the key below the domain, such as s2026: one that was never used before.
    selector: String,
    /// The file to write the private key to; it must not be there yet.
    file: PathBuf,
    /// Make an Ed25519 key. Not every receiver can verify its signatures: use it beside an RSA key.
    #[arg(long, conflicts_with = "bits")]
    ed25519: bool,
    /// Length of the RSA key. Some receivers can't take more than 2048.
    #[arg(long, default_value_t = 2048, value_parser = clap::value_parser!(u16).range(2048..=4096))]
    bits: u16,
    /// Print one line of JSON.
    #[arg(long)]
    json: bool,
}

/// Why no key was made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GenerateError {
    #[error("{0:?} is no domain name; expected one such as example.org")]
    Domain(String),
    #[error("{0:?} is no selector; expected a name of letters, digits and hyphens, such as s2026")]
    Selector(String),
    #[error("the name of the record would be too long; take a shorter selector")]
    NameTooLong,
    #[error("{}: there is a file already, and it stays as it is; take another name", .0.display())]
    Exists(PathBuf),
    #[error("{}: {error}", .path.display())]
    Write { path: PathBuf, error: io::Error },
    #[error("the key could not be made: {0}")]
    Key(String),
    #[error("standard output: {0}")]
    Output(io::Error),
}

/// Makes the key and its file, and tells of both.
pub(crate) fn generate(asked: &Generate, out: &mut impl Write) -> Result<(), GenerateError> {
    let domain = Domain::parse(&asked.domain);
    let domain = domain.map_err(|_| GenerateError::Domain(asked.domain.clone()))?;
    let selector = Selector::parse(&asked.selector);
    let selector = selector.ok_or_else(|| GenerateError::Selector(asked.selector.clone()))?;
    let name = selector.record_name(&domain);
    let name = name.ok_or(GenerateError::NameTooLong)?;
    let path = std::path::absolute(&asked.file).unwrap_or_else(|_| asked.file.clone());
    if fs::symlink_metadata(&path).is_ok() {
        return Err(GenerateError::Exists(path)); // before seconds go into a key
    }
    let pem = match asked.ed25519 {
        true => ed25519()?,
        false => rsa(asked.bits)?,
    };
    // As it will be read; if that fails, nothing was written.
    let key = SigningKey::from_pem(pem.as_bytes()).map_err(GenerateError::Key)?;
    write_new(&path, pem.as_bytes())?;

    let record = key.record();
    let setting = format!("{domain}:{selector}:{}", path.display());
    let told = if asked.json {
        let line = json!({
            "domain": domain.as_str(),
            "selector": selector.as_str(),
            "algorithm": key.algorithm().as_str(),
            "path": path.display().to_string(),
            "name": name.as_str(),
            "record": record,
        });
        format!("{line}\n")
    } else {
        format!(
            "The private key ({algorithm}) is in {path}; the relay's user must be able to read it.\n\n\
             Publish this record:\n\n{zone}\n\n\
             or, where name and text are asked for:\n\n{name}\n{record}\n\n\
             When `gopherpost dkim check` finds it, sign with it:\n\n\
             SMTP_DKIM_KEYS={setting}\n",
            algorithm = key.algorithm().as_str(),
            path = path.display(),
            zone = zone_line(&name, &record),
        )
    };
    out.write_all(told.as_bytes())
        .and_then(|()| out.flush())
        .map_err(GenerateError::Output)
}

fn rsa(bits: u16) -> Result<String, GenerateError> {
    let failed = |error: &dyn std::fmt::Display| GenerateError::Key(error.to_string());
    let key = rsa::PrivateKey::new(&mut rand::rng(), usize::from(bits));
    let key = key.map_err(|error| failed(&error))?;
    let pem = key.to_pkcs8_pem(LineEnding::LF);
    Ok(pem.map_err(|error| failed(&error))?.to_string())
}

fn ed25519() -> Result<String, GenerateError> {
    let mut der = ED25519_PKCS8.to_vec();
    let mut secret = [0; 32];
    let filled = SystemRandom::new().fill(&mut secret);
    filled.map_err(|_| GenerateError::Key("the system gave no random octets".into()))?;
    der.extend(secret);
    let text = STANDARD.encode(der); // 64 characters: one line
    Ok(format!(
        "-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n"
    ))
}

/// Writes a file of mode 0600 that was not there before.
fn write_new(path: &Path, octets: &[u8]) -> Result<(), GenerateError> {
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(path);
    let written = file.and_then(|mut file| {
        file.write_all(octets)?;
        file.sync_all()
    });
    written.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => GenerateError::Exists(path.to_owned()),
        _ => GenerateError::Write {
            path: path.to_owned(),
            error,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_written_once_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let asked = Generate {
            domain: "Example.org".into(),
            selector: "s1".into(),
            file: directory.path().join("key.pem"),
            ed25519: true,
            bits: 2048,
            json: true,
        };
        let mut out = Vec::new();
        generate(&asked, &mut out).unwrap();
        let told: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(told["name"], "s1._domainkey.example.org");
        let pem = fs::read(&asked.file).unwrap();
        assert_eq!(told["record"], SigningKey::from_pem(&pem).unwrap().record());
        let mode = fs::metadata(&asked.file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        let again = generate(&asked, &mut out).unwrap_err().to_string();
        assert!(again.contains("stays as it is"), "{again}");
        assert_eq!(fs::read(&asked.file).unwrap(), pem);
    }

    #[test]
    fn names_that_are_none_are_refused() {
        #[track_caller]
        fn check(domain: &str, selector: &str, want: &str) {
            let asked = Generate {
                domain: domain.into(),
                selector: selector.into(),
                file: "/nowhere/key.pem".into(),
                ed25519: true,
                bits: 2048,
                json: false,
            };
            let error = generate(&asked, &mut Vec::new()).unwrap_err().to_string();
            assert!(error.contains(want), "{error}");
        }
        check("a b", "s1", "no domain name");
        check("a.test", "s 1", "no selector");
        check(
            &format!("{0}.{0}.{0}.test", "x".repeat(60)),
            &"s".repeat(60),
            "too long",
        );
        check("a.test", "s1", "/nowhere/key.pem: ");
    }
}
