//! What happens to a frame that arrived, up to the protocol that it is for: Ethernet, ARP, IP, ICMP.
//! TCP goes on in `tcp::arrive`, UDP in `udp`.

use core::net::{IpAddr, SocketAddr};

use crate::neighbour::Kind;
use crate::stack::Stack;
use crate::tcp::flow::Flow;
use crate::wire::arp::{self, Arp};
use crate::wire::icmp::{self, Message, Quoted, Reason};
use crate::wire::ip::{
    self, Content, Envelope, Link, Packet, Refusal, is_host, is_unicast, protocol,
};
use crate::wire::{segment, vnet};

/// The least that an IPv4 and an IPv6 path takes, in bytes (RFC 791, RFC 8200).
const PATH_MTU_MIN: usize = 576;
const PATH_MTU_MIN_IPV6: usize = 1280;
/// What is tried when a router does not tell what it takes (RFC 1191, 7).
const PLATEAUS: [usize; 4] = [8166, 1492, 1006, PATH_MTU_MIN];

impl Stack {
    pub(crate) fn process(&mut self, frame: &[u8]) {
        let (checksum_is_valid, frame) = match self.offload {
            false => (false, frame),
            true => match vnet::split(frame) {
                Some(split) => split,
                None => return self.drop_frame(Refusal::Malformed),
            },
        };
        if let Err(refusal) = self.process_frame(checksum_is_valid, frame) {
            self.drop_frame(refusal);
        }
    }

    fn drop_frame(&mut self, refusal: Refusal) {
        *match refusal {
            Refusal::Malformed => &mut self.counters.dropped_malformed,
            Refusal::NotForUs => &mut self.counters.dropped_not_for_us,
            Refusal::Fragment => &mut self.counters.dropped_fragments,
            Refusal::Unsupported => &mut self.counters.dropped_unsupported,
        } += 1;
    }

    fn process_frame(&mut self, checksum_is_valid: bool, frame: &[u8]) -> Result<(), Refusal> {
        let (link, payload) = ip::split_frame(frame).ok_or(Refusal::Malformed)?;
        let is_to_us = link.destination == self.mac;
        if !is_to_us && link.destination[0] & 1 == 0 {
            return Err(Refusal::NotForUs);
        }
        let packet = match link.ethertype {
            ip::ETHERTYPE_ARP => {
                let arp = arp::parse(payload).ok_or(Refusal::Unsupported)?;
                return self.process_arp(&arp);
            }
            ip::ETHERTYPE_IPV4 => ip::parse_ipv4(payload)?,
            ip::ETHERTYPE_IPV6 => ip::parse_ipv6(payload)?,
            _ => return Err(Refusal::Unsupported),
        };
        match packet.protocol {
            protocol::TCP => {
                // RFC 9293, 3.9.2.3: TCP is between two hosts only.
                let is_between_hosts = is_host(packet.source) && is_host(packet.destination);
                if !is_to_us || !is_between_hosts || !self.serves(packet.destination) {
                    return Err(Refusal::NotForUs);
                }
                let segment = segment::parse(packet.payload).ok_or(Refusal::Malformed)?;
                if !checksum_is_valid && !packet.has_valid_checksum() {
                    return Err(Refusal::Malformed);
                }
                let local = SocketAddr::new(packet.destination, segment.header.destination_port);
                let remote = SocketAddr::new(packet.source, segment.header.source_port);
                self.process_tcp(&Flow { local, remote }, link.source, &segment);
                Ok(())
            }
            protocol::UDP => self.process_udp(&link, &packet, checksum_is_valid),
            protocol::ICMP if packet.source.is_ipv4() => self.process_icmp(&link, &packet),
            protocol::ICMPV6 if packet.source.is_ipv6() => self.process_icmp(&link, &packet),
            _ => Err(Refusal::Unsupported),
        }
    }

    /// Whether packets for this host are taken.
    pub(crate) fn serves(&self, destination: IpAddr) -> bool {
        self.routes.is_own(destination) || self.any_ip && destination.is_ipv4()
    }

    fn process_arp(&mut self, arp: &Arp) -> Result<(), Refusal> {
        // With any_ip the stack would answer for every address: also for the one that the sender
        // announces as its own.
        if arp.sender == arp.target {
            return Err(Refusal::Unsupported);
        }
        let (sender, target) = (IpAddr::V4(arp.sender), IpAddr::V4(arp.target));
        if !is_host(sender) || self.routes.is_own(sender) || !is_unicast(arp.sender_mac) {
            return Err(Refusal::NotForUs);
        }
        let is_asked = self.routes.is_own(target) || self.any_ip && is_host(target);
        // A router may ask from an address of another network (as Calico's nodes do, which are no
        // neighbours of their pods): it is answered where it says it is, and not remembered.
        let is_on_link = self.routes.is_on_link(sender);
        let kind = match (arp.is_request, is_asked) {
            (false, _) => Kind::Answer { overrides: true },
            (true, true) => Kind::Request,
            (true, false) => Kind::Unasked { overrides: true },
        };
        let is_known = is_on_link && self.learn(sender, Some(arp.sender_mac), kind);
        self.counters.dropped_arp += u64::from(!is_known);
        if arp.is_request && is_asked && self.may_answer() {
            let answer = Arp {
                is_request: false,
                sender: arp.target,
                sender_mac: self.mac,
                target: arp.sender,
                target_mac: arp.sender_mac,
            };
            let is_queued = self.frames.has_room_for_answer()
                && arp::push(&mut self.frames, self.offload, arp.sender_mac, &answer);
            self.counters.dropped_answers += u64::from(!is_queued);
        }
        Ok(())
    }

    pub(crate) fn may_answer(&mut self) -> bool {
        self.neighbours.may_answer(self.now)
    }

    /// Tells where a host on the wire is, so that it need not be asked for. What it says itself
    /// later counts more.
    pub fn add_neighbour(&mut self, address: IpAddr, mac: [u8; 6]) {
        self.learn(address, Some(mac), Kind::Request);
    }

    /// Takes what a packet says of a neighbour; whoever waits for it goes on.
    pub(crate) fn learn(&mut self, address: IpAddr, mac: Option<[u8; 6]>, kind: Kind) -> bool {
        let is_known = self.neighbours.learn(self.now, address, mac, kind);
        if is_known {
            self.agenda.neighbour_found(address);
        }
        is_known
    }

    fn process_icmp(&mut self, link: &Link, packet: &Packet<'_>) -> Result<(), Refusal> {
        if !is_host(packet.source) && !packet.source.is_unspecified() {
            return Err(Refusal::NotForUs);
        }
        let is_valid = match packet.source {
            IpAddr::V4(_) => crate::wire::checksum::Sum::default().add(packet.payload).is_valid(),
            IpAddr::V6(_) => packet.has_valid_checksum(),
        };
        if !is_valid {
            return Err(Refusal::Malformed);
        }
        let is_own = self.routes.is_own(packet.destination);
        match icmp::parse(packet).ok_or(Refusal::Unsupported)? {
            // In the name of others, or to groups, no echo is answered.
            Message::Echo(rest) if is_own && is_host(packet.source) => {
                if packet.whole.len() > self.mtu(packet.source.is_ipv6()) {
                    // Its answer would be longer than what the stack says it sends.
                    return Err(Refusal::Unsupported);
                }
                self.answer_echo(link, packet, rest);
                Ok(())
            }
            Message::Echo(_) => Err(Refusal::NotForUs),
            Message::Error { about, reason } if is_own => {
                self.process_error(&about, reason);
                Ok(())
            }
            Message::Error { .. } => Err(Refusal::NotForUs),
            Message::Solicitation { target, source_mac } => {
                self.process_solicitation(link, packet, target, source_mac)
            }
            Message::Advertisement { target, mac, solicited, overrides } => {
                let kind = match solicited {
                    true => Kind::Answer { overrides },
                    false => Kind::Unasked { overrides },
                };
                self.process_advertisement(target, mac, kind)
            }
            Message::RouterAdvertisement(message) => {
                self.process_router_advertisement(packet, message)
            }
        }
    }

    fn answer_echo(&mut self, link: &Link, packet: &Packet<'_>, rest: &[u8]) {
        let header = icmp::echo_reply(packet.destination, packet.source, rest);
        self.answer(link.source, packet, &header, rest);
    }

    /// Sends a message of ICMP straight back to where a packet came from.
    pub(crate) fn answer(
        &mut self,
        mac: [u8; 6],
        packet: &Packet<'_>,
        header: &[u8],
        payload: &[u8],
    ) {
        let protocol = match packet.source {
            IpAddr::V4(_) => protocol::ICMP,
            IpAddr::V6(_) => protocol::ICMPV6,
        };
        let (own, peer) = (packet.destination, packet.source);
        let envelope = Envelope::new((self.mac, mac), own, peer, protocol);
        let content =
            Content { header, payload: (payload, &[]), checksum_at: None, segment_bytes: None };
        let is_queued = self.frames.has_room_for_answer()
            && ip::push_packet(&mut self.frames, self.offload, &envelope, &content);
        self.counters.dropped_answers += u64::from(!is_queued);
    }

    /// An error about a packet that we may have sent. Only one that quotes what is in flight counts,
    /// which nobody off the path can know (RFC 5927).
    fn process_error(&mut self, about: &Quoted, reason: Reason) {
        if about.protocol != protocol::TCP {
            return self.counters.dropped_unsupported += 1;
        }
        let flow = Flow {
            local: SocketAddr::new(about.source, about.source_port),
            remote: SocketAddr::new(about.destination, about.destination_port),
        };
        let header_bytes = match about.source {
            IpAddr::V4(_) => ip::IPV4_HEADER_BYTES,
            IpAddr::V6(_) => ip::IPV6_HEADER_BYTES,
        } + segment::HEADER_BYTES;
        match reason {
            Reason::TooBig(mtu) => {
                let path_mtu = path_mtu(about, mtu).min(self.mtu(about.source.is_ipv6()));
                self.limit_path(&flow, about.sequence, path_mtu - header_bytes);
            }
            Reason::Refused => self.refuse_opening(&flow, about.sequence),
            // It may pass.
            Reason::Unreachable => {}
        }
    }
}

/// What the path takes, given what a router says and the packet that it did not take.
fn path_mtu(about: &Quoted, mtu: usize) -> usize {
    match about.source {
        IpAddr::V6(_) => mtu.max(PATH_MTU_MIN_IPV6),
        IpAddr::V4(_) if mtu == 0 => {
            let lower = PLATEAUS.into_iter().find(|plateau| *plateau < about.packet_bytes);
            lower.unwrap_or(PATH_MTU_MIN)
        }
        IpAddr::V4(_) => mtu.max(PATH_MTU_MIN),
    }
}
