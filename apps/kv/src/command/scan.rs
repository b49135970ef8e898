//! Which keys there are: all that match, some at a time, or any.

use super::argument::{integer, is, pattern, word};
use super::key::type_name;
use super::{Command, Context, Error, Flags, Group, Keys};
use crate::db::dict::Keyed;
use crate::frame::Request;
use crate::glob;
use crate::number::Decimal;

fn keys(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let pattern = pattern(request, 1)?;
    let open = context.reply.open();
    let mut count = 0;
    let mut cursor = 0;
    loop {
        cursor = context.store.keys.scan(cursor, 1000, |record| {
            if glob::matches(pattern, record.key()) {
                context.reply.bulk(record.key());
                count += 1;
            }
        });
        if cursor == 0 || context.reply.is_incomplete() {
            break;
        }
    }
    context.reply.close_array(open, count);
    Ok(())
}

fn random_key(context: &mut Context<'_>, _: Request<'_>) -> Result<(), Error> {
    let (keys, random) = context.store.keys_and_random();
    let record = keys.random(random);
    context.reply.bulk_or_null(record.map(Keyed::key));
    Ok(())
}

/// The options of `SCAN` and of its relatives for one value.
pub(super) struct ScanOptions<'a> {
    pub(super) cursor: u64,
    pub(super) count: usize,
    pub(super) pattern: Option<&'a [u8]>,
    pub(super) type_name: Option<&'a [u8]>,
}

impl<'a> ScanOptions<'a> {
    /// Reads them; the cursor is at a place, and the options behind it.
    pub(super) fn read(request: Request<'a>, cursor_at: usize) -> Result<Self, Error> {
        let cursor = core::str::from_utf8(word(request, cursor_at)?).ok();
        let cursor = cursor.and_then(|cursor| cursor.parse().ok());
        let mut options = Self {
            cursor: cursor.ok_or(Error::Plain("invalid cursor"))?,
            count: 10,
            pattern: None,
            type_name: None,
        };
        let mut at = cursor_at + 1;
        while let Some(option) = request.get(at) {
            let value = word(request, at + 1)?;
            if is(option, "COUNT") {
                let count = integer(request, at + 1)?;
                options.count = usize::try_from(count).unwrap_or(0);
                if options.count == 0 {
                    return Err(Error::Syntax);
                }
            } else if is(option, "MATCH") {
                options.pattern =
                    Some(pattern(request, at + 1)?).filter(|pattern| *pattern != b"*");
            } else if is(option, "TYPE") && cursor_at == 1 {
                options.type_name = Some(value);
            } else {
                return Err(Error::Syntax);
            }
            at += 2;
        }
        Ok(options)
    }

    pub(super) fn selects(&self, name: &[u8]) -> bool {
        self.pattern.is_none_or(|pattern| glob::matches(pattern, name))
    }
}

fn scan(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let options = ScanOptions::read(request, 1)?;
    let mut found = context.reply.part();
    let mut count = 0;
    let cursor = context.store.keys.scan(options.cursor, options.count, |record| {
        let has_type = options
            .type_name
            .is_none_or(|name| name.eq_ignore_ascii_case(type_name(record).as_bytes()));
        if has_type && options.selects(record.key()) {
            found.bulk(record.key());
            count += 1;
        }
    });
    write_scan(context, cursor, count, &found);
    Ok(())
}

/// Writes a cursor and what was found.
pub(super) fn write_scan(
    context: &mut Context<'_>,
    cursor: u64,
    count: usize,
    found: &crate::reply::Reply,
) {
    context.reply.array(2);
    context.reply.bulk(Decimal::of_unsigned(cursor).as_bytes());
    context.reply.array(count);
    context.reply.take_over(found);
}

const READ: Flags = Flags::READ;

/// The group.
pub(super) const GROUP: Group = Group {
    name: "generic",
    commands: &[
        Command::new("keys", 2, READ, Keys::NONE, keys).about(
            "1.0.0",
            "O(N) with all keys",
            "Returns the keys that match a pattern.",
        ),
        Command::new("randomkey", 1, READ, Keys::NONE, random_key).about(
            "1.0.0",
            "O(1)",
            "Returns a random key.",
        ),
        Command::new("scan", -2, READ, Keys::NONE, scan).about(
            "2.8.0",
            "O(1) a call",
            "Returns some keys, and a cursor to go on with.",
        ),
    ],
};
