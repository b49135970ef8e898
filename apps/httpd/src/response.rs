//! Response heads and the pages that the server writes itself.
//!
//! Knows nothing of files or requests: it writes what it is told.

use crate::date;
use crate::outbox::{NoMemory, Outbox};

macro_rules! statuses {
    ($($name:ident = $code:literal $reason:literal $explanation:literal,)*) => {
        /// The statuses that this server answers with.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Status {
            $(#[doc = concat!($code, " ", $reason)] $name,)*
        }

        impl Status {
            /// Every status, in ascending order.
            pub const ALL: &[Status] = &[$(Status::$name,)*];

            /// The number.
            pub const fn code(self) -> u16 {
                match self { $(Status::$name => $code,)* }
            }

            /// The number and the reason phrase, as in a status line.
            pub const fn line(self) -> &'static str {
                match self { $(Status::$name => concat!($code, " ", $reason),)* }
            }

            /// What it means to a reader of the page.
            pub const fn explanation(self) -> &'static str {
                match self { $(Status::$name => $explanation,)* }
            }
        }
    };
}

statuses! {
    Ok = 200 "OK" "",
    PartialContent = 206 "Partial Content" "",
    MovedPermanently = 301 "Moved Permanently" "The address of a folder ends in a slash.",
    NotModified = 304 "Not Modified" "",
    BadRequest = 400 "Bad Request" "The request is malformed.",
    NotFound = 404 "Not Found" "There is nothing at this address.",
    MethodNotAllowed = 405 "Method Not Allowed" "This site can be read, with GET and HEAD, and not changed.",
    RequestTimeout = 408 "Request Timeout" "The request took too long to arrive.",
    LengthRequired = 411 "Length Required" "A request body needs a Content-Length here.",
    PreconditionFailed = 412 "Precondition Failed" "The file is not the one that the request is about.",
    UriTooLong = 414 "URI Too Long" "The address is longer than this server reads.",
    RangeNotSatisfiable = 416 "Range Not Satisfiable" "The file has no bytes in the range asked for.",
    ExpectationFailed = 417 "Expectation Failed" "The request expects what this server does not do.",
    HeadTooLarge = 431 "Request Header Fields Too Large" "The request has more or longer header fields than this server reads.",
    InternalError = 500 "Internal Server Error" "The site image could not be read.",
    NotImplemented = 501 "Not Implemented" "This server does not know what the request asks for.",
    Unavailable = 503 "Service Unavailable" "The server is busy. Try again in a moment.",
    VersionNotSupported = 505 "HTTP Version Not Supported" "Only HTTP/1.0 and HTTP/1.1 are spoken here.",
}

/// What a client gets when there is no room for it: needs no heap, no date and no request.
pub const REFUSAL: &str = "HTTP/1.1 503 Service Unavailable\r\n\
    Server: Nabla\r\n\
    Content-Type: text/plain; charset=utf-8\r\n\
    Content-Length: 43\r\n\
    Retry-After: 1\r\n\
    Connection: close\r\n\r\n\
    The server is busy. Try again in a moment.\n";

/// What happens to the connection after a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Persistence {
    /// It stays, as is the rule in HTTP/1.1.
    Keep,
    /// It stays, and an HTTP/1.0 client has to be told.
    KeepAndSay,
    /// It ends.
    Close,
}

/// A head in the making. Dropped before [`end`](Self::end), it leaves half a head behind.
pub(crate) struct Head<'o> {
    outbox: &'o mut Outbox,
}

impl<'o> Head<'o> {
    pub(crate) fn begin(
        outbox: &'o mut Outbox,
        status: Status,
        date: &[u8; date::LEN],
        persistence: Persistence,
    ) -> Result<Head<'o>, NoMemory> {
        outbox.push(b"HTTP/1.1 ")?;
        outbox.push(status.line().as_bytes())?;
        outbox.push(b"\r\nDate: ")?;
        outbox.push(date)?;
        outbox.push(b"\r\nServer: Nabla\r\n")?;
        outbox.push(match persistence {
            Persistence::Keep => b"",
            Persistence::KeepAndSay => b"Connection: keep-alive\r\n",
            Persistence::Close => b"Connection: close\r\n",
        })?;
        Ok(Head { outbox })
    }

    pub(crate) fn field(&mut self, name: &str, value: &[u8]) -> Result<(), NoMemory> {
        self.outbox.push(name.as_bytes())?;
        self.outbox.push(b": ")?;
        self.outbox.push(value)?;
        self.outbox.push(b"\r\n")
    }

    /// Type and length of the content, and that the type is not to be guessed at.
    pub(crate) fn content(&mut self, content_type: &str, len: u64) -> Result<(), NoMemory> {
        self.field("Content-Type", content_type.as_bytes())?;
        self.outbox.push(b"X-Content-Type-Options: nosniff\r\nContent-Length: ")?;
        self.outbox.push_decimal(len)?;
        self.outbox.push(b"\r\n")
    }

    /// `Content-Range`, of a part from first to last byte or of none.
    pub(crate) fn content_range(
        &mut self,
        part: Option<(u64, u64)>,
        size_bytes: u64,
    ) -> Result<(), NoMemory> {
        self.outbox.push(b"Content-Range: bytes ")?;
        match part {
            Some((first, last)) => {
                self.outbox.push_decimal(first)?;
                self.outbox.push(b"-")?;
                self.outbox.push_decimal(last)?;
            }
            None => self.outbox.push(b"*")?,
        }
        self.outbox.push(b"/")?;
        self.outbox.push_decimal(size_bytes)?;
        self.outbox.push(b"\r\n")
    }

    /// A field whose value is written by a function.
    pub(crate) fn field_with(
        &mut self,
        name: &str,
        write: impl FnOnce(&mut Outbox) -> Result<(), NoMemory>,
    ) -> Result<(), NoMemory> {
        self.outbox.push(name.as_bytes())?;
        self.outbox.push(b": ")?;
        write(self.outbox)?;
        self.outbox.push(b"\r\n")
    }

    pub(crate) fn end(self) -> Result<(), NoMemory> {
        self.outbox.push(b"\r\n")
    }
}

/// The page of an error or a redirection.
pub(crate) struct Page {
    pub(crate) status: Status,
    /// What went wrong in this very case; the status's explanation if empty.
    pub(crate) detail: &'static str,
}

const PAGE_PARTS: [&str; 4] = [
    "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">\
     <meta name=\"viewport\" content=\"width=device-width\"><title>",
    "</title>\n<style>:root{color-scheme:light dark}\
     body{font:1.0625rem/1.6 system-ui,sans-serif;max-width:34rem;margin:18vh auto 0;padding:0 1.5rem;\
     color:light-dark(#1c2230,#e4e7ee);background:light-dark(#fbfaf7,#11141b)}\
     h1{font-size:1.5rem;line-height:1.25;margin:0 0 .75rem;padding:0 0 .75rem;\
     border-bottom:2px solid light-dark(#c4502c,#f08a5d)}\
     a{color:inherit}p:last-child{opacity:.65;font-size:.9375rem}</style>\n<h1>",
    "</h1>\n<p>",
    "</p>\n<p><a href=\"/\">To the first page</a></p>\n</html>\n",
];

impl Page {
    pub(crate) const CONTENT_TYPE: &'static str = "text/html; charset=utf-8";

    /// What went wrong, in words.
    pub(crate) fn detail(&self) -> &'static str {
        match self.detail {
            "" => self.status.explanation(),
            detail => detail,
        }
    }

    fn parts(&self) -> [&'static str; 7] {
        let line = self.status.line();
        let [start, style, middle, end] = PAGE_PARTS;
        [start, line, style, line, middle, self.detail(), end]
    }

    pub(crate) fn len(&self) -> u64 {
        self.parts().iter().map(|part| part.len() as u64).sum()
    }

    pub(crate) fn write(&self, outbox: &mut Outbox) -> Result<(), NoMemory> {
        self.parts().iter().try_for_each(|part| outbox.push(part.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    #[test]
    fn the_refusal_has_the_length_that_it_says() {
        let (head, body) = REFUSAL.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())));
    }

    #[test]
    fn statuses_are_in_order_and_pages_have_their_length() {
        assert!(Status::ALL.is_sorted_by_key(|status| status.code()));
        for (index, &status) in Status::ALL.iter().enumerate() {
            assert_eq!(status as usize, index);
            assert!(status.line().starts_with(&format!("{} ", status.code())));
            let mut outbox = Outbox::new();
            let page = Page { status, detail: "" };
            page.write(&mut outbox).unwrap();
            assert_eq!(outbox.len() as u64, page.len());
        }
    }

    #[test]
    fn a_head_is_written_line_by_line() {
        let mut outbox = Outbox::new();
        let date = date::format(0);
        let mut head =
            Head::begin(&mut outbox, Status::PartialContent, &date, Persistence::Close).unwrap();
        head.content("text/plain", 2).unwrap();
        head.content_range(Some((3, 4)), 10).unwrap();
        head.content_range(None, 10).unwrap();
        head.field_with("X", |outbox| outbox.push(b"y")).unwrap();
        head.end().unwrap();
        let expected = "HTTP/1.1 206 Partial Content\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\
            Server: Nabla\r\nConnection: close\r\nContent-Type: text/plain\r\n\
            X-Content-Type-Options: nosniff\r\nContent-Length: 2\r\nContent-Range: bytes 3-4/10\r\n\
            Content-Range: bytes */10\r\nX: y\r\n\r\n";
        assert_eq!(std::str::from_utf8(outbox.bytes()), Ok(expected));
    }
}
