//! One TCP connection that passes through the gateway: a host socket on one side, a connection of
//! the stack on the other. Bytes go straight from the stack's buffer into the host's and back; there
//! is no buffer between. When one side's is full the other side is not read, so its peer's window
//! closes. The end of each direction, and a reset of either side, are passed on as they are.

use std::net::TcpStream;

use netstack::{CloseReason, ConnectionId, ConnectionState, Received, Stack};

use crate::host::{self, Moved};
use crate::poller::Readiness;

/// Bytes that a splice may move, in each direction, before the next one has its turn.
const TURN_BYTES: usize = 256 * 1024;

/// How far a splice is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// A client of a published port waits for a guest that is not ready yet.
    Held,
    /// The guest wants a connection, and the host side is being opened.
    Connecting,
    /// The host side stands; the guest's handshake is under way.
    Opening,
    /// Both sides stand.
    Open,
}

/// What follows from a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Nothing, until an event.
    Wait,
    /// There is more to do.
    Again,
    /// The host side stands now: the guest's offer can be accepted.
    Connected,
    /// The guest refused a connection from outside.
    Refused,
    Over(Ending),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Both sides have finished, and everything is passed on.
    Finished,
    /// The guest's side is gone: the host's is to be reset.
    GuestGone,
    /// The host's side is gone: the guest's is to be reset.
    HostGone,
}

/// A client of a published port.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client {
    /// The number of the published port, and where it leads.
    pub(crate) listener: usize,
    pub(crate) guest_port: u16,
    /// How often the guest has refused it.
    pub(crate) refusals: u32,
    /// The guest has not let it in yet.
    pub(crate) at_the_door: bool,
}

pub(crate) struct Splice {
    pub(crate) host: TcpStream,
    /// The stack's side, but for a splice that is held.
    pub(crate) connection: Option<ConnectionId>,
    pub(crate) stage: Stage,
    /// For a connection from outside.
    pub(crate) client: Option<Client>,
    /// It waits for its turn.
    pub(crate) queued: bool,
    readable: bool,
    writable: bool,
    /// The host's side has announced its end, so that a short read does not mean an empty socket.
    end_announced: bool,
    failed: bool,
    host_finished: bool,
    guest_finished: bool,
}

impl Splice {
    /// A client of a published port.
    pub(crate) fn inward(host: TcpStream, client: Client) -> Self {
        Self {
            // Most clients speak first.
            readable: true,
            writable: true,
            client: Some(client),
            ..Self::new(host, Stage::Held)
        }
    }

    /// A connection of the guest to the host's network.
    pub(crate) fn outward(host: TcpStream, offer: ConnectionId) -> Self {
        Self { connection: Some(offer), ..Self::new(host, Stage::Connecting) }
    }

    fn new(host: TcpStream, stage: Stage) -> Self {
        Self {
            host,
            connection: None,
            stage,
            client: None,
            queued: false,
            readable: false,
            writable: false,
            end_announced: false,
            failed: false,
            host_finished: false,
            guest_finished: false,
        }
    }

    /// Keeps in mind what the host side can do.
    pub(crate) fn note(&mut self, readiness: Readiness) {
        // A failed socket tells why by the next read or write.
        self.readable |= readiness.readable || readiness.failed;
        self.writable |= readiness.writable || readiness.failed;
        self.end_announced |= readiness.peer_finished;
        self.failed |= readiness.failed;
    }

    /// Does what can be done now.
    pub(crate) fn advance(&mut self, stack: &mut Stack) -> Turn {
        let Some(connection) = self.connection else {
            return match self.failed {
                true => Turn::Over(Ending::HostGone),
                false => Turn::Wait,
            };
        };
        match self.stage {
            Stage::Held | Stage::Connecting => self.check_connect(stack, connection),
            Stage::Opening => self.check_handshake(stack, connection),
            Stage::Open => self.pump(stack, connection),
        }
    }

    /// Whether the guest has sent the end of its data, and it is passed on.
    pub(crate) fn is_guest_finished(&self) -> bool {
        self.guest_finished
    }

    /// Whether data of the guest waits for the host's side.
    pub(crate) fn holds_data(&self, stack: &Stack) -> bool {
        self.stage == Stage::Open && self.connection.is_some_and(|id| stack.recv_queued(id) > 0)
    }

    fn check_connect(&mut self, stack: &Stack, connection: ConnectionId) -> Turn {
        if matches!(stack.state(connection), ConnectionState::Closed(_)) {
            return Turn::Over(Ending::GuestGone);
        }
        if !self.writable && !self.failed {
            return Turn::Wait;
        }
        match host::pending_error(&self.host) {
            Some(_) => Turn::Over(Ending::HostGone),
            None => {
                self.stage = Stage::Opening;
                Turn::Connected
            }
        }
    }

    fn check_handshake(&mut self, stack: &mut Stack, connection: ConnectionId) -> Turn {
        if self.failed {
            return Turn::Over(Ending::HostGone);
        }
        match stack.state(connection) {
            ConnectionState::Offered | ConnectionState::Opening => Turn::Wait,
            ConnectionState::Closed(CloseReason::Refused) if self.client.is_some() => Turn::Refused,
            ConnectionState::Closed(_) => Turn::Over(Ending::GuestGone),
            _ => {
                self.stage = Stage::Open;
                let patience = stack.limits().peer_timeout;
                stack.set_timeout(connection, Some(patience));
                self.pump(stack, connection)
            }
        }
    }

    fn pump(&mut self, stack: &mut Stack, connection: ConnectionId) -> Turn {
        let to_host = self.pump_to_host(stack, connection);
        let to_guest = self.pump_to_guest(stack, connection);
        if let Some(ending) = to_host.err().or(to_guest.err()) {
            return Turn::Over(ending);
        }
        if self.guest_finished && self.host_finished {
            return Turn::Over(Ending::Finished);
        }
        // After the end of the guest's data nothing is read that would tell of its reset.
        if self.guest_finished && is_broken(stack, connection) {
            return Turn::Over(Ending::GuestGone);
        }
        if self.has_failed_unseen(stack, connection) {
            return Turn::Over(Ending::HostGone);
        }
        match to_host == Ok(Turn::Again) || to_guest == Ok(Turn::Again) {
            true => Turn::Again,
            false => Turn::Wait,
        }
    }

    /// Whether the host's side is reset, and no read can tell: there are none after its end, or while
    /// the guest takes nothing.
    fn has_failed_unseen(&self, stack: &Stack, connection: ConnectionId) -> bool {
        let is_pending =
            || !is_roomy(stack, connection) && host::pending_error(&self.host).is_some();
        self.failed && (self.host_finished || is_pending())
    }

    fn pump_to_host(
        &mut self,
        stack: &mut Stack,
        connection: ConnectionId,
    ) -> Result<Turn, Ending> {
        let mut left = TURN_BYTES;
        while !self.guest_finished {
            if stack.recv_queued(connection) == 0 {
                match stack.recv(connection, &mut []) {
                    Ok(Received::Finished) => self.pass_guest_end()?,
                    Ok(_) => break,
                    Err(_) => return Err(Ending::GuestGone),
                }
                continue;
            }
            if !self.writable {
                // What a reset connection still holds is not waited for.
                return match is_broken(stack, connection) {
                    true => Err(Ending::GuestGone),
                    false => Ok(Turn::Wait),
                };
            }
            if left == 0 {
                return Ok(Turn::Again);
            }
            left -= self.write_to_host(stack, connection, left)?;
        }
        Ok(Turn::Wait)
    }

    fn pass_guest_end(&mut self) -> Result<(), Ending> {
        self.guest_finished = true;
        self.host.shutdown(std::net::Shutdown::Write).map_err(|_| Ending::HostGone)
    }

    fn write_to_host(
        &mut self,
        stack: &mut Stack,
        connection: ConnectionId,
        limit: usize,
    ) -> Result<usize, Ending> {
        let host = &self.host;
        let (moved, offered) = stack
            .recv_with(connection, |data| {
                let data = &data[..data.len().min(limit)];
                let moved = host::write(host, data);
                (bytes_of(moved), (moved, data.len()))
            })
            .map_err(|_| Ending::GuestGone)?;
        match moved {
            Moved::Bytes(bytes) => {
                // The kernel takes a part only when it has no room for more.
                self.writable = bytes == offered;
                Ok(bytes)
            }
            Moved::NotNow => {
                self.writable = false;
                Ok(0)
            }
            Moved::Failed(_) => Err(Ending::HostGone),
        }
    }

    fn pump_to_guest(
        &mut self,
        stack: &mut Stack,
        connection: ConnectionId,
    ) -> Result<Turn, Ending> {
        let mut left = TURN_BYTES;
        while self.readable && !self.host_finished && is_roomy(stack, connection) {
            if left == 0 {
                return Ok(Turn::Again);
            }
            left -= self.read_from_host(stack, connection, left)?;
        }
        Ok(Turn::Wait)
    }

    fn read_from_host(
        &mut self,
        stack: &mut Stack,
        connection: ConnectionId,
        limit: usize,
    ) -> Result<usize, Ending> {
        let host = &self.host;
        let (moved, offered) = stack
            .send_with(connection, |room| {
                let len = room.len().min(limit);
                let moved = host::read(host, &mut room[..len]);
                (bytes_of(moved), (moved, len))
            })
            .map_err(|_| Ending::GuestGone)?;
        match moved {
            Moved::Bytes(0) => {
                self.host_finished = true;
                stack.finish(connection);
                Ok(0)
            }
            Moved::Bytes(bytes) => {
                // Less than asked for is all there was, unless the end has come since.
                self.readable = bytes == offered || self.end_announced || self.failed;
                Ok(bytes)
            }
            Moved::NotNow => {
                self.readable = false;
                Ok(0)
            }
            Moved::Failed(_) => Err(Ending::HostGone),
        }
    }
}

/// Whether the guest's side is over before its time.
fn is_broken(stack: &Stack, connection: ConnectionId) -> bool {
    matches!(stack.state(connection), ConnectionState::Closed(reason)
        if reason != CloseReason::Finished)
}

/// Whether a read from the host is worth a system call: not for the few bytes that one
/// acknowledgement of the guest makes free, unless nothing else is on its way.
fn is_roomy(stack: &Stack, connection: ConnectionId) -> bool {
    let room = stack.send_room(connection);
    room > 0 && (room >= stack.limits().send_buffer_bytes / 4 || stack.send_queued(connection) == 0)
}

fn bytes_of(moved: Moved) -> usize {
    match moved {
        Moved::Bytes(bytes) => bytes,
        Moved::NotNow | Moved::Failed(_) => 0,
    }
}
