//! TLS towards clients (RFC 3207, RFC 8314): 1.2 and 1.3, one certificate for every name that they
//! ask for, taken from its files anew when these change.

#[cfg(test)]
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, ProtocolVersion, ServerConfig, ServerConnection};
use tokio::net::TcpStream;
use tokio::time::{MissedTickBehavior, interval};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::file_stamp::FileStamp;
use crate::config::ServerTlsConfig;
use crate::mail::TlsFacts;
use crate::mail::limits::{TLS_FILES_INTERVAL, TLS13_TICKETS_MAX};
use crate::observe::{Events, ProcessEvent};

/// TLS for clients can't be had. One line that names what to change.
#[derive(Debug, thiserror::Error)]
pub enum ServerTlsError {
    /// The certificate's file can't be used.
    #[error(
        "SMTP_TLS_CERT={}: {what}; expected our certificate, and then its chain, in PEM form", .path.display()
    )]
    Certificate {
        /// As configured.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The key's file can't be used.
    #[error(
        "SMTP_TLS_KEY={}: {what}; expected a key in PEM form, not encrypted: PKCS#8, PKCS#1 or SEC1", .path.display()
    )]
    Key {
        /// As configured.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// Each is fine alone.
    #[error(
        "SMTP_TLS_CERT={}, SMTP_TLS_KEY={}: the key is not that of the file's first certificate; \
         set two files that belong together, our own certificate first", .certificate.display(), .key.display()
    )]
    Mismatch {
        /// As configured.
        certificate: PathBuf,
        /// As configured.
        key: PathBuf,
    },
    /// The TLS library refused its own defaults.
    #[error("TLS for clients could not be set up: {0}")]
    Library(#[from] rustls::Error),
}

/// Whether certificate and key are there and belong together. Reads both files.
///
/// # Errors
/// What would stop the start.
pub fn check_certificate(files: &ServerTlsConfig) -> Result<(), ServerTlsError> {
    load(files, &ring::default_provider()).map(drop)
}

/// TLS towards clients, ready for handshakes.
pub(super) struct ServerTls {
    acceptor: TlsAcceptor,
    shown: Arc<Shown>,
    files: ServerTlsConfig,
    /// What the files looked like before they were read.
    loaded: Option<Stamps>,
}

impl ServerTls {
    /// Reads the files, so it blocks for a moment.
    pub(super) fn new(files: &ServerTlsConfig) -> Result<ServerTls, ServerTlsError> {
        let provider = Arc::new(ring::default_provider());
        let loaded = stamps(files).ok();
        let shown = Arc::new(Shown(RwLock::new(Arc::new(load(files, &provider)?))));
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&shown) as Arc<dyn ResolvesServerCert>);
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = ring::Ticketer::new()?;
        // In TLS 1.3 some senders of Microsoft hang up on a ticket, so only those who ask for tickets
        // (RFC 9149) get some; see docs/tls.md.
        config.send_tls13_tickets = 0;
        config.max_tls13_tickets = TLS13_TICKETS_MAX;
        Ok(ServerTls {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            shown,
            files: files.clone(),
            loaded,
        })
    }

    /// The handshake; the caller bounds its time. If it fails, the client has been sent an alert as
    /// far as it takes one, and the connection comes back.
    pub(super) async fn handshake(
        &self,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, (io::Error, TcpStream)> {
        self.acceptor.accept(stream).into_fallible().await
    }

    /// Takes up changed files, for ever. Files that can't be used are told once, and the certificate
    /// in use stays.
    pub(super) async fn watch(&self, events: &Events) -> std::convert::Infallible {
        let mut ticks = interval(TLS_FILES_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut taken, mut before) = (self.loaded, self.loaded);
        loop {
            ticks.tick().await;
            let now = stamps_on_blocking_thread(&self.files).await;
            // Two looks alike: nobody is in the middle of replacing the pair.
            if now != taken && now == before {
                self.take_up(events).await;
                taken = now;
            }
            before = now;
        }
    }

    async fn take_up(&self, events: &Events) {
        let files = self.files.clone();
        let loaded = tokio::task::spawn_blocking(move || load(&files, &ring::default_provider()));
        let Ok(loaded) = loaded.await else {
            return; // the runtime is ending
        };
        match loaded {
            Ok(key) => {
                *self.shown.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(key);
                events.emit(ProcessEvent::CertificateReloaded {
                    path: &self.files.certificate,
                });
            }
            Err(error) => events.emit(ProcessEvent::Alarm {
                what: &format!(
                    "the new TLS certificate or key can't be used, the one before stays in use: {error}"
                ),
                todo: "put two good files in their place; they are taken up without a restart",
            }),
        }
    }
}

/// What each handshake shows, whatever name the client asks for.
#[derive(Debug)]
struct Shown(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let key = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&key))
    }
}

/// Reads certificate, chain and key, and holds them against each other.
fn load(
    files: &ServerTlsConfig,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, ServerTlsError> {
    let bad_certificate = |what: String| ServerTlsError::Certificate {
        path: files.certificate.clone(),
        what,
    };
    let bad_key = |what: String| ServerTlsError::Key {
        path: files.key.clone(),
        what,
    };
    let chain =
        read_chain(&files.certificate).map_err(|error| bad_certificate(pem_fault(&error)))?;
    if chain.is_empty() {
        return Err(bad_certificate("no certificate in it".to_owned()));
    }
    let key =
        PrivateKeyDer::from_pem_file(&files.key).map_err(|error| bad_key(pem_fault(&error)))?;
    let key = provider.key_provider.load_private_key(key);
    let key = key.map_err(|error| bad_key(error.to_string()))?;
    let pair = CertifiedKey::new(chain, key);
    match pair.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(pair),
        Err(rustls::Error::InconsistentKeys(_)) => Err(ServerTlsError::Mismatch {
            certificate: files.certificate.clone(),
            key: files.key.clone(),
        }),
        Err(error) => Err(bad_certificate(error.to_string())),
    }
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, pem::Error> {
    CertificateDer::pem_file_iter(path)?.collect()
}

fn pem_fault(error: &pem::Error) -> String {
    match error {
        pem::Error::Io(error) => format!("can't be read ({error})"),
        pem::Error::NoItemsFound => "no such thing in it".to_owned(),
        other => format!("{other:?}").chars().take(200).collect(),
    }
}

/// Of certificate and key.
type Stamps = [FileStamp; 2];

fn stamps(files: &ServerTlsConfig) -> io::Result<Stamps> {
    Ok([
        FileStamp::of(&files.certificate)?,
        FileStamp::of(&files.key)?,
    ])
}

/// `None` while one of them is missing.
async fn stamps_on_blocking_thread(files: &ServerTlsConfig) -> Option<Stamps> {
    let files = files.clone();
    let looked = tokio::task::spawn_blocking(move || stamps(&files)).await;
    looked.ok()?.ok()
}

/// What a handshake agreed upon.
pub(super) fn facts(connection: &ServerConnection) -> TlsFacts {
    let version = match connection.protocol_version() {
        Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
        Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
        _ => "TLS", // not configured, so not agreed upon
    };
    let suite = connection.negotiated_cipher_suite();
    let cipher = suite.and_then(|suite| suite.suite().as_str());
    TlsFacts {
        version: version.into(),
        cipher: cipher.unwrap_or("unknown").into(),
    }
}

/// Why a handshake failed, for the log. It may quote what the client sent.
pub(super) fn fault(error: &io::Error) -> String {
    let text = match error.get_ref() {
        Some(inner) => inner.to_string(),
        None => error.to_string(),
    };
    let printable = |c: char| if matches!(c, ' '..='~') { c } else { '?' };
    text.chars().take(200).map(printable).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair};

    struct Pair {
        certificate: String,
        key: String,
    }

    fn pair() -> Pair {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["gp.test".to_owned()]).unwrap();
        Pair {
            certificate: params.self_signed(&key).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }

    fn loaded(certificate: &str, key: &str) -> Result<usize, String> {
        let directory = tempfile::tempdir().unwrap();
        let files = ServerTlsConfig {
            certificate: directory.path().join("cert.pem"),
            key: directory.path().join("key.pem"),
            port: None,
        };
        for (path, text) in [(&files.certificate, certificate), (&files.key, key)] {
            if !text.is_empty() {
                fs::write(path, text).unwrap();
            }
        }
        let pair = load(&files, &ring::default_provider());
        pair.map(|pair| pair.cert.len())
            .map_err(|error| error.to_string())
    }

    #[track_caller]
    fn check_refused(certificate: &str, key: &str, want: &[&str]) {
        let line = loaded(certificate, key).unwrap_err();
        for want in want {
            assert!(line.contains(want), "{want:?} in {line:?}");
        }
        assert!(!line.contains('\n'), "{line:?}");
    }

    #[test]
    fn files_that_can_not_be_used_are_named() {
        let (one, other) = (pair(), pair());
        check_refused(
            &one.certificate,
            &other.key,
            &["SMTP_TLS_CERT=", "SMTP_TLS_KEY=", "key is not that of"],
        );
        let (cert, key) = ("SMTP_TLS_CERT=", "SMTP_TLS_KEY=");
        check_refused("", &one.key, &[cert, "can't be read"]);
        check_refused("nonsense", &one.key, &[cert, "no certificate in it"]);
        check_refused(&one.key, &one.key, &[cert, "no certificate in it"]);
        check_refused(&one.certificate, "", &[key, "can't be read"]);
        check_refused(&one.certificate, "nonsense", &[key, "no such thing"]);
        check_refused(&one.certificate, &one.certificate, &[key, "no such thing"]);
        let encrypted = one.key.replace("PRIVATE", "ENCRYPTED PRIVATE");
        check_refused(&one.certificate, &encrypted, &[key, "not encrypted"]);
        let cut = one.certificate.replace("-----END", "-----EN");
        check_refused(&cut, &one.key, &[cert]);
    }

    /// The samples were made for this test and protect nothing.
    #[test]
    fn keys_may_be_pkcs1_or_sec1_too() {
        let (pkcs1, sec1) = (include_str!("tls/pkcs1.pem"), include_str!("tls/sec1.pem"));
        assert_eq!(loaded(pkcs1, pkcs1), Ok(1));
        assert_eq!(loaded(sec1, sec1), Ok(1));
        check_refused(pkcs1, sec1, &["key is not that of"]);
    }

    #[test]
    fn a_chain_is_taken_whole_and_key_and_certificate_may_share_a_file() {
        let (one, issuer) = (pair(), pair());
        let chain = format!("{}{}", one.certificate, issuer.certificate);
        assert_eq!(loaded(&chain, &one.key), Ok(2));
        let all = format!("{}{}", one.key, one.certificate);
        assert_eq!(loaded(&all, &all), Ok(1));
        let backwards = format!("{}{}", issuer.certificate, one.certificate);
        check_refused(&backwards, &one.key, &["our own certificate first"]);
    }
}
