//! Little-endian integers at fixed offsets of byte slices, also in constants. It refuses to
//! know what the integers mean.

/// The `N` bytes at `offset`, or `None` where the slice ends before them.
pub const fn array<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    if offset > bytes.len() || bytes.len() - offset < N {
        return None;
    }
    let mut out = [0; N];
    let mut i = 0;
    while i < N {
        out[i] = bytes[offset + i];
        i += 1;
    }
    Some(out)
}

/// The integer at `offset`, or `None` where the slice ends before its end.
pub const fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    match array(bytes, offset) {
        Some(raw) => Some(u32::from_le_bytes(raw)),
        None => None,
    }
}

/// The integer at `offset`, or `None` where the slice ends before its end.
pub const fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    match array(bytes, offset) {
        Some(raw) => Some(u64::from_le_bytes(raw)),
        None => None,
    }
}

/// Copies `value` to `offset` of `out`. The caller has sized `out`.
pub(crate) fn put(out: &mut [u8], offset: usize, value: &[u8]) {
    out[offset..offset + value.len()].copy_from_slice(value);
}
