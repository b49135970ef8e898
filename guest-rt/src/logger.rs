//! The [`log`] facade on the console: a line per record, with the seconds since the start. The
//! level is the command line's `--log=off|error|warn|info|debug|trace`, by default `info`.

use core::time::Duration;

use log::{LevelFilter, Log, Metadata, Record};

use crate::{args, println, time};

struct Logger;

static LOGGER: Logger = Logger;

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let uptime: Duration = time::uptime();
        println!(
            "[{:5}.{:06}] {:5} {}: {}",
            uptime.as_secs(),
            uptime.subsec_micros(),
            record.level(),
            record.target(),
            record.args()
        );
    }

    fn flush(&self) {}
}

pub(crate) fn init() {
    time::mark_start();
    let asked = args::option("--log");
    let level = match asked.as_deref().map(str::parse::<LevelFilter>) {
        None | Some(Err(_)) => LevelFilter::Info,
        Some(Ok(level)) => level,
    };
    // Fails only when a logger is set already, which is then the program's wish.
    let _ = log::set_logger(&LOGGER);
    log::set_max_level(level);
    if let Some(text) = asked.filter(|text| text.parse::<LevelFilter>().is_err()) {
        log::warn!("--log={text} is no level; known are off, error, warn, info, debug, trace");
    }
}
