//! What is to be done: the tasks that have something to send, in turn; those that wait for a
//! deadline; and those that wait for a neighbour's Ethernet address. It decides only the order.
//! Each task is in each of the three at most once, so nothing here grows beyond the limits.

use alloc::collections::{TryReserveError, VecDeque};
use alloc::vec::Vec;
use core::net::IpAddr;

use smoltcp::time::Instant;

use crate::deadlines::Deadlines;

/// Something that sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// The connection in this slot.
    Tcp(u32),
    /// The UDP socket in this slot.
    Udp(u32),
    Neighbours,
    Dhcp,
    Autoconfiguration,
    Resolver,
}

/// Tasks that there is one of.
const SINGLES: usize = 4;

#[derive(Clone, Copy, Default)]
struct Flags {
    ready: bool,
    waiting: bool,
}

pub(crate) struct Agenda {
    tcp_slots: u32,
    udp_slots: u32,
    flags: Vec<Flags>,
    ready: VecDeque<u32>,
    waiting: Vec<(IpAddr, u32)>,
    deadlines: Deadlines,
}

impl Agenda {
    pub(crate) fn new(tcp_slots: usize, udp_slots: usize) -> Result<Self, TryReserveError> {
        let tasks = tcp_slots + udp_slots + SINGLES;
        let mut flags = Vec::new();
        flags.try_reserve_exact(tasks)?;
        flags.resize(tasks, Flags::default());
        let mut ready = VecDeque::new();
        ready.try_reserve_exact(tasks)?;
        let mut waiting = Vec::new();
        waiting.try_reserve_exact(tasks)?;
        Ok(Self {
            tcp_slots: tcp_slots as u32,
            udp_slots: udp_slots as u32,
            flags,
            ready,
            waiting,
            deadlines: Deadlines::new(tasks)?,
        })
    }

    /// The task gets its turn after those that are ready already.
    pub(crate) fn make_ready(&mut self, task: Task) {
        self.enqueue(self.number(task));
    }

    /// The task could not send for lack of room, so the next turn is its own.
    pub(crate) fn keep_turn(&mut self, task: Task) {
        let number = self.number(task);
        let flags = &mut self.flags[number as usize];
        if !flags.ready {
            flags.ready = true;
            self.ready.push_front(number);
        }
    }

    pub(crate) fn next_ready(&mut self) -> Option<Task> {
        let number = self.ready.pop_front()?;
        self.flags[number as usize].ready = false;
        Some(self.task(number))
    }

    pub(crate) fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// The task gets a turn when the deadline comes; `None` takes that back.
    pub(crate) fn set_deadline(&mut self, task: Task, deadline: Option<Instant>) {
        let number = self.number(task);
        self.deadlines.set(number, deadline);
    }

    /// The task gets a turn when the deadline comes, or before: what is planned earlier stays, and
    /// the task will then plan again. So that a deadline which moves with every packet costs nothing.
    pub(crate) fn set_deadline_lazily(&mut self, task: Task, deadline: Option<Instant>) {
        let number = self.number(task);
        if let Some(deadline) = deadline
            && self.deadlines.of(number).is_none_or(|planned| deadline < planned)
        {
            self.deadlines.set(number, Some(deadline));
        }
    }

    pub(crate) fn earliest_deadline(&self) -> Option<Instant> {
        self.deadlines.earliest()
    }

    /// Everything whose deadline has come is ready.
    pub(crate) fn advance(&mut self, now: Instant) {
        while let Some(number) = self.deadlines.pop_due(now) {
            self.enqueue(number);
        }
    }

    /// The task is ready as soon as this neighbour is found. It waits for one only, since its slot may
    /// have another connection, or its connection another next hop, than the last time.
    pub(crate) fn wait_for_neighbour(&mut self, task: Task, next_hop: IpAddr) {
        let number = self.number(task);
        let flags = &mut self.flags[number as usize];
        if !flags.waiting {
            flags.waiting = true;
            self.waiting.push((next_hop, number));
        } else if let Some(entry) = self.waiting.iter_mut().find(|(_, other)| *other == number) {
            entry.0 = next_hop;
        }
    }

    pub(crate) fn neighbour_found(&mut self, neighbour: IpAddr) {
        let mut at = 0;
        while let Some(&(next_hop, number)) = self.waiting.get(at) {
            if next_hop == neighbour {
                self.waiting.swap_remove(at);
                self.flags[number as usize].waiting = false;
                self.enqueue(number);
            } else {
                at += 1;
            }
        }
    }

    fn enqueue(&mut self, number: u32) {
        let flags = &mut self.flags[number as usize];
        if !flags.ready {
            flags.ready = true;
            self.ready.push_back(number);
        }
    }

    fn number(&self, task: Task) -> u32 {
        match task {
            Task::Tcp(slot) => slot,
            Task::Udp(slot) => self.tcp_slots + slot,
            Task::Neighbours => self.tcp_slots + self.udp_slots,
            Task::Dhcp => self.tcp_slots + self.udp_slots + 1,
            Task::Autoconfiguration => self.tcp_slots + self.udp_slots + 2,
            Task::Resolver => self.tcp_slots + self.udp_slots + 3,
        }
    }

    fn task(&self, number: u32) -> Task {
        if number < self.tcp_slots {
            Task::Tcp(number)
        } else if number < self.tcp_slots + self.udp_slots {
            Task::Udp(number - self.tcp_slots)
        } else {
            match number - self.tcp_slots - self.udp_slots {
                0 => Task::Neighbours,
                1 => Task::Dhcp,
                2 => Task::Autoconfiguration,
                _ => Task::Resolver,
            }
        }
    }
}
