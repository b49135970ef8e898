//! Questions of the guest to the resolver at the gateway's DNS address, passed on to the host's own
//! resolvers. Each question goes out from a socket of its own under an id of the gateway's, so that
//! an outsider has both to guess. A resolver that is silent or refuses is followed by the next; when
//! all have failed the guest is told so. Nothing is cached or understood beyond the header.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::{SocketAddr, SocketAddrV4, UdpSocket};

use netstack::{Duration, Instant};

use crate::address::{DNS, DNS_PORT};
use crate::counters::Counters;
use crate::frame::{self, DATAGRAM_HEADERS_BYTES, ETHERNET_HEADER_BYTES, Sender};
use crate::host::{self, Moved};
use crate::poller::{Poller, Source};
use crate::slab::{Key, Slab};

pub(crate) const QUESTIONS_MAX: usize = 64;
/// A resolver has this long before the next one is asked.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often each resolver is asked.
const ROUNDS: usize = 2;
const HEADER_BYTES: usize = 12;
/// More than any resolver sends in a datagram; what the wire does not take is asked for again by TCP.
const ANSWER_BYTES_MAX: usize = 4096;

/// Datagrams that are no answer, until the question is put to the next resolver.
const READS_MAX: usize = 16;

/// Bits of the header's flags (RFC 1035, 4.1.1).
const RESPONSE: u16 = 1 << 15;
const TRUNCATED: u16 = 1 << 9;
const RECURSION_AVAILABLE: u16 = 1 << 7;
const SERVER_FAILURE: u16 = 2;
/// The kind of question, and whether recursion is wanted: an answer repeats both.
const REPEATED: u16 = 0b1111 << 11 | 1 << 8;

struct Question {
    sender: Sender,
    guest_id: u16,
    /// As it is sent to resolvers, under the gateway's id.
    message: Vec<u8>,
    socket: UdpSocket,
    /// How many resolvers were asked so far.
    tries: usize,
    give_up_at: Instant,
}

/// Passes questions on and brings answers back.
pub(crate) struct Forwarder {
    resolvers: Vec<SocketAddr>,
    /// The resolver that answered last is asked first.
    preferred: usize,
    questions: Slab<Question>,
    ids: RandomState,
    ids_drawn: u64,
    answer_bytes_max: usize,
}

impl Forwarder {
    pub(crate) fn new(resolvers: Vec<SocketAddr>, mtu: u16) -> Self {
        Self {
            resolvers,
            preferred: 0,
            questions: Slab::new(QUESTIONS_MAX),
            ids: RandomState::new(),
            ids_drawn: 0,
            answer_bytes_max: usize::from(mtu) + ETHERNET_HEADER_BYTES - DATAGRAM_HEADERS_BYTES,
        }
    }

    /// The resolver that is asked first.
    pub(crate) fn preferred(&self) -> Option<SocketAddr> {
        self.resolvers.get(self.preferred).copied()
    }

    /// Takes a question of the guest. Gives the frame with the answer if it is a failure at once.
    pub(crate) fn ask(
        &mut self,
        now: Instant,
        poller: &Poller,
        sender: Sender,
        query: &[u8],
        counters: &mut Counters,
    ) -> Option<Vec<u8>> {
        if !is_question(query) {
            return None;
        }
        counters.dns_questions += 1;
        if self.open(now, poller, sender, query).is_none() {
            counters.dns_failures += 1;
            return Some(to_guest(sender, &without_data(query, SERVER_FAILURE)));
        }
        None
    }

    fn open(&mut self, now: Instant, poller: &Poller, sender: Sender, query: &[u8]) -> Option<Key> {
        if self.questions.is_full() {
            return None;
        }
        let guest_id = id_of(query)?;
        let mut message = query.to_vec();
        set_id(&mut message, self.draw_id());
        let (socket, tries) = self.send_to_next(&message, 0)?;
        let question =
            Question { sender, guest_id, message, socket, tries, give_up_at: now + PATIENCE };
        let key = self.questions.insert(question).ok()?;
        self.watch(poller, key)
    }

    fn watch(&mut self, poller: &Poller, key: Key) -> Option<Key> {
        let socket = &self.questions.get_mut(key)?.socket;
        if poller.watch_input(socket, Source::Dns(key)).is_err() {
            self.questions.remove(key);
            return None;
        }
        Some(key)
    }

    /// Sends to the first resolver that takes it, and tells how many were tried then.
    fn send_to_next(&self, message: &[u8], mut tries: usize) -> Option<(UdpSocket, usize)> {
        while tries < ROUNDS * self.resolvers.len() {
            let resolver = self.resolvers[(self.preferred + tries) % self.resolvers.len()];
            tries += 1;
            if let Ok(socket) = host::connect_datagram(resolver)
                && matches!(host::write(&socket, message), Moved::Bytes(_))
            {
                return Some((socket, tries));
            }
        }
        None
    }

    fn draw_id(&mut self) -> u16 {
        self.ids_drawn += 1;
        self.ids.hash_one(self.ids_drawn) as u16
    }

    /// Something has come for a question.
    pub(crate) fn note(
        &mut self,
        now: Instant,
        poller: &Poller,
        key: Key,
        counters: &mut Counters,
    ) -> Option<Vec<u8>> {
        let mut buffer = [0; ANSWER_BYTES_MAX];
        for _ in 0..READS_MAX {
            let question = self.questions.get_mut(key)?;
            let Moved::Bytes(bytes) = (match host::read_datagram(&question.socket, &mut buffer) {
                Moved::NotNow => return None,
                moved => moved,
            }) else {
                // The resolver's host refuses.
                break;
            };
            let answer = &mut buffer[..bytes.min(ANSWER_BYTES_MAX)];
            if is_answer(answer, &question.message) {
                let fits = bytes <= self.answer_bytes_max.min(ANSWER_BYTES_MAX);
                return self.deliver(key, answer, fits);
            }
        }
        self.ask_next(now, poller, key, counters)
    }

    fn deliver(&mut self, key: Key, answer: &mut [u8], fits: bool) -> Option<Vec<u8>> {
        let mut question = self.questions.remove(key)?;
        self.preferred = (self.preferred + question.tries - 1) % self.resolvers.len();
        if fits {
            set_id(answer, question.guest_id);
            return Some(to_guest(question.sender, answer));
        }
        set_id(&mut question.message, question.guest_id);
        Some(to_guest(question.sender, &without_data(&question.message, TRUNCATED)))
    }

    fn ask_next(
        &mut self,
        now: Instant,
        poller: &Poller,
        key: Key,
        counters: &mut Counters,
    ) -> Option<Vec<u8>> {
        // Its socket is closed with it: a late answer finds nobody.
        let mut question = self.questions.remove(key)?;
        if let Some((socket, tries)) = self.send_to_next(&question.message, question.tries) {
            let again = Question { socket, tries, give_up_at: now + PATIENCE, ..question };
            let key = self.questions.insert(again).ok()?;
            self.watch(poller, key);
            return None;
        }
        counters.dns_failures += 1;
        set_id(&mut question.message, question.guest_id);
        Some(to_guest(question.sender, &without_data(&question.message, SERVER_FAILURE)))
    }

    /// Checks for the fuzzer that no more questions are open than may be.
    ///
    /// # Panics
    /// If more are.
    pub(crate) fn check(&self) {
        assert!(self.questions.len() <= QUESTIONS_MAX);
    }

    /// When the next question's patience ends.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.questions.iter().map(|(_, question)| question.give_up_at).min()
    }

    /// Asks the next resolver where one was silent. Gives what there is to say to the guest.
    pub(crate) fn sweep(
        &mut self,
        now: Instant,
        poller: &Poller,
        counters: &mut Counters,
    ) -> Vec<Vec<u8>> {
        let silent: Vec<Key> = self
            .questions
            .iter()
            .filter(|(_, question)| question.give_up_at <= now)
            .map(|(key, _)| key)
            .collect();
        silent.into_iter().filter_map(|key| self.ask_next(now, poller, key, counters)).collect()
    }
}

fn to_guest(sender: Sender, message: &[u8]) -> Vec<u8> {
    let resolver = SocketAddrV4::new(DNS, DNS_PORT);
    frame::datagram(sender.mac, resolver, frame::guest(sender.port), message)
}

fn id_of(message: &[u8]) -> Option<u16> {
    message.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
}

fn set_id(message: &mut [u8], id: u16) {
    if let Some(bytes) = message.first_chunk_mut() {
        *bytes = id.to_be_bytes();
    }
}

fn flags_of(message: &[u8]) -> Option<u16> {
    let header: &[u8; HEADER_BYTES] = message.first_chunk()?;
    Some(u16::from_be_bytes([header[2], header[3]]))
}

fn is_question(message: &[u8]) -> bool {
    flags_of(message).is_some_and(|flags| flags & RESPONSE == 0)
}

/// Whether this may be the answer to a question. That it comes from the resolver, to the question's
/// own port, the kernel has checked.
fn is_answer(message: &[u8], question: &[u8]) -> bool {
    flags_of(message).is_some_and(|flags| flags & RESPONSE != 0)
        && id_of(message) == id_of(question)
}

/// The answer to a question that says only why there is none.
fn without_data(question: &[u8], reason: u16) -> Vec<u8> {
    let mut answer = question.to_vec();
    if let Some(flags) = flags_of(question) {
        let flags = flags & REPEATED | RESPONSE | RECURSION_AVAILABLE | reason;
        answer[2..4].copy_from_slice(&flags.to_be_bytes());
    }
    answer
}

#[cfg(test)]
mod tests;
