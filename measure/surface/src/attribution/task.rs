//! One task: where it is, and what it did.

use std::collections::{BTreeMap, BTreeSet};

use super::kind::Kind;
use super::{Context, Gathered};
use crate::pages::flags;
use crate::symbols::Function;

/// Kernel stacks are not as deep; callers that are not seen to return stay on ours.
const FRAMES: usize = 400;
const INTERRUPT: u8 = flags::HARDIRQ | flags::SOFTIRQ | flags::NMI;

#[derive(Debug)]
pub(super) struct Task {
    pub(super) gathered: BTreeMap<Context, Gathered>,
    mode: Mode,
    context: Context,
    frames: Vec<Frame>,
    /// The lowest frame that belongs to an interrupt.
    interrupt: Option<usize>,
    /// What a call did before it was known which one it is.
    pending: Option<Pending>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Nobody knows.
    Unknown,
    /// In user mode or on the last steps to it, whose functions still belong to what was before.
    User,
    /// Before a call is made.
    Entering,
    Call,
    /// In a fault or another exception that came in user mode.
    Exception,
    Start,
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    function: Function,
    /// Why the task is above this frame, if not for the reason at the bottom.
    context: Option<Context>,
}

#[derive(Debug, Default)]
struct Pending {
    functions: BTreeSet<Function>,
    interrupts: BTreeSet<Function>,
}

/// A function with what it says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) function: Function,
    pub(super) kind: Kind,
}

impl Task {
    pub(super) fn new(call: Option<Function>) -> Self {
        let (mode, context) = match call {
            Some(call) => (Mode::Call, Context::Call(call)),
            None => (Mode::Unknown, Context::Other),
        };
        let gathered = BTreeMap::new();
        Self { gathered, mode, context, frames: Vec::new(), interrupt: None, pending: None }
    }

    /// What was gathered so far, and goes.
    pub(super) fn take(&mut self) -> BTreeMap<Context, Gathered> {
        self.settle(Context::Other);
        std::mem::take(&mut self.gathered)
    }

    pub(super) fn enter(&mut self, place: Place, caller: Option<Place>, flags: u8) {
        let from = caller.map_or(Kind::Plain, |caller| caller.kind);
        if flags & INTERRUPT != 0
            || from == Kind::Interrupt
            || (place.kind == Kind::Interrupt && from != Kind::Start)
        {
            self.interrupted(place, caller);
            return;
        }
        match (from, place.kind) {
            (Kind::Start, _) => self.start(place),
            (Kind::Gate, Kind::Dispatch) => self.begin(Mode::Call, caller),
            (Kind::Gate | Kind::Dispatch, Kind::Entry) => self.call(place, caller),
            (Kind::Gate, Kind::Leaving) | (Kind::Leaving, _) => self.leave(caller),
            (Kind::Gate, _) if !matches!(self.mode, Mode::Call | Mode::Entering) => {
                self.begin(Mode::Entering, caller);
            }
            (Kind::Entering, _) if self.mode != Mode::Entering => {
                self.begin(Mode::Entering, caller);
            }
            (Kind::Fault | Kind::Exception, _) => self.exception(from, caller),
            (Kind::Returning, _) => self.come_back(),
            _ => {}
        }
        self.push(place, caller);
    }

    fn start(&mut self, place: Place) {
        if self.mode != Mode::Start {
            self.reset(Mode::Start, Context::Start);
            self.count(Context::Start);
        }
        // With the number of an earlier task there may be its frames.
        if self.frames.first().is_some_and(|frame| frame.function == place.function) {
            self.frames.clear();
        }
    }

    /// A call begins, and nobody knows which one. What looked at it before belongs to it.
    fn begin(&mut self, mode: Mode, caller: Option<Place>) {
        if mode == Mode::Call && self.mode == Mode::Entering {
            self.mode = Mode::Call;
        } else {
            self.settle(Context::Other);
            self.reset(mode, Context::Other);
            self.pending = Some(Pending::default());
            self.frames.extend(caller.map(|caller| Frame::of(caller.function)));
        }
    }

    /// It is this one.
    fn call(&mut self, place: Place, caller: Option<Place>) {
        if self.pending.is_none() {
            self.begin(Mode::Call, caller);
        }
        self.mode = Mode::Call;
        self.context = Context::Call(place.function);
        self.settle(self.context);
        self.count(self.context);
    }

    fn leave(&mut self, caller: Option<Place>) {
        let is_gone = |frame: &Frame| Some(frame.function) == caller.map(|caller| caller.function);
        if self.mode == Mode::User && self.frames.first().is_some_and(is_gone) {
            return;
        }
        let refused = self.mode == Mode::Entering;
        let context = if refused { Context::Refused } else { self.context };
        self.settle(context);
        if refused {
            self.count(context);
        }
        self.reset(Mode::User, context);
    }

    /// In the kernel it belongs to what the kernel does.
    fn exception(&mut self, kind: Kind, caller: Option<Place>) {
        let is_same = |frame: &Frame| Some(frame.function) == caller.map(|caller| caller.function);
        let delivers = self.frames.iter().any(|frame| frame.context.is_some());
        let is_within = matches!(self.mode, Mode::User) && delivers;
        if is_within || !matches!(self.mode, Mode::User | Mode::Unknown) {
            return;
        }
        if self.mode == Mode::Unknown && self.frames.iter().any(is_same) {
            return;
        }
        let context = if kind == Kind::Fault { Context::Fault } else { Context::Other };
        self.reset(Mode::Exception, context);
        self.count(context);
    }

    /// Back to user mode, from an exception or from an interrupt: the latter's frames are still there.
    fn come_back(&mut self) {
        if self.mode == Mode::Exception {
            self.reset(Mode::User, self.context);
        } else if self.interrupt.is_none() {
            // An interrupt of which nothing was seen.
            self.settle(Context::Other);
            self.reset(Mode::User, Context::Other);
            self.interrupt = Some(0);
        }
    }

    fn interrupted(&mut self, place: Place, caller: Option<Place>) {
        let first = *self.interrupt.get_or_insert(self.frames.len());
        let mut frames = self.frames[first..].iter();
        let found = frames.rposition(|frame| Some(frame.function) == caller.map(|it| it.function));
        match found {
            Some(above) => self.frames.truncate(first + above + 1),
            None => self.frames.extend(caller.map(|caller| Frame::of(caller.function))),
        }
        self.frames.push(Frame::of(place.function));
        self.limit();
        // In user mode no call is in force.
        let context = if self.mode == Mode::User { Context::Other } else { self.context() };
        match &mut self.pending {
            Some(pending) => drop(pending.interrupts.insert(place.function)),
            None => self.gathered.entry(context).or_default().interrupts.insert(place.function),
        }
    }

    /// A function that is no interrupt's by itself; but it may be called by one's.
    fn push(&mut self, place: Place, caller: Option<Place>) {
        let mut frames = self.frames.iter();
        let found = frames.rposition(|frame| Some(frame.function) == caller.map(|it| it.function));
        if let Some(at) = found {
            self.frames.truncate(at + 1);
            if self.interrupt.is_some_and(|first| first > at) {
                self.interrupt = None;
            }
        } else {
            // A caller that was not seen before: the interrupt has ended, unless there is nothing that
            // it could go back to.
            if let Some(first) = self.interrupt.filter(|_| self.mode != Mode::User) {
                self.frames.truncate(first);
                self.interrupt = None;
            }
            let context = self.frames.last().and_then(|frame| frame.context);
            let frame = |caller: Place| Frame { function: caller.function, context };
            self.frames.extend(caller.map(frame));
        }
        let context = match place.kind {
            Kind::Signal => Some(Context::Signal),
            Kind::Exit if self.is_death() => Some(Context::Exit),
            _ => self.frames.last().and_then(|frame| frame.context),
        };
        let is_new = matches!(place.kind, Kind::Signal | Kind::Exit) && context.is_some();
        if is_new {
            self.interrupt = None;
            // A filter may end a task before the call is made.
            if context == Some(Context::Exit) {
                self.settle(Context::Exit);
            }
            if self.context() != context.unwrap_or(Context::Other) {
                self.count(context.unwrap_or(Context::Other));
            }
        }
        self.frames.push(Frame { function: place.function, context });
        self.limit();
        self.gather(place.function);
    }

    fn gather(&mut self, function: Function) {
        let context = self.context();
        let is_own = self.frames.last().is_none_or(|frame| frame.context.is_none());
        match &mut self.pending {
            Some(pending) if self.interrupt.is_some() => drop(pending.interrupts.insert(function)),
            Some(pending) if is_own => drop(pending.functions.insert(function)),
            _ if self.interrupt.is_some() => {
                let context = if self.mode == Mode::User { Context::Other } else { context };
                self.gathered.entry(context).or_default().interrupts.insert(function);
            }
            _ => self.gathered.entry(context).or_default().functions.insert(function),
        }
    }

    /// Whether a task that is about to end did not ask for it.
    fn is_death(&self) -> bool {
        // A call that ends its task has no other reason above it.
        !(self.mode == Mode::Call
            && self.pending.is_none()
            && self.frames.iter().all(Frame::is_plain))
    }

    fn context(&self) -> Context {
        self.frames.last().and_then(|frame| frame.context).unwrap_or(self.context)
    }

    fn count(&mut self, context: Context) {
        self.gathered.entry(context).or_default().count += 1;
    }

    /// Says what the functions belong to that could not be told yet.
    fn settle(&mut self, context: Context) {
        let Some(pending) = self.pending.take() else {
            return;
        };
        let gathered = self.gathered.entry(context).or_default();
        pending.functions.into_iter().for_each(|function| gathered.functions.insert(function));
        pending.interrupts.into_iter().for_each(|function| gathered.interrupts.insert(function));
    }

    fn reset(&mut self, mode: Mode, context: Context) {
        self.mode = mode;
        self.context = context;
        self.frames.clear();
        self.interrupt = None;
    }

    fn limit(&mut self) {
        if self.frames.len() > FRAMES {
            let gone = FRAMES / 2;
            self.frames.drain(..gone);
            self.interrupt = self.interrupt.map(|first| first.saturating_sub(gone));
        }
    }
}

impl Frame {
    const fn of(function: Function) -> Self {
        Self { function, context: None }
    }

    const fn is_plain(&self) -> bool {
        self.context.is_none()
    }
}
