//! What a stack has counted since it was made. Plain numbers that wrap never in practice; nothing here decides.

/// Events since the stack was made, and a few current sizes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames given to [`Stack::receive`](crate::Stack::receive).
    pub frames_received: u64,
    /// Frames queued for the wire.
    pub frames_sent: u64,
    /// Incoming frames whose headers contradict themselves, or TCP segments with a wrong checksum.
    pub dropped_malformed: u64,
    /// Incoming frames for another host.
    pub dropped_not_for_us: u64,
    /// IPv4 fragments; the stack does not put packets together.
    pub dropped_fragments: u64,
    /// Incoming frames of protocols that the stack does not speak.
    pub dropped_unsupported: u64,
    /// What ARP and neighbour discovery told that the neighbour table did not take: of strangers
    /// beyond what it may learn in a second, or unasked for.
    pub dropped_arp: u64,
    /// IPv6 addresses that the stack was about to take and another host had.
    pub addresses_duplicate: u64,
    /// Turns that connections, sockets and services had: with the segments, the work that was done.
    pub turns: u64,
    /// Segments for a connection, whatever it did with them.
    pub segments_delivered: u64,
    /// Segments that were sent again, as they were taken for lost.
    pub segments_resent: u64,
    /// Connections whose path turned out to take only smaller packets.
    pub paths_limited: u64,
    /// Segments for whose data there was no memory.
    pub dropped_memory: u64,
    /// Segments beyond the window that the peer was told.
    pub dropped_beyond_window: u64,
    /// Answers (RST, ACK, ICMP, ARP) that found the outgoing queue full.
    pub dropped_answers: u64,
    /// Connections that peers opened and that got established.
    pub connections_accepted: u64,
    /// Connections that the owner opened and that got established.
    pub connections_opened: u64,
    /// SYNs without a listener that became offers.
    pub connections_offered: u64,
    /// Segments for no connection that were answered by RST, if anything.
    pub segments_refused: u64,
    /// Connections that the peer reset.
    pub connections_reset: u64,
    /// Connections that the stack itself reset: aborted by the owner, or released with unread data.
    pub connections_aborted: u64,
    /// Connections given up because the peer was silent or lingered too long.
    pub connections_timed_out: u64,
    /// Segments that only ask a peer for a sign of life.
    pub probes_sent: u64,
    /// SYNs dropped because the listener's backlog was full.
    pub syns_dropped_backlog: u64,
    /// SYNs dropped because the limit of connections was reached.
    pub syns_dropped_limit: u64,
    /// SYNs dropped because there was no memory for buffers.
    pub syns_dropped_memory: u64,
    /// Half-open connections forgotten to make room for newer ones.
    pub half_open_evicted: u64,
    /// Half-open connections forgotten because the peer did not complete the handshake.
    pub half_open_expired: u64,
    /// Connections whose TIME-WAIT ended early to make room for newer ones.
    pub time_wait_evicted: u64,
    /// Connections that a new SYN replaced in TIME-WAIT.
    pub time_wait_reused: u64,
    /// Datagrams that came for a UDP socket.
    pub datagrams_received: u64,
    /// Datagrams that were dropped: a full socket, or a next hop that did not answer.
    pub datagrams_dropped: u64,
    /// Datagrams for a port without a socket.
    pub datagrams_refused: u64,
    /// Bytes of the connections' buffers now.
    pub buffer_bytes: usize,
    /// Connections with buffers now, half-open ones included.
    pub connections: usize,
    /// Half-open connections now.
    pub half_open: usize,
    /// Connections in TIME-WAIT now.
    pub time_wait: usize,
}
