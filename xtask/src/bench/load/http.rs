//! HTTP requests for one path.

use std::process::ExitCode;

use anyhow::{Result, ensure};
use lexopt::{Arg, Parser, ValueExt};

use super::client::{Answers, Load, Protocol};
use super::response::Reader;
use super::window::Window;
use crate::unexpected;

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// How to ask.
    pub(crate) load: Load,
    /// What to ask for.
    pub(crate) path: String,
}

impl Plan {
    /// The words of a worker.
    pub(crate) fn words(&self) -> Vec<String> {
        let mut words = vec!["http".to_owned()];
        words.extend(self.load.words());
        words.extend(["--path".to_owned(), self.path.clone()]);
        words
    }

    /// Reads them, behind the first.
    fn parse(words: &mut Parser) -> Result<Self> {
        let mut plan = Self { load: Load::empty(Window::empty()), path: "/".into() };
        while let Some(word) = words.next()? {
            match word {
                Arg::Long("path") => plan.path = words.value()?.string()?,
                Arg::Long(name) => {
                    let name = name.to_owned();
                    ensure!(plan.load.take(&name, words)?, "a client has no --{name}");
                }
                other => return Err(unexpected(other, "bench")),
            }
        }
        plan.load.check()?;
        Ok(plan)
    }
}

/// The task of a worker.
pub(in super::super) fn main(words: &mut Parser) -> Result<ExitCode> {
    let plan = Plan::parse(words)?;
    println!("{}", plan.load.run(Http::new(&plan))?.to_json());
    Ok(ExitCode::SUCCESS)
}

struct Http {
    request: Vec<u8>,
}

impl Http {
    fn new(plan: &Plan) -> Self {
        let connection = if plan.load.is_short { "close" } else { "keep-alive" };
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nConnection: {connection}\r\n\r\n",
            plan.path, plan.load.window.address
        );
        Self { request: request.into_bytes() }
    }
}

impl Protocol for Http {
    type Reader = Reader;

    fn request(&mut self, _: &mut Reader) -> Option<&[u8]> {
        Some(&self.request)
    }

    fn take(&mut self, reader: &mut Reader, bytes: &[u8]) -> Result<Option<Answers>> {
        let status = reader.take(bytes)?;
        Ok(status.map(|status| match status {
            200 => Answers { right: 1, wrong: 0 },
            _ => Answers { right: 0, wrong: 1 },
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn plans_are_read_as_written() {
        let plan = Plan {
            load: Load {
                window: Window {
                    address: "10.0.0.1:80".parse().unwrap(),
                    warm_up: Duration::from_millis(500),
                    time: Duration::from_secs(5),
                    watched: vec![7],
                },
                connections: 64,
                is_short: true,
                rate: Some(1000),
            },
            path: "/page".into(),
        };
        let mut words = Parser::from_args(plan.words());
        words.next().unwrap();
        assert_eq!(Plan::parse(&mut words).unwrap(), plan);
    }
}
