//! What the kernel tells about processes and their memory.

/// The value of a line `NAME:  123 kB`, in bytes.
pub(super) fn field_bytes(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    value.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_in_bytes() {
        let text = "Rss:                 132 kB\nPss_Dirty: 1 kB\nName:\tx\n";
        assert_eq!(field_bytes(text, "Rss"), Some(132 << 10));
        for name in ["Pss", "Name", "Rs"] {
            assert_eq!(field_bytes(text, name), None, "{name}");
        }
    }
}
