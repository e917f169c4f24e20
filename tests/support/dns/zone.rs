//! What the server knows, and the answer to one question. No sockets.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use hickory_proto::op::{Edns, Message, Metadata, Query as Question, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, MX, SOA, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::{Transport, Trouble, Wrong};

/// Links of a CNAME chain that are followed; a longer one is SERVFAIL, as with real resolvers.
const CNAME_LINKS_MAX: usize = 16;

/// UDP payload that we claim to take (RFC 6891 6.2.5).
const UDP_PAYLOAD: u16 = 1_232;

/// All records and troubles. Names are lower case with the final dot.
#[derive(Debug, Default)]
pub(super) struct Zone {
    names: BTreeSet<Name>,
    records: HashMap<Name, Vec<RData>>,
    troubles: HashMap<(Name, Option<RecordType>), Trouble>,
}

/// What becomes of a question.
#[derive(Debug)]
pub(super) enum Reaction {
    /// These go back, after a pause.
    Answers(Vec<Vec<u8>>, Duration),
    /// Nothing goes back.
    Silence,
}

impl Zone {
    pub(super) fn add(&mut self, at: &str, data: RData) {
        self.exists(at);
        let records = self.records.entry(name(at)).or_default();
        if !records.contains(&data) {
            records.push(data);
        }
    }

    pub(super) fn exists(&mut self, at: &str) {
        let mut above = name(at);
        // RFC 8020: what is above a name that exists, exists.
        while !above.is_root() {
            self.names.insert(above.clone());
            above = above.base_name();
        }
    }

    pub(super) fn remove(&mut self, at: &str, record_type: RecordType) {
        if let Some(records) = self.records.get_mut(&name(at)) {
            records.retain(|data| data.record_type() != record_type);
        }
    }

    pub(super) fn forget(&mut self, at: &str) {
        let at = name(at);
        self.records.remove(&at);
        self.names.remove(&at);
    }

    pub(super) fn set_trouble(&mut self, at: &str, of: Option<RecordType>, trouble: Trouble) {
        self.troubles.insert((name(at), of), trouble);
    }

    pub(super) fn heal(&mut self, at: &str) {
        let at = name(at);
        self.troubles.retain(|(owner, _), _| *owner != at);
    }

    /// The answer to `request`, which asks `question`.
    pub(super) fn react(
        &self,
        request: &Message,
        question: &Question,
        transport: Transport,
    ) -> Reaction {
        let mut response = Message::response(request.metadata.id, request.metadata.op_code);
        response.metadata = Metadata::response_from_request(&request.metadata);
        response.metadata.recursion_available = true;
        response.add_query(question.clone());
        if request.edns.is_some() {
            let mut edns = Edns::new();
            edns.set_max_payload(UDP_PAYLOAD);
            response.set_edns(edns);
        }

        let asked = question.name().to_lowercase();
        let mut pause = Duration::ZERO;
        match self.trouble(&asked, question.query_type()) {
            Some(Trouble::Silence) => return Reaction::Silence,
            Some(Trouble::ServFail) => response.metadata.response_code = ResponseCode::ServFail,
            Some(Trouble::Refused) => response.metadata.response_code = ResponseCode::Refused,
            Some(Trouble::NxDomain) => {
                response.metadata.response_code = ResponseCode::NXDomain;
                response.add_authority(soa(&asked));
            }
            Some(Trouble::NoData) => {
                response.add_authority(soa(&asked));
            }
            Some(Trouble::Truncated) if transport == Transport::Udp => {
                response.metadata.truncation = true;
            }
            Some(Trouble::Slow(by)) => {
                pause = by;
                self.resolve(question, &mut response);
            }
            Some(Trouble::NoEdns) if request.edns.is_some() => {
                response.edns = None;
                response.metadata.response_code = ResponseCode::FormErr;
            }
            Some(Trouble::MixedCase) => {
                self.resolve(question, &mut response);
                mix_case(&mut response);
            }
            Some(Trouble::Forged {
                wrong,
                address,
                then_right,
            }) => {
                let mut answers = vec![forge(&response, question, wrong, address)];
                if then_right {
                    self.resolve(question, &mut response);
                    answers.push(encoded(&response));
                }
                return Reaction::Answers(answers, pause);
            }
            Some(Trouble::Truncated | Trouble::NoEdns) | None => {
                self.resolve(question, &mut response);
            }
        }

        let mut octets = encoded(&response);
        let udp_room = usize::from(request.max_payload().min(UDP_PAYLOAD));
        if transport == Transport::Udp && octets.len() > udp_room {
            octets = encoded(&response.truncate());
        }
        Reaction::Answers(vec![octets], pause)
    }

    fn resolve(&self, question: &Question, response: &mut Message) {
        let mut owner = question.name().to_lowercase();
        for _ in 0..CNAME_LINKS_MAX {
            let wanted = question.query_type();
            let found: Vec<&RData> = self.of(&owner, wanted).collect();
            for data in &found {
                response.add_answer(Record::from_rdata(owner.clone(), 0, (*data).clone()));
            }
            if !found.is_empty() {
                return;
            }
            let Some(RData::CNAME(alias)) = self.of(&owner, RecordType::CNAME).next() else {
                if !self.names.contains(&owner) {
                    response.metadata.response_code = ResponseCode::NXDomain;
                }
                response.add_authority(soa(&owner));
                return;
            };
            response.add_answer(Record::from_rdata(owner, 0, RData::CNAME(alias.clone())));
            owner = alias.0.to_lowercase();
        }
        response.answers.clear();
        response.metadata.response_code = ResponseCode::ServFail;
    }

    fn of(&self, owner: &Name, record_type: RecordType) -> impl Iterator<Item = &RData> {
        let records = self.records.get(owner).into_iter().flatten();
        records.filter(move |data| data.record_type() == record_type)
    }

    fn trouble(&self, owner: &Name, record_type: RecordType) -> Option<Trouble> {
        self.troubles
            .get(&(owner.clone(), Some(record_type)))
            .or_else(|| self.troubles.get(&(owner.clone(), None)))
            .copied()
    }
}

fn encoded(response: &Message) -> Vec<u8> {
    response.to_vec().expect("our own records can be encoded")
}

/// As somebody would answer who wants the mail and has not seen the question.
fn forge(answer: &Message, asked: &Question, wrong: Wrong, address: Ipv4Addr) -> Vec<u8> {
    let mut forged = answer.clone();
    let owner = match wrong {
        Wrong::Id => {
            forged.metadata.id ^= 1;
            asked.name().clone()
        }
        Wrong::Question => {
            let other = name("other.forged.test");
            let mut question = asked.clone();
            question.set_name(other.clone());
            forged.queries = vec![question];
            other
        }
    };
    let trap = name("trap.forged.test");
    let data = match asked.query_type() {
        RecordType::MX => RData::MX(MX::new(0, trap.clone())),
        _ => RData::A(A(address)),
    };
    forged.add_answer(Record::from_rdata(owner, 0, data.clone()));
    forged.add_answer(Record::from_rdata(asked.name().clone(), 0, data));
    forged.add_additional(Record::from_rdata(trap, 0, RData::A(A(address))));
    encoded(&forged)
}

/// `dest.test` becomes `DeSt.TeSt`, in questions, owners and mail hosts.
fn mix_case(response: &mut Message) {
    for question in &mut response.queries {
        let mixed = mixed(question.name());
        question.set_name(mixed);
    }
    for record in &mut response.answers {
        record.name = mixed(&record.name);
        if let RData::MX(mx) = &record.data {
            record.data = RData::MX(MX::new(mx.preference, mixed(&mx.exchange)));
        }
    }
}

fn mixed(name: &Name) -> Name {
    let mut upper = false;
    let letter = |c: char| {
        upper = !upper;
        if upper {
            c.to_ascii_uppercase()
        } else {
            c.to_ascii_lowercase()
        }
    };
    let text: String = name.to_ascii().chars().map(letter).collect();
    Name::from_ascii(text).expect("a name in another case is a name")
}

pub(super) fn mx(preference: u16, host: &str) -> RData {
    RData::MX(MX::new(preference, name(host)))
}

pub(super) fn address(address: IpAddr) -> RData {
    match address {
        IpAddr::V4(v4) => RData::A(A(v4)),
        IpAddr::V6(v6) => RData::AAAA(AAAA(v6)),
    }
}

pub(super) fn cname(target: &str) -> RData {
    RData::CNAME(CNAME(name(target)))
}

pub(super) fn txt(text: &str) -> RData {
    // RFC 1035 3.3.14: one or more strings of at most 255 octets.
    let strings = text.as_bytes().chunks(255).collect();
    RData::TXT(TXT::from_bytes(strings))
}

/// The zone is the name's parent, as if somebody had cut it there.
fn soa(below: &Name) -> Record {
    let zone = if below.num_labels() > 1 {
        below.base_name()
    } else {
        below.clone()
    };
    let data = SOA::new(name("ns.invalid"), name("root.invalid"), 1, 1, 1, 1, 0);
    Record::from_rdata(zone, 0, RData::SOA(data))
}

/// `\DDD` in it stands for any octet (RFC 1035 5.1).
fn name(text: &str) -> Name {
    let parsed = if text.contains('\\') {
        Name::from_labels(text.trim_end_matches('.').split('.').map(octets_of_label))
    } else {
        Name::from_ascii(text)
    };
    let mut name = parsed
        .unwrap_or_else(|error| panic!("{text:?} is no DNS name: {error}"))
        .to_lowercase();
    name.set_fqdn(true);
    name
}

fn octets_of_label(label: &str) -> Vec<u8> {
    let mut pieces = label.split('\\');
    let mut octets = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        let escaped = piece.split_at_checked(3);
        let escaped = escaped.and_then(|(digits, rest)| Some((digits.parse().ok()?, rest)));
        let (octet, rest) = escaped.unwrap_or_else(|| panic!("{label:?} has no three digits"));
        octets.push(octet);
        octets.extend(rest.bytes());
    }
    octets
}
