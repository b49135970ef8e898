//! The loop of one connection: bytes in, bytes out, and every wait with an end.
//!
//! Responses gather in the outbox while further requests are at hand and are written together;
//! before the connection waits for the peer, everything is written. A response that can no longer
//! be completed ends the connection.

use core::future::Future;
use core::net::SocketAddr;
use core::pin::pin;
use core::task::{Context, Poll};
use core::time::Duration;

use crate::answer::{self, Answer};
use crate::inbox::Inbox;
use crate::journal;
use crate::metrics::Wait;
use crate::outbox::{NoMemory, Outbox};
use crate::request::{self, HeadScan, RequestError};
use crate::response::{Head, Page, Persistence, REFUSAL, Status};
use crate::server::{Permit, Server};
use crate::timeout::{Elapsed, Watchdog};
use crate::world::{BlockRead, Clock, Stream};

/// Unread bytes of the peer that are taken in after the server has closed.
const LINGER_BYTES_MAX: usize = 256 * 1024;

/// Responses to pipelined requests are written together up to this size.
const BATCH_BYTES: usize = 4 * 1024;

/// Time to send is given as if every peer took at least so much.
const SLOWEST_BYTES_PER_SECOND: u64 = 1024;

/// Serves a connection until it ends. All that it holds while it is idle is in the future, once: what
/// an `async fn` takes lies there twice when it is moved.
pub(crate) fn serve<B: BlockRead, C: Clock, S: Stream>(
    server: &Server<B, C>,
    permit: Permit,
    stream: S,
    peer: SocketAddr,
) -> impl Future<Output = ()> {
    let mut inbox = Inbox::new(server.config.head.head_bytes_max + 2);
    let mut connection = Connection::new(server, stream, peer);
    async move {
        match connection.converse(&mut inbox).await {
            End::Finish => connection.stream.finish(),
            End::Linger => connection.linger(&mut inbox).await,
            End::Abort => connection.stream.abort(),
        }
        // Admits another one only now.
        drop(permit);
    }
}

/// Tells a connection that there is no room for it.
pub(crate) async fn refuse<B: BlockRead, C: Clock, S: Stream>(server: &Server<B, C>, stream: S) {
    let peer = SocketAddr::from(([0; 4], 0));
    let mut connection = Connection::new(server, stream, peer);
    match connection.send(REFUSAL.as_bytes()).await {
        Ok(()) => connection.linger(&mut Inbox::new(0)).await,
        Err(Broken) => connection.stream.abort(),
    }
}

/// How a connection comes to its end.
enum End {
    /// The peer has closed or been silent for too long.
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

struct Connection<'s, B, C: Clock, S> {
    server: &'s Server<B, C>,
    stream: S,
    peer: SocketAddr,
    outbox: Outbox,
    watchdog: Watchdog<'s, C>,
}

impl<'s, B: BlockRead, C: Clock, S: Stream> Connection<'s, B, C, S> {
    fn new(server: &'s Server<B, C>, stream: S, peer: SocketAddr) -> Self {
        let watchdog = Watchdog::new(&server.clock);
        Connection { server, stream, peer, outbox: Outbox::new(), watchdog }
    }

    async fn converse(&mut self, inbox: &mut Inbox) -> End {
        // A fresh connection is here to send a request, so it is not given the idle time.
        let mut patience = self.server.config.head_timeout;
        loop {
            let head_len = match self.await_head(inbox, patience).await {
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
            patience = self.server.config.idle_timeout;
        }
    }

    /// Waits for a whole head. It has to begin within `patience`, and then to end in time.
    async fn await_head(
        &mut self,
        inbox: &mut Inbox,
        patience: Duration,
    ) -> Result<Arrival, Broken> {
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
            if inbox.is_empty() {
                self.outbox.release();
            } else if deadline.is_none() {
                deadline = Some(self.deadline(self.server.config.head_timeout));
            }
            let outcome = match deadline {
                Some(deadline) => self.receive(inbox, deadline).await,
                None => self.receive_first(inbox, patience).await,
            };
            match outcome {
                Ok(0) => return Ok(Arrival::Nothing),
                // Also for an empty line, after which the inbox may be empty again.
                Ok(_) if deadline.is_none() => {
                    deadline = Some(self.deadline(self.server.config.head_timeout));
                }
                Ok(_) => {}
                Err(ReceiveError::Late) => return Ok(self.late(deadline.is_some())),
                Err(ReceiveError::Broken) => return Err(Broken),
                Err(ReceiveError::NoMemory) => return Ok(Arrival::Unfit(Status::Unavailable, "")),
            }
        }
    }

    /// Reads the first bytes of a request. Silence is borne for less long when there are many
    /// connections, also if they came later than this one.
    async fn receive_first(
        &mut self,
        inbox: &mut Inbox,
        patience: Duration,
    ) -> Result<usize, ReceiveError> {
        let end = self.deadline(patience);
        loop {
            let until = end.min(self.deadline(self.server.config.crowded_idle_timeout));
            match self.receive(inbox, until).await {
                Err(ReceiveError::Late) if until < end && !self.server.is_crowded() => {}
                outcome => return outcome,
            }
        }
    }

    /// Silence before a request is the peer's right; silence within one is answered.
    fn late(&self, has_begun: bool) -> Arrival {
        let metrics = self.server.metrics();
        if has_begun {
            metrics.count_timeout(Wait::Head);
            return Arrival::Unfit(Status::RequestTimeout, "");
        }
        metrics.count_timeout(Wait::Idle);
        Arrival::Nothing
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
        journal::Entry { peer: self.peer, method, target, answer: &answer, duration, is_complete }
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
                log::error!("{}: a response is cut short: {error}", self.peer);
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
        journal::write_rejection(self.peer, &page);
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
        log::warn!("{}: no memory for a response", self.peer);
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

    /// Closes, then reads on for a while, as a reset could overtake the last response
    /// (RFC 9112, section 9.6).
    async fn linger(&mut self, inbox: &mut Inbox) {
        self.stream.finish();
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
        let Self { stream, watchdog, .. } = self;
        let read = |context: &mut Context<'_>| {
            let Ok(room) = inbox.room() else {
                return Poll::Ready(Err(ReceiveError::NoMemory));
            };
            let outcome = pin!(stream.read(room)).poll(context);
            match outcome {
                Poll::Ready(Ok(len)) => inbox.filled(len),
                Poll::Ready(Err(_)) => {}
                Poll::Pending => inbox.release_if_empty(),
            }
            outcome.map_err(|_| ReceiveError::Broken)
        };
        watchdog.guard(deadline, read).await.unwrap_or(Err(ReceiveError::Late))
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
            let Self { stream, watchdog, .. } = self;
            let write = |context: &mut Context<'_>| pin!(stream.write(bytes)).poll(context);
            match watchdog.guard(deadline, write).await {
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
