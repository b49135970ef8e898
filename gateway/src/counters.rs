//! What a gateway has counted. Plain numbers; nothing here decides.

/// Events since the gateway was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// How often the loop has waited for something to do.
    pub rounds: u64,
    /// Frames that came from the guest.
    pub frames: u64,
    /// Frames longer than the MTU allows.
    pub dropped_oversized: u64,
    /// Frames whose headers or checksums are wrong.
    pub dropped_malformed: u64,
    /// Frames that claim to come from another host than the guest.
    pub dropped_spoofed: u64,
    /// Frames for hosts that are not on the wire.
    pub dropped_not_for_us: u64,
    /// IPv4 fragments.
    pub dropped_fragments: u64,
    /// Frames of other protocols.
    pub dropped_unsupported: u64,
    /// Answers that found too many others waiting for the wire.
    pub dropped_answers: u64,
    /// DHCP messages answered.
    pub dhcp_answers: u64,
    /// Connections accepted on published ports.
    pub connections_in: u64,
    /// Connections that the guest opened to the host's network and that stood.
    pub connections_out: u64,
    /// Connections of the guest that were refused: by the policy, the other side, or for want of resources.
    pub connections_refused: u64,
    /// Times that a published port could not be served, most likely for want of descriptors or memory.
    pub accepts_failed: u64,
    /// Datagrams that the guest sent to the host's network.
    pub datagrams_out: u64,
    /// Datagrams that came back.
    pub datagrams_in: u64,
    /// Datagrams of the guest that the policy refused or the host could not send.
    pub datagrams_refused: u64,
    /// Datagrams that are too large for the wire.
    pub datagrams_too_large: u64,
    /// UDP flows forgotten to make room for newer ones.
    pub flows_evicted: u64,
    /// Questions to the resolver.
    pub dns_questions: u64,
    /// Questions that no resolver answered.
    pub dns_failures: u64,
}
