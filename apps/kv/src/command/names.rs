//! Finding a command by its name, which every request does.
//!
//! The table is made by the compiler: open addressing with Fowler, Noll and Vo's hash 1a, as nobody outside
//! chooses the names.

use super::{Command, GROUPS};

/// A power of two, and more than twice the commands.
const SLOTS: usize = 1024;
/// No name is longer.
const BYTES_MAX: usize = 32;

static TABLE: [Option<&Command>; SLOTS] = fill();

/// The command of that name, in whatever case.
pub fn find(name: &[u8]) -> Option<&'static Command> {
    if name.len() > BYTES_MAX {
        return None;
    }
    let mut slot = first_slot(name);
    // There are empty slots, so this ends.
    while let Some(command) = TABLE[slot] {
        if name.eq_ignore_ascii_case(command.name.as_bytes()) {
            return Some(command);
        }
        slot = (slot + 1) % SLOTS;
    }
    None
}

const fn fill() -> [Option<&'static Command>; SLOTS] {
    let mut table: [Option<&'static Command>; SLOTS] = [None; SLOTS];
    let (mut group, mut count) = (0, 0);
    while group < GROUPS.len() {
        let commands = GROUPS[group].commands;
        let mut at = 0;
        while at < commands.len() {
            assert!(commands[at].name.len() <= BYTES_MAX);
            let mut slot = first_slot(commands[at].name.as_bytes());
            while table[slot].is_some() {
                slot = (slot + 1) % SLOTS;
            }
            table[slot] = Some(&commands[at]);
            (at, count) = (at + 1, count + 1);
        }
        group += 1;
    }
    assert!(2 * count < SLOTS);
    table
}

const fn first_slot(name: &[u8]) -> usize {
    let mut hash: u32 = 0x811c_9dc5;
    let mut at = 0;
    while at < name.len() {
        // Letters become small ones.
        hash = (hash ^ (name[at] | 0x20) as u32).wrapping_mul(0x0100_0193);
        at += 1;
    }
    (hash ^ hash >> 16) as usize % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_found_in_any_case_and_nothing_else() {
        for command in GROUPS.iter().flat_map(|group| group.commands) {
            let upper = command.name.to_ascii_uppercase();
            for name in [command.name, &upper] {
                assert_eq!(find(name.as_bytes()).map(|it| it.name), Some(command.name));
            }
            let longer = [command.name.as_bytes(), b"\x00"].concat();
            assert!(find(&longer).is_none());
        }
        for name in [&b""[..], b"nothing", b"\xff\xfe", &[b'g'; 33], &[0; 1000]] {
            assert!(find(name).is_none());
        }
    }
}
