//! A smoltcp socket set that holds exactly one socket, so that smoltcp's walk over the set is one step.

use alloc::collections::TryReserveError;
use alloc::vec::Vec;
use core::marker::PhantomData;

use smoltcp::iface::{SocketHandle, SocketSet, SocketStorage};
use smoltcp::socket::AnySocket;

pub(crate) struct Lone<T> {
    set: SocketSet<'static>,
    handle: SocketHandle,
    socket: PhantomData<T>,
}

impl<T: AnySocket<'static>> Lone<T> {
    pub(crate) fn new(socket: T) -> Result<Self, TryReserveError> {
        // smoltcp would grow the vector to four places.
        let mut storage = Vec::new();
        storage.try_reserve_exact(1)?;
        storage.push(SocketStorage::EMPTY);
        let mut set = SocketSet::new(storage);
        let handle = set.add(socket);
        Ok(Self { set, handle, socket: PhantomData })
    }

    pub(crate) fn socket(&self) -> &T {
        self.set.get(self.handle)
    }

    pub(crate) fn socket_mut(&mut self) -> &mut T {
        self.set.get_mut(self.handle)
    }

    pub(crate) fn set(&self) -> &SocketSet<'static> {
        &self.set
    }

    pub(crate) fn set_mut(&mut self) -> &mut SocketSet<'static> {
        &mut self.set
    }
}

/// Zeroed bytes, or an error where `vec!` would end the program.
pub(crate) fn try_zeroed(bytes: usize) -> Result<Vec<u8>, TryReserveError> {
    let mut buffer = Vec::new();
    buffer.try_reserve_exact(bytes)?;
    buffer.resize(bytes, 0);
    Ok(buffer)
}
