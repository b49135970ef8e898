//! What a stack has counted since it was made. Plain numbers that wrap never in practice; nothing here
//! decides. The list stands in one place, so that whoever shows the counters shows all of them.

/// What a counter's number means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CounterKind {
    /// Events so far: it only grows.
    Total,
    /// How many there are now.
    Current,
}

/// One of [`Counters`], for whoever shows them all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counter {
    /// The field's name.
    pub name: &'static str,
    /// What it counts, in plain words on one line.
    pub help: &'static str,
    /// What the number means.
    pub kind: CounterKind,
    /// The number.
    pub value: u64,
}

macro_rules! counters {
    (
        total { $($(#[doc = $total_help:literal])+ $total:ident,)+ }
        current { $($(#[doc = $current_help:literal])+ $current:ident,)+ }
    ) => {
        /// Events since the stack was made, and a few current sizes.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Counters {
            $($(#[doc = $total_help])+ pub $total: u64,)+
            $($(#[doc = $current_help])+ pub $current: usize,)+
        }

        impl Counters {
            /// Every counter, in the order of the fields.
            pub fn each(&self) -> impl Iterator<Item = Counter> {
                [
                    $(Counter {
                        name: stringify!($total),
                        help: concat!($($total_help),+).trim_ascii_start(),
                        kind: CounterKind::Total,
                        value: self.$total,
                    },)+
                    $(Counter {
                        name: stringify!($current),
                        help: concat!($($current_help),+).trim_ascii_start(),
                        kind: CounterKind::Current,
                        value: self.$current as u64,
                    },)+
                ]
                .into_iter()
            }
        }
    };
}

counters! {
    total {
        /// Frames that came from the wire.
        frames_received,
        /// Frames queued for the wire.
        frames_sent,
        /// Incoming frames whose headers contradict themselves, or TCP segments with a wrong checksum.
        dropped_malformed,
        /// Incoming frames for another host.
        dropped_not_for_us,
        /// IPv4 fragments; the stack does not put packets together.
        dropped_fragments,
        /// Incoming frames of protocols that the stack does not speak.
        dropped_unsupported,
        /// What ARP and neighbour discovery told that the neighbour table did not take: of strangers
        /// beyond what it may learn in a second, or unasked for.
        dropped_arp,
        /// IPv6 addresses that the stack was about to take and another host had.
        addresses_duplicate,
        /// Turns that connections, sockets and services had: with the segments, the work that was done.
        turns,
        /// Segments for a connection, whatever it did with them.
        segments_delivered,
        /// Segments that were sent again, as they were taken for lost.
        segments_resent,
        /// Connections whose path turned out to take only smaller packets.
        paths_limited,
        /// Segments for whose data there was no memory.
        dropped_memory,
        /// Segments beyond the window that the peer was told.
        dropped_beyond_window,
        /// Answers (RST, ACK, ICMP, ARP) that found the outgoing queue full.
        dropped_answers,
        /// Connections that peers opened and that got established.
        connections_accepted,
        /// Connections that the owner opened and that got established.
        connections_opened,
        /// SYNs without a listener that became offers.
        connections_offered,
        /// Segments for no connection that were answered by RST, if anything.
        segments_refused,
        /// Connections that the peer reset.
        connections_reset,
        /// Connections that the stack itself reset: aborted by the owner, or released with unread data.
        connections_aborted,
        /// Connections given up because the peer was silent or lingered too long.
        connections_timed_out,
        /// Segments that only ask a peer for a sign of life.
        probes_sent,
        /// SYNs dropped because the listener's backlog was full.
        syns_dropped_backlog,
        /// SYNs dropped because the limit of connections was reached.
        syns_dropped_limit,
        /// SYNs dropped because there was no memory for buffers.
        syns_dropped_memory,
        /// Half-open connections forgotten to make room for newer ones.
        half_open_evicted,
        /// Half-open connections forgotten because the peer did not complete the handshake.
        half_open_expired,
        /// Connections whose TIME-WAIT ended early to make room for newer ones.
        time_wait_evicted,
        /// Connections that a new SYN replaced in TIME-WAIT.
        time_wait_reused,
        /// Datagrams that came for a UDP socket.
        datagrams_received,
        /// Datagrams that were dropped: a full socket, or a next hop that did not answer.
        datagrams_dropped,
        /// Datagrams for a port without a socket.
        datagrams_refused,
    }
    current {
        /// Bytes of the connections' buffers now.
        buffer_bytes,
        /// Connections with buffers now, half-open ones included.
        connections,
        /// Half-open connections now.
        half_open,
        /// Connections in TIME-WAIT now.
        time_wait,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_counter_is_told_with_its_number_and_its_words() {
        let counters = Counters { dropped_arp: 3, time_wait: 2, ..Counters::default() };
        let told = |name| counters.each().find(|counter| counter.name == name).unwrap();
        assert_eq!((told("dropped_arp").value, told("dropped_arp").kind), (3, CounterKind::Total));
        assert_eq!((told("time_wait").value, told("time_wait").kind), (2, CounterKind::Current));
        assert!(told("dropped_arp").help.contains("did not take: of strangers"));
        for counter in counters.each() {
            assert!(!counter.help.is_empty() && !counter.help.contains(['\n', '\\', '[']));
        }
    }
}
