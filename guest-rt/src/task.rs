//! The executor: one thread, tasks polled when woken, and the yield hypercall when none is. In each
//! turn it reads the clock once, fires timers, moves frames, and polls the tasks that were ready.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::task::Wake;
use alloc::vec::Vec;
use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Poll, Waker};

use crate::exit::{ExitStatus, Termination, exit};
use crate::net::devices;
use crate::single_thread::SingleThread;
use crate::time;

static TASKS: SingleThread<Tasks> = SingleThread::new(Tasks::new());
static READY: SingleThread<VecDeque<TaskId>> = SingleThread::new(VecDeque::new());

/// Starts a task. It runs until it ends, or the guest does.
pub fn spawn(future: impl Future<Output = ()> + 'static) {
    let task = Box::pin(future);
    let (waker, tasks) = TASKS.with(|tasks| (tasks.insert(task), tasks.slots.len()));
    // Room for every task, so that waking never allocates.
    READY.with(|ready| ready.reserve(tasks.saturating_sub(ready.len())));
    waker.wake();
}

/// Lets the other tasks and the devices have their turn.
pub async fn yield_now() {
    let mut yielded = false;
    poll_fn(|context| {
        if core::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Runs a synchronous main function.
pub fn run<T: Termination>(main: fn() -> T) -> ! {
    exit(main().status())
}

/// Runs an asynchronous main function, and with it all that it spawns, until it returns. Then the
/// guest ends at once, with what connections have not sent yet.
pub fn run_async<F>(main: fn() -> F) -> !
where
    F: Future + 'static,
    F::Output: Termination,
{
    spawn(async move {
        let status: ExitStatus = main().await.status();
        let now = time::refresh();
        devices::receive(now);
        devices::flush(now);
        exit(status)
    });
    loop {
        turn();
    }
}

fn turn() {
    let mut now = time::refresh();
    time::fire(now);
    devices::receive(now);
    if run_ready() {
        // The tasks may have taken long, and what came due meanwhile is not to wait for that again.
        now = time::refresh();
    }
    // Only now, so that acknowledgements go out with the tasks' answers.
    devices::flush(now);
    if READY.with(|ready| ready.is_empty()) {
        // What a time of waiting is counted from should not include the writes before it.
        now = time::refresh_by_counter(now);
        let timer = time::fire(now);
        if READY.with(|ready| ready.is_empty()) {
            devices::wait(now, timer);
        }
    }
}

/// Polls each task that was ready at the call once; whether there was any.
fn run_ready() -> bool {
    let count = READY.with(|ready| ready.len());
    for _ in 0..count {
        let Some(id) = READY.with(VecDeque::pop_front) else {
            break;
        };
        let Some((mut future, waker)) = TASKS.with(|tasks| tasks.take(id)) else {
            continue;
        };
        waker.queued.store(false, Ordering::Relaxed);
        match future.as_mut().poll(&mut Context::from_waker(&Waker::from(waker))) {
            Poll::Pending => TASKS.with(|tasks| tasks.put_back(id, future)),
            Poll::Ready(()) => {
                // First, and outside of the table: what it owns may start tasks as it goes.
                drop(future);
                TASKS.with(|tasks| tasks.remove(id));
            }
        }
    }
    count > 0
}

type TaskFuture = Pin<Box<dyn Future<Output = ()>>>;

/// A slot and which of its successive tasks is meant.
#[derive(Clone, Copy, PartialEq, Eq)]
struct TaskId {
    slot: usize,
    generation: u64,
}

struct TaskWaker {
    id: TaskId,
    queued: AtomicBool,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::Relaxed) {
            READY.with(|ready| ready.push_back(self.id));
        }
    }
}

struct Slot {
    waker: Arc<TaskWaker>,
    /// Taken while the task is being polled.
    future: Option<TaskFuture>,
}

struct Tasks {
    slots: Vec<Option<Slot>>,
    free: Vec<usize>,
    generation: u64,
}

impl Tasks {
    const fn new() -> Self {
        Self { slots: Vec::new(), free: Vec::new(), generation: 0 }
    }

    fn insert(&mut self, future: TaskFuture) -> Arc<TaskWaker> {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            // So that freeing a slot never allocates.
            self.free.reserve(self.slots.len());
            self.slots.len() - 1
        });
        self.generation += 1;
        let id = TaskId { slot, generation: self.generation };
        let waker = Arc::new(TaskWaker { id, queued: AtomicBool::new(false) });
        self.slots[slot] = Some(Slot { waker: Arc::clone(&waker), future: Some(future) });
        waker
    }

    fn slot(&mut self, id: TaskId) -> Option<&mut Slot> {
        self.slots.get_mut(id.slot)?.as_mut().filter(|slot| slot.waker.id == id)
    }

    fn take(&mut self, id: TaskId) -> Option<(TaskFuture, Arc<TaskWaker>)> {
        let slot = self.slot(id)?;
        Some((slot.future.take()?, Arc::clone(&slot.waker)))
    }

    fn put_back(&mut self, id: TaskId, future: TaskFuture) {
        if let Some(slot) = self.slot(id) {
            slot.future = Some(future);
        }
    }

    fn remove(&mut self, id: TaskId) {
        if self.slot(id).is_some() {
            self.slots[id.slot] = None;
            self.free.push(id.slot);
        }
    }
}
