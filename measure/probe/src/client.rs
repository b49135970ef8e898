//! Clients that do the same each time: connections one after the other, a few requests on each.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use surface::scenario::Workload;

use crate::network;

/// Requests on each connection, so that both connecting and going on are looked at.
const PER_CONNECTION: u32 = 10;
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);

/// A client of one server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client {
    workload: Workload,
    address: SocketAddr,
}

impl Client {
    /// Of the server at that address.
    pub(crate) fn new(workload: Workload, address: SocketAddr) -> Self {
        Self { workload, address }
    }

    /// Waits until there is an answer.
    ///
    /// # Errors
    /// If there is none after a minute of this machine's time.
    pub(crate) fn wait(&self) -> Result<()> {
        let rounds = PATIENCE.as_millis() / PAUSE.as_millis();
        let mut last = None;
        for _ in 0..rounds {
            match self.requests(1) {
                Ok(()) => return Ok(()),
                Err(error) => last = Some(error),
            }
            std::thread::sleep(PAUSE);
        }
        let last = last.context("no time")?;
        Err(last.context(format!("{} does not answer at {}", self.workload, self.address)))
    }

    /// Makes so many requests and looks at the answers.
    ///
    /// # Errors
    /// If one is not what it should be.
    pub(crate) fn requests(&self, count: u32) -> Result<()> {
        for done in (0..count).step_by(PER_CONNECTION as usize) {
            let mut connection = Connection::open(self.address)?;
            for number in done..count.min(done + PER_CONNECTION) {
                match self.workload {
                    Workload::Httpd => connection.get()?,
                    Workload::Kv if number % 2 == 0 => connection.set(number)?,
                    Workload::Kv => connection.fetch(number - 1)?,
                    other => bail!("{other} has no client"),
                }
            }
        }
        Ok(())
    }
}

struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    fn open(address: SocketAddr) -> Result<Self> {
        let stream = network::dial(address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    fn send(&mut self, text: &str) -> Result<()> {
        self.stream.get_mut().write_all(text.as_bytes()).context("cannot send")
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.stream.read_line(&mut line).context("no answer")?;
        Ok(line.trim_end().to_owned())
    }

    fn get(&mut self) -> Result<()> {
        self.send("GET / HTTP/1.1\r\nHost: server\r\nUser-Agent: probe\r\nAccept: */*\r\n\r\n")?;
        let status = self.line()?;
        ensure!(status.starts_with("HTTP/1.1 200"), "an answer is '{status}'");
        let mut length = None;
        loop {
            let line = self.line()?.to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse::<usize>().ok();
            }
        }
        let mut body = vec![0; length.context("an answer has no length")?];
        self.stream.read_exact(&mut body).context("an answer's body")
    }

    fn set(&mut self, number: u32) -> Result<()> {
        let (key, value) = (format!("key:{number}"), "v".repeat(100));
        self.send(&format!(
            "*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n${}\r\n{value}\r\n",
            key.len(),
            value.len()
        ))?;
        let answer = self.line()?;
        ensure!(answer == "+OK", "the answer to SET is '{answer}'");
        Ok(())
    }

    fn fetch(&mut self, number: u32) -> Result<()> {
        let key = format!("key:{number}");
        self.send(&format!("*2\r\n$3\r\nGET\r\n${}\r\n{key}\r\n", key.len()))?;
        let (head, value) = (self.line()?, self.line()?);
        ensure!(head == "$100" && value.len() == 100, "the answer to GET is '{head}'");
        Ok(())
    }
}
