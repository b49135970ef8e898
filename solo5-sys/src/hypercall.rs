//! Hypercalls: the system calls that a guest makes itself, and the limits on their arguments
//! that tender and guest must agree on. The numbers of the calls belong to each architecture
//! and are not here.

/// Descriptor of the console; the only one that `write` may name besides network devices.
pub const CONSOLE_FD: i32 = 1;

/// `clockid_t` of the wall clock.
pub const CLOCK_REALTIME: i32 = 0;
/// `clockid_t` of the monotonic clock.
pub const CLOCK_MONOTONIC: i32 = 1;

/// `arch_prctl` code that sets the thread-local storage base on x86-64.
pub const ARCH_SET_FS: i32 = 0x1002;

/// User data with which the timer is registered in the epoll set; a network device's is its
/// manifest index.
pub const TIMER_EVENT: u64 = 0xffff_fffe;

/// Largest status a guest can exit with.
pub const EXIT_MAX: i32 = 254;
/// Status of an aborted guest: a panic, an exhausted heap.
pub const EXIT_ABORT: i32 = 255;

/// Smallest block size in bytes.
pub const BLOCK_MIN_BYTES: u16 = 512;

/// Largest single block transfer of a guest with [`crate::extension::Features::MULTI_BLOCK`].
pub const TRANSFER_MAX_BYTES: u64 = 1 << 20;

/// One rule of a block device's policy: a transfer of at most `bytes` that starts at or below
/// `last_offset` cannot reach beyond the capacity.
///
/// A filter compares arguments with constants but cannot add them, so "offset + length <=
/// capacity" is said by a few such pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransferTier {
    /// Longest transfer that the rule admits, in bytes.
    pub bytes: u64,
    /// Highest start that the rule admits, in bytes.
    pub last_offset: u64,
}

/// The tiers of a device, smallest first: one block, then 8, 64, 512, ... blocks up to
/// [`TRANSFER_MAX_BYTES`] and the capacity. Guest and tender derive them alike.
pub fn transfer_tiers(
    block_bytes: u16,
    capacity_bytes: u64,
) -> impl DoubleEndedIterator<Item = TransferTier> + Clone {
    (0..6u32).filter_map(move |step| {
        let bytes = u64::from(block_bytes) << (3 * step);
        let single = step == 0;
        (bytes <= capacity_bytes && (single || bytes <= TRANSFER_MAX_BYTES))
            .then(|| TransferTier { bytes, last_offset: capacity_bytes - bytes })
    })
}

/// The longest transfer that may start at `offset`, in bytes, `None` beyond the last block.
pub fn transfer_limit(block_bytes: u16, capacity_bytes: u64, offset: u64) -> Option<u64> {
    transfer_tiers(block_bytes, capacity_bytes)
        .rev()
        .find(|tier| offset <= tier.last_offset)
        .map(|tier| tier.bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tiers_of_a_small_disk() {
        let tiers: [TransferTier; 2] = {
            let mut all = transfer_tiers(512, 8192);
            [all.next().unwrap(), all.next().unwrap()]
        };
        assert_eq!(tiers[0], TransferTier { bytes: 512, last_offset: 7680 });
        assert_eq!(tiers[1], TransferTier { bytes: 4096, last_offset: 4096 });
        assert_eq!(transfer_tiers(512, 8192).count(), 2);
        assert_eq!(transfer_limit(512, 8192, 8192), None);
        assert_eq!(transfer_limit(512, 8192, 7680), Some(512));
        assert_eq!(transfer_limit(512, 8192, 0), Some(4096));
    }

    proptest! {
        #[test]
        fn no_transfer_ends_beyond_the_capacity(
            shift in 9u32..16, blocks in 1u64..1 << 40, offset in any::<u64>(),
        ) {
            let block = 1u16 << shift;
            let capacity = u64::from(block).saturating_mul(blocks);
            for tier in transfer_tiers(block, capacity) {
                prop_assert!(tier.bytes + tier.last_offset <= capacity);
            }
            if let Some(limit) = transfer_limit(block, capacity, offset) {
                prop_assert!(offset + limit <= capacity);
            } else {
                prop_assert!(offset > capacity - u64::from(block));
            }
        }
    }
}
