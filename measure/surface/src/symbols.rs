//! The kernel's symbols (`/proc/kallsyms`): from an address to a function's name, and from a function to
//! the system call that it is the entry of.

use std::collections::{BTreeMap, BTreeSet};

/// Why there are no symbols.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SymbolError {
    /// A line is no symbol.
    #[error("line {line} of the kernel's symbols is not 'ADDRESS TYPE NAME'")]
    Line {
        /// Which, from 1.
        line: usize,
    },
    /// All addresses are hidden.
    #[error(
        "the kernel's symbols have no addresses; they need root and 0 in /proc/sys/kernel/kptr_restrict"
    )]
    Hidden,
}

/// A function, by its place among the symbols. Only the [`Symbols`] that made it know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Function(u32);

impl Function {
    pub(crate) const fn new(index: usize) -> Self {
        Self(index as u32)
    }

    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }
}

/// The symbols of a kernel and its modules, in order of addresses.
#[derive(Clone, Debug, Default)]
pub struct Symbols {
    places: Vec<Place>,
    /// By place; see [`Symbols::call`].
    calls: BTreeMap<Function, String>,
    traceable: u32,
}

/// What stands at one address.
#[derive(Clone, Debug)]
struct Place {
    address: u64,
    /// The name of a function; others are there so that the function before ends.
    name: Option<Box<str>>,
    module: bool,
}

impl Symbols {
    /// Reads `/proc/kallsyms`, and `available_filter_functions` of tracefs (may be empty): where several
    /// names stand for one address, the tracer's is taken.
    pub fn parse(kallsyms: &str, traceable: &str) -> Result<Self, SymbolError> {
        let traceable = names(traceable);
        let mut lines = Vec::with_capacity(kallsyms.len() / 40);
        for (index, line) in kallsyms.lines().enumerate() {
            lines.push(Line::parse(line).ok_or(SymbolError::Line { line: index + 1 })?);
        }
        if lines.iter().all(|line| line.address == 0) {
            return Err(SymbolError::Hidden);
        }
        lines.sort_by_key(|line| line.address);
        let mut symbols = Self { traceable: count(&traceable), ..Self::default() };
        for group in lines.chunk_by(|one, other| one.address == other.address) {
            symbols.push(group, &traceable);
        }
        Ok(symbols)
    }

    fn push(&mut self, group: &[Line<'_>], traceable: &BTreeMap<&str, u32>) {
        let function = Function::new(self.places.len());
        let texts = || group.iter().filter(|line| line.is_text());
        let best = texts().min_by_key(|line| {
            let entry = call_name(line.name).is_some();
            (!traceable.contains_key(line.name), !entry, line.is_local(), line.name)
        });
        let calls = texts().filter(|line| !line.is_weak()).filter_map(|line| call_name(line.name));
        if let Some(call) = calls.min() {
            self.calls.insert(function, call.to_owned());
        }
        self.places.push(Place {
            address: group[0].address,
            name: best.map(|line| line.name.into()),
            module: group.iter().all(|line| line.module),
        });
    }

    /// The function that an address is in.
    pub fn at(&self, address: u64) -> Option<Function> {
        let index = self.places.partition_point(|place| place.address <= address).checked_sub(1)?;
        self.places[index].name.as_ref()?;
        Some(Function::new(index))
    }

    /// The function whose call returns to an address, which may be the first one after its end.
    pub fn before(&self, address: u64) -> Option<Function> {
        self.at(address.checked_sub(1)?)
    }

    /// Its name, without the name of a module.
    pub fn name(&self, function: Function) -> &str {
        let place = self.places.get(function.index());
        place.and_then(|place| place.name.as_deref()).unwrap_or("?")
    }

    /// All, and what is no function with an empty name.
    pub(crate) fn all(&self) -> impl Iterator<Item = (Function, &str)> {
        let places = self.places.iter().enumerate();
        places.map(|(index, place)| (Function::new(index), place.name.as_deref().unwrap_or("")))
    }

    /// The system call that it is the entry of, by the name in manuals.
    pub fn call(&self, function: Function) -> Option<&str> {
        self.calls.get(&function).map(String::as_str)
    }

    /// The system call whose entry is at an address, such as those in the kernel's `sys_call_table`.
    pub fn call_at(&self, address: u64) -> Option<&str> {
        self.at(address).and_then(|function| self.call(function))
    }

    /// The address of a symbol. Data has none here.
    pub fn address(&self, name: &str) -> Option<u64> {
        let found = self.places.iter().find(|place| place.name.as_deref() == Some(name));
        found.map(|place| place.address)
    }

    /// All functions with the addresses where they begin and where the next symbol does, and whether
    /// they are a module's. The last one has no end, and is not here.
    pub fn functions(&self) -> impl Iterator<Item = (&str, u64, u64, bool)> {
        self.places.windows(2).filter_map(|pair| {
            let name = pair[0].name.as_deref()?;
            Some((name, pair[0].address, pair[1].address, pair[0].module))
        })
    }

    /// How many functions the tracer knows, names that stand for several counted as often.
    pub const fn traceable(&self) -> u32 {
        self.traceable
    }

    /// How many system calls there are.
    pub fn calls(&self) -> u32 {
        self.calls.values().collect::<BTreeSet<_>>().len() as u32
    }
}

/// The functions that `available_filter_functions` names, and how often.
pub fn names(traceable: &str) -> BTreeMap<&str, u32> {
    let mut names = BTreeMap::new();
    for line in traceable.lines() {
        // `name [module]`. Weak functions that were replaced are there as places without a name.
        let name = line.split_whitespace().next().unwrap_or("");
        if !name.is_empty() && !name.starts_with("__ftrace_invalid_address___") {
            *names.entry(name).or_insert(0) += 1;
        }
    }
    names
}

fn count(names: &BTreeMap<&str, u32>) -> u32 {
    names.values().sum()
}

#[derive(Clone, Copy, Debug)]
struct Line<'a> {
    address: u64,
    kind: u8,
    name: &'a str,
    module: bool,
}

impl<'a> Line<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let address = u64::from_str_radix(words.next()?, 16).ok()?;
        let &[kind] = words.next()?.as_bytes() else {
            return None;
        };
        Some(Self { address, kind, name: words.next()?, module: words.next().is_some() })
    }

    const fn is_text(&self) -> bool {
        matches!(self.kind, b't' | b'T' | b'w' | b'W')
    }

    const fn is_local(&self) -> bool {
        self.kind.is_ascii_lowercase()
    }

    const fn is_weak(&self) -> bool {
        matches!(self.kind, b'w' | b'W')
    }
}

/// The call of an entry function: `__x64_sys_newstat` is `stat`. Entries that are weak are those of calls
/// that this kernel does not have, and are the caller's to leave out.
fn call_name(function: &str) -> Option<&str> {
    let prefixes = ["__x64_sys_", "__ia32_compat_sys_", "__ia32_sys_", "__x64_compat_sys_"];
    let name = prefixes.into_iter().find_map(|prefix| function.strip_prefix(prefix))?;
    // The kernel's name of a function is not always that of the call (arch/x86/entry/syscalls/*.tbl).
    let name = match name {
        "ni_syscall" => return None,
        "newstat" => "stat",
        "newlstat" => "lstat",
        "newfstat" => "fstat",
        "newuname" => "uname",
        "sendfile64" => "sendfile",
        "umount" => "umount2",
        name => name,
    };
    Some(name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KALLSYMS: &str = "ffffffff81000000 T _stext
ffffffff810b0fd0 t __do_sys_getuid
ffffffff810b0fd0 T __ia32_sys_getuid
ffffffff810b0fd0 T __x64_sys_getuid
ffffffff810c0220 W __x64_sys_io_pgetevents_time32
ffffffff8134e820 T __x64_sys_sendfile64
ffffffff81354dd0 T __x64_sys_newstat
ffffffff81354e30 T __x64_sys_newfstatat
ffffffff81355000 T _etext
ffffffff82000360 D sys_call_table
ffffffffc0000000 t tun_net_xmit\t[tun]
ffffffffc0000100 t tun_exit\t[tun]
";

    fn symbols(traceable: &str) -> Symbols {
        Symbols::parse(KALLSYMS, traceable).unwrap()
    }

    #[test]
    fn addresses_have_functions() {
        let symbols = symbols("");
        let name = |address| symbols.at(address).map(|function| symbols.name(function));
        assert_eq!(name(0xffff_ffff_8134_e820), Some("__x64_sys_sendfile64"));
        assert_eq!(name(0xffff_ffff_8135_4dcf), Some("__x64_sys_sendfile64"));
        assert_eq!(name(0xffff_ffff_c000_0001), Some("tun_net_xmit"));
        assert_eq!(name(0xffff_ffff_8200_0360), None, "data");
        assert_eq!(name(0x1000), None);
        let before = symbols.before(0xffff_ffff_8135_4dd0).unwrap();
        assert_eq!(symbols.name(before), "__x64_sys_sendfile64");
        assert_eq!(symbols.functions().filter(|&(_, _, _, module)| module).count(), 1);
    }

    #[test]
    fn of_several_names_the_tracers_is_taken() {
        let name =
            |symbols: &Symbols| symbols.name(symbols.at(0xffff_ffff_810b_0fd0).unwrap()).to_owned();
        assert_eq!(name(&symbols("")), "__ia32_sys_getuid");
        let symbols = symbols("__do_sys_getuid\ntun_exit [tun]\n__ftrace_invalid_address___4\n");
        assert_eq!(name(&symbols), "__do_sys_getuid");
        assert_eq!(symbols.traceable(), 2);
    }

    #[test]
    fn calls_have_the_names_of_manuals() {
        let symbols = symbols("__do_sys_getuid");
        assert_eq!(symbols.call_at(0xffff_ffff_810b_0fd0), Some("getuid"));
        assert_eq!(symbols.call_at(0xffff_ffff_8134_e820), Some("sendfile"));
        assert_eq!(symbols.call_at(0xffff_ffff_8135_4dd0), Some("stat"));
        assert_eq!(symbols.call_at(0xffff_ffff_8135_4e30), Some("newfstatat"));
        assert_eq!(symbols.call_at(0xffff_ffff_810c_0220), None, "a call that is not there");
        assert_eq!(symbols.calls(), 4);
    }

    #[test]
    fn hidden_addresses_and_other_text_are_refused() {
        let hidden = Symbols::parse("0000000000000000 T _stext\n", "").unwrap_err();
        assert!(hidden.to_string().contains("kptr_restrict"), "{hidden}");
        assert!(matches!(Symbols::parse("", ""), Err(SymbolError::Hidden)));
        let error = Symbols::parse("ffffffff81000000 T a\nabc", "").unwrap_err();
        assert_eq!(error, SymbolError::Line { line: 2 });
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[0-9a-fTtW \n]{0,120}", address: u64) {
            if let Ok(symbols) = Symbols::parse(&text, &text) {
                let function = symbols.at(address);
                prop_assert!(function.is_none_or(|function| symbols.name(function) != "?"));
            }
        }
    }
}
