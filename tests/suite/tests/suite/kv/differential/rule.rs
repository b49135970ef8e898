//! When two replies are taken as the same. What is allowed to differ, and nothing else, is said here.

use super::wire::Reply;

/// How the replies to a command are compared. What is neither said nor [`Exact`](Self::Exact) within one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// Byte by byte.
    Exact,
    /// In whatever order: sets, keys.
    Unordered,
    /// Pairs in whatever order: hashes.
    Pairs,
    /// Numbers by their values: Redis 7.0 writes 0.10000000000000001 where 7.2 and we write 0.1.
    Number,
    /// Sums: the same, but Redis has longer numbers, so that some are no numbers for us.
    Sum,
    /// Integers that differ by so much at most, as they depend on the time.
    Near(i64),
    /// What chance chose: as many, of the same kinds, and all of them in the reply before.
    Choice,
    /// `SCAN` and its like: a cursor, which is a matter of taste unless it is the end, and what was found.
    Scan,
    /// The same with pairs.
    ScanPairs,
    /// `OBJECT ENCODING`, after a `TYPE`: we keep small sets and all small lists packed, as 7.2 does, and
    /// also what was copied or made of others; and strings that were changed in their place look like others.
    Encoding,
    /// `SORT` by numbers: whether a text is one depends in Redis 7.0 on what was read before, and not on what
    /// follows a zero byte.
    Sort,
    /// Whatever.
    Any,
}

impl Rule {
    /// Whether two replies are the same, and each comes behind another of its server.
    pub(super) fn holds(self, [ours, redis]: [&Reply; 2], before: Option<[&Reply; 2]>) -> bool {
        if ours == redis || is_same_error(ours, redis) {
            return true;
        }
        match self {
            Self::Exact => false,
            Self::Unordered => sorted(ours, 1) == sorted(redis, 1),
            Self::Pairs => sorted(ours, 2) == sorted(redis, 2),
            Self::Number => is_same(ours, redis, &is_same_number),
            Self::Sum => {
                let is_error = |reply: &Reply| matches!(reply, Reply::Line(b'-', _));
                let is_too_large = redis.text().is_some_and(|text| text.len() > 308);
                is_same(ours, redis, &is_same_number)
                    || (is_error(ours) && (is_too_large || is_error(redis)))
            }
            Self::Near(distance) => is_same(ours, redis, &|ours, redis| {
                matches!((integer(ours), integer(redis)), (Some(ours), Some(redis))
                    if ours >= 0 && redis >= 0 && ours.abs_diff(redis) <= distance as u64)
            }),
            Self::Choice => is_choice(ours, redis, before.map(|[ours, _]| ours)),
            Self::Scan | Self::ScanPairs => match (ours.parts(), redis.parts()) {
                ([our_cursor, ours], [cursor, redis]) => {
                    let width = if self == Self::Scan { 1 } else { 2 };
                    our_cursor == cursor
                        && is_same(&sorted(ours, width), &sorted(redis, width), &is_same_number)
                }
                _ => false,
            },
            Self::Encoding => match before.and_then(|[_, redis]| redis.text()) {
                Some(b"list") => true,
                Some(b"set") => [ours, redis].iter().all(|it| it.text() != Some(b"intset")),
                Some(b"string") => redis.text() != Some(b"int"),
                Some(b"hash") => redis.text() == Some(b"hashtable"),
                Some(b"zset") => redis.text() == Some(b"skiplist"),
                _ => false,
            },
            Self::Sort => [ours, redis].iter().any(|it| it.text() == Some(NO_NUMBER)),
            Self::Any => true,
        }
    }
}

const NO_NUMBER: &[u8] = b"ERR One or more scores can't be converted into double";

/// Our errors are of letters, so they show other bytes of a request as a question mark.
fn is_same_error(ours: &Reply, redis: &Reply) -> bool {
    match (ours, redis) {
        (Reply::Line(b'-', ours), Reply::Line(b'-', redis)) => {
            String::from_utf8_lossy(ours) == String::from_utf8_lossy(redis)
        }
        _ => false,
    }
}

/// Whether two replies have the same form, and their texts are the same by `compare`.
fn is_same(ours: &Reply, redis: &Reply, compare: &dyn Fn(&[u8], &[u8]) -> bool) -> bool {
    match (ours, redis) {
        (Reply::Line(one, ours), Reply::Line(other, redis))
        | (Reply::Text(one, ours), Reply::Text(other, redis)) => {
            one == other && (ours == redis || (*one != b'-' && compare(ours, redis)))
        }
        (Reply::Null(one), Reply::Null(other)) => one == other,
        (Reply::Many(one, ours), Reply::Many(other, redis)) => {
            one == other
                && ours.len() == redis.len()
                && ours.iter().zip(redis).all(|(ours, redis)| is_same(ours, redis, compare))
        }
        _ => false,
    }
}

fn is_same_number(ours: &[u8], redis: &[u8]) -> bool {
    let number = |text: &[u8]| std::str::from_utf8(text).ok()?.parse::<f64>().ok();
    matches!((number(ours), number(redis)), (Some(ours), Some(redis)) if ours == redis)
}

fn integer(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn is_choice(ours: &Reply, redis: &Reply, from: Option<&Reply>) -> bool {
    let mut allowed = Vec::new();
    from.into_iter().for_each(|from| texts(from, &mut allowed));
    let is_allowed = |ours: &[u8], _: &[u8]| allowed.contains(&ours);
    is_same(ours, redis, &is_allowed)
}

fn texts<'a>(reply: &'a Reply, found: &mut Vec<&'a [u8]>) {
    found.extend(reply.text());
    reply.parts().iter().for_each(|part| texts(part, found));
}

/// A list with its elements, of `width` parts each, in order.
fn sorted(reply: &Reply, width: usize) -> Reply {
    let Reply::Many(sign, parts) = reply else { return reply.clone() };
    let mut elements: Vec<_> = parts.chunks(width).collect();
    elements.sort();
    Reply::Many(*sign, elements.concat())
}
