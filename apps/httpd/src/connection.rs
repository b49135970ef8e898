//! The loop of one connection: bytes in, bytes out, and every wait with an end.
//!
//! Responses gather in the outbox while further requests are at hand and are written together;
//! before the connection waits for the peer, everything is written. A response that can no longer
//! be completed ends the connection.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::future::{Future, poll_fn};
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
use core::time::Duration;

use crate::answer::{self, Answer};
use crate::inbox::Inbox;
use crate::journal;
use crate::metrics::Wait;
use crate::outbox::{NoMemory, Outbox};
use crate::request::{self, HeadScan, RequestError};
use crate::response::{Head, Page, Persistence, REFUSAL, Status};
use crate::server::{Exchange, Permit, Server};
use crate::timeout::{Elapsed, Watchdog};
use crate::world::{BlockRead, Clock, Stream};

/// Unread bytes of the peer that are taken in after the server has closed.
const LINGER_BYTES_MAX: usize = 256 * 1024;

/// Responses to pipelined requests are written together up to this size.
const BATCH_BYTES: usize = 4 * 1024;

/// Time to send is given as if every peer took at least so much.
const SLOWEST_BYTES_PER_SECOND: u64 = 1024;

/// Serves a connection until it ends. Most connections only wait most of the time, so the future
/// holds little: a peer that has sent something is attended to in a box of its own.
#[expect(clippy::manual_async_fn, reason = "an async function would hold its arguments twice")]
pub(crate) fn serve<B: BlockRead, C: Clock, S: Stream>(
    server: Rc<Server<B, C>>,
    permit: Permit,
    mut stream: S,
) -> impl Future<Output = ()> {
    async move {
        let _permit = permit;
        let sleep = pin!(None);
        let mut watchdog = Watchdog::new(&server.clock, sleep);
        // A fresh connection is here to send a request, so it is not given the idle time.
        let mut end = server.clock.now().saturating_add(server.config.head_timeout);
        loop {
            // Silence is borne for less long when there are many connections, also if they came later.
            let soon = server.clock.now().saturating_add(server.config.crowded_idle_timeout);
            let until = end.min(soon);
            let first = poll_fn(|context| match stream.poll_readable(context) {
                Poll::Ready(outcome) => Poll::Ready(Ok(Some(outcome))),
                Poll::Pending if stream.poll_shutdown(context).is_ready() => Poll::Ready(Ok(None)),
                Poll::Pending => watchdog.poll_elapsed(until, context).map(Err),
            });
            match first.await {
                Ok(None) => {
                    // In a box, as the others are; without memory for it there is no time either.
                    let parting = boxed(part(&server, &mut stream, &mut watchdog));
                    return if let Some(parting) = parting {
                        parting.await
                    };
                }
                Ok(Some(Ok(()))) => {
                    let Some(attended) = attend(&server, &mut stream, &mut watchdog) else {
                        return turn_away(&server, stream);
                    };
                    if !attended.await {
                        return;
                    }
                    end = server.clock.now().saturating_add(server.config.idle_timeout);
                }
                Ok(Some(Err(_))) => return stream.abort(),
                Err(Elapsed) if until < end && !server.is_crowded() => {}
                Err(Elapsed) => {
                    // Silence before a request is the peer's right.
                    server.metrics().count_timeout(Wait::Idle);
                    let _ = poll_once(stream.finish());
                    return;
                }
            }
        }
    }
}

/// Closes, when the server is to end. It stays until the peer has what was sent, as nothing is sent any more
/// once the server is gone.
async fn part<B: BlockRead, C: Clock, S: Stream>(
    server: &Server<B, C>,
    stream: &mut S,
    watchdog: &mut Watchdog<'_, C>,
) {
    let deadline = server.clock.now().saturating_add(server.config.send_timeout);
    let _ = poll_once(stream.finish());
    let _ = watchdog.guard(deadline, stream.flush()).await;
}

/// Answers what a peer asks until it has nothing more to ask, and tells whether it may go on later.
/// `None` if there is no memory for that.
fn attend<'c, B: BlockRead, C: Clock, S: Stream>(
    server: &'c Server<B, C>,
    stream: &'c mut S,
    watchdog: &'c mut Watchdog<'_, C>,
) -> Option<Pin<Box<impl Future<Output = bool>>>> {
    let exchange = server.try_begin()?;
    boxed(async move {
        let Exchange { mut inbox, outbox, count } = exchange;
        let mut connection = Connection { server, stream, outbox, watchdog };
        let end = connection.converse(&mut inbox).await;
        match end {
            End::Idle => {}
            End::Finish => connection.finish().await,
            End::Linger => connection.linger(&mut inbox).await,
            End::Abort => connection.stream.abort(),
        }
        server.end(Exchange { inbox, outbox: connection.outbox, count });
        matches!(end, End::Idle)
    })
}

/// A future in a box, unless there is no memory for it. With one thread, what was found free a
/// moment ago still is.
fn boxed<F: Future>(future: F) -> Option<Pin<Box<F>>> {
    Vec::<F>::new().try_reserve_exact(1).ok()?;
    Some(Box::pin(future))
}

/// Says that there is no room, as far as that can be done without waiting or memory.
fn turn_away<B: BlockRead, C: Clock, S: Stream>(server: &Server<B, C>, mut stream: S) {
    server.metrics().count_request(Status::Unavailable, Duration::ZERO);
    // What is left unread would make the end a reset, which could overtake the answer.
    let mut sink = [0; 512];
    for _ in 0..LINGER_BYTES_MAX / sink.len() {
        if !matches!(poll_once(stream.read(&mut sink)), Some(Ok(1..))) {
            break;
        }
    }
    let _ = poll_once(stream.write(REFUSAL.as_bytes()));
    let _ = poll_once(stream.finish());
}

/// The output of a future that need not wait.
fn poll_once<F: Future>(future: F) -> Option<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// Tells a connection that there is no room for it.
pub(crate) async fn refuse<B: BlockRead, C: Clock, S: Stream>(
    server: &Server<B, C>,
    mut stream: S,
) {
    let sleep = pin!(None);
    let mut watchdog = Watchdog::new(&server.clock, sleep);
    let (stream, watchdog) = (&mut stream, &mut watchdog);
    let mut connection = Connection { server, stream, outbox: Outbox::new(), watchdog };
    match connection.send(REFUSAL.as_bytes()).await {
        Ok(()) => connection.linger(&mut Inbox::new(0)).await,
        Err(Broken) => connection.stream.abort(),
    }
}

/// How a connection comes to its end.
enum End {
    /// Not yet: all is answered, and the peer may ask for more.
    Idle,
    /// The peer has closed.
    Finish,
    /// The server closes; the peer may still be sending.
    Linger,
    /// The peer is given up, and with it what was not sent yet.
    Abort,
}

/// The peer is gone, or takes nothing, or half a response cannot be completed.
struct Broken;

/// What waiting for a request came to.
enum Arrival {
    /// A head of this length is at the inbox's start.
    Head(usize),
    /// Something that is answered by closing.
    Unfit(Status, &'static str),
    /// The peer closed or never began.
    Nothing,
}

/// How much of a body came.
enum Drained {
    Whole,
    /// The peer closed before its end, and may still wait for the answer.
    Cut,
}

/// Why no bytes were received.
enum ReceiveError {
    Late,
    Broken,
    NoMemory,
}

struct Connection<'c, 's, B, C: Clock, S> {
    server: &'c Server<B, C>,
    stream: &'c mut S,
    outbox: Outbox,
    watchdog: &'c mut Watchdog<'s, C>,
}

impl<B: BlockRead, C: Clock, S: Stream> Connection<'_, '_, B, C, S> {
    /// Answers requests until there is none at hand. At the beginning, something can be read.
    async fn converse(&mut self, inbox: &mut Inbox) -> End {
        loop {
            let head_len = match self.await_head(inbox).await {
                Ok(Arrival::Head(len)) => len,
                Ok(Arrival::Unfit(status, detail)) => return self.reject(status, detail).await,
                Ok(Arrival::Nothing) => return End::Finish,
                Err(Broken) => return End::Abort,
            };
            let (head, more) = inbox.bytes().split_at(head_len);
            let answer = match self.exchange(head, !more.is_empty()).await {
                Ok(answer) => answer,
                Err(end) => return end,
            };
            inbox.consume(head_len);
            if answer.persistence == Persistence::Close {
                return End::Linger;
            }
            match self.drain(inbox, answer.body_bytes).await {
                Ok(Drained::Whole) => {}
                Ok(Drained::Cut) => return End::Finish,
                Err(Broken) => return End::Abort,
            }
            if inbox.is_empty() {
                return match self.flush().await {
                    Ok(()) => End::Idle,
                    Err(Broken) => End::Abort,
                };
            }
        }
    }

    /// Waits for a whole head, which has begun and has to end in time.
    async fn await_head(&mut self, inbox: &mut Inbox) -> Result<Arrival, Broken> {
        let limits = &self.server.config.head;
        let mut scan = HeadScan::default();
        let mut deadline = None;
        loop {
            inbox.skip_empty_lines();
            // A lone CR may become an empty line.
            if inbox.bytes() != b"\r" {
                match scan.advance(inbox.bytes(), limits) {
                    Ok(Some(len)) => return Ok(Arrival::Head(len)),
                    Ok(None) => {}
                    Err(error) => return Ok(Arrival::Unfit(status_of(error), error.reason())),
                }
            }
            self.flush().await?;
            let deadline =
                *deadline.get_or_insert_with(|| self.deadline(self.server.config.head_timeout));
            match self.receive(inbox, deadline).await {
                Ok(0) => return Ok(Arrival::Nothing),
                Ok(_) => {}
                Err(ReceiveError::Late) => {
                    self.server.metrics().count_timeout(Wait::Head);
                    return Ok(Arrival::Unfit(Status::RequestTimeout, ""));
                }
                Err(ReceiveError::Broken) => return Err(Broken),
                Err(ReceiveError::NoMemory) => return Ok(Arrival::Unfit(Status::Unavailable, "")),
            }
        }
    }

    /// Answers one request and records it.
    async fn exchange(&mut self, head: &[u8], has_more: bool) -> Result<Answer, End> {
        let begun_at = self.server.clock.now();
        let (method, target, answer) = match request::parse(head) {
            Ok(request) => (request.method_name, request.target, self.answer(&request)),
            Err(error) => return Err(self.reject(status_of(error), error.reason()).await),
        };
        let Ok(answer) = answer else {
            return Err(self.give_up().await);
        };
        let outcome = self.complete(&answer, has_more).await;
        let duration = self.server.clock.precise_now().saturating_sub(begun_at);
        let is_complete = outcome.is_ok();
        self.server.metrics().count_request(answer.status, duration);
        if !is_complete {
            self.server.metrics().aborted.add(1);
        }
        journal::Entry {
            peer: self.stream.peer(),
            method,
            target,
            answer: &answer,
            duration,
            is_complete,
        }
        .write();
        outcome.map(|()| answer).map_err(|Broken| End::Abort)
    }

    /// Appends the start of an answer to the outbox, or nothing.
    fn answer(&mut self, request: &request::Request<'_>) -> Result<Answer, NoMemory> {
        let mark = self.outbox.len();
        let answer = answer::answer(self.server, request, &mut self.outbox);
        if answer.is_err() {
            self.outbox.truncate(mark);
        }
        answer
    }

    /// Sends what is left of an answer. If more requests are at hand, a small one may wait.
    async fn complete(&mut self, answer: &Answer, has_more: bool) -> Result<(), Broken> {
        let mut rest = answer.rest;
        while rest.len > 0 {
            self.flush().await?;
            if let Err(error) = self.server.read_into(&mut rest, &mut self.outbox) {
                log::error!("{}: a response is cut short: {error}", self.stream.peer());
                return Err(Broken);
            }
        }
        let may_wait = has_more
            && answer.persistence != Persistence::Close
            && self.outbox.len() <= BATCH_BYTES;
        if may_wait { Ok(()) } else { self.flush().await }
    }

    /// Answers what is no request, after which nothing that follows can be trusted.
    async fn reject(&mut self, status: Status, detail: &'static str) -> End {
        let mark = self.outbox.len();
        let page = Page { status, detail };
        if self.write_rejection(&page).is_err() {
            self.outbox.truncate(mark);
            return self.give_up().await;
        }
        self.server.metrics().count_request(status, Duration::ZERO);
        journal::write_rejection(self.stream.peer(), &page);
        match self.flush().await {
            Ok(()) => End::Linger,
            Err(Broken) => End::Abort,
        }
    }

    fn write_rejection(&mut self, page: &Page) -> Result<(), NoMemory> {
        let (_, date) = self.server.date();
        let mut head = Head::begin(&mut self.outbox, page.status, &date, Persistence::Close)?;
        head.content(Page::CONTENT_TYPE, page.len())?;
        head.end()?;
        page.write(&mut self.outbox)
    }

    /// Says that the heap is full, which takes no heap.
    async fn give_up(&mut self) -> End {
        log::warn!("{}: no memory for a response", self.stream.peer());
        self.server.metrics().count_request(Status::Unavailable, Duration::ZERO);
        let earlier = self.flush().await;
        self.outbox.release();
        match earlier {
            Ok(()) if self.send(REFUSAL.as_bytes()).await.is_ok() => End::Linger,
            _ => End::Abort,
        }
    }

    /// Reads a request's body and throws it away.
    async fn drain(&mut self, inbox: &mut Inbox, body_bytes: u64) -> Result<Drained, Broken> {
        let deadline = self.deadline(self.server.config.head_timeout);
        let mut left = body_bytes;
        loop {
            let at_hand = left.min(inbox.bytes().len() as u64);
            inbox.consume(at_hand as usize);
            left -= at_hand;
            if left == 0 {
                return Ok(Drained::Whole);
            }
            self.flush().await?;
            match self.receive(inbox, deadline).await {
                Ok(0) => return Ok(Drained::Cut),
                Ok(_) => {}
                Err(ReceiveError::Late) => {
                    self.server.metrics().count_timeout(Wait::Body);
                    return Err(Broken);
                }
                Err(_) => return Err(Broken),
            }
        }
    }

    async fn finish(&mut self) {
        let deadline = self.deadline(self.server.config.linger_timeout);
        // A failure needs no handling: the connection is dropped next.
        let _ = self.watchdog.guard(deadline, self.stream.finish()).await;
    }

    /// Closes, then reads on for a while, as a reset could overtake the last response
    /// (RFC 9112, section 9.6).
    async fn linger(&mut self, inbox: &mut Inbox) {
        self.finish().await;
        self.outbox.release();
        let deadline = self.deadline(self.server.config.linger_timeout);
        let mut left = LINGER_BYTES_MAX;
        while left > 0 {
            inbox.clear();
            match self.receive(inbox, deadline).await {
                Ok(len) if len > 0 => left = left.saturating_sub(len),
                _ => return,
            }
        }
    }

    fn deadline(&self, timeout: Duration) -> Duration {
        self.server.clock.now().saturating_add(timeout)
    }

    /// Reads some bytes; zero at the end of the stream.
    async fn receive(
        &mut self,
        inbox: &mut Inbox,
        deadline: Duration,
    ) -> Result<usize, ReceiveError> {
        let room = inbox.room().map_err(|NoMemory| ReceiveError::NoMemory)?;
        match self.watchdog.guard(deadline, self.stream.read(room)).await {
            Ok(Ok(len)) => {
                inbox.filled(len);
                Ok(len)
            }
            Ok(Err(_)) => Err(ReceiveError::Broken),
            Err(Elapsed) => Err(ReceiveError::Late),
        }
    }

    /// Writes all that waits in the outbox.
    async fn flush(&mut self) -> Result<(), Broken> {
        if self.outbox.is_empty() {
            return Ok(());
        }
        let outbox = core::mem::replace(&mut self.outbox, Outbox::new());
        let outcome = self.send(outbox.bytes()).await;
        self.outbox = outbox;
        self.outbox.clear();
        outcome
    }

    /// Writes `bytes`. There is one deadline for all of them: a peer that takes a byte now and then
    /// must not hold the connection for as long as it likes.
    async fn send(&mut self, mut bytes: &[u8]) -> Result<(), Broken> {
        let transfer = Duration::from_secs(bytes.len() as u64 / SLOWEST_BYTES_PER_SECOND);
        let deadline = self.deadline(self.server.config.send_timeout.saturating_add(transfer));
        while !bytes.is_empty() {
            match self.watchdog.guard(deadline, self.stream.write(bytes)).await {
                Ok(Ok(len)) if (1..=bytes.len()).contains(&len) => {
                    self.server.metrics().sent_bytes.add(len as u64);
                    bytes = &bytes[len..];
                }
                Ok(_) => return Err(Broken),
                Err(Elapsed) => {
                    self.server.metrics().count_timeout(Wait::Send);
                    return Err(Broken);
                }
            }
        }
        Ok(())
    }
}

fn status_of(error: RequestError) -> Status {
    match error {
        RequestError::RequestLineTooLong => Status::UriTooLong,
        RequestError::HeadTooLong | RequestError::TooManyFields => Status::HeadTooLarge,
        RequestError::Version => Status::VersionNotSupported,
        RequestError::TransferCoding => Status::NotImplemented,
        _ => Status::BadRequest,
    }
}
