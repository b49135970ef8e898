//! When keys expire: saying, changing and asking it.

use super::argument::{integer, is, word};
use super::expiry::Unit;
use super::{Command, Context, Error, Flags, Group, Keys};
use crate::db::record::Record;
use crate::frame::Request;
use crate::number::Decimal;

/// Changes when a key expires, deletes it if that was before now, and tells the log.
pub(super) fn change_expiry(context: &mut Context<'_>, key: &[u8], expires_at: Option<u64>) {
    let keys = &mut context.store.keys;
    match expires_at {
        Some(at) if at <= keys.now_ms() => {
            keys.delete(key);
        }
        Some(at) => {
            keys.set_expiry(key, Some(at));
            keys.log(&[b"PEXPIREAT", key, Decimal::of_unsigned(at).as_bytes()]);
        }
        None => {
            if keys.peek(key).and_then(Record::expires_at).is_some() {
                keys.set_expiry(key, None);
                keys.log(&[b"PERSIST", key]);
            }
        }
    }
}

fn expire(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    expire_by(context, request, Unit::EX, "expire")
}

fn expire_ms(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    expire_by(context, request, Unit::PX, "pexpire")
}

fn expire_at(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    expire_by(context, request, Unit::EXAT, "expireat")
}

fn expire_at_ms(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    expire_by(context, request, Unit::PXAT, "pexpireat")
}

/// When a key's expiry is changed.
#[derive(Default)]
struct ExpireOptions {
    only_new: bool,
    only_existing: bool,
    only_later: bool,
    only_earlier: bool,
}

impl ExpireOptions {
    fn read(request: Request<'_>) -> Result<Self, Error> {
        let mut options = Self::default();
        for option in request.iter().skip(3) {
            if is(option, "NX") {
                options.only_new = true;
            } else if is(option, "XX") {
                options.only_existing = true;
            } else if is(option, "GT") {
                options.only_later = true;
            } else if is(option, "LT") {
                options.only_earlier = true;
            } else {
                let option = super::error::shown(option, 128);
                return Err(Error::Text(alloc::format!("Unsupported option {option}")));
            }
        }
        if options.only_new && (options.only_existing || options.only_later || options.only_earlier)
        {
            return Err(Error::Plain(
                "NX and XX, GT or LT options at the same time are not compatible",
            ));
        }
        if options.only_later && options.only_earlier {
            return Err(Error::Plain("GT and LT options at the same time are not compatible"));
        }
        Ok(options)
    }

    /// Whether a key that expires at `old`, or never, shall expire at `new`.
    fn allow(&self, old: Option<u64>, new: i64) -> bool {
        let later = |old: u64| new > i64::try_from(old).unwrap_or(i64::MAX);
        match old {
            None => !self.only_existing && !self.only_later,
            Some(old) => {
                !self.only_new
                    && (!self.only_later || later(old))
                    && (!self.only_earlier || new < i64::try_from(old).unwrap_or(i64::MAX))
            }
        }
    }
}

fn expire_by(
    context: &mut Context<'_>,
    request: Request<'_>,
    unit: Unit,
    command: &'static str,
) -> Result<(), Error> {
    let key = word(request, 1)?;
    let options = ExpireOptions::read(request)?;
    let value = integer(request, 2)?;
    let at =
        unit.to_unix_ms(value, context.store.keys.now_ms()).ok_or(Error::InvalidExpire(command))?;
    let old = context.store.keys.peek(key).map(Record::expires_at);
    let is_changed = old.is_some_and(|old| options.allow(old, at));
    if is_changed {
        change_expiry(context, key, Some(u64::try_from(at).unwrap_or(0)));
    }
    context.reply.integer(i64::from(is_changed));
    Ok(())
}

fn persist(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let key = word(request, 1)?;
    let expires = context.store.keys.peek(key).and_then(Record::expires_at).is_some();
    if expires {
        change_expiry(context, key, None);
    }
    context.reply.integer(i64::from(expires));
    Ok(())
}

fn time_to_live(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    tell_expiry(context, request, |at, now| (at.saturating_sub(now) + 500) / 1000)
}

fn time_to_live_ms(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    tell_expiry(context, request, u64::saturating_sub)
}

fn expire_time(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    tell_expiry(context, request, |at, _| at / 1000)
}

fn expire_time_ms(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    tell_expiry(context, request, |at, _| at)
}

/// Tells when a key expires as `tell` has it; -1 for never, -2 for no key.
fn tell_expiry(
    context: &mut Context<'_>,
    request: Request<'_>,
    tell: impl FnOnce(u64, u64) -> u64,
) -> Result<(), Error> {
    let keys = &mut context.store.keys;
    let now_ms = keys.now_ms();
    let told = match keys.peek(word(request, 1)?).map(Record::expires_at) {
        None => -2,
        Some(None) => -1,
        Some(Some(at)) => i64::try_from(tell(at, now_ms)).unwrap_or(i64::MAX),
    };
    context.reply.integer(told);
    Ok(())
}

const FAST_WRITE: Flags = Flags::WRITE.and(Flags::FAST);
const FAST_READ: Flags = Flags::READ.and(Flags::FAST);

/// The group.
pub(super) const GROUP: Group = Group {
    name: "generic",
    commands: &[
        Command::new("expire", -3, FAST_WRITE, Keys::ONE, expire).about(
            "1.0.0",
            "O(1)",
            "Lets a key expire in so many seconds.",
        ),
        Command::new("pexpire", -3, FAST_WRITE, Keys::ONE, expire_ms).about(
            "2.6.0",
            "O(1)",
            "Lets a key expire in so many milliseconds.",
        ),
        Command::new("expireat", -3, FAST_WRITE, Keys::ONE, expire_at).about(
            "1.2.0",
            "O(1)",
            "Lets a key expire at a Unix time in seconds.",
        ),
        Command::new("pexpireat", -3, FAST_WRITE, Keys::ONE, expire_at_ms).about(
            "2.6.0",
            "O(1)",
            "Lets a key expire at a Unix time in milliseconds.",
        ),
        Command::new("persist", 2, FAST_WRITE, Keys::ONE, persist).about(
            "2.2.0",
            "O(1)",
            "Lets a key not expire.",
        ),
        Command::new("ttl", 2, FAST_READ, Keys::ONE, time_to_live).about(
            "1.0.0",
            "O(1)",
            "Returns in how many seconds a key expires.",
        ),
        Command::new("pttl", 2, FAST_READ, Keys::ONE, time_to_live_ms).about(
            "2.6.0",
            "O(1)",
            "Returns in how many milliseconds a key expires.",
        ),
        Command::new("expiretime", 2, FAST_READ, Keys::ONE, expire_time).about(
            "7.0.0",
            "O(1)",
            "Returns the Unix time in seconds at which a key expires.",
        ),
        Command::new("pexpiretime", 2, FAST_READ, Keys::ONE, expire_time_ms).about(
            "7.0.0",
            "O(1)",
            "Returns the Unix time in milliseconds at which a key expires.",
        ),
    ],
};
