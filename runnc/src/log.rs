//! What engines read when something went wrong: a line on standard error, and one in the file of `--log`,
//! from whose last line of level `error` they make their own message.

use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::{self, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber, span};

use crate::cli::Global;
use crate::container::rfc3339;

/// The log.
pub(crate) struct Log {
    file: Option<File>,
    json: bool,
}

impl Log {
    /// Opens the file that the command line names. If it cannot be opened there is standard error.
    pub(crate) fn open(global: &Global) -> Self {
        let open = || File::options().create(true).append(true).open(global.log.as_ref()?).ok();
        let (file, json) = (open(), global.log_format == "json");
        if global.debug
            && let Some(file) = open()
        {
            let details = Details { log: Mutex::new(Self { file: Some(file), json }) };
            // There is no other yet.
            let _ = tracing::subscriber::set_global_default(details);
        }
        Self { file, json }
    }

    /// Tells of a failure with its reasons.
    pub(crate) fn error(&self, error: &anyhow::Error) {
        let message = tender::message::one_line(&format!("{error:#}")).to_string();
        // Nobody listens where it is closed.
        let _ = writeln!(io::stderr(), "runnc: {message}");
        self.write("error", &message);
    }

    /// Tells of something that is no failure of the command.
    pub(crate) fn warn(&self, message: &str) {
        self.write("warning", tender::message::one_line(message).as_ref());
    }

    fn write(&self, level: &str, message: &str) {
        let Some(mut file) = self.file.as_ref() else { return };
        let time = rfc3339(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default());
        let line = match self.json {
            true => json!({ "level": level, "msg": message, "time": time }).to_string(),
            false => format!("time=\"{time}\" level={level} msg={message:?}"),
        };
        // A full disk must not make a command fail that would not.
        let _ = writeln!(file, "{line}");
    }
}

/// Whether this process has given its log away.
static SILENT: AtomicBool = AtomicBool::new(false);

/// Nothing is written any more by this process: the descriptor's number may be another file's soon.
pub(crate) fn be_silent() {
    SILENT.store(true, Ordering::Relaxed);
}

/// Writes what libcontainer tells to the log. It has no use for spans.
struct Details {
    log: Mutex<Log>,
}

impl Subscriber for Details {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::DEBUG
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        if SILENT.load(Ordering::Relaxed) {
            return;
        }
        let mut text = Text(String::new());
        event.record(&mut text);
        if let Ok(log) = self.log.lock() {
            // Its errors come back to the caller, who tells the one that counts.
            log.write("debug", tender::message::one_line(&text.0).as_ref());
        }
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// The fields of an event, one after the other.
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = match field.name() {
            "message" => write!(self.0, "{value:?} "),
            name => write!(self.0, "{name}={value:?} "),
        };
    }
}
