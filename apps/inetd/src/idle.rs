//! Ends what does nothing for too long, with one timer in all of that time.

use core::cell::Cell;
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;

/// Whether something happens.
#[derive(Debug, Default)]
pub struct Activity(Cell<u64>);

impl Activity {
    /// Something has happened.
    pub fn note(&self) {
        self.0.set(self.0.get().wrapping_add(1));
    }

    /// How often something has happened so far.
    pub fn count(&self) -> u64 {
        self.0.get()
    }
}

/// Does the work, until nothing has happened from the beginning of a pause to its end. Whether it
/// was done.
pub async fn unless_idle<P: Future<Output = ()>>(
    work: impl Future<Output = ()>,
    activity: &Activity,
    pause: impl Fn() -> P,
) -> bool {
    let watch = async {
        loop {
            let before = activity.count();
            pause().await;
            if activity.count() == before {
                return;
            }
        }
    };
    let (mut work, mut watch) = (pin!(work), pin!(watch));
    poll_fn(|context| {
        if work.as_mut().poll(context).is_ready() {
            return Poll::Ready(true);
        }
        watch.as_mut().poll(context).map(|()| false)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::future::pending;
    use core::task::{Context, Waker};

    /// Polls until the end, a pause at each poll. The number of pauses, and whether it was done.
    fn run(work: impl Future<Output = ()>, activity: &Activity) -> (usize, bool) {
        let pauses = Cell::new(0);
        let pause = || {
            pauses.set(pauses.get() + 1);
            let mut is_over = false;
            poll_fn(move |_| {
                if core::mem::replace(&mut is_over, true) { Poll::Ready(()) } else { Poll::Pending }
            })
        };
        let mut future = pin!(unless_idle(work, activity, pause));
        loop {
            if let Poll::Ready(done) = future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
            {
                return (pauses.get(), done);
            }
        }
    }

    #[test]
    fn work_that_ends_is_done() {
        assert_eq!(run(async {}, &Activity::default()), (0, true));
    }

    #[test]
    fn work_that_stands_still_is_ended() {
        assert_eq!(run(pending(), &Activity::default()), (1, false));
        let activity = Activity::default();
        let mut polls = 0;
        let work = poll_fn(|_| {
            polls += 1;
            if polls <= 5 {
                activity.note();
            }
            Poll::<()>::Pending
        });
        let (pauses, done) = run(work, &activity);
        assert!((4..=6).contains(&pauses) && !done, "{pauses}");
    }
}
