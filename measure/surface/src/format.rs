//! Where the fields of an event stand, from the text that tracefs has of each event
//! (`events/*/*/format`). No event is decoded here.

/// Why a format was not understood.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FormatError {
    /// There is no number of the event.
    #[error("format of event '{event}': no line 'ID: NUMBER'")]
    Id {
        /// The event.
        event: String,
    },
    /// A field is missing, or is not as large as it must be.
    #[error(
        "format of event '{event}': no field '{field}' of {bytes} bytes; this kernel's tracer is not known here"
    )]
    Field {
        /// The event.
        event: String,
        /// What was looked for.
        field: &'static str,
        /// Its size.
        bytes: usize,
    },
}

/// The events that are decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Formats {
    /// A function was entered.
    pub function: Function,
    /// A task was made. None when nobody asked for it.
    pub fork: Option<Fork>,
}

/// `ftrace:function`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Function {
    pub(crate) id: u16,
    pub(crate) ip: usize,
    pub(crate) parent: usize,
}

/// `sched:sched_process_fork`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fork {
    pub(crate) id: u16,
    pub(crate) parent: usize,
    pub(crate) child: usize,
}

impl Default for Formats {
    fn default() -> Self {
        Self { function: Function { id: 1, ip: 8, parent: 16 }, fork: None }
    }
}

impl Function {
    /// Reads `events/ftrace/function/format`.
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        let event = Event { name: "function", text };
        Ok(Self {
            id: event.id()?,
            ip: event.field("ip", 8)?,
            parent: event.field("parent_ip", 8)?,
        })
    }
}

impl Fork {
    /// Reads `events/sched/sched_process_fork/format`.
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        let event = Event { name: "sched_process_fork", text };
        let (parent, child) = (event.field("parent_pid", 4)?, event.field("child_pid", 4)?);
        Ok(Self { id: event.id()?, parent, child })
    }
}

struct Event<'a> {
    name: &'static str,
    text: &'a str,
}

impl Event<'_> {
    fn id(&self) -> Result<u16, FormatError> {
        let mut lines = self.text.lines();
        let id = lines.find_map(|line| line.strip_prefix("ID:")?.trim().parse().ok());
        id.ok_or_else(|| FormatError::Id { event: self.name.to_owned() })
    }

    /// Where a field of that size begins.
    fn field(&self, field: &'static str, bytes: usize) -> Result<usize, FormatError> {
        let mut lines = self.text.lines();
        let found = lines.find_map(|line| {
            let mut parts = line.trim().strip_prefix("field:")?.split(';');
            let name = parts.next()?.split_whitespace().last()?;
            let (mut offset, mut size) = (None, None);
            for part in parts {
                match part.trim().split_once(':') {
                    Some(("offset", number)) => offset = number.parse::<u16>().ok(),
                    Some(("size", number)) => size = number.parse::<u16>().ok(),
                    _ => {}
                }
            }
            (name == field && size? == bytes as u16).then_some(usize::from(offset?))
        });
        let event = || self.name.to_owned();
        found.ok_or_else(|| FormatError::Field { event: event(), field, bytes })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FUNCTION: &str = "name: function
ID: 1
format:
\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;
\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;

\tfield:unsigned long ip;\toffset:8;\tsize:8;\tsigned:0;
\tfield:unsigned long parent_ip;\toffset:16;\tsize:8;\tsigned:0;
";

    #[test]
    fn the_format_of_kernel_6_1_is_the_default() {
        assert_eq!(Function::parse(FUNCTION), Ok(Formats::default().function));
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = Function::parse(&FUNCTION.replace("parent_ip", "caller")).unwrap_err();
        assert!(error.to_string().contains("'parent_ip' of 8 bytes"), "{error}");
        let error = Fork::parse("ID: 4").unwrap_err();
        assert!(error.to_string().contains("parent_pid"), "{error}");
        assert!(Function::parse(&FUNCTION.replace("ID: 1", "ID: 70000")).is_err());
        assert!(Function::parse(&FUNCTION.replace("size:8", "size:4")).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[a-z_:;0-9 \n\tID]{0,200}") {
            drop(Function::parse(&text));
            drop(Fork::parse(&text));
        }
    }
}
