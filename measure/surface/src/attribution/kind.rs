//! Functions that say where a task is. Source: arch/x86/entry and kernel/entry/common.c of Linux 6.1;
//! earlier and later kernels have some of them, or the same under the other names here.

/// What a function says about the task that is in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing.
    #[default]
    Plain,
    /// The entry of a system call.
    Entry,
    /// What calls entries, by a call's number.
    Dispatch,
    /// What calls that, and what is done before.
    Gate,
    /// Looks at a call before it is made.
    Entering,
    /// Goes back to user mode from a call.
    Leaving,
    /// A page fault.
    Fault,
    /// Another exception.
    Exception,
    /// An interrupt, or what is done for one later.
    Interrupt,
    /// Goes back to user mode from an exception or an interrupt.
    Returning,
    /// A new task's first function.
    Start,
    /// Delivers signals.
    Signal,
    /// Ends a task.
    Exit,
}

impl Kind {
    /// Of a function of that name which is no entry.
    pub(super) fn of(name: &str) -> Self {
        // The compiler's copies (`name.isra.0`) are as the function that they were made from.
        let name = name.split('.').next().unwrap_or(name);
        match name {
            "x64_sys_call" | "x32_sys_call" | "ia32_sys_call" => Self::Dispatch,
            "do_syscall_64"
            | "do_int80_syscall_32"
            | "do_int80_emulation"
            | "do_syscall_32_irqs_on"
            | "do_fast_syscall_32"
            | "__do_fast_syscall_32"
            | "do_SYSENTER_32"
            | "int80_emulation" => Self::Gate,
            "syscall_trace_enter" => Self::Entering,
            "do_user_addr_fault" | "do_kern_addr_fault" | "exc_page_fault"
            | "asm_exc_page_fault" => Self::Fault,
            "irqentry_exit_to_user_mode" => Self::Returning,
            "ret_from_fork" | "ret_from_fork_asm" => Self::Start,
            "arch_do_signal_or_restart" | "arch_do_signal" => Self::Signal,
            "do_exit" | "do_group_exit" => Self::Exit,
            "common_interrupt"
            | "asm_common_interrupt"
            | "spurious_interrupt"
            | "asm_spurious_interrupt"
            | "irq_enter_rcu"
            | "irq_exit_rcu"
            | "__irq_exit_rcu"
            | "handle_softirqs"
            | "__do_softirq"
            | "irqentry_enter"
            | "irqentry_exit"
            | "irqentry_nmi_enter"
            | "irqentry_nmi_exit" => Self::Interrupt,
            _ => Self::of_prefix(name),
        }
    }

    fn of_prefix(name: &str) -> Self {
        let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
        if starts(&["sysvec_", "__sysvec_", "asm_sysvec_", "exc_nmi", "asm_exc_nmi"]) {
            Self::Interrupt
        } else if starts(&["exc_", "asm_exc_"]) {
            Self::Exception
        } else if name.starts_with("syscall_enter_from_user_mode") {
            Self::Entering
        } else if name.starts_with("syscall_exit_to_user_mode") {
            Self::Leaving
        } else {
            Self::Plain
        }
    }
}

/// Whether attribution needs to see this function: whoever keeps the tracer from some must not keep it
/// from these.
pub fn is_landmark(name: &str) -> bool {
    let is_entry = ["__x64_", "__ia32_"].iter().any(|prefix| name.starts_with(prefix));
    // The last two begin a new task, and go back from either a call or an interrupt.
    is_entry
        || Kind::of(name) != Kind::Plain
        || matches!(name, "schedule_tail" | "exit_to_user_mode_prepare")
}
