//! One connection, from its first byte to its last: reading requests, having them carried out, and
//! sending the replies once they may be sent.
//!
//! Requests that came together are carried out together, and their replies go out in one piece. A
//! client that does not read its replies is not read from either, so that what a connection keeps is bounded: a
//! request that is not complete, and the replies of about [`REPLIES_BYTES`] and one command.

use alloc::rc::Rc;
use alloc::vec::Vec;
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;

use crate::blocked::Waiter;
use crate::client::{Client, Replies, Session};
use crate::frame::{Limits, Parser, Progress};
use crate::gate::Ticket;
use crate::inbox::Inbox;
use crate::reply::Reply;
use crate::server::Server;
use crate::world::{Clock, Disk, Stream};

/// With that much to send, sending comes first.
const REPLIES_BYTES: usize = 64 << 10;
/// Replies keep that much memory while there are none.
const REPLIES_KEPT_BYTES: usize = 512;

/// Why a connection ends.
enum End {
    /// The peer, or a command, ended it.
    Closed,
    /// It was killed, or the peer does not deserve more.
    Aborted,
}

/// What happens while a client waits.
enum Event {
    /// It has its reply.
    Reply(Vec<u8>),
    /// It said something.
    Input,
    /// There is a message for it.
    Mail,
}

/// A connection that is served.
pub(crate) struct Connection<'a, D: Disk, C: Clock, S> {
    server: &'a Server<D, C>,
    stream: S,
    session: Session,
    parser: Parser,
    inbox: Inbox,
    reply: Reply,
    ticket: Ticket,
}

impl<'a, D: Disk, C: Clock, S: Stream> Connection<'a, D, C, S> {
    pub(crate) fn new(server: &'a Server<D, C>, stream: S, session: Session) -> Self {
        let reply = server.reply();
        let (parser, inbox) = (Parser::default(), Inbox::default());
        Self { server, stream, session, parser, inbox, reply, ticket: Ticket::default() }
    }

    /// Serves it to its end.
    pub(crate) async fn run(&mut self) {
        let end = loop {
            if let Err(end) = self.turn().await {
                break end;
            }
        };
        match end {
            End::Aborted => self.stream.abort(),
            // Once the server is gone nothing is sent any more.
            End::Closed if self.server.is_ending() => {
                let _ = self.stream.flush().await;
            }
            End::Closed => {}
        }
    }

    /// Gives back the memory that it shares with others.
    pub(crate) fn clear(&mut self) {
        self.inbox.clear(&self.server.buffers);
        self.server.hold_reply(self.client(), 0);
    }

    pub(crate) fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    async fn turn(&mut self) -> Result<(), End> {
        let has_more = self.carry_out();
        take_mail(&self.session, &mut self.reply);
        self.settle()?;
        self.send().await?;
        if let Some(waiter) = self.session.waiter.take() {
            self.wait(&waiter).await?;
            return self.send().await;
        }
        if self.session.is_closing {
            return Err(End::Closed);
        }
        if has_more {
            return Ok(());
        }
        self.read().await
    }

    fn client(&self) -> &Rc<Client> {
        &self.session.client
    }

    /// Carries out the requests that are there. Whether it stopped before the last.
    fn carry_out(&mut self) -> bool {
        if self.inbox.is_empty() {
            return false;
        }
        let mut store = self.server.begin(self.client());
        loop {
            if self.session.waiter.is_some() || self.session.is_closing {
                return false;
            }
            if self.reply.len() >= REPLIES_BYTES {
                return true;
            }
            let limits = if self.session.is_authenticated {
                let bulk_bytes_max = store.config.bulk_max_bytes;
                Limits { bulk_bytes_max, arguments_max: Limits::ARGUMENTS_MAX }
            } else {
                Limits::UNAUTHENTICATED
            };
            match self.parser.parse(self.inbox.bytes(), limits) {
                Ok(Progress::Complete { bytes }) => {
                    let request = self.parser.request(self.inbox.bytes());
                    if !request.is_empty() {
                        // What came before the request goes out before its reply.
                        take_mail(&self.session, &mut self.reply);
                        let start = self.reply.len();
                        self.server.execute(
                            &mut store,
                            &mut self.session,
                            &mut self.reply,
                            request,
                        );
                        // What waits has no reply yet.
                        if self.session.waiter.is_none() {
                            hush(&mut self.session, &mut self.reply, start);
                        }
                    }
                    self.inbox.consume(bytes);
                }
                Ok(Progress::Incomplete { bytes }) => {
                    self.inbox.need(bytes);
                    return false;
                }
                Err(error) => {
                    self.reply.error(format_args!("ERR {error}"));
                    self.session.is_closing = true;
                    return false;
                }
            }
        }
    }

    /// Keeps little of what came, before others run. Who sent too much gets no more than what it had.
    fn settle(&mut self) -> Result<(), End> {
        // Nothing needs no limit, and most requests leave nothing.
        let limit_bytes = if self.inbox.is_empty() { usize::MAX } else { self.server.inputs() };
        let spans_bytes = self.parser.spans_bytes();
        if self.inbox.settle(&self.server.buffers, spans_bytes, limit_bytes).is_some() {
            return Ok(());
        }
        self.refuse_input();
        // Its reply would come before that of what it waits for.
        if self.session.waiter.is_some() { Err(End::Aborted) } else { Ok(()) }
    }

    fn refuse_input(&mut self) {
        self.inbox.clear(&self.server.buffers);
        self.parser = Parser::default();
        self.reply.error("OOM no memory for what clients send");
        self.session.is_closing = true;
    }

    /// Sends what there is, when it may be known.
    async fn send(&mut self) -> Result<(), End> {
        if self.reply.is_empty() {
            return Ok(());
        }
        self.server.hold_reply(self.client(), self.reply.memory_bytes());
        if self.client().is_killed() {
            return Err(End::Aborted);
        }
        if self.server.must_commit() {
            let has_written = self.session.has_written;
            // Who only reads is answered all the same: reading goes on while a device fails.
            if let (Err(error), true) = (self.server.committed(&self.ticket).await, has_written) {
                // What was done is not on the disk, so none of its replies is true.
                self.reply.truncate(0);
                self.reply.error(format_args!("MISCONF Errors writing to the AOF file: {error}"));
                self.session.is_closing = true;
            }
        }
        self.session.has_written = false;
        let client = Rc::clone(self.client());
        let bytes = self.reply.take_bytes();
        self.server.count_output(bytes.len());
        client.buffers_bytes.set((self.inbox.len(), bytes.len()));
        let sent = {
            let mut writing = pin!(self.stream.write_all(&bytes));
            poll_fn(|context| {
                if let Poll::Ready(result) = writing.as_mut().poll(context) {
                    return Poll::Ready(result.map_err(|_| End::Aborted));
                }
                client.register(context.waker());
                if client.is_killed() { Poll::Ready(Err(End::Aborted)) } else { Poll::Pending }
            })
            .await
        };
        client.buffers_bytes.set((self.inbox.len(), 0));
        self.reply.recycle(bytes, REPLIES_KEPT_BYTES);
        self.server.hold_reply(&client, 0);
        sent
    }

    /// Waits for requests, for messages, or for the end.
    async fn read(&mut self) -> Result<(), End> {
        let client = Rc::clone(self.client());
        client.buffers_bytes.set((self.inbox.len(), 0));
        let (stream, server) = (&mut self.stream, self.server);
        let is_readable = poll_fn(|context| {
            if client.is_killed() {
                return Poll::Ready(Err(End::Aborted));
            }
            if !client.mailbox.borrow().is_empty() {
                return Poll::Ready(Ok(false));
            }
            let ready = stream.poll_readable(context);
            if ready.is_pending() {
                if server.is_ending() {
                    return Poll::Ready(Err(End::Closed));
                }
                client.register(context.waker());
            }
            ready.map(|result| result.map(|()| true).map_err(|_| End::Aborted))
        })
        .await?;
        if is_readable { self.fill().await } else { Ok(()) }
    }

    /// Reads what is there.
    async fn fill(&mut self) -> Result<(), End> {
        let Some(space) = self.inbox.space(&self.server.buffers, self.server.inputs()) else {
            self.refuse_input();
            return Ok(());
        };
        let len = self.stream.read(space).await.map_err(|_| End::Aborted)?;
        if len == 0 {
            return Err(End::Closed);
        }
        self.inbox.filled(len);
        self.server.count_input(len);
        Ok(())
    }

    /// Waits until a command has what it waits for, its time is over, or the peer is gone.
    async fn wait(&mut self, waiter: &Rc<Waiter>) -> Result<(), End> {
        let result = self.wait_for(waiter).await;
        self.server.forget(waiter);
        self.client().is_blocked.set(false);
        // What it got may have been taken away from where it was.
        self.session.has_written = true;
        let (reply, start) = (result?, self.reply.len());
        self.reply.raw_owned(reply);
        if self.reply.is_incomplete() {
            // What it should get is taken already.
            return Err(End::Aborted);
        }
        hush(&mut self.session, &mut self.reply, start);
        Ok(())
    }

    async fn wait_for(&mut self, waiter: &Rc<Waiter>) -> Result<Vec<u8>, End> {
        let client = Rc::clone(self.client());
        let sleep = waiter.timeout.map(|timeout| self.server.clock.sleep(timeout));
        let mut sleep = pin!(sleep);
        loop {
            // What comes meanwhile is for later; a peer that is gone must not get what others wait for.
            let reads = !self.inbox.is_long();
            let (stream, server) = (&mut self.stream, self.server);
            let event = poll_fn(|context| {
                if client.is_killed() {
                    return Poll::Ready(Err(End::Aborted));
                }
                if let Poll::Ready(reply) = waiter.poll(context) {
                    return Poll::Ready(Ok(Event::Reply(reply)));
                }
                if server.is_ending() {
                    return Poll::Ready(Err(End::Closed));
                }
                if let Some(sleep) = sleep.as_mut().as_pin_mut()
                    && sleep.poll(context).is_ready()
                {
                    return Poll::Ready(Ok(Event::Reply(waiter.reply_of_timeout())));
                }
                if !client.mailbox.borrow().is_empty() {
                    return Poll::Ready(Ok(Event::Mail));
                }
                client.register(context.waker());
                match stream.poll_readable(context) {
                    Poll::Ready(Ok(())) if reads => Poll::Ready(Ok(Event::Input)),
                    Poll::Ready(Err(_)) => Poll::Ready(Err(End::Aborted)),
                    _ => Poll::Pending,
                }
            })
            .await?;
            match event {
                Event::Reply(reply) => return Ok(reply),
                Event::Input => {
                    self.fill().await?;
                    self.settle()?;
                    if self.session.is_closing {
                        return Err(End::Aborted);
                    }
                }
                Event::Mail => {
                    take_mail(&self.session, &mut self.reply);
                    self.send().await?;
                }
            }
        }
    }
}

/// Messages that answer no command go out behind the replies that there are.
fn take_mail(session: &Session, reply: &mut Reply) {
    if session.client.mailbox.borrow().is_empty() {
        return;
    }
    reply.raw_owned(session.client.mailbox.take());
    if reply.is_incomplete() {
        session.client.kill();
    }
}

/// Takes a reply back that the client does not want.
fn hush(session: &mut Session, reply: &mut Reply, start: usize) {
    let is_message = matches!(reply.as_bytes().get(start), Some(b'*' | b'>'))
        && session.client.command.get().ends_with("subscribe");
    let start = if is_message { reply.len() } else { start };
    match session.replies {
        Replies::On => {}
        Replies::Off => reply.truncate(start),
        Replies::SkipNext => {
            reply.truncate(start);
            session.replies = Replies::Skip;
        }
        Replies::Skip => {
            reply.truncate(start);
            session.replies = Replies::On;
        }
    }
}
