//! Connections of the guest to the host's network. The guest's SYN is answered only when the host's
//! connection stands, so that the guest sees what a host on a real network sees: an acceptance or a
//! refusal. What the policy forbids, and what cannot be reached, is refused by RST as well: it
//! fails at once, where silence would make the guest wait.

use std::net::{SocketAddr, SocketAddrV4};

use netstack::ConnectionId;

use crate::address::Destination;
use crate::host;
use crate::slab::Key;
use crate::splice::Splice;
use crate::tcp::{Context, Tcp, send_at_once};

impl Tcp {
    /// Takes up what the guest asks for.
    pub(crate) fn open_offers(&mut self, cx: &mut Context<'_>, resolver: Option<SocketAddr>) {
        while let Some(offer) = cx.stack.next_offer() {
            if self.open_outward(cx, offer, resolver).is_none() {
                cx.counters.connections_refused += 1;
                cx.stack.abort(offer);
            }
        }
    }

    fn open_outward(
        &mut self,
        cx: &mut Context<'_>,
        offer: ConnectionId,
        resolver: Option<SocketAddr>,
    ) -> Option<Key> {
        let wanted = match cx.stack.local(offer)? {
            SocketAddr::V4(wanted) => wanted,
            SocketAddr::V6(_) => return None,
        };
        let destination = self.find_way(wanted, resolver)?;
        let stream = host::connect_stream(destination).ok()?;
        send_at_once(&stream);
        self.insert(cx, Splice::outward(stream, offer))
    }

    fn find_way(&self, wanted: SocketAddrV4, resolver: Option<SocketAddr>) -> Option<SocketAddr> {
        match self.destinations.resolve(wanted)? {
            Destination::Host(address) => Some(address),
            Destination::Resolver => resolver,
        }
    }

    /// The host's side stands, so the guest gets its answer.
    pub(crate) fn accept_offer(&mut self, cx: &mut Context<'_>, key: Key) {
        if let Some(offer) = self.splices.get_mut(key).and_then(|splice| splice.connection) {
            cx.counters.connections_out += 1;
            cx.stack.accept_offer(offer);
        }
    }
}
