//! SCRAM-SHA-256 and -PLUS, the server's side (RFC 5802, RFC 7677, RFC 9266).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq as _;

use crate::smtp::scram::{
    SCRAM_KEY_BYTES, ScramKeys, attribute, base64_attribute, saslname, until_comma,
};

use super::{AuthFault, Turn};

/// What an exchange needs to know from outside.
#[derive(Clone, Debug)]
pub struct ScramFacts {
    /// Our part of the nonce: random, printable, without a comma.
    pub nonce: Box<str>,
    /// What tls-exporter gives for this connection. With it -PLUS is offered.
    pub channel_binding: Option<Box<[u8]>>,
}

/// One exchange.
pub(super) struct Scram {
    plus: bool,
    facts: ScramFacts,
    state: State,
}

enum State {
    First,
    Final(Box<Challenged>),
    /// The client has our signature; its empty line ends it.
    Signed(Box<[u8]>),
    Over,
}

/// What the client's last message is held against.
struct Challenged {
    user: Box<[u8]>,
    keys: ScramKeys,
    /// `c=` as it must be, decoded.
    binding: Vec<u8>,
    nonce: Vec<u8>,
    /// client-first-message-bare "," server-first-message ","
    message: Vec<u8>,
}

impl Scram {
    pub(super) fn new(plus: bool, facts: ScramFacts) -> Scram {
        Scram {
            plus,
            facts,
            state: State::First,
        }
    }

    pub(super) fn take(
        &mut self,
        response: &[u8],
        keys_of: impl FnOnce(&[u8]) -> ScramKeys,
    ) -> Turn {
        let turn = match std::mem::replace(&mut self.state, State::Over) {
            State::First => self.first(response, keys_of),
            State::Final(challenged) => self.last(response, *challenged),
            State::Signed(user) if response.is_empty() => Ok(Turn::Granted(user)),
            State::Signed(_) | State::Over => Err(AuthFault::Malformed),
        };
        turn.unwrap_or_else(Turn::Failed)
    }

    /// client-first-message: `gs2-cbind-flag "," [authzid] "," bare` (RFC 5802 7).
    fn first(
        &mut self,
        response: &[u8],
        keys_of: impl FnOnce(&[u8]) -> ScramKeys,
    ) -> Result<Turn, AuthFault> {
        let (flag, rest) = until_comma(response).ok_or(AuthFault::Malformed)?;
        let (authzid, bare) = until_comma(rest).ok_or(AuthFault::Malformed)?;
        let gs2_header = &response[..response.len() - bare.len()];
        let binding = self.binding(flag, gs2_header)?;

        // An `m=` in front would be a mandatory extension, of which there is none.
        let mut attributes = bare.split(|&octet| octet == b',');
        let user = attribute(attributes.next(), b'n').and_then(saslname);
        let user = user.filter(|user| !user.is_empty());
        let user = user.ok_or(AuthFault::Malformed)?;
        let nonce = attribute(attributes.next(), b'r').ok_or(AuthFault::Malformed)?;
        if nonce.is_empty() || !nonce.iter().all(u8::is_ascii_graphic) {
            return Err(AuthFault::Malformed);
        }
        if !authzid.is_empty() {
            let authzid = attribute(Some(authzid), b'a').and_then(saslname);
            if authzid.ok_or(AuthFault::Malformed)? != user {
                return Err(AuthFault::Refused);
            }
        }

        let keys = keys_of(&user);
        let nonce = [nonce, self.facts.nonce.as_bytes()].concat();
        let salt = STANDARD.encode(&keys.salt);
        let parameters = format!(",s={salt},i={}", keys.iterations);
        let challenge = [b"r=", &nonce[..], parameters.as_bytes()].concat();
        self.state = State::Final(Box::new(Challenged {
            user: user.into(),
            keys,
            binding,
            nonce,
            message: [bare, b",", &challenge, b","].concat(),
        }));
        Ok(Turn::Challenge(challenge))
    }

    /// What `c=` must hold later, from how the client says it is bound to the channel
    /// (RFC 5802 6). `y`: it believes that we don't offer -PLUS; if we do, somebody is between us.
    fn binding(&self, flag: &[u8], gs2_header: &[u8]) -> Result<Vec<u8>, AuthFault> {
        let channel = &self.facts.channel_binding;
        match (flag, self.plus, channel) {
            (b"n", false, _) | (b"y", false, None) => Ok(gs2_header.to_vec()),
            (b"p=tls-exporter", true, Some(channel)) => Ok([gs2_header, channel].concat()),
            (b"n" | b"y", _, _) => Err(AuthFault::Refused),
            _ if flag.starts_with(b"p=") => Err(AuthFault::Refused),
            _ => Err(AuthFault::Malformed),
        }
    }

    /// client-final-message: `c=... "," r=... ["," extensions] "," p=...` (RFC 5802 7).
    fn last(&mut self, response: &[u8], challenged: Challenged) -> Result<Turn, AuthFault> {
        let Challenged {
            user,
            keys,
            binding,
            nonce,
            mut message,
        } = challenged;
        let comma = memchr::memrchr(b',', response).ok_or(AuthFault::Malformed)?;
        let (without_proof, proof) = (&response[..comma], &response[comma + 1..]);
        let mut attributes = without_proof.split(|&octet| octet == b',');
        let said_binding = base64_attribute(attributes.next(), b'c').ok_or(AuthFault::Malformed)?;
        let said_nonce = attribute(attributes.next(), b'r').ok_or(AuthFault::Malformed)?;
        let proof = base64_attribute(Some(proof), b'p').ok_or(AuthFault::Malformed)?;
        let proof: [u8; SCRAM_KEY_BYTES] = proof.try_into().map_err(|_| AuthFault::Malformed)?;

        message.extend_from_slice(without_proof);
        let bound = bool::from(said_binding.ct_eq(&binding));
        let proven = keys.verify(&proof, &message);
        if said_nonce != nonce || !bound || !proven {
            return Err(AuthFault::Refused);
        }
        let signature = STANDARD.encode(keys.server_signature(&message));
        self.state = State::Signed(user);
        Ok(Turn::Challenge(format!("v={signature}").into_bytes()))
    }
}
