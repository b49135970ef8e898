//! A client for tests of commands, whose effects are replayed into a second store.

use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::string::ToString;

use super::execute;
use crate::client::{Client, Session};
use crate::config::{Config, Heap, Memory};
use crate::db::copy;
use crate::db::effect::Effects;
use crate::db::{DATABASES, Keyspace};
use crate::frame::Owned;
use crate::journal::replay;
use crate::store::Store;

/// See the module.
pub(crate) struct Harness {
    pub(crate) store: Store,
    pub(crate) session: Session,
    next_client: u64,
}

fn memory() -> Memory {
    Memory { used_bytes: 0, size_bytes: 1 << 30, available_bytes: 1 << 30 }
}

fn store() -> Store {
    Store::new(Config::for_memory(1 << 30), Heap::of(memory), [1, 2, 3])
}

fn full_memory() -> Memory {
    Memory { used_bytes: 1 << 30, size_bytes: 1 << 30, available_bytes: 0 }
}

impl Harness {
    pub(crate) fn new() -> Self {
        let mut store = store();
        store.persistence.writable = crate::store::Writable::Volatile;
        store.keys.effects.keep(true);
        store.keys.set_now_ms(1_000_000);
        let mut harness = Self { store, session: session(1), next_client: 2 };
        harness.store.clients.insert(1, Rc::clone(&harness.session.client));
        harness
    }

    /// Another client of the same store; swap it with [`Self::session`] to use it.
    pub(crate) fn another(&mut self) -> Session {
        let session = session(self.next_client);
        self.store.clients.insert(self.next_client, Rc::clone(&session.client));
        self.next_client += 1;
        session
    }

    /// Lets the memory be full.
    pub(crate) fn fill_memory(&mut self) {
        self.store.set_memory(full_memory);
    }

    /// Carries out the words of a line, and returns the reply as it is sent.
    pub(crate) fn run(&mut self, line: &str) -> String {
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        String::from_utf8_lossy(&self.run_words(&words)).to_string()
    }

    /// The same with words of any bytes.
    pub(crate) fn run_words(&mut self, words: &[&[u8]]) -> Vec<u8> {
        let request = Owned::of(words.iter().copied());
        let mut reply = self.store.reply(self.session.client.protocol.get());
        execute(&mut self.store, &mut self.session, &mut reply, request.as_request());
        self.store.serve_blocked();
        reply.into_bytes()
    }

    /// Asserts that a replay of all effects gives the same state.
    pub(crate) fn check_replay(&mut self) {
        let now_ms = self.store.keys.now_ms();
        let effects = self.store.keys.effects.as_bytes().to_vec();
        let mut other = store();
        replay(&mut other, &effects);
        other.keys.set_now_ms(now_ms);
        assert_eq!(dump(&mut self.store.keys), dump(&mut other.keys), "a replay differs");
    }
}

fn session(id: u64) -> Session {
    let nobody = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Session::new(Rc::new(Client::new(id, nobody, nobody, Duration::ZERO)), true)
}

/// Every key of every database as the commands that make it, in an order of its own.
pub(crate) fn dump(keys: &mut Keyspace) -> Vec<Vec<u8>> {
    let selected = keys.selected();
    let mut all = Vec::new();
    for database in 0..DATABASES {
        keys.select(database);
        let mut cursor = 0;
        loop {
            cursor = keys.scan(cursor, 1000, |record| {
                let mut effects = Effects::default();
                effects.keep(true);
                copy::write_sorted(&mut effects, database, record);
                all.push(effects.as_bytes().to_vec());
            });
            if cursor == 0 {
                break;
            }
        }
    }
    keys.select(selected);
    all.sort();
    all
}
