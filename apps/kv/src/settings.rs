//! The settings by their names: what `CONFIG GET` shows, what `CONFIG SET` changes, and what the command line
//! takes as `--NAME=VALUE`.
//!
//! Each has a ceiling that the memory, or the program, allows; beyond it a value is refused rather than lowered. What
//! Redis lets choose and is fixed here is shown as it is, so that tools which ask find out the truth.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::command::shown;
use crate::config::{Config, Fsync};
use crate::db::DATABASES;
use crate::db::eviction::Policy;
use crate::number;
use crate::types::packed;

/// The largest number that most settings of Redis take.
const INT_MAX: i64 = i32::MAX as i64;
/// `proto-max-bulk-len` is no smaller, as in Redis.
const BULK_MIN_BYTES: usize = 1 << 20;

type Get = fn(&Config) -> Vec<u8>;
type Set = fn(&mut Config, &[u8]) -> Result<(), String>;

/// When a setting can be changed.
#[derive(Clone, Copy)]
enum Change {
    Never,
    AtStart(Set),
    Always(Set),
}

/// A setting.
pub struct Setting {
    /// Its name in small letters.
    pub name: &'static str,
    get: Get,
    change: Change,
}

impl Setting {
    const fn always(name: &'static str, get: Get, set: Set) -> Self {
        Self { name, get, change: Change::Always(set) }
    }

    const fn at_start(name: &'static str, get: Get, set: Set) -> Self {
        Self { name, get, change: Change::AtStart(set) }
    }

    const fn never(name: &'static str, get: Get) -> Self {
        Self { name, get, change: Change::Never }
    }

    /// The setting of that name, in whatever case.
    pub fn find(name: &[u8]) -> Option<&'static Self> {
        SETTINGS.iter().find(|setting| name.eq_ignore_ascii_case(setting.name.as_bytes()))
    }

    /// Its value.
    pub fn value(&self, config: &Config) -> Vec<u8> {
        (self.get)(config)
    }

    /// Changes it at run time.
    ///
    /// # Errors
    /// If it cannot be that, or not be changed.
    pub fn set(&self, config: &mut Config, value: &[u8]) -> Result<(), String> {
        match self.change {
            Change::Always(set) => set(config, value),
            Change::AtStart(_) | Change::Never => self.keep(config, value),
        }
    }

    /// Setting what cannot change to what it is does no harm.
    fn keep(&self, config: &Config, value: &[u8]) -> Result<(), String> {
        if self.value(config).eq_ignore_ascii_case(value) {
            return Ok(());
        }
        Err("can't set immutable config".into())
    }
}

impl Config {
    /// Sets what a name means, before the server starts.
    ///
    /// # Errors
    /// If there is no such setting, or it cannot be that.
    pub fn apply(&mut self, name: &str, value: &str) -> Result<(), String> {
        let setting =
            Setting::find(name.as_bytes()).ok_or_else(|| format!("there is no setting {name}"))?;
        let result = match setting.change {
            Change::AtStart(set) | Change::Always(set) => set(self, value.as_bytes()),
            Change::Never => setting.keep(self, value.as_bytes()),
        };
        result.map_err(|reason| format!("{name} cannot be {value}: {reason}"))
    }

    /// Whether there is a setting of that name.
    pub fn has(name: &str) -> bool {
        Setting::find(name.as_bytes()).is_some()
    }
}

/// All settings.
pub const SETTINGS: &[Setting] = &[
    Setting::always("requirepass", |it| it.password.to_vec(), set_password),
    Setting::always("maxmemory", |it| text(it.memory_max_bytes), set_memory),
    Setting::always(
        "maxmemory-policy",
        |it| name_of(&Policy::NAMES, it.policy),
        |it, value| {
            it.policy = choice(&Policy::NAMES, value)?;
            Ok(())
        },
    ),
    Setting::always(
        "maxmemory-samples",
        |it| text(it.samples),
        |it, value| {
            it.samples = count(value, 1, 64)?;
            Ok(())
        },
    ),
    Setting::always(
        "appendfsync",
        |it| name_of(&Fsync::NAMES, it.fsync),
        |it, value| {
            it.fsync = choice(&Fsync::NAMES, value)?;
            Ok(())
        },
    ),
    Setting::always(
        "proto-max-bulk-len",
        |it| text(it.bulk_max_bytes),
        |it, value| {
            let ceiling = it.bulk_ceiling_bytes;
            it.bulk_max_bytes = bytes(value, BULK_MIN_BYTES.min(ceiling), ceiling)?;
            Ok(())
        },
    ),
    Setting::always(
        "timeout",
        |it| text(it.timeout_s as usize),
        |it, value| {
            it.timeout_s = count(value, 0, INT_MAX)? as u64;
            Ok(())
        },
    ),
    Setting::always(
        "slowlog-log-slower-than",
        |it| signed(it.slowlog_slower_us),
        |it, value| {
            it.slowlog_slower_us = integer(value, -1, i64::MAX)?;
            Ok(())
        },
    ),
    Setting::always(
        "slowlog-max-len",
        |it| text(it.slowlog_len),
        |it, value| {
            it.slowlog_len = count(value, 0, i64::MAX)?;
            Ok(())
        },
    ),
    Setting::always(
        "maxclients",
        |it| text(it.clients_max),
        |it, value| {
            it.clients_max = count(value, 1, it.clients_ceiling as i64)?;
            Ok(())
        },
    ),
    Setting::always("client-output-buffer-limit", buffer_limits, set_buffer_limits),
    Setting::always(
        "auto-aof-rewrite-percentage",
        |it| text(it.rewrite_percentage as usize),
        |it, value| {
            it.rewrite_percentage = count(value, 0, INT_MAX)? as u64;
            Ok(())
        },
    ),
    Setting::always(
        "auto-aof-rewrite-min-size",
        |it| text(it.rewrite_min_bytes as usize),
        |it, value| {
            it.rewrite_min_bytes = bytes(value, 0, i64::MAX as usize)? as u64;
            Ok(())
        },
    ),
    Setting::always("save", |_| Vec::new(), no_snapshots),
    Setting::at_start(
        "port",
        |it| text(usize::from(it.port)),
        |it, value| {
            it.port = u16::try_from(count(value, 1, 65535)?).unwrap_or(it.port);
            Ok(())
        },
    ),
    Setting::never("appendonly", |it| yes_or_no(!it.is_volatile)),
    Setting::never("databases", |_| text(DATABASES)),
    Setting::never("bind", |_| b"*".to_vec()),
    Setting::never("cluster-enabled", |_| yes_or_no(false)),
    Setting::never("protected-mode", |_| yes_or_no(false)),
    Setting::never("notify-keyspace-events", |_| Vec::new()),
    Setting::never("latency-monitor-threshold", |_| text(0)),
    Setting::never("maxmemory-clients", |_| text(0)),
    Setting::never("io-threads", |_| text(1)),
    Setting::never("hz", |_| text(10)),
    Setting::never("tls-port", |_| text(0)),
    Setting::never("unixsocket", |_| Vec::new()),
    Setting::never("activedefrag", |_| yes_or_no(false)),
    Setting::never("lazyfree-lazy-eviction", |_| yes_or_no(false)),
    Setting::never("lazyfree-lazy-expire", |_| yes_or_no(true)),
    Setting::never("lazyfree-lazy-server-del", |_| yes_or_no(true)),
    Setting::never("lazyfree-lazy-user-del", |_| yes_or_no(true)),
    Setting::never("lazyfree-lazy-user-flush", |_| yes_or_no(true)),
    Setting::never("hash-max-listpack-entries", packed_entries),
    Setting::never("hash-max-listpack-value", packed_value),
    Setting::never("hash-max-ziplist-entries", packed_entries),
    Setting::never("hash-max-ziplist-value", packed_value),
    Setting::never("zset-max-listpack-entries", packed_entries),
    Setting::never("zset-max-listpack-value", packed_value),
    Setting::never("zset-max-ziplist-entries", packed_entries),
    Setting::never("zset-max-ziplist-value", packed_value),
    Setting::never("set-max-listpack-entries", packed_entries),
    Setting::never("set-max-listpack-value", packed_value),
    Setting::never("set-max-intset-entries", |_| text(crate::types::set::Limits::DEFAULT.integers)),
    Setting::never("list-max-listpack-size", |_| signed(-2)),
    Setting::never("list-max-ziplist-size", |_| signed(-2)),
    Setting::never("list-compress-depth", |_| text(0)),
];

fn text(number: usize) -> Vec<u8> {
    number::Decimal::of_unsigned(number as u64).as_bytes().to_vec()
}

fn signed(number: i64) -> Vec<u8> {
    number::Decimal::of(number).as_bytes().to_vec()
}

fn yes_or_no(value: bool) -> Vec<u8> {
    if value { b"yes".to_vec() } else { b"no".to_vec() }
}

fn packed_entries(_: &Config) -> Vec<u8> {
    text(packed::Limits::DEFAULT.entries)
}

fn packed_value(_: &Config) -> Vec<u8> {
    text(packed::Limits::DEFAULT.value_bytes)
}

fn name_of<T: PartialEq>(names: &[(T, &'static str)], value: T) -> Vec<u8> {
    let name = names.iter().find(|(other, _)| *other == value).map(|(_, name)| name.as_bytes());
    name.unwrap_or_default().to_vec()
}

fn choice<T: Copy>(names: &[(T, &'static str)], value: &[u8]) -> Result<T, String> {
    let found = names.iter().find(|(_, name)| value.eq_ignore_ascii_case(name.as_bytes()));
    found.map(|(it, _)| *it).ok_or_else(|| {
        let names: Vec<&str> = names.iter().map(|(_, name)| *name).collect();
        format!("argument(s) must be one of the following: {}", names.join(", "))
    })
}

fn integer(value: &[u8], min: i64, max: i64) -> Result<i64, String> {
    let number = number::integer(value).ok_or("argument couldn't be parsed into an integer")?;
    if (min..=max).contains(&number) { Ok(number) } else { Err(out_of_range(min, max)) }
}

fn count(value: &[u8], min: i64, max: i64) -> Result<usize, String> {
    let number = integer(value, min, max)?;
    usize::try_from(number).map_err(|_| out_of_range(min, max))
}

fn out_of_range(min: i64, max: i64) -> String {
    format!("argument must be between {min} and {max} inclusive")
}

/// A size in bytes, with a unit behind it if it has one: `kb` is 1024, `k` is 1000.
fn bytes(value: &[u8], min: usize, max: usize) -> Result<usize, String> {
    let number = parse_bytes(value).ok_or("argument must be a memory value")?;
    if (min..=max).contains(&number) {
        Ok(number)
    } else {
        Err(format!("argument must be between {min} and {max} inclusive"))
    }
}

fn parse_bytes(value: &[u8]) -> Option<usize> {
    let digits = value.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, unit) = value.split_at(digits);
    let number = usize::try_from(number::integer(number)?).ok()?;
    let units: [(&str, usize); 8] = [
        ("", 1),
        ("b", 1),
        ("k", 1000),
        ("kb", 1 << 10),
        ("m", 1_000_000),
        ("mb", 1 << 20),
        ("g", 1_000_000_000),
        ("gb", 1 << 30),
    ];
    let (_, factor) = units.iter().find(|(name, _)| unit.eq_ignore_ascii_case(name.as_bytes()))?;
    number.checked_mul(*factor)
}

fn set_password(config: &mut Config, value: &[u8]) -> Result<(), String> {
    config.password = Box::from(value);
    Ok(())
}

/// 0 means all that there is.
fn set_memory(config: &mut Config, value: &[u8]) -> Result<(), String> {
    let max_bytes = bytes(value, 0, config.memory_ceiling_bytes)?;
    config.memory_max_bytes = if max_bytes == 0 { config.memory_ceiling_bytes } else { max_bytes };
    Ok(())
}

fn no_snapshots(_config: &mut Config, value: &[u8]) -> Result<(), String> {
    if value.is_empty() || value == b"\"\"" {
        return Ok(());
    }
    Err("there are no snapshots: the log has every change".into())
}

fn buffer_limits(config: &Config) -> Vec<u8> {
    format!(
        "normal 0 0 0 slave 0 0 0 pubsub {} {} {}",
        config.mailbox_hard_bytes, config.mailbox_soft_bytes, config.mailbox_soft_s
    )
    .into_bytes()
}

/// Fours of class, hard limit, soft limit and seconds. Only those of listeners can be chosen: other clients are
/// not read from while they do not fetch their replies.
fn set_buffer_limits(config: &mut Config, value: &[u8]) -> Result<(), String> {
    let words: Vec<&[u8]> = value.split(|byte| *byte == b' ').filter(|it| !it.is_empty()).collect();
    let fours = words.chunks_exact(4);
    if words.is_empty() || !fours.remainder().is_empty() {
        return Err("Wrong number of arguments in buffer limit configuration.".into());
    }
    for four in fours {
        let invalid = "Error in hard, soft or soft_seconds setting in buffer limit configuration.";
        let (hard_bytes, soft_bytes) =
            (parse_bytes(four[1]).ok_or(invalid)?, parse_bytes(four[2]).ok_or(invalid)?);
        let seconds = number::integer(four[3]).and_then(|it| u64::try_from(it).ok());
        let seconds = seconds.ok_or(invalid)?;
        match &four[0].to_ascii_lowercase()[..] {
            b"pubsub" => {
                config.mailbox_hard_bytes = hard_bytes;
                config.mailbox_soft_bytes = soft_bytes;
                config.mailbox_soft_s = seconds;
            }
            b"normal" | b"slave" | b"replica" if hard_bytes == 0 && soft_bytes == 0 => {}
            b"normal" | b"slave" | b"replica" => {
                let class = shown(four[0], 16);
                return Err(format!("only the limits of pubsub can be set, not those of {class}"));
            }
            _ => return Err("Invalid client class specified in buffer limit configuration.".into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config::for_memory(256 << 20)
    }

    #[test]
    fn every_setting_can_be_set_to_what_it_is() {
        let mut config = config();
        for setting in SETTINGS {
            let value = setting.value(&config);
            assert_eq!(setting.set(&mut config, &value), Ok(()), "{}", setting.name);
            let value = String::from_utf8(value).unwrap();
            assert_eq!(config.apply(setting.name, &value), Ok(()), "{}", setting.name);
        }
    }

    #[test]
    fn names_are_there_once() {
        let mut names: Vec<&str> = SETTINGS.iter().map(|setting| setting.name).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn sizes_have_units() {
        for (text, bytes) in [
            ("0", Some(0)),
            ("1024", Some(1024)),
            ("1b", Some(1)),
            ("2k", Some(2000)),
            ("2kb", Some(2048)),
            ("3M", Some(3_000_000)),
            ("3mB", Some(3 << 20)),
            ("1g", Some(1_000_000_000)),
            ("1Gb", Some(1 << 30)),
            ("", None),
            ("-1", None),
            ("x", None),
            ("1tb", None),
            ("1 kb", None),
            ("99999999999999999999", None),
            ("9223372036854775807gb", None),
        ] {
            assert_eq!(parse_bytes(text.as_bytes()), bytes, "{text}");
        }
    }

    #[test]
    fn ceilings_hold_at_the_start_too() {
        let mut config = config();
        assert_eq!(config.apply("maxmemory", "100mb"), Ok(()));
        assert_eq!(config.memory_max_bytes, 100 << 20);
        assert_eq!(
            config.apply("maxmemory", "1gb").unwrap_err(),
            "maxmemory cannot be 1gb: argument must be between 0 and 201326592 inclusive"
        );
        assert_eq!(config.apply("port", "7000"), Ok(()));
        assert!(config.apply("port", "0").is_err() && config.apply("port", "65536").is_err());
        assert_eq!(config.port, 7000);
        assert_eq!(config.apply("foo", "1").unwrap_err(), "there is no setting foo");
        assert!(Config::has("maxclients") && !Config::has("log"));
    }
}
