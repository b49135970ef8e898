//! The Internet checksum (RFC 1071): sums of 16-bit words with end-around carry. Words are added in
//! the machine's order, which gives the same sum with its bytes swapped; so eight bytes go at once.

use core::net::IpAddr;

/// A sum that is not folded yet.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sum(u64);

impl Sum {
    /// Adds bytes that begin at an even place of what is summed.
    pub(crate) fn add(mut self, bytes: &[u8]) -> Self {
        // Four sums that do not wait for each other.
        let mut lanes = [0u64; 4];
        let (blocks, rest) = bytes.as_chunks::<16>();
        // A lane takes less than 2^32 each time, so it cannot overflow before 2^32 blocks.
        for block in blocks {
            for (lane, word) in lanes.iter_mut().zip(block.as_chunks::<4>().0) {
                *lane += u64::from(u32::from_ne_bytes(*word));
            }
        }
        let (words, last) = rest.as_chunks::<2>();
        for word in words {
            self.0 += u64::from(u16::from_ne_bytes(*word));
        }
        if let [byte] = last {
            self.0 += u64::from(u16::from_ne_bytes([*byte, 0]));
        }
        for lane in lanes {
            self.0 += (lane >> 32) + (lane & 0xffff_ffff);
        }
        self
    }

    /// The sum as it stands in a packet, not inverted.
    pub(crate) fn fold(self) -> [u8; 2] {
        let mut sum = self.0;
        while sum > 0xffff {
            sum = (sum >> 16) + (sum & 0xffff);
        }
        (sum as u16).to_ne_bytes()
    }

    /// The checksum: the inverted sum.
    pub(crate) fn finish(self) -> [u8; 2] {
        let [high, low] = self.fold();
        [!high, !low]
    }

    /// Whether this is the sum of something that contains its own checksum.
    pub(crate) fn is_valid(self) -> bool {
        self.fold() == [0xff; 2]
    }
}

/// The sum of the pseudo-header of TCP, UDP and ICMPv6 (RFC 9293, 3.1; RFC 8200, 8.1).
pub(crate) fn pseudo_header(
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    bytes: usize,
) -> Sum {
    let sum = match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            Sum::default().add(&source.octets()).add(&destination.octets())
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            Sum::default().add(&source.octets()).add(&destination.octets())
        }
        // Nobody makes such a packet.
        _ => Sum::default(),
    };
    sum.add(&(bytes as u32).to_be_bytes()).add(&[0, protocol])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn by_the_book(bytes: &[u8]) -> [u8; 2] {
        let mut sum = 0u32;
        for word in bytes.chunks(2) {
            sum += u32::from(word[0]) << 8 | u32::from(*word.get(1).unwrap_or(&0));
            sum = (sum >> 16) + (sum & 0xffff);
        }
        (!(sum as u16)).to_be_bytes()
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn equals_the_rfc(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(Sum::default().add(&bytes).finish(), by_the_book(&bytes));
        }
    }

    #[test]
    fn many_large_words_do_not_overflow() {
        let bytes = [0xff; 65_534];
        assert_eq!(Sum::default().add(&bytes).finish(), by_the_book(&bytes));
        assert!(Sum::default().add(&bytes).is_valid());
    }
}
