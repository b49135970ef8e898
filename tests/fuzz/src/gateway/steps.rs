//! What an input's bytes mean. Every sequence of bytes is a list of steps; what is missing at the
//! end is zero.

/// Longest frame or payload of one step; longer ones than the wire takes are wanted too.
const BYTES_MAX: usize = 2048;
/// Milliseconds of the unit that time goes by in.
const TIME_UNIT_MILLIS: u64 = 10;

/// One step.
pub(super) enum Step<'a> {
    /// A frame as it is; with `repair` its lengths and checksums are made right.
    Raw {
        repair: bool,
        frame: &'a [u8],
    },
    /// A frame that is right, changed: places and values of three bytes each.
    Built {
        kind: u8,
        repair: bool,
        changes: &'a [u8],
    },
    Segment(Segment),
    /// UDP payloads to one of the known destinations, from as many ports of the guest.
    Datagram {
        port: u8,
        repeats: u8,
        to: u8,
        payload: &'a [u8],
    },
    Time {
        millis: u64,
    },
    /// The guest reads no more, or again.
    Deaf,
    /// A host that has accepted a connection does something.
    Stream {
        which: u8,
        action: u8,
    },
    /// A host answers a datagram.
    Answer {
        which: u8,
        is_dns: bool,
        payload: &'a [u8],
    },
    /// A client of the published port comes, or does something.
    Client {
        action: u8,
    },
}

/// TCP segments of the guest.
pub(super) struct Segment {
    /// The connection that it belongs to; a new one if there is none of this number.
    pub(super) flow: u8,
    /// Where a new connection leads.
    pub(super) to: u8,
    /// The header's flags.
    pub(super) flags: u8,
    /// How far the numbers are from what they should be.
    pub(super) sequence_off: i16,
    pub(super) acknowledgement_off: i16,
    pub(super) window: u16,
    pub(super) payload_bytes: u16,
    pub(super) repeats: u8,
}

/// The steps of an input.
pub(super) struct Steps<'a>(&'a [u8]);

impl<'a> Steps<'a> {
    pub(super) fn of(program: &'a [u8]) -> Self {
        Self(program)
    }

    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn word(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    /// So many bytes, preceded by their number; fewer at the end of the input.
    fn bytes(&mut self) -> &'a [u8] {
        let wanted = usize::from(self.word()) % (BYTES_MAX + 1);
        let (bytes, rest) = self.0.split_at(wanted.min(self.0.len()));
        self.0 = rest;
        bytes
    }
}

impl<'a> Iterator for Steps<'a> {
    type Item = Step<'a>;

    fn next(&mut self) -> Option<Step<'a>> {
        if self.0.is_empty() {
            return None;
        }
        Some(match self.byte() % 9 {
            0 => Step::Raw { repair: self.byte() & 1 != 0, frame: self.bytes() },
            1 => {
                let (kind, repair) = (self.byte(), self.byte() & 1 != 0);
                Step::Built { kind, repair, changes: self.bytes() }
            }
            2 => Step::Segment(Segment {
                flow: self.byte(),
                to: self.byte(),
                flags: self.byte(),
                sequence_off: self.word() as i16,
                acknowledgement_off: self.word() as i16,
                window: self.word(),
                payload_bytes: self.word() % (BYTES_MAX as u16 + 1),
                repeats: self.byte(),
            }),
            3 => Step::Datagram {
                port: self.byte(),
                repeats: self.byte(),
                to: self.byte(),
                payload: self.bytes(),
            },
            4 => Step::Time { millis: u64::from(self.word()) * TIME_UNIT_MILLIS },
            5 => Step::Deaf,
            6 => Step::Stream { which: self.byte(), action: self.byte() },
            7 => {
                let (which, is_dns) = (self.byte(), self.byte() & 1 != 0);
                Step::Answer { which, is_dns, payload: self.bytes() }
            }
            _ => Step::Client { action: self.byte() },
        })
    }
}
