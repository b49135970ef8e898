//! The way out: which host on the wire a packet is handed to, and its Ethernet address.

use core::net::{IpAddr, Ipv4Addr};

use crate::agenda::Task;
use crate::neighbour::{Due, Lookup};
use crate::slaac::address::solicited_node;
use crate::stack::Stack;
use crate::wire::arp::{self, Arp, BROADCAST};
use crate::wire::icmp;

/// Where a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    To([u8; 6]),
    /// The task gets its turn when the next hop is known, or known not to be there.
    Unknown,
    /// There is no route, or the next hop does not answer.
    None,
}

impl Stack {
    /// The Ethernet address for a destination. If it is not known the next hop is asked for.
    pub(crate) fn way_to(&mut self, task: Task, destination: IpAddr) -> Way {
        if destination.is_multicast() {
            return Way::To(icmp::group_mac(destination));
        }
        if matches!(destination, IpAddr::V4(address) if self.routes.is_broadcast(address)) {
            return Way::To(BROADCAST);
        }
        let Some(next_hop) = self.routes.next_hop(destination) else { return Way::None };
        let planned = self.neighbours.next_deadline();
        let found = self.neighbours.lookup(self.now, next_hop);
        // A look-up may begin to doubt the neighbour, and then it is to be asked soon.
        if self.neighbours.next_deadline() != planned {
            self.plan_neighbours();
        }
        match found {
            Lookup::Found(mac) => return Way::To(mac),
            Lookup::Ask => self.ask(next_hop, None),
            Lookup::Wait => {}
            Lookup::Failed => return Way::None,
        }
        self.agenda.wait_for_neighbour(task, next_hop);
        Way::Unknown
    }

    /// Asks who has an address: this neighbour, or everybody.
    fn ask(&mut self, target: IpAddr, mac: Option<[u8; 6]>) {
        let source = self.routes.source_for(target);
        if !self.frames.has_room_for_answer() {
            return self.counters.dropped_answers += 1;
        }
        match (target, source) {
            (IpAddr::V4(target), source) => {
                let sender = match source {
                    Some(IpAddr::V4(source)) => source,
                    _ => Ipv4Addr::UNSPECIFIED,
                };
                let question = Arp {
                    is_request: true,
                    sender,
                    sender_mac: self.mac,
                    target,
                    target_mac: [0; 6],
                };
                let to = mac.unwrap_or(BROADCAST);
                arp::push(&mut self.frames, self.offload, to, &question);
            }
            (IpAddr::V6(target), Some(IpAddr::V6(source))) => {
                let (to, to_mac) = match mac {
                    Some(mac) => (target, mac),
                    None => {
                        let group = solicited_node(target);
                        (group, icmp::group_mac(group.into()))
                    }
                };
                let message = icmp::solicitation(source, to, target, Some(self.mac));
                self.send_discovery(source, to, to_mac, message.as_slice());
            }
            // Without an address of its own the stack has nobody to answer to.
            (IpAddr::V6(_), _) => {}
        }
    }

    /// Asks again, and gives up neighbours that do not answer.
    pub(crate) fn run_neighbours(&mut self) {
        while self.frames.has_room_for_answer()
            && let Some(due) = self.neighbours.due(self.now)
        {
            match due {
                Due::Request { target, mac } => self.ask(target, mac),
                // Those who wait look again, and see that it failed.
                Due::Unresolved(address) => self.agenda.neighbour_found(address),
                Due::Unreachable(address) => self.routes.demote_gateway(address),
            }
        }
        self.plan_neighbours();
    }

    pub(crate) fn plan_neighbours(&mut self) {
        self.agenda.set_deadline(Task::Neighbours, self.neighbours.next_deadline());
    }
}
