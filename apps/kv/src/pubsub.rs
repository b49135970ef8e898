//! Who listens to which channels, and bringing messages to them.
//!
//! A message is put into the mailboxes of its listeners, and is forgotten then: nobody gets what came
//! before they listened. A client that does not fetch its messages is ended when too many have gathered,
//! by the limits of the configuration or because memory runs short, so that no listener takes it from the data.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::vec::Vec;

use crate::client::{Client, Session};
use crate::command::Error;
use crate::glob;
use crate::reply::Protocol;
use crate::store::Store;

/// Clients that are ended so that one message finds memory.
const ENDED_AT_ONCE: usize = 8;

/// Who listens, by channel or by pattern.
#[derive(Debug, Default)]
pub struct Listeners {
    by_name: BTreeMap<Box<[u8]>, BTreeMap<u64, Rc<Client>>>,
}

impl Listeners {
    /// Lets a client listen.
    pub fn add(&mut self, name: &[u8], client: &Rc<Client>) {
        self.by_name.entry(name.into()).or_default().insert(client.id, Rc::clone(client));
    }

    /// Ends that.
    pub fn remove(&mut self, name: &[u8], client: &Client) {
        if let Some(clients) = self.by_name.get_mut(name) {
            clients.remove(&client.id);
            if clients.is_empty() {
                self.by_name.remove(name);
            }
        }
    }

    /// How many names have listeners.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether nobody listens.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// How many listen to that name.
    pub fn count(&self, name: &[u8]) -> usize {
        self.by_name.get(name).map_or(0, BTreeMap::len)
    }

    /// The names that somebody listens to.
    pub fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.by_name.keys().map(|name| &**name)
    }

    fn of(&self, name: &[u8]) -> impl Iterator<Item = &Rc<Client>> {
        self.by_name.get(name).into_iter().flat_map(BTreeMap::values)
    }
}

/// All who listen.
#[derive(Debug, Default)]
pub struct PubSub {
    /// By channel.
    pub channels: Listeners,
    /// By pattern of channels.
    pub patterns: Listeners,
    /// By shard channel.
    pub shard_channels: Listeners,
}

impl PubSub {
    /// Ends all that a client listens to.
    pub fn leave(&mut self, session: &mut Session) {
        let client = &session.client;
        for (names, listeners) in [
            (&mut session.channels, &mut self.channels),
            (&mut session.patterns, &mut self.patterns),
            (&mut session.shard_channels, &mut self.shard_channels),
        ] {
            names.iter().for_each(|name| listeners.remove(name, client));
            names.clear();
        }
        client.subscriptions.set((0, 0));
        client.shard_subscriptions.set(0);
    }
}

impl Store {
    /// Brings a message to all who listen to a channel. How many got it; whoever listens to several
    /// patterns of it gets it as often.
    ///
    /// # Errors
    /// If it does not fit into memory.
    pub fn publish(&self, channel: &[u8], message: &[u8]) -> Result<usize, Error> {
        let direct = self.encoded(&[b"message", channel, message])?;
        let mut count = self.deliver(self.pubsub.channels.of(channel), &direct);
        for pattern in self.pubsub.patterns.names() {
            if glob::matches(pattern, channel) {
                let matched = self.encoded(&[b"pmessage", pattern, channel, message])?;
                count += self.deliver(self.pubsub.patterns.of(pattern), &matched);
            }
        }
        Ok(count)
    }

    /// The same for a shard channel.
    ///
    /// # Errors
    /// If it does not fit into memory.
    pub fn publish_to_shard(&self, channel: &[u8], message: &[u8]) -> Result<usize, Error> {
        let message = self.encoded(&[b"smessage", channel, message])?;
        Ok(self.deliver(self.pubsub.shard_channels.of(channel), &message))
    }

    fn deliver<'a>(&self, clients: impl Iterator<Item = &'a Rc<Client>>, message: &[u8]) -> usize {
        clients.filter(|client| self.post(client, message)).count()
    }

    /// Puts a message into a client's mailbox, or ends the client. Whether it gets it.
    fn post(&self, client: &Client, message: &[u8]) -> bool {
        for _ in 0..ENDED_AT_ONCE {
            if client.is_killed() {
                return false;
            }
            if self.is_over_limit(client, message.len()) {
                break;
            }
            if self.put(client, message) {
                client.wake();
                return true;
            }
            // Memory is short: whoever has most of it unfetched goes first.
            if !self.end_slowest() {
                break;
            }
        }
        end(client);
        false
    }

    fn is_over_limit(&self, client: &Client, bytes: usize) -> bool {
        let config = &self.config;
        let waiting = client.mailbox.borrow().len() + client.buffers_bytes.get().1 + bytes;
        if config.mailbox_hard_bytes > 0 && waiting > config.mailbox_hard_bytes {
            return true;
        }
        let since = &client.over_soft_limit_since;
        if config.mailbox_soft_bytes == 0 || waiting <= config.mailbox_soft_bytes {
            since.set(None);
            return false;
        }
        let first = since.get().unwrap_or(self.now);
        since.set(Some(first));
        self.now.saturating_sub(first).as_secs() > config.mailbox_soft_s
    }

    /// Puts a message into a mailbox if there is memory.
    fn put(&self, client: &Client, message: &[u8]) -> bool {
        let mut mailbox = client.mailbox.borrow_mut();
        // A mailbox that grows is copied, and at least doubled.
        let grows = mailbox.capacity() - mailbox.len() < message.len();
        if grows
            && (self.check_reserve(2 * mailbox.capacity() + message.len()).is_err()
                || mailbox.try_reserve(message.len()).is_err())
        {
            return false;
        }
        let start = mailbox.len();
        mailbox.extend_from_slice(message);
        if client.protocol.get() == Protocol::Resp3 {
            mailbox[start] = b'>';
        }
        true
    }

    /// A message as RESP2 has it. In RESP3 only the first byte is another.
    fn encoded(&self, words: &[&[u8]]) -> Result<Vec<u8>, Error> {
        let mut reply = self.reply(Protocol::Resp2);
        reply.push(words.len());
        words.iter().for_each(|word| reply.bulk(word));
        if reply.is_incomplete() { Err(Error::OutOfMemory) } else { Ok(reply.into_bytes()) }
    }

    /// Ends the client whose mailbox takes most memory. Whether there is one.
    fn end_slowest(&self) -> bool {
        let bytes = |client: &&Rc<Client>| client.mailbox.borrow().capacity();
        let slowest = self.clients.values().max_by_key(bytes);
        let slowest = slowest.filter(|client| bytes(client) > 0);
        slowest.inspect(|client| end(client)).is_some()
    }
}

/// Ends a client and forgets its messages at once, as the memory is needed.
fn end(client: &Client) {
    client.mailbox.take();
    client.kill();
}

#[cfg(test)]
mod tests;
