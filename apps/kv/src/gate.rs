//! Where connections wait for their writes to be on the disk, so that one write of the device serves them all.
//!
//! The first to come leads: it gives the others turns as long as requests keep coming, and commits. Those that
//! come meanwhile wait for it.

use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::task::{Poll, Waker};

use crate::log::LogError;

/// Turns that the leader waits at most: each brings in as many requests as the network has ready.
const TURNS_MAX: usize = 16;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    has_leader: Cell<bool>,
    /// How many commits there were, and how the last one ended.
    last: Cell<(u64, Option<LogError>)>,
    waiting: RefCell<Vec<Waker>>,
}

impl Gate {
    /// Waits for a commit of all that was carried out so far. `progress` grows with each request, and `commit`
    /// commits.
    ///
    /// # Errors
    /// If the commit failed.
    pub(crate) async fn pass(
        &self,
        progress: impl Fn() -> u64,
        commit: impl FnOnce() -> Result<(), LogError>,
    ) -> Result<(), LogError> {
        while self.has_leader.get() {
            if let Some(result) = self.follow().await {
                return result;
            }
        }
        let lead = Lead::of(self);
        let mut seen = progress();
        for _ in 0..TURNS_MAX {
            yield_once().await;
            let now = progress();
            if now == seen {
                break;
            }
            seen = now;
        }
        let result = commit();
        lead.end(result)
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
            Box::pin(self.gate.pass(
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
}
