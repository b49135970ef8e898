//! The guest's command line.

use alloc::format;
use alloc::string::String;

use crate::config::Config;

/// Arguments that the runtime reads by itself, with a name of a device behind a colon.
const RUNTIMES: [&str; 8] =
    ["--log", "--spin", "--ipv4", "--ipv4-gateway", "--ipv6", "--ipv6-gateway", "--route", "--dns"];

/// What the command line says beside settings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Arguments {
    /// `--volatile`: the data is in memory only.
    pub is_volatile: bool,
    /// `--format`: a new log is made, whatever the device holds.
    pub is_format_forced: bool,
    /// `--recover`: what is left of damaged data is taken, even if it never was all the data at any moment.
    pub takes_remains: bool,
}

impl Arguments {
    /// Reads the words, and applies the settings among them.
    ///
    /// # Errors
    /// If one is not known, or has a value that it cannot have; the error names it.
    pub fn read<'a>(
        words: impl IntoIterator<Item = &'a str>,
        config: &mut Config,
    ) -> Result<Self, String> {
        let mut arguments = Self::default();
        for word in words {
            let (name, value) = match word.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (word, None),
            };
            let own_name = name.split_once(':').map_or(name, |(own, _)| own);
            match (name, value) {
                ("--volatile", None) => arguments.is_volatile = true,
                ("--format", None) => arguments.is_format_forced = true,
                ("--recover", None) => arguments.takes_remains = true,
                _ if RUNTIMES.contains(&own_name) => {}
                (_, Some(value)) if name.strip_prefix("--").is_some_and(Config::has) => {
                    let setting = name.strip_prefix("--").unwrap_or_default();
                    config.apply(setting, value).map_err(|reason| format!("{word}: {reason}"))?;
                }
                _ => return Err(unknown(word)),
            }
        }
        Ok(arguments)
    }
}

fn unknown(word: &str) -> String {
    let name = word.split_once('=').map_or(word, |(name, _)| name);
    if name.strip_prefix("--").is_some_and(Config::has) {
        return format!("{word}: the setting needs a value, as in {name}=VALUE");
    }
    let hint = "settings are those of CONFIG SET, as in --maxmemory=100mb; there are also --volatile, --format and --recover";
    format!("{word} is no argument that is known: {hint}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Fsync;

    fn read(words: &[&str]) -> Result<(Arguments, Config), String> {
        let mut config = Config::for_memory(256 << 20);
        Ok((Arguments::read(words.iter().copied(), &mut config)?, config))
    }

    #[test]
    fn settings_and_flags_are_read_and_the_runtimes_passed_over() {
        let words = [
            "--volatile",
            "--appendfsync=everysec",
            "--maxmemory=64mb",
            "--port=7000",
            "--ipv4=10.0.0.2/24",
            "--ipv4:service=10.0.0.2/24",
            "--log=debug",
        ];
        let (arguments, config) = read(&words).unwrap();
        assert_eq!(arguments, Arguments { is_volatile: true, ..Arguments::default() });
        assert_eq!((config.fsync, config.port), (Fsync::EverySecond, 7000));
        assert_eq!(config.memory_max_bytes, 64 << 20);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (word, text) in [
            ("frob", "frob is no argument"),
            ("--frob=1", "--frob=1 is no argument"),
            ("--maxmemory", "--maxmemory=VALUE"),
            ("--maxmemory=lots", "--maxmemory=lots"),
            ("--appendfsync=often", "--appendfsync=often"),
            ("--port=0", "--port=0"),
            ("--port=65536", "--port=65536"),
            ("--volatile=yes", "--volatile=yes is no argument"),
        ] {
            let error = read(&[word]).unwrap_err();
            assert!(error.contains(text), "{word}: {error}");
        }
    }
}
