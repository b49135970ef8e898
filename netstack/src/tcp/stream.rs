//! What the owner does with a connection's two streams: queues bytes, reads what has come, and with
//! that grows the windows. It sends nothing.

use smoltcp::time::{Duration, Instant};

use super::buffer::{BLOCK_BYTES, Memory};
use super::tcb::{Due, Tcb, WINDOW_INITIAL};

/// Bytes that may wait to be sent however small the congestion window is.
const SEND_QUEUE_MIN: usize = 64 * 1024;
/// Memory that an empty buffer keeps is given back after this long.
const SHRINK_AFTER: Duration = Duration::from_secs(1);

impl Tcb {
    /// Bytes that wait to be read.
    pub(crate) const fn received(&self) -> usize {
        self.receive.len()
    }

    /// Bytes that the peer has not acknowledged.
    pub(crate) const fn queued(&self) -> usize {
        self.send.len()
    }

    /// Bytes that can be queued now: twice what may be in flight, so that the buffer grows with what
    /// the way takes.
    pub(crate) fn send_room(&self, memory: &Memory) -> usize {
        if !self.may_send() {
            return 0;
        }
        let wanted = match memory.is_tight() {
            true => BLOCK_BYTES,
            false => SEND_QUEUE_MIN.max(2 * self.congestion.window() as usize),
        };
        wanted.min(self.parameters.send_bytes_max as usize).saturating_sub(self.send.len())
    }

    /// Makes room in the send buffer for as much of `bytes` as may be queued and memory is there for.
    fn make_send_room(&mut self, memory: &mut Memory, bytes: usize) -> usize {
        let room = bytes.min(self.send_room(memory));
        if room == 0 {
            return 0;
        }
        let wanted = self.send.len() + room;
        if self.send.reserve(memory, wanted).is_err() {
            let _ = self.send.reserve(memory, BLOCK_BYTES);
        }
        room.min(self.send.capacity() - self.send.len())
    }

    /// Queues bytes, as many as there is room for.
    pub(crate) fn queue(&mut self, memory: &mut Memory, bytes: &[u8]) -> usize {
        let room = self.make_send_room(memory, bytes.len());
        self.send.write(&bytes[..room])
    }

    /// Lets `write` fill a part of the send buffer; it tells how much it wrote.
    pub(crate) fn queue_with<R>(
        &mut self,
        memory: &mut Memory,
        bytes_max: usize,
        write: impl FnOnce(&mut [u8]) -> (usize, R),
    ) -> R {
        let room = self.make_send_room(memory, bytes_max);
        let place = self.send.room(room);
        let place_bytes = place.len();
        let (written, result) = write(place);
        self.send.extend(written.min(place_bytes));
        if self.send.is_empty() {
            self.send.shrink(memory);
        }
        result
    }

    /// The owner is done with sending.
    pub(crate) fn finish(&mut self) {
        self.finishing = true;
    }

    /// Lets `read` look at what has come, up to where the buffer wraps; it tells how much it is done
    /// with.
    pub(crate) fn read_with<R>(
        &mut self,
        memory: &mut Memory,
        now: Instant,
        read: impl FnOnce(&[u8]) -> (usize, R),
    ) -> (usize, R) {
        let front = self.receive.front();
        let front_bytes = front.len();
        let (done, result) = read(front);
        let done = done.min(front_bytes);
        self.take(memory, now, done);
        (done, result)
    }

    /// Copies out what has come.
    pub(crate) fn read(&mut self, memory: &mut Memory, now: Instant, buffer: &mut [u8]) -> usize {
        let bytes = buffer.len().min(self.receive.len());
        let (first, second) = self.receive.slices(0, bytes);
        buffer[..first.len()].copy_from_slice(first);
        buffer[first.len()..bytes].copy_from_slice(second);
        self.take(memory, now, bytes);
        bytes
    }

    fn take(&mut self, memory: &mut Memory, now: Instant, bytes: usize) {
        if bytes == 0 {
            return;
        }
        self.receive.consume(memory, bytes, !self.early.is_empty());
        self.read_bytes = self.read_bytes.saturating_add(bytes as u32);
        self.grow_window(memory, now);
        if !self.may_receive() {
            self.receive.shrink(memory);
        } else if self.receive.is_empty() && self.receive.capacity() > BLOCK_BYTES {
            self.shrink_at.get_or_insert(now + SHRINK_AFTER);
        }
        if self.may_receive() && self.is_window_worth_telling() {
            self.ack = Due::Now;
        }
    }

    /// RFC 9293, 3.8.6.2.2; and while the peer still has the half of a window, there is no hurry.
    fn is_window_worth_telling(&self) -> bool {
        let told = self.edge.since(self.next_receive);
        let gain = (self.next_receive + self.window_now()).since(self.edge);
        gain >= (2 * self.mss).min(self.receive_window / 2) && gain >= told
    }

    /// An owner who reads more than half of the window in a round trip could use a larger one.
    fn grow_window(&mut self, memory: &Memory, now: Instant) {
        let period = self.round_trip.smoothed().unwrap_or(Duration::from_millis(1));
        let limit = self.parameters.receive_bytes_max;
        if memory.is_tight() {
            self.receive_window = self.receive_window.min(WINDOW_INITIAL);
        } else if self.read_bytes > self.receive_window / 2 {
            if now <= self.reading_since + period * 2 {
                self.receive_window = self.receive_window.saturating_mul(2).min(limit);
            }
        } else if now <= self.reading_since + period {
            return;
        }
        (self.read_bytes, self.reading_since) = (0, now);
    }
}
