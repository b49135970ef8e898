//! `SORT`: the elements of a list, set or sorted set by their own values or by those of other keys.
//!
//! Texts are compared byte by byte; there are no locales.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cmp::Ordering;

use super::argument::{integer, is, word};
use super::{Command, Context, Error, Flags, Group, Keys};
use crate::db::Keyspace;
use crate::db::record::{Record, View};
use crate::db::value::Value;
use crate::frame::Request;
use crate::number;
use crate::types::hash::Hash;
use crate::types::list::List;

/// What an element takes here beside its bytes, about.
const ELEMENT_BYTES: usize = 96;
/// Bytes that are gathered before the memory is looked at again.
const UNCHECKED_BYTES: usize = 64 << 10;

/// Where values lie that belong to an element.
enum Pattern<'a> {
    /// The element itself: `#`.
    Element,
    /// At the key that has the element's text between two others, maybe in a field of a hash.
    Key { before: &'a [u8], behind: &'a [u8], field: Option<&'a [u8]> },
    /// Nowhere, as there is no place for the element.
    Nowhere,
}

impl<'a> Pattern<'a> {
    fn read(text: &'a [u8]) -> Self {
        if text == b"#" {
            return Self::Element;
        }
        let Some(star) = text.iter().position(|byte| *byte == b'*') else { return Self::Nowhere };
        let (before, rest) = (&text[..star], &text[star + 1..]);
        // An arrow without a field behind it is a part of the key.
        let arrow = rest.windows(2).position(|two| two == b"->").filter(|at| at + 2 < rest.len());
        let (behind, field) = match arrow {
            Some(at) => (&rest[..at], Some(&rest[at + 2..])),
            None => (rest, None),
        };
        Self::Key { before, behind, field }
    }

    /// Looks at the value that belongs to an element.
    fn look<R>(
        &self,
        keys: &mut Keyspace,
        element: &[u8],
        look: impl FnOnce(Option<&[u8]>) -> R,
    ) -> R {
        match self {
            Self::Element => look(Some(element)),
            Self::Nowhere => look(None),
            Self::Key { before, behind, field } => {
                let key = [before, element, behind].concat();
                look(match field {
                    None => keys.string(&key).unwrap_or_default(),
                    Some(field) => {
                        let hash = keys.collection::<Hash>(&key).unwrap_or_default();
                        hash.and_then(|hash| hash.get(field))
                    }
                })
            }
        }
    }
}

/// What of the elements is wanted, and how.
struct Options<'a> {
    by: Option<Pattern<'a>>,
    /// Whether they are left in the order that they have.
    is_unsorted: bool,
    is_alphabetic: bool,
    is_descending: bool,
    offset: usize,
    count: usize,
    values: Vec<Pattern<'a>>,
    to: Option<&'a [u8]>,
}

impl<'a> Options<'a> {
    fn read(request: Request<'a>, may_store: bool) -> Result<Self, Error> {
        let mut options = Self {
            by: None,
            is_unsorted: false,
            is_alphabetic: false,
            is_descending: false,
            offset: 0,
            count: usize::MAX,
            values: Vec::new(),
            to: None,
        };
        let mut at = 2;
        while let Some(option) = request.get(at) {
            let left = request.len() - at - 1;
            if is(option, "ASC") {
                options.is_descending = false;
            } else if is(option, "DESC") {
                options.is_descending = true;
            } else if is(option, "ALPHA") {
                options.is_alphabetic = true;
            } else if is(option, "LIMIT") && left >= 2 {
                options.offset = usize::try_from(integer(request, at + 1)?).unwrap_or(0);
                options.count = usize::try_from(integer(request, at + 2)?).unwrap_or(usize::MAX);
                at += 2;
            } else if is(option, "STORE") && left >= 1 && may_store {
                options.to = request.get(at + 1);
                at += 1;
            } else if is(option, "BY") && left >= 1 {
                let pattern = word(request, at + 1)?;
                options.is_unsorted |= !pattern.contains(&b'*');
                options.by = Some(Pattern::read(pattern)).filter(|_| !options.is_unsorted);
                at += 1;
            } else if is(option, "GET") && left >= 1 {
                options.values.push(Pattern::read(word(request, at + 1)?));
                at += 1;
            } else {
                return Err(Error::Syntax);
            }
            at += 1;
        }
        Ok(options)
    }

    /// The places of the elements that are wanted, of so many.
    fn range(&self, len: usize) -> (usize, usize) {
        let start = self.offset.min(len);
        (start, self.count.min(len - start))
    }
}

/// An element, and what it is sorted by.
struct Element {
    text: Box<[u8]>,
    /// Where it was.
    place: usize,
    weight: Weight,
}

enum Weight {
    Number(f64),
    /// The element's text.
    Own,
    /// Another text, if there is one.
    Text(Option<Box<[u8]>>),
}

impl Element {
    fn compare(&self, other: &Self) -> Ordering {
        match (&self.weight, &other.weight) {
            (Weight::Number(one), Weight::Number(two)) => {
                // Numbers that are none were refused. Equal ones are in an order as well.
                one.partial_cmp(two).unwrap_or(Ordering::Equal).then(self.text.cmp(&other.text))
            }
            (Weight::Text(one), Weight::Text(two)) => one.cmp(two),
            _ => self.text.cmp(&other.text),
        }
    }
}

fn sort(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let options = Options::read(request, true)?;
    sort_by(context, word(request, 1)?, options)
}

fn sort_read_only(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let options = Options::read(request, false)?;
    sort_by(context, word(request, 1)?, options)
}

fn sort_by(context: &mut Context<'_>, key: &[u8], mut options: Options<'_>) -> Result<(), Error> {
    let value = match context.store.keys.read(key).map(Record::view) {
        None => None,
        Some(View::Other(value @ (Value::List(_) | Value::Set(_) | Value::SortedSet(_)))) => {
            Some(value)
        }
        Some(_) => return Err(Error::WrongType),
    };
    let len = value.map_or(0, Value::len);
    if matches!(value, Some(Value::Set(_))) && options.is_unsorted && options.to.is_some() {
        // What is stored shall not depend on the order that a set happens to have.
        (options.is_unsorted, options.is_alphabetic, options.by) = (false, true, None);
    }
    let (start, count) = options.range(len);
    let taken = if options.is_unsorted { (start, count) } else { (0, len) };
    let bytes = value.map_or(0, |value| value.encoded_bytes() as usize) / len.max(1) * taken.1;
    let bytes = bytes + taken.1 * ELEMENT_BYTES;
    if bytes > UNCHECKED_BYTES {
        context.store.check_reserve(bytes)?;
    }
    let Some(value) = context.store.keys.peek(key).map(Record::view) else {
        return write(context, &[], &options);
    };
    let View::Other(value) = value else { return Err(Error::WrongType) };
    let mut elements = elements_of(value, taken, options.is_unsorted && options.is_descending);
    if options.is_unsorted {
        return write(context, &elements, &options);
    }
    weigh(context, &mut elements, &options)?;
    let wanted = sorted(&mut elements, (start, count), options.is_descending);
    write(context, wanted, &options)
}

/// So many elements from a place on, in the order that they have; of lists and sorted sets in the other one
/// if that is wanted.
fn elements_of(value: &Value, (start, count): (usize, usize), is_descending: bool) -> Vec<Element> {
    let mut places = 0..count;
    let element = |text: &[u8]| Element {
        text: text.into(),
        place: places.next().unwrap_or(count),
        weight: Weight::Own,
    };
    let start = match value {
        Value::List(_) | Value::SortedSet(_) if is_descending => value.len() - start - count,
        _ => start,
    };
    match value {
        Value::List(list) if is_descending => list.range(start, count).rev().map(element).collect(),
        Value::List(list) => list.range(start, count).map(element).collect(),
        Value::SortedSet(set) => {
            let texts = set.range_by_rank(start, count).map(|(text, _)| text);
            if is_descending {
                texts.rev().map(element).collect()
            } else {
                texts.map(element).collect()
            }
        }
        Value::Set(set) => {
            let mut element = element;
            set.iter().skip(start).take(count).map(|text| element(&text)).collect()
        }
        Value::String(_) | Value::Hash(_) => Vec::new(),
    }
}

/// Finds what each element is sorted by.
fn weigh(
    context: &mut Context<'_>,
    elements: &mut [Element],
    options: &Options<'_>,
) -> Result<(), Error> {
    let mut unchecked_bytes = 0;
    for element in elements {
        let by = options.by.as_ref().unwrap_or(&Pattern::Element);
        element.weight = match (&options.by, options.is_alphabetic) {
            (None, true) => Weight::Own,
            (Some(by), true) => {
                Weight::Text(
                    by.look(&mut context.store.keys, &element.text, |value| value.map(Box::from)),
                )
            }
            (_, false) => {
                let number = by.look(&mut context.store.keys, &element.text, |value| {
                    value.map_or(Some(0.0), number_of)
                });
                let error = Error::Plain("One or more scores can't be converted into double");
                Weight::Number(number.ok_or(error)?)
            }
        };
        if let Weight::Text(Some(text)) = &element.weight {
            unchecked_bytes += text.len();
        }
        if unchecked_bytes > UNCHECKED_BYTES {
            context.store.check_reserve(unchecked_bytes)?;
            unchecked_bytes = 0;
        }
    }
    Ok(())
}

/// A number as `strtod` reads it: blanks in front are skipped, and no text is zero.
fn number_of(text: &[u8]) -> Option<f64> {
    if text.is_empty() {
        return Some(0.0);
    }
    let number = number::float(text.trim_ascii_start())?;
    let is_named = text.iter().any(|byte| byte.eq_ignore_ascii_case(&b'i'));
    (number.is_finite() || is_named).then_some(number)
}

/// The wanted ones of the elements, in order. Takes time for the order of no more than those up to the
/// last wanted.
fn sorted(
    elements: &mut [Element],
    (start, count): (usize, usize),
    is_descending: bool,
) -> &[Element] {
    let compare = |one: &Element, two: &Element| {
        let order = one.compare(two);
        let order = if is_descending { order.reverse() } else { order };
        order.then(one.place.cmp(&two.place))
    };
    let end = start + count;
    if count > 0 && end < elements.len() {
        elements.select_nth_unstable_by(end - 1, compare);
    }
    elements[..end].sort_unstable_by(compare);
    &elements[start..end]
}

/// Writes the elements, or the values that belong to them, as a reply or to a key.
fn write(
    context: &mut Context<'_>,
    elements: &[Element],
    options: &Options<'_>,
) -> Result<(), Error> {
    let own = [Pattern::Element];
    let values = if options.values.is_empty() { &own[..] } else { &options.values };
    if let Some(to) = options.to {
        return store(context, elements, values, to);
    }
    context.reply.array(elements.len() * values.len());
    for element in elements {
        for value in values {
            let reply = &mut *context.reply;
            value.look(&mut context.store.keys, &element.text, |value| reply.bulk_or_null(value));
        }
        if context.reply.is_incomplete() {
            break;
        }
    }
    Ok(())
}

fn store(
    context: &mut Context<'_>,
    elements: &[Element],
    values: &[Pattern<'_>],
    to: &[u8],
) -> Result<(), Error> {
    let mut list = List::new();
    let (mut bytes, mut checked_bytes) = (0, 0);
    for element in elements {
        for value in values {
            value.look(&mut context.store.keys, &element.text, |value| {
                let value = value.unwrap_or_default();
                bytes += value.len() + 16;
                list.push_back(value);
            });
            if bytes > checked_bytes + UNCHECKED_BYTES {
                // As much as there is, for its record in the log, and for what comes until the next time.
                context.store.check_room(bytes + 2 * UNCHECKED_BYTES)?;
                checked_bytes = bytes;
            }
        }
    }
    let count = list.len();
    context.store.keys.put(to, Value::List(list), None);
    context.store.keys.log_whole(to);
    context.reply.count(count);
    Ok(())
}

const COMPLEXITY: &str =
    "O(N+M*log(M)) with the number of elements and of those up to the last returned";

/// The group.
#[rustfmt::skip]
pub(super) const GROUP: Group = Group {
    name: "generic",
    commands: &[
        Command::new("sort", -2, Flags::WRITE.and(Flags::DENY_OOM).and(Flags::MOVABLE_KEYS), Keys::ONE, sort)
            .about("1.0.0", COMPLEXITY, "Sorts the elements of a list, set or sorted set, and may store the result."),
        Command::new("sort_ro", -2, Flags::READ.and(Flags::MOVABLE_KEYS), Keys::ONE, sort_read_only)
            .about("7.0.0", COMPLEXITY, "Sorts the elements of a list, set or sorted set."),
    ],
};

#[cfg(test)]
mod tests;
