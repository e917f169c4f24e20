//! Connections that come through a load balancer: the PROXY protocol header is read before anything
//! is said, and nothing of what follows it.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;

use crate::config::Config;
use crate::mail::limits::PROXY_HEADER_TIMEOUT;

use super::proxy_header::{ProxyHead, ProxySource, look_at_proxy_head};

/// Who must speak the PROXY protocol, and within what time.
#[derive(Debug)]
pub(super) struct Proxies {
    networks: Vec<IpNet>,
    header_timeout: Duration,
}

/// Why a connection of a proxy is closed without a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ProxyFault {
    #[error("no PROXY header in time")]
    TooSlow,
    #[error("connection lost before the PROXY header was whole")]
    Gone,
    #[error("malformed PROXY header")]
    Malformed,
}

impl Proxies {
    pub(super) fn new(config: &Config) -> Proxies {
        Proxies {
            networks: config.access.proxy_networks.clone(),
            header_timeout: PROXY_HEADER_TIMEOUT.min(config.smtpd.command_timeout),
        }
    }

    pub(super) fn include(&self, peer: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(&peer))
    }

    /// The client that `peer` connects for.
    pub(super) async fn client(
        &self,
        stream: &mut (impl AsyncRead + Unpin),
        peer: IpAddr,
    ) -> Result<IpAddr, ProxyFault> {
        let source = timeout(self.header_timeout, read_header(stream)).await;
        Ok(match source.unwrap_or(Err(ProxyFault::TooSlow))? {
            ProxySource::Stated(client) => client,
            ProxySource::Socket => peer,
        })
    }
}

async fn read_header(stream: &mut (impl AsyncRead + Unpin)) -> Result<ProxySource, ProxyFault> {
    let mut octets = Vec::new();
    loop {
        match look_at_proxy_head(&octets) {
            ProxyHead::Header(source) => return Ok(source),
            ProxyHead::Fault => return Err(ProxyFault::Malformed),
            ProxyHead::NeedMore(more) => {
                let missing = u64::try_from(more).unwrap_or(u64::MAX);
                match (&mut *stream).take(missing).read_buf(&mut octets).await {
                    Ok(1..) => {}
                    Ok(0) | Err(_) => return Err(ProxyFault::Gone),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    #[tokio::test]
    async fn nothing_behind_the_header_is_read() {
        // W-12.07
        let header = b"PROXY TCP4 192.0.2.1 127.0.0.1 1024 25\r\n";
        let (mut near, mut far) = tokio::io::duplex(1024);
        far.write_all(&[header, &b"EHLO x\r\n"[..]].concat())
            .await
            .unwrap();
        let source = read_header(&mut near).await;
        assert_eq!(
            source,
            Ok(ProxySource::Stated("192.0.2.1".parse().unwrap()))
        );
        let mut rest = [0; 8];
        near.read_exact(&mut rest).await.unwrap();
        assert_eq!(&rest, b"EHLO x\r\n");
    }
}
