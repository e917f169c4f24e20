//! SCRAM-SHA-256 as a client speaks it (RFC 5802, RFC 7677), made for tests: it can be wrong on
//! purpose.

use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::{digest, hmac, pbkdf2};

use super::client::Client;
use super::reply::Reply;

/// What a client says in an exchange.
#[derive(Clone, Debug)]
pub struct Scram {
    /// `SCRAM-SHA-256` or `SCRAM-SHA-256-PLUS`.
    pub mechanism: &'static str,
    /// Such as `n,,`.
    pub gs2_header: String,
    /// What it binds itself to.
    pub channel: Vec<u8>,
    /// Whom it claims to be.
    pub user: String,
    /// With which password.
    pub password: String,
    /// Put behind the nonce in its last message.
    pub nonce_suffix: &'static str,
}

impl Scram {
    /// All right, not bound to a channel.
    pub fn new(user: &str, password: &str) -> Scram {
        Scram {
            mechanism: "SCRAM-SHA-256",
            gs2_header: "n,,".to_owned(),
            channel: Vec::new(),
            user: user.to_owned(),
            password: password.to_owned(),
            nonce_suffix: "",
        }
    }

    /// As [`Scram::new`], bound to the TLS connection of `client`.
    pub fn plus(client: &Client, user: &str, password: &str) -> Scram {
        Scram {
            mechanism: "SCRAM-SHA-256-PLUS",
            gs2_header: "p=tls-exporter,,".to_owned(),
            channel: client.channel_binding(),
            ..Scram::new(user, password)
        }
    }

    /// The whole exchange; gives its last reply. Fails if the server can't prove itself.
    pub async fn run(&self, client: &mut Client) -> Reply {
        let bare = format!("n={},r=clientnonce", self.user);
        let first = STANDARD.encode(format!("{}{bare}", self.gs2_header));
        let challenge = client
            .cmd(&format!("AUTH {} {first}", self.mechanism))
            .await;
        if challenge.code != 334 {
            return challenge;
        }
        let server_first = decoded(&challenge);
        let value = |name: &str| {
            let mut attributes = server_first.split(',');
            let found = attributes.find_map(|attribute| attribute.strip_prefix(name));
            found
                .expect("r, s and i are in the server's first message")
                .to_owned()
        };
        let salt = STANDARD.decode(value("s=")).expect("base64");
        let iterations: NonZeroU32 = value("i=").parse().expect("a number");
        let nonce = value("r=");
        assert!(
            nonce.starts_with("clientnonce") && nonce.len() > 20,
            "{nonce}"
        );

        let binding = [self.gs2_header.as_bytes(), &self.channel].concat();
        let binding = STANDARD.encode(binding);
        let without_proof = format!("c={binding},r={nonce}{}", self.nonce_suffix);
        let message = format!("{bare},{server_first},{without_proof}");
        let mut salted = [0; 32];
        let algorithm = pbkdf2::PBKDF2_HMAC_SHA256;
        pbkdf2::derive(
            algorithm,
            iterations,
            &salt,
            self.password.as_bytes(),
            &mut salted,
        );
        let client_key = sign(&salted, b"Client Key");
        let stored_key = digest::digest(&digest::SHA256, &client_key);
        let signature = sign(stored_key.as_ref(), message.as_bytes());
        let proof: Vec<u8> = client_key
            .iter()
            .zip(&signature)
            .map(|(a, b)| a ^ b)
            .collect();
        let last = format!("{without_proof},p={}", STANDARD.encode(proof));
        let answer = client.cmd(&STANDARD.encode(last)).await;
        if answer.code != 334 {
            return answer;
        }
        let server_key = sign(&salted, b"Server Key");
        let proof = STANDARD.encode(sign(&server_key, message.as_bytes()));
        assert_eq!(decoded(&answer), format!("v={proof}"), "the server's proof");
        client.cmd("").await
    }
}

fn decoded(challenge: &Reply) -> String {
    let octets = STANDARD.decode(&challenge.lines[0]).expect("base64");
    String::from_utf8(octets).expect("text")
}

fn sign(key: &[u8], text: &[u8]) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    hmac::sign(&key, text).as_ref().to_vec()
}
