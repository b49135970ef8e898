//! Sequences as kernels make them, written by hand, and pages of a kernel 6.1.

use super::*;
use crate::format::Formats;
use crate::pages::{Event, Page, flags};

/// Functions by name: a number in 64-byte steps is an address.
const NAMES: [&str; 40] = [
    "x64_sys_call",
    "do_syscall_64",
    "__x64_sys_read",
    "ksys_read",
    "vfs_read",
    "__x64_sys_write",
    "__x64_sys_exit_group",
    "__x64_sys_seccomp",
    "syscall_trace_enter.constprop.0",
    "syscall_enter_from_user_mode",
    "__seccomp_filter",
    "syscall_exit_to_user_mode",
    "syscall_exit_to_user_mode_prepare",
    "exit_to_user_mode_prepare",
    "do_user_addr_fault",
    "handle_mm_fault",
    "irqentry_exit_to_user_mode",
    "sysvec_apic_timer_interrupt",
    "irq_enter_rcu",
    "__sysvec_apic_timer_interrupt",
    "hrtimer_interrupt",
    "irq_exit_rcu",
    "__irq_exit_rcu",
    "handle_softirqs",
    "rcu_core",
    "idle_cpu",
    "schedule",
    "__schedule",
    "finish_task_switch.isra.0",
    "schedule_tail",
    "ret_from_fork",
    "arch_do_signal_or_restart",
    "get_signal",
    "do_group_exit",
    "do_exit",
    "do_softirq",
    "net_rx_action",
    "hidden",
    "mutex_lock",
    "wakeup_softirqd",
];

fn address(name: &str) -> u64 {
    let place = NAMES.iter().position(|&known| known == name);
    0x1000 + 64 * place.unwrap_or_else(|| panic!("no {name}")) as u64
}

fn symbols() -> Symbols {
    let line = |name: &&str| format!("{:x} T {name}\n", address(name));
    let text: String = NAMES.iter().map(line).collect();
    Symbols::parse(&text, "").unwrap()
}

/// `flags function caller`, a line each; `pid` before that, if it is not 1. Gives what each task did, as
/// lines `pid context count: functions; interrupts`.
fn told(text: &str) -> Vec<String> {
    let symbols = symbols();
    let mut attribution = Attribution::new(&symbols);
    feed(&mut attribution, text);
    let mut lines = Vec::new();
    for (pid, done) in attribution.take() {
        for (word, role) in [("before ", done.before), ("", done.role)] {
            for (name, call) in role.calls {
                let functions = call.functions.into_iter().collect::<Vec<_>>().join(" ");
                let interrupts = call.interrupts.into_iter().collect::<Vec<_>>().join(" ");
                lines.push(format!("{word}{pid} {name} {}: {functions}; {interrupts}", call.count));
            }
        }
    }
    lines
}

fn feed(attribution: &mut Attribution<'_>, text: &str) {
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (pid, words) = match words[0].parse() {
            Ok(pid) => (pid, &words[1..]),
            Err(_) => (1, &words[..]),
        };
        let flag = |letter, flag| if words[0].contains(letter) { flag } else { 0 };
        let flags = flag('h', flags::HARDIRQ) | flag('s', flags::SOFTIRQ) | flag('n', flags::NMI);
        let (ip, parent) = (address(words[1]), address(words[2]) + 5);
        attribution.enter(&Entry { pid, flags, ip, parent });
    }
}

const READ: &str = "
    . x64_sys_call do_syscall_64
    . __x64_sys_read do_syscall_64
    . ksys_read do_syscall_64
    . vfs_read ksys_read
";
const LEAVE: &str = "
    . syscall_exit_to_user_mode_prepare syscall_exit_to_user_mode
    . exit_to_user_mode_prepare syscall_exit_to_user_mode
";
const TIMER: &str = "
    . irq_enter_rcu sysvec_apic_timer_interrupt
    h __sysvec_apic_timer_interrupt sysvec_apic_timer_interrupt
    h hrtimer_interrupt __sysvec_apic_timer_interrupt
    h irq_exit_rcu sysvec_apic_timer_interrupt
    . handle_softirqs __irq_exit_rcu
    s rcu_core handle_softirqs
    . wakeup_softirqd handle_softirqs
    . idle_cpu __irq_exit_rcu
";
const TIMER_FUNCTIONS: &str = "__sysvec_apic_timer_interrupt handle_softirqs hrtimer_interrupt \
                               idle_cpu irq_enter_rcu irq_exit_rcu rcu_core wakeup_softirqd";

#[test]
fn a_call_is_all_from_its_way_in_to_its_way_out() {
    let filter = "
        . syscall_trace_enter.constprop.0 syscall_enter_from_user_mode
        . __seccomp_filter syscall_trace_enter.constprop.0";
    let write = READ
        .replace("read", "write")
        .replace("ksys_write", "ksys_read")
        .replace("vfs_write", "vfs_read");
    assert_eq!(
        told(&format!("{filter}{READ}{LEAVE}{READ}{LEAVE}{write}{LEAVE}")),
        [
            "1 read 2: __seccomp_filter __x64_sys_read exit_to_user_mode_prepare ksys_read \
             syscall_exit_to_user_mode_prepare syscall_trace_enter.constprop.0 vfs_read x64_sys_call; ",
            "1 write 1: __x64_sys_write exit_to_user_mode_prepare ksys_read \
             syscall_exit_to_user_mode_prepare vfs_read x64_sys_call; ",
        ]
    );
}

#[test]
fn interrupts_are_set_apart_and_the_call_goes_on() {
    // The caller is known from before, is one that nobody sees, or is the call's own entry.
    for next in ["mutex_lock vfs_read", "mutex_lock hidden", "mutex_lock do_syscall_64"] {
        assert_eq!(
            told(&format!("{READ}{TIMER}. {next}{LEAVE}")),
            [format!(
                "1 read 1: __x64_sys_read exit_to_user_mode_prepare ksys_read mutex_lock \
                 syscall_exit_to_user_mode_prepare vfs_read x64_sys_call; {TIMER_FUNCTIONS}"
            )]
        );
    }
}

#[test]
fn an_interrupt_of_user_mode_belongs_to_no_call() {
    let back = "
        . exit_to_user_mode_prepare irqentry_exit_to_user_mode
        . schedule exit_to_user_mode_prepare
        . finish_task_switch.isra.0 __schedule";
    let lines = told(&format!("{READ}{LEAVE}{TIMER}{back}{READ}{LEAVE}"));
    assert_eq!(lines.len(), 2, "{lines:?}");
    let sorted = "__sysvec_apic_timer_interrupt exit_to_user_mode_prepare finish_task_switch.isra.0 \
                  handle_softirqs hrtimer_interrupt idle_cpu irq_enter_rcu irq_exit_rcu rcu_core \
                  schedule wakeup_softirqd";
    assert_eq!(lines[0], format!("1 (other) 0: ; {sorted}"));
    assert!(lines[1].starts_with("1 read 2: ") && lines[1].ends_with("; "), "{lines:?}");
    // One that is seen first in user mode.
    assert_eq!(told(&format!("{TIMER}{back}")), [format!("1 (other) 0: ; {sorted}")]);
}

#[test]
fn work_of_interrupts_that_a_call_starts_is_set_apart() {
    let network = "
        . do_softirq vfs_read
        . handle_softirqs do_softirq
        s net_rx_action handle_softirqs
        s mutex_lock hidden
        . schedule vfs_read";
    let lines = told(&format!("{READ}{network}"));
    assert_eq!(
        lines,
        ["1 read 1: __x64_sys_read do_softirq ksys_read schedule vfs_read x64_sys_call; \
          handle_softirqs mutex_lock net_rx_action"]
    );
}

#[test]
fn faults_belong_to_the_call_or_stand_alone() {
    let fault = "
        . handle_mm_fault do_user_addr_fault
        . mutex_lock handle_mm_fault";
    let back = ". exit_to_user_mode_prepare irqentry_exit_to_user_mode\n";
    let lines =
        told(&format!("{READ}{fault}\n. schedule vfs_read{LEAVE}{fault}\n{back}{fault}\n{back}"));
    assert_eq!(
        lines,
        [
            "1 (page fault) 2: exit_to_user_mode_prepare handle_mm_fault mutex_lock; ",
            "1 read 1: __x64_sys_read exit_to_user_mode_prepare handle_mm_fault ksys_read mutex_lock \
             schedule syscall_exit_to_user_mode_prepare vfs_read x64_sys_call; ",
        ]
    );
}

#[test]
fn signals_ends_and_starts_have_their_own() {
    let signal = "
        . arch_do_signal_or_restart exit_to_user_mode_prepare
        . get_signal arch_do_signal_or_restart
        . do_group_exit arch_do_signal_or_restart
        . do_exit do_group_exit
        . schedule do_exit";
    assert_eq!(
        told(&format!("{READ}{LEAVE}{signal}"))[..2],
        [
            "1 (exit) 1: do_exit do_group_exit schedule; ",
            "1 (signal) 1: arch_do_signal_or_restart get_signal; ",
        ]
    );
    // What a task asks for is its call's.
    let exit = "
        . x64_sys_call do_syscall_64
        . __x64_sys_exit_group do_syscall_64
        . do_group_exit __x64_sys_exit_group
        . do_exit do_group_exit";
    let lines = told(exit);
    assert_eq!(
        lines,
        ["1 exit_group 1: __x64_sys_exit_group do_exit do_group_exit x64_sys_call; "]
    );
    // A signal after an interrupt is not the interrupt's.
    let back = ". exit_to_user_mode_prepare irqentry_exit_to_user_mode";
    let lines = told(&format!("{READ}{LEAVE}{TIMER}{back}{signal}"));
    assert!(lines.iter().any(|line| line.starts_with("1 (exit) 1: do_exit")), "{lines:?}");
    let start = format!(
        "2 . schedule_tail ret_from_fork\n2 . mutex_lock ret_from_fork{}",
        LEAVE.replace("    .", "2 .")
    );
    assert_eq!(
        told(&start),
        ["2 (start) 1: exit_to_user_mode_prepare mutex_lock schedule_tail \
          syscall_exit_to_user_mode_prepare; "]
    );
}

#[test]
fn a_call_that_a_filter_does_not_let_pass_is_told() {
    let filter = "
        . syscall_trace_enter.constprop.0 syscall_enter_from_user_mode
        . __seccomp_filter syscall_trace_enter.constprop.0";
    assert_eq!(
        told(&format!("{filter}{LEAVE}{filter}{LEAVE}")),
        ["1 (denied) 2: __seccomp_filter exit_to_user_mode_prepare \
          syscall_exit_to_user_mode_prepare syscall_trace_enter.constprop.0; "]
    );
    let death = "\n. do_exit __seccomp_filter";
    assert_eq!(
        told(&format!("{filter}{death}")),
        ["1 (exit) 1: __seccomp_filter do_exit syscall_trace_enter.constprop.0; "]
    );
}

#[test]
fn what_was_before_a_filter_is_told_apart() {
    let seccomp = READ.replace("__x64_sys_read", "__x64_sys_seccomp");
    let lines = told(&format!("{READ}{LEAVE}{seccomp}{LEAVE}{READ}{LEAVE}"));
    let starts: Vec<_> = lines.iter().map(|line| line.split_once(':').unwrap().0).collect();
    assert_eq!(starts, ["before 1 read 1", "before 1 seccomp 1", "1 read 1"]);
}

#[test]
fn tasks_do_not_disturb_each_other() {
    let symbols = symbols();
    let mut attribution = Attribution::new(&symbols);
    attribution.attach(7, symbols.entry("read"));
    feed(&mut attribution, "7 . finish_task_switch.isra.0 __schedule");
    let (one, other) =
        (READ.replace("    .", "1 ."), READ.replace("    .", "2 .").replace("read", "write"));
    let other = other.replace("ksys_write", "ksys_read").replace("vfs_write", "vfs_read");
    for (one, other) in one.lines().zip(other.lines()) {
        feed(&mut attribution, one);
        feed(&mut attribution, other);
    }
    let done = attribution.take();
    let calls = |pid: i32| done[&pid].role.calls.keys().cloned().collect::<Vec<_>>().join(" ");
    assert_eq!([calls(1), calls(2), calls(7)], ["read", "write", "read"]);
    assert_eq!(done[&7].role.calls["read"].count, 0, "it began before");
    assert!(attribution.take().is_empty(), "all is told");
    feed(&mut attribution, "7 . schedule vfs_read");
    assert_eq!(attribution.take()[&7].role.calls.len(), 1, "where it is was not forgotten");
}

#[test]
fn any_sequence_is_bounded() {
    let symbols = symbols();
    let mut attribution = Attribution::new(&symbols);
    let mut seed = 1_u64;
    for _ in 0..100_000 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let pick = |shift: u32| 0x1000 + (seed >> shift) % (64 * 40);
        let flags = if seed >> 60 == 0 { flags::HARDIRQ } else { 0 };
        attribution.enter(&Entry { pid: 1, flags, ip: pick(20), parent: pick(40) });
    }
    assert_eq!(attribution.unknown(), 0);
    assert!(attribution.functions(true).len() <= NAMES.len());
}

/// A shell under kernel 6.1.0-56-cloud-amd64 that waits in poll, reads its command, sends itself a signal,
/// and prints what is wrong with the next one to a serial line, while timers go off.
/// Nine pages of the tracer, and the symbols of what is in them.
#[test]
fn records_of_a_kernel_are_understood() {
    let symbols = Symbols::parse(include_str!("fixture/symbols"), "").unwrap();
    let mut attribution = Attribution::new(&symbols);
    attribution.attach(92, symbols.entry("poll"));
    let formats = Formats::default();
    let mut events = 0;
    for page in include_bytes!("fixture/pages").chunks(4096) {
        let page = Page::new(page).unwrap();
        assert_eq!(page.lost(), None);
        for event in page.events(&formats) {
            let Event::Function(entry) = event.unwrap() else { panic!("a task was made") };
            assert_eq!(entry.pid, 92);
            attribution.enter(&entry);
            events += 1;
        }
    }
    assert_eq!((events, attribution.unknown()), (1305, 0));
    let done = attribution.take().remove(&92).unwrap();
    let calls: Vec<_> = done
        .role
        .calls
        .iter()
        .map(|(name, call)| {
            format!("{name} {} {} {}", call.count, call.functions.len(), call.interrupts.len())
        })
        .collect();
    // Counts, functions of the task itself, and of interrupts.
    assert_eq!(
        calls,
        [
            "(page fault) 2 52 0",
            "(signal) 1 21 0",
            "getpid 1 8 0",
            "kill 1 39 0",
            "openat 1 93 0",
            "poll 2 25 0",
            "read 3 32 0",
            "rt_sigreturn 1 17 0",
            "write 4 63 39",
        ]
    );
    let write = &done.role.calls["write"];
    assert!(write.functions.contains("serial8250_start_tx"));
    assert!(write.interrupts.contains("serial8250_interrupt"));
    assert!(!write.functions.contains("serial8250_interrupt"));
    assert!(done.role.calls["poll"].functions.contains("finish_task_switch.isra.0"), "from before");
}
