//! Where HTTP responses end in a stream of bytes. It knows status and `Content-Length`, which is
//! what the servers of a bench send, and refuses everything else.

use anyhow::{Context, Result, bail, ensure};

/// More than any server of a bench sends.
const HEAD_BYTES_MAX: usize = 16 << 10;
const END: &[u8] = b"\r\n\r\n";

/// A response on its way.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    /// The beginning of a head that is not complete.
    head: Vec<u8>,
    /// Bytes of the body that have to come, once the head is complete.
    body_bytes: Option<usize>,
    status: u16,
}

impl Reader {
    /// Takes bytes in. The status of the response if they end it.
    ///
    /// # Errors
    /// If it is no response of the known kind, or something follows that was not asked for.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<Option<u16>> {
        let rest = match self.body_bytes {
            Some(_) => bytes,
            None => match self.take_head(bytes)? {
                None => return Ok(None),
                Some(rest) => rest,
            },
        };
        let missing = self.body_bytes.unwrap_or_default();
        ensure!(rest.len() <= missing, "more comes than was asked for");
        if rest.len() < missing {
            self.body_bytes = Some(missing - rest.len());
            return Ok(None);
        }
        self.body_bytes = None;
        Ok(Some(self.status))
    }

    /// What follows the head, if it is complete.
    fn take_head<'a>(&mut self, bytes: &'a [u8]) -> Result<Option<&'a [u8]>> {
        if self.head.is_empty()
            && let Some(end) = find(bytes, END)
        {
            let (head, rest) = bytes.split_at(end + END.len());
            self.understand(head)?;
            return Ok(Some(rest));
        }
        let before = self.head.len();
        self.head.extend_from_slice(bytes);
        let Some(end) = find(&self.head, END) else {
            ensure!(self.head.len() <= HEAD_BYTES_MAX, "the head of a response has no end");
            return Ok(None);
        };
        let head = std::mem::take(&mut self.head);
        let end = end + END.len();
        self.understand(&head[..end])?;
        Ok(Some(&bytes[end - before..]))
    }

    fn understand(&mut self, head: &[u8]) -> Result<()> {
        let digits = head.strip_prefix(b"HTTP/1.1 ").and_then(|rest| rest.get(..3));
        self.status = number(digits.context("it is no HTTP response")?)? as u16;
        let mut lines = head.split(|&byte| byte == b'\n').skip(1);
        let name = b"content-length:";
        let length = lines.find(|line| {
            line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
        });
        let Some(length) = length else { bail!("a response has no Content-Length") };
        self.body_bytes = Some(number(length[name.len()..].trim_ascii())?);
        Ok(())
    }
}

fn number(digits: &[u8]) -> Result<usize> {
    let text = std::str::from_utf8(digits).ok();
    text.and_then(|text| text.parse().ok()).context("a number in a response is none")
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nServer: x\r\ncontent-length: 5\r\n\r\nabcde";

    #[test]
    fn a_response_ends_wherever_it_is_cut() {
        for cut in 0..RESPONSE.len() {
            let mut reader = Reader::default();
            for _ in 0..3 {
                assert_eq!(reader.take(&RESPONSE[..cut]).unwrap(), None, "{cut}");
                assert_eq!(reader.take(&RESPONSE[cut..]).unwrap(), Some(200), "{cut}");
            }
        }
        let mut reader = Reader::default();
        let (last, start) = RESPONSE.split_last().unwrap();
        assert!(start.iter().all(|byte| reader.take(&[*byte]).unwrap().is_none()));
        assert_eq!(reader.take(&[*last]).unwrap(), Some(200));
    }

    #[test]
    fn what_is_no_response_is_refused() {
        for text in [
            "SSH-2.0\r\n\r\n",
            "HTTP/1.1 20\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab",
        ] {
            assert!(Reader::default().take(text.as_bytes()).is_err(), "{text}");
        }
        assert!(Reader::default().take(&[b'x'; HEAD_BYTES_MAX + 1]).is_err());
    }
}
