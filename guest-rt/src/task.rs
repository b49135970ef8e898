//! The executor: one thread, tasks polled when woken, and the yield hypercall when none is. In each
//! turn it reads the clock once, fires timers, moves frames, and polls the tasks that were ready.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::task::Wake;
use alloc::vec::Vec;
use core::fmt;
use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Poll, Waker};

use crate::exit::{ExitStatus, Termination, exit};
use crate::net::devices;
use crate::single_thread::SingleThread;
use crate::{shutdown as asked, time};

pub use crate::shutdown::{Shutdown, shutdown};

static TASKS: SingleThread<Tasks> = SingleThread::new(Tasks::new());
static READY: SingleThread<VecDeque<TaskId>> = SingleThread::new(VecDeque::new());

/// There is no memory for another task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoMemory;

impl fmt::Display for NoMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no memory for another task")
    }
}

impl core::error::Error for NoMemory {}

/// Starts a task. It runs until it ends, or the guest does.
///
/// # Panics
/// If there is no memory for it; see [`try_spawn`].
pub fn spawn(future: impl Future<Output = ()> + 'static) {
    if let Err(error) = try_spawn(future) {
        panic!("{error}");
    }
}

/// The same for programs that would rather turn somebody away.
///
/// # Errors
/// If there is no memory for it. The future is dropped.
pub fn try_spawn<F: Future<Output = ()> + 'static>(future: F) -> Result<(), NoMemory> {
    // Room for every task, so that waking never allocates.
    let tasks = TASKS.with(|tasks| tasks.reserve())?;
    READY.with(|ready| {
        let more = tasks.saturating_sub(ready.len());
        ready.try_reserve(more).map_err(|_| NoMemory)
    })?;
    check_memory::<F>()?;
    let task = Box::pin(future);
    TASKS.with(|tasks| tasks.insert(task)).wake();
    Ok(())
}

/// Whether the box of a future and its waker find memory, one after the other as they will in a
/// moment. With one thread, nobody takes it meanwhile.
fn check_memory<F>() -> Result<(), NoMemory> {
    /// As much as an `Arc` of a waker takes.
    type Counted = (usize, usize, TaskWaker);
    let (mut future, mut waker) = (Vec::<F>::new(), Vec::<Counted>::new());
    future.try_reserve_exact(1).map_err(|_| NoMemory)?;
    waker.try_reserve_exact(1).map_err(|_| NoMemory)
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
        devices::flush_all(now);
        exit(status)
    });
    loop {
        turn();
    }
}

fn turn() {
    let mut now = time::refresh();
    time::fire(now);
    asked::look(now);
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

/// A slot and which of its successive tasks is meant. The number may come again after four thousand
/// million tasks; a waker that is kept for so long wakes a wrong one, which does no harm.
#[derive(Clone, Copy, PartialEq, Eq)]
struct TaskId {
    slot: u32,
    generation: u32,
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
    free: Vec<u32>,
    generation: u32,
}

impl Tasks {
    const fn new() -> Self {
        Self { slots: Vec::new(), free: Vec::new(), generation: 0 }
    }

    /// Makes room for another task, and for freeing its slot. How many slots there are then.
    fn reserve(&mut self) -> Result<usize, NoMemory> {
        let slots = self.slots.len() + 1;
        if self.free.is_empty() {
            self.slots.try_reserve(1).map_err(|_| NoMemory)?;
            self.free.try_reserve(slots).map_err(|_| NoMemory)?;
        }
        Ok(slots)
    }

    /// Takes a task for which room was reserved.
    fn insert(&mut self, future: TaskFuture) -> Arc<TaskWaker> {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() as u32 - 1
        });
        self.generation = self.generation.wrapping_add(1);
        let id = TaskId { slot, generation: self.generation };
        let waker = Arc::new(TaskWaker { id, queued: AtomicBool::new(false) });
        self.slots[slot as usize] = Some(Slot { waker: Arc::clone(&waker), future: Some(future) });
        waker
    }

    fn slot(&mut self, id: TaskId) -> Option<&mut Slot> {
        self.slots.get_mut(id.slot as usize)?.as_mut().filter(|slot| slot.waker.id == id)
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
            self.slots[id.slot as usize] = None;
            self.free.push(id.slot);
        }
    }
}
