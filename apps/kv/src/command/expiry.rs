//! Times at which keys expire, as arguments say them.

use super::argument::{integer, is, word};
use super::{Context, Error};
use crate::frame::Request;

/// How an argument counts time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unit {
    /// In milliseconds rather than seconds.
    pub(super) is_milliseconds: bool,
    /// Since 1970 rather than from now on.
    pub(super) is_absolute: bool,
}

impl Unit {
    /// From now on, in seconds: `EX`.
    pub(super) const EX: Self = Self { is_milliseconds: false, is_absolute: false };
    /// From now on, in milliseconds: `PX`.
    pub(super) const PX: Self = Self { is_milliseconds: true, is_absolute: false };
    /// Since 1970, in seconds: `EXAT`.
    pub(super) const EXAT: Self = Self { is_milliseconds: false, is_absolute: true };
    /// Since 1970, in milliseconds: `PXAT`.
    pub(super) const PXAT: Self = Self { is_milliseconds: true, is_absolute: true };

    /// The unit that an option names.
    pub(super) fn of_option(option: &[u8]) -> Option<Self> {
        [("EX", Self::EX), ("PX", Self::PX), ("EXAT", Self::EXAT), ("PXAT", Self::PXAT)]
            .into_iter()
            .find_map(|(name, unit)| is(option, name).then_some(unit))
    }

    /// The time as milliseconds since 1970; may lie in the past, or before 1970. `None` beyond
    /// what 63 bits hold.
    pub(super) fn to_unix_ms(self, value: i64, now_ms: u64) -> Option<i64> {
        let ms = if self.is_milliseconds { value } else { value.checked_mul(1000)? };
        if self.is_absolute { Some(ms) } else { ms.checked_add(i64::try_from(now_ms).ok()?) }
    }
}

/// The time in the word at a place, which must be positive, as milliseconds since 1970.
///
/// # Errors
/// If it is none.
pub(super) fn expiry(
    context: &Context<'_>,
    request: Request<'_>,
    at: usize,
    unit: Unit,
    command: &'static str,
) -> Result<u64, Error> {
    word(request, at)?;
    let value = integer(request, at)?;
    let ms = Some(value)
        .filter(|value| *value > 0)
        .and_then(|value| unit.to_unix_ms(value, context.store.keys.now_ms()))
        .ok_or(Error::InvalidExpire(command))?;
    u64::try_from(ms).map_err(|_| Error::InvalidExpire(command))
}
