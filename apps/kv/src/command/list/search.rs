//! Finding elements of a list by what they are: `LPOS`.

use super::super::argument::{integer, is, positive, word};
use super::super::{Context, Error};
use crate::frame::Request;
use crate::types::list::List;

/// The options of `LPOS`.
struct Search {
    is_backward: bool,
    /// Matches that are passed over.
    skipped: u64,
    /// Matches that are wanted; one, and not as an array, if there is none.
    count: Option<usize>,
    /// Elements that are looked at.
    len_max: usize,
}

impl Search {
    fn read(request: Request<'_>) -> Result<Self, Error> {
        let mut search = Self { is_backward: false, skipped: 0, count: None, len_max: usize::MAX };
        for at in (3..request.len()).step_by(2) {
            let option = word(request, at)?;
            word(request, at + 1)?;
            if is(option, "RANK") {
                search.read_rank(integer(request, at + 1)?)?;
            } else if is(option, "COUNT") {
                let count = positive(request, at + 1);
                search.count = Some(count.map_err(|_| Error::Plain("COUNT can't be negative"))?);
            } else if is(option, "MAXLEN") {
                let len = positive(request, at + 1);
                let len = len.map_err(|_| Error::Plain("MAXLEN can't be negative"))?;
                search.len_max = if len == 0 { usize::MAX } else { len };
            } else {
                return Err(Error::Syntax);
            }
        }
        Ok(search)
    }

    fn read_rank(&mut self, rank: i64) -> Result<(), Error> {
        if rank == i64::MIN {
            return Err(Error::Plain(
                "value is out of range, value must between -9223372036854775807 and \
                 9223372036854775807",
            ));
        }
        self.is_backward = rank < 0;
        self.skipped = rank.unsigned_abs().checked_sub(1).ok_or(Error::Plain(
            "RANK can't be zero: use 1 to start from the first match, 2 from the second ... or \
             use negative to start from the end of the list",
        ))?;
        Ok(())
    }

    /// Shows the indices that are wanted.
    fn run(&self, list: &List, element: &[u8], mut show: impl FnMut(usize)) {
        let wanted = match self.count {
            None => 1,
            Some(0) => usize::MAX,
            Some(count) => count,
        };
        let (mut skipped, mut found) = (self.skipped, 0);
        let mut look = |index: usize, other: &[u8]| {
            if other == element && skipped > 0 {
                skipped -= 1;
            } else if other == element {
                show(index);
                found += 1;
            }
            found < wanted
        };
        if self.is_backward {
            let indices = (0..list.len()).rev();
            let mut elements = indices.zip(list.iter().rev()).take(self.len_max);
            elements.all(|(index, other)| look(index, other));
        } else {
            let mut elements = list.iter().enumerate().take(self.len_max);
            elements.all(|(index, other)| look(index, other));
        }
    }
}

pub(super) fn find(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let search = Search::read(request)?;
    let element = word(request, 2)?;
    let list = context.store.keys.collection::<List>(word(request, 1)?)?;
    let reply = &mut *context.reply;
    if search.count.is_some() {
        let open = reply.open();
        let mut count = 0;
        if let Some(list) = list {
            search.run(list, element, |index| {
                reply.count(index);
                count += 1;
            });
        }
        reply.close_array(open, count);
        return Ok(());
    }
    let mut found = None;
    if let Some(list) = list {
        search.run(list, element, |index| found = Some(index));
    }
    match found {
        Some(index) => reply.count(index),
        None => reply.null(),
    }
    Ok(())
}
