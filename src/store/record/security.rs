//! How a connection was secured, as the records of recipients keep it.

use serde::{Deserialize, Serialize};

use crate::mail::{Channel, Security, TlsFacts};

#[derive(Serialize, Deserialize)]
pub(super) struct SecurityV3 {
    rule: String,
    channel: ChannelV3,
}

#[derive(Serialize, Deserialize)]
enum ChannelV3 {
    Clear,
    Unchecked(TlsV3),
    Verified(TlsV3),
}

#[derive(Serialize, Deserialize)]
struct TlsV3 {
    version: String,
    cipher: String,
}

pub(super) fn security_record(security: &Security) -> SecurityV3 {
    let facts = |facts: &TlsFacts| TlsV3 {
        version: facts.version.to_string(),
        cipher: facts.cipher.to_string(),
    };
    SecurityV3 {
        rule: security.rule.to_string(),
        channel: match &security.channel {
            Channel::Clear => ChannelV3::Clear,
            Channel::Unchecked(tls) => ChannelV3::Unchecked(facts(tls)),
            Channel::Verified(tls) => ChannelV3::Verified(facts(tls)),
        },
    }
}

impl From<SecurityV3> for Security {
    fn from(record: SecurityV3) -> Security {
        let facts = |tls: TlsV3| TlsFacts {
            version: tls.version.into(),
            cipher: tls.cipher.into(),
        };
        Security {
            rule: record.rule.into(),
            channel: match record.channel {
                ChannelV3::Clear => Channel::Clear,
                ChannelV3::Unchecked(tls) => Channel::Unchecked(facts(tls)),
                ChannelV3::Verified(tls) => Channel::Verified(facts(tls)),
            },
        }
    }
}
