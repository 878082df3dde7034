//! Messages to and from name servers (RFC 1035, 4).

use std::net::IpAddr;

use simple_dns::rdata::{OPT, RData};
use simple_dns::{CLASS, Name, OPCODE, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE, TYPE};

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    V4,
    V6,
}

/// The size of replies by UDP that no path is known to drop (DNS flag day 2020).
pub(super) const UDP_SIZE: u16 = 1232;

/// A longer chain of aliases is a loop.
const LONGEST_CHAIN: usize = 16;

/// A reply that answers the question.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Addresses(Vec<IpAddr>),
    /// The name is there, and has no address of this kind.
    NoAddress,
    Unknown,
}

/// What one datagram, or one message by TCP, came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Answer(Answer),
    /// An alias of a name that the reply does not tell of: to be asked for next.
    Alias(String),
    /// It did not fit: to be asked for by TCP.
    Truncated,
    /// The server did not do it.
    Failed(&'static str),
    /// The server does not know extensions (RFC 6891, 7): to be asked without.
    NoExtensions,
    /// Not a reply to this question: somebody else's, or forged.
    Foreign,
}

pub(super) fn is_valid(name: &str) -> bool {
    let parts_fit = name.split('.').all(|part| (1..=63).contains(&part.len()));
    parts_fit && name.len() <= 253 && Name::new(name).is_ok()
}

pub(super) fn query(id: u16, name: &str, kind: Kind, extended: bool) -> Option<Vec<u8>> {
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    let name = Name::new(name).ok()?;
    let class = QCLASS::CLASS(CLASS::IN);
    packet
        .questions
        .push(Question::new(name, kind.asked(), class, false));
    if extended {
        *packet.opt_mut() = Some(OPT {
            opt_codes: Vec::new(),
            udp_packet_size: UDP_SIZE,
            version: 0,
        });
    }
    packet.build_bytes_vec().ok()
}

impl Kind {
    fn asked(self) -> QTYPE {
        QTYPE::TYPE(match self {
            Self::V4 => TYPE::A,
            Self::V6 => TYPE::AAAA,
        })
    }
}

/// Reads what came for the question. The socket has seen to it that it came from the server.
pub(super) fn read(bytes: &[u8], id: u16, name: &str, kind: Kind) -> Reply {
    let Ok(packet) = Packet::parse(bytes) else {
        return Reply::Foreign;
    };
    let is_reply =
        packet.has_flags(PacketFlag::RESPONSE) && packet.opcode() == OPCODE::StandardQuery;
    if !is_reply || packet.id() != id {
        return Reply::Foreign;
    }
    match packet.rcode() {
        // RFC 6891, 7: such a reply may have no question.
        RCODE::FormatError | RCODE::NotImplemented => return Reply::NoExtensions,
        RCODE::ServerFailure => return Reply::Failed("it could not find out (SERVFAIL)"),
        RCODE::Refused => return Reply::Failed("it refuses to answer us (REFUSED)"),
        RCODE::NoError | RCODE::NameError => {}
        _ => return Reply::Failed("it failed in a way of its own"),
    }
    let asked = Name::new(name).ok();
    let fits = matches!((packet.questions.as_slice(), &asked), ([question], Some(asked))
        if question.qtype == kind.asked() && is_same(&question.qname, asked));
    let Some(asked) = asked.filter(|_| fits) else {
        return Reply::Foreign;
    };
    if packet.has_flags(PacketFlag::TRUNCATION) {
        return Reply::Truncated;
    }
    follow(&packet, asked, kind)
}

/// Follows aliases through the answers to the addresses at their end.
fn follow(packet: &Packet<'_>, asked: Name<'_>, kind: Kind) -> Reply {
    let mut name = asked.clone();
    for _ in 0..LONGEST_CHAIN {
        let of_name = packet
            .answers
            .iter()
            .filter(|answer| is_same(&answer.name, &name));
        let mut addresses = Vec::new();
        let mut alias = None;
        for answer in of_name {
            match (&answer.rdata, kind) {
                (RData::A(a), Kind::V4) => addresses.push(IpAddr::V4(a.address.into())),
                (RData::AAAA(a), Kind::V6) => addresses.push(IpAddr::V6(a.address.into())),
                (RData::CNAME(target), _) => alias = Some(target.0.clone()),
                _ => {}
            }
        }
        if !addresses.is_empty() {
            return Reply::Answer(Answer::Addresses(addresses));
        }
        match alias {
            Some(target) => name = target,
            None if packet.rcode() == RCODE::NameError => return Reply::Answer(Answer::Unknown),
            None if is_same(&name, &asked) => return Reply::Answer(Answer::NoAddress),
            None => return Reply::Alias(name.to_string()),
        }
    }
    Reply::Failed("it answers with a loop of aliases")
}

/// RFC 4343: the case of letters does not matter.
fn is_same(a: &Name<'_>, b: &Name<'_>) -> bool {
    let (a, b): (Vec<_>, Vec<_>) = (a.as_bytes().collect(), b.as_bytes().collect());
    a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| a.eq_ignore_ascii_case(b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use simple_dns::ResourceRecord;
    use simple_dns::rdata::{A, CNAME};

    fn reply(name: &str, answers: &[(&str, RData<'static>)], code: RCODE) -> Vec<u8> {
        let mut packet = Packet::new_reply(7);
        *packet.rcode_mut() = code;
        let question = Question::new(
            Name::new(name).unwrap(),
            Kind::V4.asked(),
            QCLASS::CLASS(CLASS::IN),
            false,
        );
        packet.questions.push(question);
        for (name, data) in answers {
            let name = Name::new(name).unwrap().into_owned();
            packet
                .answers
                .push(ResourceRecord::new(name, CLASS::IN, 60, data.clone()));
        }
        packet.build_bytes_vec().unwrap()
    }

    fn a(last: u32) -> RData<'static> {
        RData::A(A {
            address: 0x0a00_0000 + last,
        })
    }

    fn alias(target: &'static str) -> RData<'static> {
        RData::CNAME(CNAME(Name::new(target).unwrap()))
    }

    fn addresses(last: &[u8]) -> Reply {
        let list = last.iter().map(|n| IpAddr::from([10, 0, 0, *n])).collect();
        Reply::Answer(Answer::Addresses(list))
    }

    #[test]
    fn aliases_are_followed_to_their_addresses() {
        let bytes = reply(
            "www.example",
            &[
                ("Web.Example", a(1)),
                ("www.EXAMPLE", alias("web.example")),
                ("web.example", a(2)),
                ("other.example", a(3)),
            ],
            RCODE::NoError,
        );
        assert_eq!(read(&bytes, 7, "WWW.example", Kind::V4), addresses(&[1, 2]));
    }

    #[test]
    fn an_alias_without_its_address_is_asked_for() {
        let bytes = reply(
            "www.example",
            &[("www.example", alias("web.example"))],
            RCODE::NoError,
        );
        assert_eq!(
            read(&bytes, 7, "www.example", Kind::V4),
            Reply::Alias("web.example".into())
        );
    }

    #[test]
    fn a_loop_of_aliases_ends() {
        let answers = [
            ("a.example", alias("b.example")),
            ("b.example", alias("a.example")),
        ];
        let bytes = reply("a.example", &answers, RCODE::NoError);
        assert!(matches!(
            read(&bytes, 7, "a.example", Kind::V4),
            Reply::Failed(_)
        ));
    }

    #[test]
    fn what_answers_another_question_is_foreign() {
        let bytes = reply("www.example", &[("www.example", a(1))], RCODE::NoError);
        assert_eq!(read(&bytes, 7, "www.example", Kind::V4), addresses(&[1]));
        assert_eq!(read(&bytes, 8, "www.example", Kind::V4), Reply::Foreign);
        assert_eq!(read(&bytes, 7, "web.example", Kind::V4), Reply::Foreign);
        assert_eq!(read(&bytes, 7, "www.example", Kind::V6), Reply::Foreign);
        let question = query(7, "www.example", Kind::V4, true).unwrap();
        assert_eq!(read(&question, 7, "www.example", Kind::V4), Reply::Foreign);
        for end in 0..bytes.len() {
            assert_eq!(
                read(&bytes[..end], 7, "www.example", Kind::V4),
                Reply::Foreign
            );
        }
    }

    #[test]
    fn no_name_and_no_address_differ() {
        let unknown = reply("a.example", &[], RCODE::NameError);
        assert_eq!(
            read(&unknown, 7, "a.example", Kind::V4),
            Reply::Answer(Answer::Unknown)
        );
        let none = reply("a.example", &[], RCODE::NoError);
        assert_eq!(
            read(&none, 7, "a.example", Kind::V4),
            Reply::Answer(Answer::NoAddress)
        );
    }

    #[test]
    fn a_name_has_parts_of_a_length() {
        assert!(is_valid("registry-1.docker.io"));
        for bad in [
            "",
            "a..b",
            ".a",
            &"x".repeat(64),
            &["abcdefg"; 32].join("."),
        ] {
            assert!(!is_valid(bad), "{bad}");
        }
    }
}
