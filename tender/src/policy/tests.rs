//! Policies against an interpreter of the filters made from them.

use proptest::prelude::*;
use seccompiler::sock_filter;
use solo5_sys::extension::{Features, Request};
use solo5_sys::manifest::{Attachment, Device, DeviceKind, Manifest, Name};

use super::filter::{Error, Filter};
use super::*;

const X86_64: u32 = 0xc000_003e;
const I386: u32 = 0x4000_0003;
const X32_BIT: u32 = 0x4000_0000;
const EPOLL: Waiting = Waiting::Epoll { epoll_fd: 9, timer_fd: 10 };
const NABLA: Features = Features::ALL;

/// Runs a filter as the kernel does; whether the call may proceed.
fn permits(filter: &Filter, architecture: u32, number: u32, arguments: &[u64; 6]) -> bool {
    let mut data = [0u32; 16];
    data[0] = number;
    data[1] = architecture;
    for (i, argument) in arguments.iter().enumerate() {
        data[4 + 2 * i] = *argument as u32;
        data[5 + 2 * i] = (*argument >> 32) as u32;
    }
    let program = filter.instructions();
    let (mut at, mut accumulator) = (0, 0);
    loop {
        let sock_filter { code, jt, jf, k } = &program[at];
        at += 1;
        let jump = |holds: bool| usize::from(if holds { *jt } else { *jf });
        match code {
            0x20 => accumulator = data[*k as usize / 4],
            0x54 => accumulator &= k,
            0x05 => at += *k as usize,
            0x15 => at += jump(accumulator == *k),
            0x25 => at += jump(accumulator > *k),
            0x35 => at += jump(accumulator >= *k),
            0x06 => match *k {
                libc::SECCOMP_RET_ALLOW => return true,
                libc::SECCOMP_RET_KILL_PROCESS => return false,
                other => panic!("returns {other:#x}"),
            },
            other => panic!("instruction {other:#x}"),
        }
    }
}

fn net(name: &str, fd: i32) -> Device {
    let attachment = Some(Attachment::Net { mac: [2, 0, 0, 0, 0, 1], mtu_bytes: 1500, fd });
    Device { name: Name::new(name).unwrap(), kind: DeviceKind::Net, attachment }
}

fn block(name: &str, fd: i32, block_bytes: u16, blocks: u64) -> Device {
    let capacity_bytes = u64::from(block_bytes) * blocks;
    let attachment = Some(Attachment::Block { capacity_bytes, block_bytes, fd });
    Device { name: Name::new(name).unwrap(), kind: DeviceKind::Block, attachment }
}

fn manifest(devices: &[Device]) -> Manifest {
    let mut manifest = Manifest::EMPTY;
    devices.iter().for_each(|device| manifest.add(*device).unwrap());
    manifest
}

fn policy(devices: &[Device], features: Features, read_only: u64) -> Policy {
    let waiting = if features.contains(Features::PPOLL) { Waiting::Ppoll } else { EPOLL };
    Policy::new(&manifest(devices), &Request { features, read_only }, waiting)
}

fn names(policy: &Policy) -> Vec<&'static str> {
    policy.calls().into_iter().map(Call::name).collect()
}

#[test]
fn plain_guests_get_solo5s_calls() {
    let none = policy(&[], Features::NONE, 0);
    let always =
        ["write", "clock_gettime", "exit_group", "timerfd_settime", "epoll_pwait", "arch_prctl"];
    assert_eq!(names(&none), always);
    let all = policy(&[net("n", 3), block("b", 4, 512, 8)], Features::NONE, 0);
    assert_eq!(all.calls().len(), 9);
}

#[test]
fn nabla_guests_get_seven_calls_at_most() {
    let none = policy(&[], NABLA, 0);
    assert_eq!(names(&none), ["write", "ppoll", "clock_gettime", "exit_group"]);
    let devices = [net("n", 3), block("b", 4, 512, 8)];
    let all = policy(&devices, NABLA, 0);
    assert_eq!(
        all.summary(),
        "7 system calls: read, write, ppoll, pread64, pwrite64, clock_gettime, exit_group"
    );
    let read_only = policy(&devices, NABLA, 1 << 2);
    assert_eq!(
        names(&read_only),
        ["read", "write", "ppoll", "pread64", "clock_gettime", "exit_group"]
    );
}

#[test]
fn a_policy_names_what_it_pins() {
    let text = policy(&[net("n", 3), block("b", 4, 512, 16)], NABLA, 0).to_string();
    for line in [
        "  read            fd = net:n\n",
        "  write           fd = console\n",
        "  ppoll           nfds <= 1, sigmask = NULL\n",
        "  pwrite64        fd = block:b, length <= 4096, offset <= capacity - 4096\n",
        "  exit_group\n",
    ] {
        assert!(text.contains(line), "{line:?} in\n{text}");
    }
}

#[test]
fn single_block_guests_transfer_exactly_one_block() {
    let policy = policy(&[block("b", 4, 4096, 2)], Features::NONE, 0);
    let pread = |length, offset| policy.allows(libc::SYS_pread64, &[4, 0, length, offset, 0, 0]);
    assert!(pread(4096, 0) && pread(4096, 4096));
    assert!(!pread(4095, 0) && !pread(8192, 0) && !pread(4096, 4097) && !pread(4096, u64::MAX));
}

#[test]
fn more_devices_than_a_filter_holds_are_refused() {
    let devices: Vec<Device> =
        (0..63).map(|i| block(&format!("disk{i}"), 3 + i, 512, 1 << 20)).collect();
    let error = Filter::compile(&policy(&devices, NABLA, 0)).unwrap_err();
    assert!(matches!(error, Error::TooLarge(_)), "{error}");
    assert!(Filter::compile(&policy(&devices, Features::NONE, 0)).is_ok());
}

#[test]
fn filters_kill_foreign_architectures() {
    let policy = policy(&[], NABLA, 0);
    let filter = Filter::compile(&policy).unwrap();
    let exit = libc::SYS_exit_group as u32;
    assert!(permits(&filter, X86_64, exit, &[0; 6]));
    assert!(!permits(&filter, I386, exit, &[0; 6]));
    assert!(!permits(&filter, X86_64, exit | X32_BIT, &[0; 6]));
}

/// Policies of many shapes, with their filters.
fn samples() -> Vec<(Policy, Filter)> {
    let devices = [
        net("service", 3),
        block("data", 4, 512, 5),
        block("big", 5, 4096, 1 << 45),
        net("other", 6),
        block("site", 7, 32768, 1 << 20),
    ];
    let feature_sets = [Features::NONE, Features::PPOLL, Features::NO_TLS | Features::SEED, NABLA];
    let mut samples = Vec::new();
    for count in 0..=devices.len() {
        for features in feature_sets {
            for read_only in [0, 1 << 5] {
                let policy = policy(&devices[..count], features, read_only);
                let filter = Filter::compile(&policy).unwrap();
                samples.push((policy, filter));
            }
        }
    }
    samples
}

/// A value just inside, just outside, or far off a condition's.
fn around(value: u64) -> [u64; 8] {
    let high = 1 << 32;
    let mixed = [value | high, value ^ high, value | 1 << 63];
    let [a, b, c] = mixed;
    [value, value.wrapping_add(1), value.wrapping_sub(1), a, b, c, 0, u64::MAX]
}

#[test]
fn filters_agree_with_policies_at_every_boundary() {
    let (mut permitted, mut refused) = (0, 0);
    for (policy, filter) in samples() {
        for rule in policy.rules() {
            let number = rule.call.number();
            let mut good = [0; 6];
            rule.conditions.iter().for_each(|c| good[usize::from(c.argument)] = c.value);
            assert!(policy.allows(number, &good));
            for argument in 0..6 {
                for value in around(good[argument]) {
                    let mut arguments = good;
                    arguments[argument] = value;
                    let allowed = policy.allows(number, &arguments);
                    let found = permits(&filter, X86_64, number as u32, &arguments);
                    assert_eq!(found, allowed, "{rule:?} {arguments:x?}");
                    if allowed {
                        permitted += 1
                    } else {
                        refused += 1
                    }
                    assert!(!permits(&filter, I386, number as u32, &arguments));
                    assert!(!permits(&filter, X86_64, number as u32 | X32_BIT, &arguments));
                }
            }
        }
    }
    assert!(permitted > 1000 && refused > 1000, "{permitted} {refused}");
}

#[test]
fn every_other_call_is_refused() {
    for (policy, filter) in samples() {
        let permitted: Vec<i64> = policy.calls().into_iter().map(Call::number).collect();
        for number in 0..512i64 {
            if !permitted.contains(&number) {
                assert!(!policy.allows(number, &[0; 6]));
                assert!(!permits(&filter, X86_64, number as u32, &[0; 6]), "{number}");
            }
        }
    }
}

proptest! {
    #[test]
    fn filters_agree_with_policies(
        sample in any::<prop::sample::Index>(),
        rule in any::<prop::sample::Index>(),
        arguments in any::<[u64; 6]>(),
        keep in any::<[bool; 6]>(),
        number in prop::option::of(any::<u32>()),
    ) {
        thread_local!(static SAMPLES: Vec<(Policy, Filter)> = samples());
        SAMPLES.with(|samples| {
            let (policy, filter) = &samples[sample.index(samples.len())];
            let rule = &policy.rules()[rule.index(policy.rules().len())];
            let mut arguments = arguments;
            for condition in &rule.conditions {
                let argument = usize::from(condition.argument);
                if keep[argument] {
                    arguments[argument] = condition.value;
                }
            }
            let number = number.unwrap_or(rule.call.number() as u32);
            let allowed = policy.allows(i64::from(number), &arguments);
            assert_eq!(permits(filter, X86_64, number, &arguments), allowed);
        });
    }
}
