//! Holds a compiled filter against its policy: an interpreter of the BPF that seccomp runs, and
//! calls at the edges of what each rule permits.

use tender::policy::{Condition, Policy, Rule};

/// `AUDIT_ARCH_X86_64`.
const ARCH: u32 = 0xc000_003e;
const RET_ALLOW: u32 = 0x7fff_0000;
const INSTRUCTION_BYTES: usize = 8;
/// Rules that calls are made from, at most: those of a large policy are alike.
const RULES_MAX: usize = 24;

/// Checks that filter and policy permit the same.
///
/// # Panics
/// If they differ, or the program is none that the kernel takes.
pub(super) fn check(policy: &Policy, program: &[u8]) {
    let step = policy.rules().len().div_ceil(RULES_MAX).max(1);
    for rule in policy.rules().iter().step_by(step) {
        for arguments in edges(rule) {
            agree(policy, program, rule.call.number(), arguments);
        }
    }
    for number in [-1, 1 << 30, 59, 101, 319, 425] {
        agree(policy, program, number, [0; 6]);
    }
    let (number, console) = (policy.rules()[0].call.number(), [1, 0, 0, 0, 0, 0]);
    let callers = policy.callers();
    assert!(!permits(program, 0x4000_0003, callers.last, number, &console));
    for address in [callers.last.wrapping_add(1), callers.first.wrapping_sub(1), 1 << 63] {
        assert!(!permits(program, ARCH, address, number, &console));
    }
}

/// Whether a rule permits the call, from where calls may come.
pub(super) fn allows(policy: &Policy, number: i64, arguments: &[u64; 6]) -> bool {
    policy.rules().iter().any(|rule| {
        let holds = |condition: &Condition| condition.holds(arguments);
        rule.call.number() == number && rule.conditions.iter().all(holds)
    })
}

/// Arguments that just satisfy a rule, and those that miss it by one in one place.
fn edges(rule: &Rule) -> Vec<[u64; 6]> {
    let mut fitting = [0; 6];
    for condition in &rule.conditions {
        fitting[usize::from(condition.argument)] = condition.value;
    }
    let mut edges = vec![fitting, [u64::MAX; 6]];
    for condition in &rule.conditions {
        for value in [
            condition.value.wrapping_add(1),
            condition.value.wrapping_sub(1),
            condition.value ^ 1 << 32,
            condition.value | 1 << 63,
        ] {
            let mut beside = fitting;
            beside[usize::from(condition.argument)] = value;
            edges.push(beside);
        }
    }
    edges
}

fn agree(policy: &Policy, program: &[u8], number: i64, arguments: [u64; 6]) {
    assert_eq!(
        permits(program, ARCH, policy.callers().last, number, &arguments),
        allows(policy, number, &arguments),
        "call {number} with {arguments:x?}"
    );
}

/// Runs the program on `struct seccomp_data`.
fn permits(program: &[u8], arch: u32, address: u64, number: i64, arguments: &[u64; 6]) -> bool {
    let mut data = Vec::from((number as u32).to_le_bytes());
    data.extend(arch.to_le_bytes());
    data.extend(address.to_le_bytes());
    data.extend(arguments.iter().flat_map(|argument| argument.to_le_bytes()));
    let (mut accumulator, mut at) = (0u32, 0);
    loop {
        let raw = &program[INSTRUCTION_BYTES * at..][..INSTRUCTION_BYTES];
        let (code, jump_true, jump_false) = (u16::from_le_bytes([raw[0], raw[1]]), raw[2], raw[3]);
        let k = u32::from_le_bytes([raw[4], raw[5], raw[6], raw[7]]);
        at += 1;
        let branch = |holds: bool| usize::from(if holds { jump_true } else { jump_false });
        match code {
            0x20 => {
                let word = &data[k as usize..][..4];
                accumulator = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
            }
            0x54 => accumulator &= k,
            0x05 => at += k as usize,
            0x15 => at += branch(accumulator == k),
            0x25 => at += branch(accumulator > k),
            0x35 => at += branch(accumulator >= k),
            0x45 => at += branch(accumulator & k != 0),
            0x06 => return k == RET_ALLOW,
            _ => panic!("an instruction {code:#x} that no filter of ours has"),
        }
    }
}
