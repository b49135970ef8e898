//! The filter against an independent statement of the policy: by an interpreter, over everything
//! that can differ, and by the kernel.

mod kernel;
mod statement;

use proptest::prelude::*;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};
use solo5_sys::extension::Features;
use statement::{Device, Guest, Random};
use tender::policy::bpf::{ARCHITECTURE_X86_64, CallData, Program, Verdict};
use tender::policy::filter;
use tender::policy::{Comparison, Condition, Policy, Width};

const X32: u32 = 0x4000_0000;

/// All of `AUDIT_ARCH_*` (`linux/audit.h`): machine, 64-bit flag, little-endian flag.
fn architectures() -> Vec<u32> {
    const MACHINES: [u32; 29] = [
        2, 3, 4, 8, 15, 18, 20, 21, 22, 36, 40, 42, 43, 50, 62, 76, 92, 94, 105, 106, 140, 164,
        183, 188, 195, 243, 252, 258, 0x9026,
    ];
    let flags = [0, 1 << 31, 1 << 30, 1 << 31 | 1 << 30, 1 << 29, 1 << 31 | 1 << 30 | 1 << 29];
    MACHINES.iter().flat_map(|machine| flags.map(|flags| machine | flags)).chain([0, !0]).collect()
}

fn compile(guest: &Guest) -> Program {
    filter::compile(&guest.policy(), Verdict::Kill).expect("a filter")
}

fn permits(program: &Program, call: &CallData) -> bool {
    program.run(call).0 == Verdict::Allow
}

fn guests() -> impl Strategy<Value = Guest> {
    let block = (9u32..16, 1u64..1 << 31, any::<bool>()).prop_map(|(shift, blocks, read_only)| {
        let block_bytes = 1 << shift;
        Device::Block { block_bytes, blocks, read_only }
    });
    let device = prop_oneof![
        2 => Just(Device::Net),
        2 => Just(Device::Ring),
        2 => block,
        1 => Just(Device::Absent),
    ];
    let features = (0..=Features::ALL.bits()).prop_map(Features::from_bits);
    let memory_mib = prop_oneof![1u64..64, 1000u64..100_000];
    (proptest::collection::vec(device, 0..64), features, memory_mib, 0u64..2000).prop_map(
        |(devices, features, memory_mib, stub)| Guest {
            devices: devices.into_iter().take(63).collect(),
            features,
            memory_end: memory_mib << 20,
            stub: 0x10_0000 + stub..0x10_0000 + stub + 2 + stub % 3,
        },
    )
}

/// A guest with everything.
fn full(features: Features) -> Guest {
    let block = |blocks, read_only| Device::Block { block_bytes: 512, blocks, read_only };
    Guest {
        devices: vec![
            Device::Net,
            block(5, false),
            Device::Absent,
            Device::Ring,
            block(1 << 40, true),
            Device::Ring,
        ],
        features,
        memory_end: 16 << 20,
        stub: 0x10_0010..0x10_0012,
    }
}

#[test]
fn every_architecture_and_number_is_as_stated() {
    for features in [Features::NONE, Features::ALL] {
        let guest = full(features);
        let program = compile(&guest);
        let mut permitted = 0;
        for architecture in architectures() {
            for number in (0..=1023).flat_map(|number| [number, number | X32]) {
                for good in guest.typical_calls() {
                    let call = CallData { architecture, number, ..good };
                    assert_eq!(permits(&program, &call), guest.permits(&call), "{call:x?}");
                    permitted += usize::from(guest.permits(&call));
                }
            }
        }
        assert!(permitted > 20, "{permitted}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// No more and no less is permitted: at the boundary of every argument, of the addresses of
    /// the code, by numbers and entry points near and far.
    #[test]
    fn filters_permit_what_is_stated(guest in guests(), seed: u64) {
        let program = compile(&guest);
        let mut random = Random(seed);
        let (mut permitted, mut refused) = (0, 0);
        for _ in 0..4000 {
            let call = guest.call(&mut random);
            let stated = guest.permits(&call);
            prop_assert_eq!(permits(&program, &call), stated, "{:x?} of {:?}", call, guest);
            if stated { permitted += 1 } else { refused += 1 }
        }
        prop_assert!(permitted > 100 && refused > 100, "{} {}", permitted, refused);
    }

    #[test]
    fn no_permitted_transfer_leaves_its_device(guest in guests(), seed: u64) {
        let program = compile(&guest);
        let mut random = Random(seed);
        for _ in 0..2000 {
            let mut call = guest.call(&mut random);
            call.number = [17, 18][random.below(2) as usize];
            if permits(&program, &call) {
                let [fd, _, length, offset, ..] = call.arguments;
                let Some(Device::Block { block_bytes, blocks, .. }) = guest.device(fd as u32)
                else { panic!("no block device") };
                prop_assert!(length.checked_add(offset).unwrap() <= u64::from(block_bytes) * blocks);
            }
        }
    }

    #[test]
    fn every_jump_goes_forward_and_every_end_is_a_verdict(guest in guests()) {
        use tender::policy::bpf::Instruction;
        let program = compile(&guest);
        let length = program.instructions().len();
        for (at, instruction) in program.instructions().iter().enumerate() {
            let farthest = match *instruction {
                Instruction::Load(_) => 0,
                Instruction::Jump(by) => by as usize,
                Instruction::IfEqual { yes, no, .. } | Instruction::IfGreater { yes, no, .. } => {
                    yes.max(no).into()
                }
                Instruction::Return(_) => continue,
            };
            prop_assert!(at + 1 + farthest < length);
        }
    }
}

/// A second opinion on arguments: the same rules compiled by another compiler, which knows no
/// addresses of code.
#[test]
fn another_compiler_agrees() {
    for features in [Features::NONE, Features::ALL, Features::PPOLL, Features::MULTI_BLOCK] {
        let guest = full(features);
        let (policy, program) = (guest.policy(), compile(&guest));
        let other = by_seccompiler(&policy);
        let mut random = Random(1);
        for _ in 0..50_000 {
            let mut call = guest.call(&mut random);
            call.address = policy.callers().last;
            assert_eq!(permits(&program, &call), run_raw(&other, &call), "{call:x?}");
        }
    }
}

fn by_seccompiler(policy: &Policy) -> BpfProgram {
    let condition = |condition: &Condition| {
        let width = match condition.width {
            Width::Bits32 => SeccompCmpArgLen::Dword,
            Width::Bits64 => SeccompCmpArgLen::Qword,
        };
        let comparison = match condition.comparison {
            Comparison::Equal => SeccompCmpOp::Eq,
            Comparison::AtMost => SeccompCmpOp::Le,
        };
        SeccompCondition::new(condition.argument, width, comparison, condition.value).unwrap()
    };
    let mut rules = std::collections::BTreeMap::<i64, Vec<SeccompRule>>::new();
    for rule in policy.rules() {
        let of_call = rules.entry(rule.call.number()).or_default();
        if !rule.conditions.is_empty() {
            let conditions = rule.conditions.iter().map(condition).collect();
            of_call.push(SeccompRule::new(conditions).unwrap());
        }
    }
    let (otherwise, permitted) = (SeccompAction::KillProcess, SeccompAction::Allow);
    let filter = SeccompFilter::new(rules, otherwise, permitted, TargetArch::x86_64).unwrap();
    filter.try_into().unwrap()
}

/// Runs a program of the kernel's form; whether it permits the call.
fn run_raw(program: &BpfProgram, call: &CallData) -> bool {
    let mut data = vec![call.number, call.architecture];
    for value in [call.address].iter().chain(&call.arguments) {
        data.extend([*value as u32, (*value >> 32) as u32]);
    }
    let (mut at, mut accumulator) = (0, 0);
    loop {
        let instruction = &program[at];
        let k = instruction.k;
        at += 1;
        let jump = |holds: bool| usize::from(if holds { instruction.jt } else { instruction.jf });
        match instruction.code {
            0x20 => accumulator = data[k as usize / 4],
            0x54 => accumulator &= k,
            0x05 => at += k as usize,
            0x15 => at += jump(accumulator == k),
            0x25 => at += jump(accumulator > k),
            0x35 => at += jump(accumulator >= k),
            0x06 => return k == libc::SECCOMP_RET_ALLOW,
            other => panic!("instruction {other:#x}"),
        }
    }
}

#[test]
fn a_policy_names_what_it_pins() {
    let guest = Guest {
        devices: vec![
            Device::Net,
            Device::Block { block_bytes: 512, blocks: 16, read_only: false },
        ],
        ..full(Features::ALL)
    };
    let text = guest.policy().to_string();
    for line in [
        "  from            the instruction before 0x100012\n",
        "  read            fd = net:d0\n",
        "  write           fd = console\n",
        "  ppoll           nfds <= 2, sigmask = NULL\n",
        "  pwrite64        fd = block:d1, length <= 4096, offset <= capacity - 4096\n",
        "  exit_group\n",
    ] {
        assert!(text.contains(line), "{line:?} in\n{text}");
    }
    assert_eq!(
        guest.policy().summary(),
        "7 system calls: read, write, ppoll, pread64, pwrite64, clock_gettime, exit_group"
    );
}

/// To be asked to end takes no call and no rule: one descriptor more may be waited for.
#[test]
fn an_end_in_order_changes_one_number() {
    let of = |features| Guest { devices: vec![Device::Net], ..full(features) }.policy().to_string();
    let without = Features::ALL.without(Features::SHUTDOWN);
    assert_eq!(of(Features::ALL).replace("nfds <= 2", "nfds <= 1"), of(without));
    assert_eq!(of(Features::SHUTDOWN), of(Features::NONE), "without ppoll there is none");
    assert_eq!(of(Features::ENVIRONMENT), of(Features::NONE));
}

#[test]
fn calls_follow_from_devices_and_features() {
    let names = |guest: &Guest| -> Vec<_> {
        guest.policy().calls().into_iter().map(|call| call.name()).collect()
    };
    let none = |features| Guest { devices: Vec::new(), ..full(features) };
    assert_eq!(
        names(&none(Features::NONE)),
        ["write", "epoll_pwait", "timerfd_settime", "clock_gettime", "exit_group", "arch_prctl"]
    );
    assert_eq!(names(&full(Features::NONE)).len(), 9);
    assert_eq!(names(&none(Features::ALL)), ["write", "ppoll", "clock_gettime", "exit_group"]);
    let reader = Guest {
        devices: vec![Device::Net, Device::Block { block_bytes: 512, blocks: 8, read_only: true }],
        ..full(Features::ALL)
    };
    assert_eq!(
        names(&reader),
        ["read", "write", "ppoll", "pread64", "clock_gettime", "exit_group"]
    );
}

#[test]
fn what_is_not_attached_leaves_no_trace() {
    for features in [Features::NONE, Features::ALL] {
        let with = |devices| Guest { devices, ..full(features) };
        let ring = vec![Device::Net, Device::Ring];
        let absent = vec![Device::Absent, Device::Net, Device::Absent, Device::Ring];
        assert_eq!(compile(&with(absent)).to_bytes(), compile(&with(ring)).to_bytes());
    }
}

#[test]
fn the_largest_unikernel_has_a_filter() {
    let devices = (0..63)
        .map(|i| Device::Block { block_bytes: 512, blocks: (1 << 40) + i, read_only: i % 2 == 0 })
        .collect();
    let guest = Guest { devices, ..full(Features::ALL) };
    let length = compile(&guest).instructions().len();
    assert!(length <= 4096, "{length}");
}

#[test]
fn calls_that_are_made_often_are_permitted_in_few_steps() {
    let guest = full(Features::ALL);
    let program = compile(&guest);
    let steps = |number: i64, arguments| {
        let address = guest.policy().callers().last;
        let architecture = ARCHITECTURE_X86_64;
        let call = CallData { architecture, number: number as u32, address, arguments };
        let (verdict, steps) = program.run(&call);
        assert_eq!(verdict, Verdict::Allow);
        steps
    };
    let read = steps(libc::SYS_read, [3, 0, 0, 0, 0, 0]);
    let write = steps(libc::SYS_write, [3, 0, 0, 0, 0, 0]);
    let ppoll = steps(libc::SYS_ppoll, [0, 1, 0, 0, 0, 0]);
    let exit = steps(libc::SYS_exit_group, [0; 6]);
    println!("steps: read {read}, write {write}, ppoll {ppoll}, exit_group {exit}");
    assert!(read <= 11 && write <= 13 && ppoll <= 17, "{read} {write} {ppoll}");
}
