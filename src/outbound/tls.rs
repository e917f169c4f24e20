//! TLS towards remote hosts (RFC 3207, RFC 9525): whom we trust, and what was wrong with a host.
//! When it takes TLS, and whether the certificate must be good, is decided in `policy`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig, ClientConnection, ProtocolVersion, RootCertStore};

use tokio_rustls::TlsConnector;

use crate::mail::TlsFacts;

use super::any_certificate::AnyCertificate;
use super::policy::Obstacle;
use super::target::{HostName, Terms};

/// The TLS client could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsSetupError {
    /// The file could not be read, or is no PEM.
    #[error("SMTP_TLS_CA_FILE: {}: {error}; expected certificates in PEM form", .path.display())]
    CaFile {
        /// As configured.
        path: PathBuf,
        /// What is wrong with it.
        error: rustls::pki_types::pem::Error,
    },
    /// It holds no certificate, or one that can't be used.
    #[error("SMTP_TLS_CA_FILE: {}: {what}; expected certificates in PEM form", .path.display())]
    CaContent {
        /// As configured.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The TLS library refused its own defaults.
    #[error("TLS could not be set up: {0}")]
    Library(#[from] rustls::Error),
}

/// What is wrong with a remote's TLS.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum TlsFault {
    /// The certificate's time is over.
    #[error("certificate expired")]
    Expired,
    /// The certificate's time has not begun.
    #[error("certificate not valid yet, or our clock is wrong")]
    NotYetValid,
    /// The certificate is for other names.
    #[error("certificate name mismatch")]
    NameMismatch,
    /// No trusted root vouches for the certificate.
    #[error(
        "certificate of unknown issuer; if its issuer is to be trusted, add it to SMTP_TLS_CA_FILE; or"
    )]
    UnknownIssuer,
    /// Anything else about the certificate.
    #[error("certificate invalid ({0})")]
    Certificate(Box<str>),
    /// No TLS came about.
    #[error("TLS handshake failed ({0})")]
    Handshake(Box<str>),
}

impl TlsFault {
    /// What another policy would have to do about it.
    #[must_use]
    pub(super) fn obstacle(&self) -> Obstacle {
        match self {
            TlsFault::Expired
            | TlsFault::NotYetValid
            | TlsFault::NameMismatch
            | TlsFault::UnknownIssuer
            | TlsFault::Certificate(_) => Obstacle::Certificate,
            TlsFault::Handshake(_) => Obstacle::Broken,
        }
    }
}

/// How we make TLS: with a host that we can check, and with anybody. Sessions are resumed within
/// each of the two only.
pub(super) struct TlsClient {
    checked: TlsConnector,
    unchecked: TlsConnector,
}

impl TlsClient {
    /// Sets it up, for TLS 1.2 and 1.3. Reads the trusted roots, so it blocks.
    pub(super) fn new(ca_file: Option<&Path>) -> Result<TlsClient, TlsSetupError> {
        let mut roots = trusted_roots();
        if let Some(path) = ca_file {
            add_file(&mut roots, path)?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = || {
            ClientConfig::builder_with_provider(provider.clone())
                .with_safe_default_protocol_versions()
        };
        let checked = builder()?.with_root_certificates(roots);
        let unchecked = builder()?
            .dangerous()
            .with_custom_certificate_verifier(AnyCertificate::new(&provider));
        Ok(TlsClient {
            checked: TlsConnector::from(Arc::new(checked.with_no_client_auth())),
            unchecked: TlsConnector::from(Arc::new(unchecked.with_no_client_auth())),
        })
    }

    /// The one that the terms ask for.
    #[must_use]
    pub(super) fn connector(&self, terms: &Terms) -> &TlsConnector {
        if terms.checks_certificate() {
            &self.checked
        } else {
            &self.unchecked
        }
    }
}

/// The roots of this machine; the bundled ones where it has none.
fn trusted_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    // A root of the machine that can't be read vouches for nobody; that is no reason not to start.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    roots
}

fn add_file(roots: &mut RootCertStore, path: &Path) -> Result<(), TlsSetupError> {
    let unreadable = |error| TlsSetupError::CaFile {
        path: path.to_owned(),
        error,
    };
    let unusable = |what: String| TlsSetupError::CaContent {
        path: path.to_owned(),
        what,
    };
    let mut added = 0;
    for certificate in CertificateDer::pem_file_iter(path).map_err(unreadable)? {
        let certificate = certificate.map_err(unreadable)?;
        roots
            .add(certificate)
            .map_err(|error| unusable(error.to_string()))?;
        added += 1;
    }
    if added == 0 {
        return Err(unusable("no certificate in it".to_owned()));
    }
    Ok(())
}

/// What a host's certificate must name; for an address no SNI is sent (RFC 6066 3).
pub(super) fn server_name(host: &HostName) -> Result<ServerName<'static>, TlsFault> {
    match host {
        HostName::Name(name) => {
            ServerName::try_from(name.as_str().to_owned()).map_err(|_| TlsFault::NameMismatch)
        }
        HostName::Address(address) => Ok(ServerName::IpAddress((*address).into())),
    }
}

/// What a handshake agreed upon.
#[must_use]
pub(super) fn facts_of(connection: &ClientConnection) -> TlsFacts {
    let version = match connection.protocol_version() {
        Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
        Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
        _ => "TLS", // we speak no other
    };
    let suite = connection.negotiated_cipher_suite();
    TlsFacts {
        version: version.into(),
        cipher: suite
            .map_or("", |suite| suite.suite().as_str().unwrap_or(""))
            .into(),
    }
}

/// Why a handshake failed.
#[must_use]
pub(super) fn fault_of(error: &std::io::Error) -> TlsFault {
    let inner = error.get_ref();
    match inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(error)) => certificate_fault(error),
        Some(error) => TlsFault::Handshake(shown(error)),
        None => TlsFault::Handshake(shown(&error.kind())),
    }
}

fn certificate_fault(error: &CertificateError) -> TlsFault {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => TlsFault::Expired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            TlsFault::NotYetValid
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            TlsFault::NameMismatch
        }
        // The latter: we know an issuer of that name, but with another key. That is another issuer,
        // or one whose new certificate we lack.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => TlsFault::UnknownIssuer,
        other => TlsFault::Certificate(shown(other)),
    }
}

/// Errors may quote what the remote sent.
fn shown(error: &dyn std::fmt::Display) -> Box<str> {
    let printable = |c: char| if matches!(c, ' '..='~') { c } else { '?' };
    error.to_string().chars().take(200).map(printable).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[track_caller]
    fn check(error: rustls::Error, want: &str) {
        let error = std::io::Error::new(std::io::ErrorKind::InvalidData, error);
        let text = fault_of(&error).to_string();
        assert!(text.contains(want), "{text}");
    }

    #[test]
    fn faults_are_named() {
        // W-18.02
        check(CertificateError::Expired.into(), "expired");
        check(CertificateError::NotValidForName.into(), "name mismatch");
        check(CertificateError::UnknownIssuer.into(), "unknown issuer");
        check(CertificateError::UnknownIssuer.into(), "SMTP_TLS_CA_FILE");
        check(CertificateError::BadSignature.into(), "unknown issuer");
        check(CertificateError::Revoked.into(), "certificate invalid");
        check(rustls::Error::NoCertificatesPresented, "handshake failed");
        let text = "a\r\nb".to_owned();
        check(rustls::Error::General(text), "a??b");
    }

    #[test]
    fn a_bad_ca_file_is_one_clear_line() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"nonsense\n").unwrap();
        for path in [file.path(), Path::new("/nowhere/ca.pem")] {
            let Err(error) = TlsClient::new(Some(path)) else {
                panic!("took {}", path.display())
            };
            let line = error.to_string();
            assert!(line.starts_with("SMTP_TLS_CA_FILE: "), "{line}");
            assert!(
                line.contains(&*path.to_string_lossy()) && !line.contains('\n'),
                "{line}"
            );
        }
    }
}
