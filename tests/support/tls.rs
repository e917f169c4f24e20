//! A certificate authority for one test, and certificates good and bad.

use std::net::IpAddr;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};

/// The root that the relay under test trusts (`SMTP_TLS_CA_FILE`).
#[derive(Debug)]
pub struct Ca {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// What a remote shows at the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certificate {
    /// Of the trusted root, for the host's own name, valid now.
    Good,
    /// For the right name, signed by nobody else.
    SelfSigned,
    /// Of the trusted root, until 2021.
    Expired,
    /// Of the trusted root, for `other.invalid`.
    WrongName,
    /// As `Good`, of a root that nobody trusts.
    UnknownIssuer,
}

impl Ca {
    /// A new root with a new key.
    pub fn new() -> Ca {
        Ca::named("the root of one test")
    }

    fn named(name: &str) -> Ca {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let issuer = CertifiedIssuer::self_signed(params, new_key()).expect("a root certificate");
        Ca { issuer }
    }

    /// The root certificate, as `SMTP_TLS_CA_FILE` wants it.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A certificate and key in PEM for `name` (a host name or an IP address).
    pub fn issue_pem(&self, name: &str) -> (String, String) {
        let key = new_key();
        let certificate = server_params(name).signed_by(&key, &self.issuer);
        (
            certificate.expect("a certificate").pem(),
            key.serialize_pem(),
        )
    }

    /// What a server named `name` needs to show such a certificate.
    pub fn server(&self, name: &str, kind: Certificate) -> Arc<ServerConfig> {
        self.server_speaking(&[&TLS12, &TLS13], name, kind)
    }

    /// As [`Ca::server`], for a server that speaks these versions only.
    pub fn server_speaking(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        name: &str,
        kind: Certificate,
    ) -> Arc<ServerConfig> {
        let key = new_key();
        let mut params = server_params(match kind {
            Certificate::WrongName => "other.invalid",
            _ => name,
        });
        if kind == Certificate::Expired {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2021, 1, 1);
        }
        let certificate = match kind {
            Certificate::SelfSigned => params.self_signed(&key),
            Certificate::UnknownIssuer => {
                params.signed_by(&key, &Ca::named("a root that nobody trusts").issuer)
            }
            Certificate::Good | Certificate::Expired | Certificate::WrongName => {
                params.signed_by(&key, &self.issuer)
            }
        };
        let chain = vec![certificate.expect("a certificate").der().clone()];
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a PKCS#8 key");
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .expect("ring knows TLS 1.2 and 1.3")
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .expect("key and certificate belong together");
        Arc::new(config)
    }

    /// For a client that trusts this root and no other.
    pub fn client(&self) -> Arc<ClientConfig> {
        Arc::new(self.client_speaking(&[&TLS12, &TLS13]))
    }

    /// As [`Ca::client`], for a client that speaks these versions only; to be changed further.
    pub fn client_speaking(&self, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        let root: CertificateDer<'static> = self.issuer.der().clone();
        roots.add(root).expect("a root certificate");
        ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .expect("ring knows TLS 1.2 and 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth()
    }
}

/// `name` as the handshake wants it.
pub fn server_name(name: &str) -> ServerName<'static> {
    match name.parse::<IpAddr>() {
        Ok(address) => ServerName::from(address),
        Err(_) => ServerName::try_from(name.to_owned()).expect("a host name"),
    }
}

fn new_key() -> KeyPair {
    KeyPair::generate().expect("randomness for a key")
}

fn server_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new([name.to_owned()]).expect("a name for a certificate");
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    params
}
