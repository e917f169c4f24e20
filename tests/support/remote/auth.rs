//! AUTH as a remote host does it: one account, by PLAIN, LOGIN or SCRAM-SHA-256.

use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::{digest, hmac, pbkdf2};

use super::record::Ended;
use super::script::Phase;
use super::session::Session;

const SALT: &[u8] = b"salt of the host";
const ITERATIONS: NonZeroU32 = NonZeroU32::new(4_096).unwrap();
/// The host's part of the nonce.
const NONCE: &str = "ofthehost";

/// Who may send mail here.
#[derive(Clone, Debug)]
pub(super) struct Account {
    pub(super) user: String,
    pub(super) password: String,
}

impl Session<'_> {
    pub(super) async fn auth(&mut self, line: &str) -> Result<(), Ended> {
        let scripted = self.host.script().next(Phase::Auth);
        if let Some(answer) = scripted {
            return self.perform(answer).await.map(drop);
        }
        let Some(account) = self.host.account.clone() else {
            return self.turn(Phase::Other, "502 5.5.1 what?").await.map(drop);
        };
        let mut words = line.split(' ').skip(1);
        let mechanism = words.next().unwrap_or_default().to_ascii_uppercase();
        let initial = words.next().map(decoded);
        let is_right = match (mechanism.as_str(), initial) {
            ("PLAIN", initial) => {
                let wanted = format!("\0{}\0{}", account.user, account.password);
                self.given_or_asked(initial).await? == wanted.as_bytes()
            }
            ("LOGIN", initial) => {
                let user = match initial {
                    Some(user) => user,
                    None => self.ask(b"User Name\0").await?,
                };
                let password = self.ask(b"Password\0").await?;
                user == account.user.as_bytes() && password == account.password.as_bytes()
            }
            ("SCRAM-SHA-256", initial) => self.scram(&account, initial).await?,
            _ => return self.turn(Phase::Other, "504 5.5.4 what?").await.map(drop),
        };
        if !is_right {
            let no = "535 5.7.8 no";
            return self.turn(Phase::Other, no).await.map(drop);
        }
        self.host
            .connections
            .update(self.number, |c| c.user = Some(account.user.clone()));
        self.turn(Phase::Other, "235 2.7.0 ok").await.map(drop)
    }

    /// Sends a challenge, gives the response.
    async fn ask(&mut self, challenge: &[u8]) -> Result<Vec<u8>, Ended> {
        let challenge = format!("334 {}\r\n", STANDARD.encode(challenge));
        self.write(challenge.as_bytes()).await?;
        Ok(decoded(&self.command().await?))
    }

    async fn given_or_asked(&mut self, initial: Option<Vec<u8>>) -> Result<Vec<u8>, Ended> {
        match initial {
            Some(initial) => Ok(initial),
            None => self.ask(b"").await,
        }
    }

    /// RFC 5802, as far as a client that binds itself to no channel needs it.
    async fn scram(&mut self, account: &Account, initial: Option<Vec<u8>>) -> Result<bool, Ended> {
        let first = text(self.given_or_asked(initial).await?);
        let bare = first.strip_prefix("n,,").unwrap_or_default();
        let named = format!("n={},r=", account.user);
        let Some(nonce) = bare.strip_prefix(&named) else {
            return Ok(false);
        };
        let nonce = format!("{nonce}{NONCE}");
        let salt = STANDARD.encode(SALT);
        let challenge = format!("r={nonce},s={salt},i={ITERATIONS}");
        let last = text(self.ask(challenge.as_bytes()).await?);
        let without_proof = format!("c=biws,r={nonce}");
        let message = format!("{bare},{challenge},{without_proof}");

        let mut salted = [0; 32];
        let algorithm = pbkdf2::PBKDF2_HMAC_SHA256;
        let password = account.password.as_bytes();
        pbkdf2::derive(algorithm, ITERATIONS, SALT, password, &mut salted);
        let client_key = sign(&salted, b"Client Key");
        let stored_key = digest::digest(&digest::SHA256, &client_key);
        let signature = sign(stored_key.as_ref(), message.as_bytes());
        let proof: Vec<u8> = client_key
            .iter()
            .zip(signature)
            .map(|(a, b)| a ^ b)
            .collect();
        if last != format!("{without_proof},p={}", STANDARD.encode(proof)) {
            return Ok(false);
        }
        let signature = sign(&sign(&salted, b"Server Key"), message.as_bytes());
        let signature = format!("v={}", STANDARD.encode(signature));
        Ok(self.ask(signature.as_bytes()).await?.is_empty())
    }
}

fn sign(key: &[u8], octets: &[u8]) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    hmac::sign(&key, octets).as_ref().to_vec()
}

/// What is no base64 comes out as something that nobody says.
fn decoded(text: &str) -> Vec<u8> {
    let octets = STANDARD.decode(text);
    octets.unwrap_or_else(|_| format!("not base64: {text}").into_bytes())
}

fn text(octets: Vec<u8>) -> String {
    String::from_utf8_lossy(&octets).into_owned()
}
