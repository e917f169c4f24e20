//! DKIM from the receiver's side: keys for the relay, and another implementation that verifies.

use std::path::PathBuf;
use std::sync::Arc;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use mail_auth::{AuthenticatedMessage, DkimResult, MessageAuthenticator};
use serde_json::Value;

use super::world::World;

/// Made for tests, and protects nothing.
pub const RSA_PEM: &str = include_str!("../assets/dkim/rsa.pem");
/// Made for tests, and protects nothing.
pub const ED25519_PEM: &str = include_str!("../assets/dkim/ed25519.pem");

impl World {
    /// Writes a key into the relay's directory, in one step; gives its path.
    pub fn put_key(&self, file: &str, pem: &str) -> PathBuf {
        let path = self.relay().directory().join(file);
        super::world::put_file(&path, pem);
        path
    }

    /// Lets the relay, which does not run yet, sign with an RSA key (selector `r1`) and an Ed25519
    /// key (selector `e1`) for a domain, and publishes both; and starts it.
    pub async fn starts_signing_for(&self, domain: &str) {
        let (rsa, ed) = (
            self.put_key("rsa.pem", RSA_PEM),
            self.put_key("ed25519.pem", ED25519_PEM),
        );
        let keys = format!("{domain}:r1:{},{domain}:e1:{}", rsa.display(), ed.display());
        self.relay().set("SMTP_DKIM_KEYS", &keys);
        self.publishes_keys().await;
        self.relay().start().await;
    }

    /// Publishes the public half of every key that the relay has, as it says itself.
    pub async fn publishes_keys(&self) {
        for key in self.checked_keys().await {
            let text = |name: &str| key[name].as_str().expect("a text").to_owned();
            self.dns()
                .remove(&text("name"), super::dns::RecordType::TXT);
            self.dns().txt(&text("name"), &text("record"));
        }
    }

    /// What `gopherpost dkim check` says of each key.
    pub async fn checked_keys(&self) -> Vec<Value> {
        let output = self.relay().run(["dkim", "check", "--json"]).await;
        let lines = String::from_utf8(output.stdout).expect("UTF-8");
        let lines = lines.lines();
        lines
            .map(|line| serde_json::from_str(line).expect("a line of JSON"))
            .collect()
    }

    /// Verifies every signature of a message with this world's DNS; gives `pass`, or what is wrong,
    /// with algorithm, domain and selector: `pass rsa-sha256 gp.test r1`.
    pub async fn verifies(&self, message: &[u8]) -> Vec<String> {
        let parsed = AuthenticatedMessage::parse(message).expect("a message");
        let verifier = MessageAuthenticator(self.resolver());
        let outputs = verifier.verify_dkim(&parsed).await;
        let told = outputs.iter().map(|output| {
            let result = match output.result() {
                DkimResult::Pass => "pass".to_owned(),
                other => format!("{other:?}"),
            };
            match output.signature() {
                Some(s) => format!("{result} {} {} {}", s.a.name(), s.d, s.s),
                None => result,
            }
        });
        told.collect()
    }

    fn resolver(&self) -> TokioResolver {
        let address = self.dns().address();
        let mut server = NameServerConfig::udp_and_tcp(address.ip());
        for connection in &mut server.connections {
            connection.port = address.port();
        }
        let config = ResolverConfig::from_name_servers(vec![server]);
        let provider = TokioRuntimeProvider::default();
        let builder = TokioResolver::builder_with_config(config, provider);
        // Without this, hickory looks for the system's trust anchors, which there may be none of.
        let builder = builder.with_tls_config(rustls::ClientConfig::clone(&Arc::clone(
            &self.ca().client(),
        )));
        builder.build().expect("a resolver")
    }
}
