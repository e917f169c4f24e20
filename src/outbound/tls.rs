//! TLS towards remote hosts, policy `valid`: whenever STARTTLS is offered, and then only with a
//! certificate that names the host and that a trusted root vouches for (RFC 3207, RFC 9525).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use super::target::HostName;

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
    #[error("certificate expired; {MEND}")]
    Expired,
    /// The certificate's time has not begun.
    #[error("certificate not valid yet, or our clock is wrong; {MEND}")]
    NotYetValid,
    /// The certificate is for other names.
    #[error("certificate name mismatch; {MEND}")]
    NameMismatch,
    /// No trusted root vouches for the certificate.
    #[error(
        "certificate of unknown issuer; if its issuer is to be trusted, add it to SMTP_TLS_CA_FILE"
    )]
    UnknownIssuer,
    /// Anything else about the certificate.
    #[error("certificate invalid ({0}); {MEND}")]
    Certificate(Box<str>),
    /// No TLS came about.
    #[error("TLS handshake failed ({0}); {MEND}")]
    Handshake(Box<str>),
}

/// What there is to do about a host whose TLS is no good. It names the setting that keeps mail from
/// such a host, although there is nothing else yet to set it to.
pub(super) const MEND: &str = "the remote host must mend it; until then SMTP_TLS_POLICY valid (this version has no \
     other) sends no mail there";

/// Sets the client up. Reads the trusted roots, so it blocks.
pub(super) fn connector(ca_file: Option<&Path>) -> Result<TlsConnector, TlsSetupError> {
    let mut roots = trusted_roots();
    if let Some(path) = ca_file {
        add_file(&mut roots, path)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
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
    fn faults_are_named_and_say_what_would_change_them() {
        // W-18.02
        check(CertificateError::Expired.into(), "expired");
        check(CertificateError::Expired.into(), "SMTP_TLS_POLICY");
        check(CertificateError::NotValidForName.into(), "name mismatch");
        check(CertificateError::UnknownIssuer.into(), "unknown issuer");
        check(CertificateError::UnknownIssuer.into(), "SMTP_TLS_CA_FILE");
        check(CertificateError::BadSignature.into(), "unknown issuer");
        check(CertificateError::Revoked.into(), "SMTP_TLS_POLICY");
        check(rustls::Error::NoCertificatesPresented, "handshake failed");
        let text = "a\r\nb".to_owned();
        check(rustls::Error::General(text), "a??b");
    }

    #[test]
    fn a_bad_ca_file_is_one_clear_line() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"nonsense\n").unwrap();
        for path in [file.path(), Path::new("/nowhere/ca.pem")] {
            let Err(error) = connector(Some(path)) else {
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
