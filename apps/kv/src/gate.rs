//! Where connections wait for their writes to be on the disk, so that one write of the device serves them all.
//!
//! The first to come leads: it gives the others turns as long as requests keep coming, and commits. Those that
//! come meanwhile wait for it. Who was in one of the last two commits is likely to come again at once, so the leader
//! waits a little for them, too: else two halves of the clients would take turns, and each write of the device
//! serve one half.

use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::task::{Poll, Waker};

use crate::log::LogError;

/// Turns with requests that the leader waits for at most: each brings in as many as the network has ready.
const TURNS_MAX: usize = 16;
/// Turns without any that it waits for those who are likely to come: some microseconds each.
const IDLE_TURNS_MAX: usize = 50;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    has_leader: Cell<bool>,
    /// How many commits there were, and how the last one ended.
    last: Cell<(u64, Option<LogError>)>,
    waiting: RefCell<Vec<Waker>>,
    /// Who came since the last commit, and who was in that.
    coming: Cell<Group>,
    previous: Cell<Group>,
    /// Clients in the last two commits.
    expected: Cell<usize>,
}

/// Clients that share a commit.
#[derive(Debug, Clone, Copy, Default)]
struct Group {
    len: usize,
    /// Those of them that were in the one before.
    again: usize,
}

/// The last commit that a client was in, by number; 0 before the first.
#[derive(Debug, Default)]
pub(crate) struct Ticket(Cell<u64>);

impl Gate {
    /// Waits for a commit of all that was carried out so far. `progress` grows with each request, and `commit`
    /// commits. The ticket is the client's own.
    ///
    /// # Errors
    /// If the commit failed.
    pub(crate) async fn pass(
        &self,
        ticket: &Ticket,
        progress: impl Fn() -> u64,
        commit: impl FnOnce() -> Result<(), LogError>,
    ) -> Result<(), LogError> {
        self.count(ticket);
        while self.has_leader.get() {
            if let Some(result) = self.follow().await {
                return result;
            }
        }
        let lead = Lead::of(self);
        let (mut seen, mut turns, mut idle_turns) = (progress(), 0, 0);
        while turns < TURNS_MAX && idle_turns < IDLE_TURNS_MAX {
            yield_once().await;
            let now = progress();
            if now != seen {
                (seen, turns, idle_turns) = (now, turns + 1, 0);
            } else if self.coming.get().len >= self.expected.get() {
                break;
            } else {
                idle_turns += 1;
            }
        }
        let result = commit();
        lead.end(result)
    }

    /// Notes that a client is in the next commit.
    fn count(&self, ticket: &Ticket) {
        let (number, _) = self.last.get();
        let mut group = self.coming.get();
        group.len += 1;
        group.again += usize::from(ticket.0.replace(number + 1) == number && number > 0);
        self.coming.set(group);
    }

    /// Waits for the leader's commit; `None` if the leader is gone without one.
    async fn follow(&self) -> Option<Result<(), LogError>> {
        let (number, _) = self.last.get();
        poll_fn(|context| match self.last.get() {
            (now, error) if now != number => Poll::Ready(Some(error.map_or(Ok(()), Err))),
            _ if !self.has_leader.get() => Poll::Ready(None),
            _ => {
                self.waiting.borrow_mut().push(context.waker().clone());
                Poll::Pending
            }
        })
        .await
    }
}

/// The leader's duty, which ends even if its connection does before: then nothing was committed.
struct Lead<'a>(&'a Gate);

impl<'a> Lead<'a> {
    fn of(gate: &'a Gate) -> Self {
        gate.has_leader.set(true);
        Self(gate)
    }

    fn end(self, result: Result<(), LogError>) -> Result<(), LogError> {
        let (number, _) = self.0.last.get();
        self.0.last.set((number + 1, result.err()));
        let group = self.0.coming.take();
        let previous = self.0.previous.replace(group);
        self.0.expected.set(group.len + previous.len.saturating_sub(group.again));
        result
    }
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        self.0.has_leader.set(false);
        self.0.waiting.take().into_iter().for_each(Waker::wake);
    }
}

/// Lets everybody else who can run have a turn.
async fn yield_once() {
    let mut has_yielded = false;
    poll_fn(|context| {
        if core::mem::replace(&mut has_yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::boxed::Box;
    use core::future::Future;
    use core::pin::Pin;
    use core::task::Context;

    const FULL: LogError = LogError::NoMemory;

    type Pass<'a> = Pin<Box<dyn Future<Output = Result<(), LogError>> + 'a>>;

    struct Case {
        gate: Gate,
        progress: Cell<u64>,
        commits: Cell<usize>,
        result: Cell<Result<(), LogError>>,
    }

    impl Case {
        fn new(result: Result<(), LogError>) -> Self {
            let (gate, progress) = (Gate::default(), Cell::new(0));
            Self { gate, progress, commits: Cell::new(0), result: Cell::new(result) }
        }

        fn pass(&self) -> Pass<'_> {
            self.pass_as(Box::leak(Box::default()))
        }

        fn pass_as<'a>(&'a self, ticket: &'a Ticket) -> Pass<'a> {
            Box::pin(self.gate.pass(
                ticket,
                || self.progress.get(),
                || {
                    self.commits.set(self.commits.get() + 1);
                    self.result.get()
                },
            ))
        }
    }

    fn poll(pass: &mut Pass<'_>) -> Poll<Result<(), LogError>> {
        pass.as_mut().poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn all_who_came_share_a_commit_and_its_result() {
        for result in [Ok(()), Err(FULL)] {
            let case = Case::new(result);
            let (mut first, mut second, mut third) = (case.pass(), case.pass(), case.pass());
            assert!(poll(&mut first).is_pending() && poll(&mut second).is_pending());
            // As long as requests keep coming, the commit waits.
            case.progress.set(1);
            assert!(poll(&mut first).is_pending() && poll(&mut third).is_pending());
            assert_eq!(poll(&mut first), Poll::Ready(result));
            assert_eq!(poll(&mut second), Poll::Ready(result));
            assert_eq!(poll(&mut third), Poll::Ready(result));
            assert_eq!(case.commits.get(), 1);
        }
    }

    #[test]
    fn the_commit_does_not_wait_for_ever() {
        let case = Case::new(Ok(()));
        let mut pass = case.pass();
        let turns = (0..100).take_while(|turn| {
            case.progress.set(*turn);
            poll(&mut pass).is_pending()
        });
        assert_eq!(turns.count(), TURNS_MAX);
    }

    #[test]
    fn another_leads_when_the_leader_is_gone() {
        let case = Case::new(Ok(()));
        let (mut first, mut second) = (case.pass(), case.pass());
        assert!(poll(&mut first).is_pending() && poll(&mut second).is_pending());
        drop(first);
        assert!(poll(&mut second).is_pending());
        assert_eq!(poll(&mut second), Poll::Ready(Ok(())));
        assert_eq!(case.commits.get(), 1);
    }

    #[test]
    fn halves_that_take_turns_become_one() {
        let case = Case::new(Ok(()));
        let (one, other) = (Ticket::default(), Ticket::default());
        // By turns at first: each comes while the other's commit is under way.
        for ticket in [&one, &other, &one, &other] {
            let mut pass = case.pass_as(ticket);
            while poll(&mut pass).is_pending() {}
        }
        assert_eq!(case.gate.expected.get(), 2);
        let (mut first, mut second) = (case.pass_as(&one), case.pass_as(&other));
        // The first waits for the other, which comes.
        for _ in 0..5 {
            assert!(poll(&mut first).is_pending());
        }
        case.progress.set(1);
        assert!(poll(&mut second).is_pending());
        while poll(&mut first).is_pending() {}
        assert_eq!(poll(&mut second), Poll::Ready(Ok(())));
        assert_eq!(case.commits.get(), 5);
    }

    #[test]
    fn one_client_waits_for_nobody() {
        let case = Case::new(Ok(()));
        let ticket = Ticket::default();
        for _ in 0..5 {
            let mut pass = case.pass_as(&ticket);
            assert!(poll(&mut pass).is_pending());
            assert_eq!(poll(&mut pass), Poll::Ready(Ok(())));
        }
    }

    #[test]
    fn who_does_not_come_again_is_not_waited_for_long() {
        let case = Case::new(Ok(()));
        let tickets: Vec<Ticket> = (0..10).map(|_| Ticket::default()).collect();
        let mut passes: Vec<_> = tickets.iter().map(|ticket| case.pass_as(ticket)).collect();
        while !passes.is_empty() {
            passes.retain_mut(|pass| poll(pass).is_pending());
        }
        assert_eq!((case.commits.get(), case.gate.expected.get()), (1, 10));
        let mut pass = case.pass_as(&tickets[0]);
        let turns = (0..1000).take_while(|_| poll(&mut pass).is_pending()).count();
        assert!(turns <= IDLE_TURNS_MAX + 1, "{turns}");
    }
}
