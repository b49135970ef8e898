//! Request heads (RFC 9112): where one ends, and what it says.
//!
//! Strict where leniency has been used to smuggle requests: a bare CR or LF, a folded line, white
//! space before a colon, two lengths, a length beside a transfer coding, or a control byte is an
//! error, and after an error the connection is of no further use. Outcomes depend on the bytes
//! alone, never on how they were cut into reads. Bodies are not decoded.

use core::fmt;

/// The bounds of a request head.
#[derive(Debug, Clone)]
pub struct HeadLimits {
    /// The longest request line, with its line end.
    pub request_line_bytes_max: usize,
    /// The longest head: request line, fields and the empty line.
    pub head_bytes_max: usize,
    /// The most field lines.
    pub field_count_max: usize,
}

impl Default for HeadLimits {
    fn default() -> Self {
        HeadLimits {
            request_line_bytes_max: 8 * 1024,
            head_bytes_max: 16 * 1024,
            field_count_max: 100,
        }
    }
}

/// Why a head was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestError {
    /// The request line is not `METHOD SP TARGET SP VERSION`.
    RequestLine,
    /// The request line is longer than the limit: 414.
    RequestLineTooLong,
    /// The head is longer than the limit: 431.
    HeadTooLong,
    /// More fields than the limit: 431.
    TooManyFields,
    /// A line ends in LF without CR.
    BareLineFeed,
    /// A field line is malformed: no colon, a name that is no token, folding, a control byte.
    Field,
    /// A major version other than 1: 505.
    Version,
    /// No `Host`, more than one, or one that is no host.
    Host,
    /// `Content-Length` is repeated or no number.
    ContentLength,
    /// A transfer coding beside a length, in HTTP/1.0, or not ending in `chunked`.
    TransferEncoding,
    /// A transfer coding that this server does not know: 501.
    TransferCoding,
}

impl RequestError {
    /// What is wrong, in words.
    pub fn reason(self) -> &'static str {
        match self {
            RequestError::RequestLine => "the request line is not METHOD TARGET VERSION",
            RequestError::RequestLineTooLong => "the request line is too long",
            RequestError::HeadTooLong => "the request head is too long",
            RequestError::TooManyFields => "the request has too many header fields",
            RequestError::BareLineFeed => "a line of the request ends in LF instead of CR LF",
            RequestError::Field => "a header field is malformed",
            RequestError::Version => "only HTTP/1.0 and HTTP/1.1 are spoken here",
            RequestError::Host => "the Host field is missing, repeated or no host",
            RequestError::ContentLength => "the Content-Length is repeated or no number",
            RequestError::TransferEncoding => "the Transfer-Encoding leaves the length ambiguous",
            RequestError::TransferCoding => "the transfer coding is not known here",
        }
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl core::error::Error for RequestError {}

/// Looks for the end of a head in bytes that arrive bit by bit; each byte is looked at once.
#[derive(Debug, Clone, Copy, Default)]
pub struct HeadScan {
    scanned: usize,
    line_start: usize,
    lines: usize,
}

impl HeadScan {
    /// The length of the head, once `bytes` hold all of it.
    ///
    /// `bytes` begin with the request line and only grow from call to call.
    pub fn advance(
        &mut self,
        bytes: &[u8],
        limits: &HeadLimits,
    ) -> Result<Option<usize>, RequestError> {
        if bytes.first().is_some_and(|&b| !is_token_byte(b)) {
            return Err(RequestError::RequestLine);
        }
        while let Some(found) = bytes[self.scanned..].iter().position(|&b| b == b'\n') {
            let end = self.scanned + found;
            self.check_length(end + 1, limits)?;
            if end == self.line_start || bytes[end - 1] != b'\r' {
                return Err(RequestError::BareLineFeed);
            }
            let is_empty = end - 1 == self.line_start;
            self.scanned = end + 1;
            self.line_start = end + 1;
            if is_empty {
                return Ok(Some(end + 1));
            }
            self.lines += 1;
            if self.lines > limits.field_count_max + 1 {
                return Err(RequestError::TooManyFields);
            }
        }
        self.scanned = bytes.len();
        self.check_length(bytes.len(), limits)?;
        Ok(None)
    }

    fn check_length(&self, len: usize, limits: &HeadLimits) -> Result<(), RequestError> {
        if self.lines == 0 && len > limits.request_line_bytes_max {
            return Err(RequestError::RequestLineTooLong);
        }
        if len > limits.head_bytes_max {
            return Err(RequestError::HeadTooLong);
        }
        Ok(())
    }
}

/// What a request asks to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Send the file.
    Get,
    /// Send the head of the answer that `GET` would have got.
    Head,
    /// A method of the standards that a static site does not allow: 405.
    NotAllowed,
    /// A method that this server has never heard of: 501.
    Unknown,
}

impl Method {
    fn of(name: &str) -> Method {
        match name {
            "GET" => Method::Get,
            "HEAD" => Method::Head,
            "POST" | "PUT" | "DELETE" | "OPTIONS" | "PATCH" | "TRACE" | "CONNECT" => {
                Method::NotAllowed
            }
            _ => Method::Unknown,
        }
    }
}

/// What follows the head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// So many bytes.
    Bytes(u64),
    /// Chunks, which this server does not decode: 411.
    Chunked,
}

/// What the client expects before it sends its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expectation {
    /// Nothing.
    None,
    /// A 100, or a final answer at once.
    Continue,
    /// Something unknown: 417.
    Other,
}

/// A well-formed request.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// What is asked.
    pub method: Method,
    /// The method as it was written, a token.
    pub method_name: &'a str,
    /// The target as it was written: visible ASCII.
    pub target: &'a str,
    /// HTTP/1.1 or a later 1.x, not 1.0.
    pub is_http11: bool,
    /// The connection may serve another request afterwards, as far as the client is concerned.
    pub keep_alive: bool,
    /// What follows the head.
    pub body: Body,
    /// What the client expects before it sends the body.
    pub expectation: Expectation,
    /// The value of `Range` if there is exactly one.
    pub range: Option<&'a [u8]>,
    /// There is an `If-...` field.
    pub is_conditional: bool,
    fields: &'a [u8],
}

/// Parses a whole head, as delimited by [`HeadScan`].
pub fn parse(head: &[u8]) -> Result<Request<'_>, RequestError> {
    let line_end = find_line_end(head).ok_or(RequestError::RequestLine)?;
    let (method_name, target, version) = parse_request_line(&head[..line_end])?;
    let is_http11 = parse_version(version)?;
    let fields = &head[line_end + 2..];
    let notes = read_fields(fields)?;
    notes.check_host(is_http11)?;
    Ok(Request {
        method: Method::of(method_name),
        method_name,
        target,
        is_http11,
        keep_alive: !notes.close && (is_http11 || notes.keep_alive),
        body: notes.body(is_http11)?,
        expectation: notes.expectation,
        range: notes.range.filter(|_| notes.range_count == 1),
        is_conditional: notes.is_conditional,
        fields,
    })
}

impl<'a> Request<'a> {
    /// The values of every field of that name, in order.
    pub fn values<'s>(&self, name: &'s str) -> impl Iterator<Item = &'a [u8]> + use<'a, 's> {
        FieldLines { rest: self.fields }
            .map_while(Result::ok)
            .filter(move |(found, _)| found.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| value)
    }

    /// The value of the field of that name, if there is exactly one.
    pub fn single(&self, name: &str) -> Option<&'a [u8]> {
        let mut values = self.values(name);
        let first = values.next()?;
        values.next().is_none().then_some(first)
    }
}

fn find_line_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(2).position(|pair| pair == b"\r\n")
}

fn parse_request_line(line: &[u8]) -> Result<(&str, &str, &[u8]), RequestError> {
    let mut parts = line.split(|&b| b == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(RequestError::RequestLine);
    };
    let is_sound =
        is_token(method) && !target.is_empty() && target.iter().all(u8::is_ascii_graphic);
    if !is_sound {
        return Err(RequestError::RequestLine);
    }
    let text = |bytes| core::str::from_utf8(bytes).map_err(|_| RequestError::RequestLine);
    Ok((text(method)?, text(target)?, version))
}

/// Whether the version is 1.1 or later rather than 1.0.
fn parse_version(version: &[u8]) -> Result<bool, RequestError> {
    match version {
        b"HTTP/1.0" => Ok(false),
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'1'..=b'9'] => Ok(true),
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => {
            Err(RequestError::Version)
        }
        _ => Err(RequestError::RequestLine),
    }
}

/// The field lines up to the empty line: names and trimmed values.
struct FieldLines<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for FieldLines<'a> {
    type Item = Result<(&'a [u8], &'a [u8]), RequestError>;

    fn next(&mut self) -> Option<Self::Item> {
        let end = find_line_end(self.rest)?;
        let line = &self.rest[..end];
        self.rest = &self.rest[end + 2..];
        (end > 0).then(|| parse_field(line))
    }
}

fn parse_field(line: &[u8]) -> Result<(&[u8], &[u8]), RequestError> {
    let colon = line.iter().position(|&b| b == b':').ok_or(RequestError::Field)?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    let is_value_byte = |&b: &u8| b == b'\t' || (b >= b' ' && b != 0x7f);
    if !is_token(name) || !value.iter().all(is_value_byte) {
        return Err(RequestError::Field);
    }
    Ok((name, trim(value)))
}

/// What one walk over the fields found.
struct Notes<'a> {
    host_count: usize,
    host: &'a [u8],
    content_length: Option<u64>,
    coding: Option<&'a [u8]>,
    close: bool,
    keep_alive: bool,
    expectation: Expectation,
    range: Option<&'a [u8]>,
    range_count: usize,
    is_conditional: bool,
}

fn read_fields(fields: &[u8]) -> Result<Notes<'_>, RequestError> {
    let mut notes = Notes {
        host_count: 0,
        host: b"",
        content_length: None,
        coding: None,
        close: false,
        keep_alive: false,
        expectation: Expectation::None,
        range: None,
        range_count: 0,
        is_conditional: false,
    };
    for line in (FieldLines { rest: fields }) {
        let (name, value) = line?;
        notes.take(name, value)?;
    }
    Ok(notes)
}

impl<'a> Notes<'a> {
    fn take(&mut self, name: &[u8], value: &'a [u8]) -> Result<(), RequestError> {
        let is = |candidate: &[u8]| name.eq_ignore_ascii_case(candidate);
        match name.len() {
            4 if is(b"host") => {
                self.host_count += 1;
                self.host = value;
            }
            5 if is(b"range") => {
                self.range_count += 1;
                self.range = Some(value);
            }
            6 if is(b"expect") => {
                self.expectation = match value.eq_ignore_ascii_case(b"100-continue") {
                    true if self.expectation != Expectation::Other => Expectation::Continue,
                    _ => Expectation::Other,
                };
            }
            10 if is(b"connection") => self.take_connection(value),
            14 if is(b"content-length") => self.take_content_length(value)?,
            17 if is(b"transfer-encoding") => self.take_coding(value)?,
            _ => {
                let start = name.get(..3).unwrap_or_default();
                self.is_conditional |= start.eq_ignore_ascii_case(b"if-");
            }
        }
        Ok(())
    }

    fn take_connection(&mut self, value: &[u8]) {
        for option in value.split(|&b| b == b',').map(trim) {
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }

    /// Even a repetition of the same number is refused: no client of good will sends one.
    fn take_content_length(&mut self, value: &[u8]) -> Result<(), RequestError> {
        if self.content_length.is_some() || value.is_empty() {
            return Err(RequestError::ContentLength);
        }
        let length = value.iter().try_fold(0u64, |sum, &digit| {
            let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
            sum.checked_mul(10)?.checked_add(digit)
        });
        self.content_length = Some(length.ok_or(RequestError::ContentLength)?);
        Ok(())
    }

    fn take_coding(&mut self, value: &'a [u8]) -> Result<(), RequestError> {
        if self.coding.is_some() {
            return Err(RequestError::TransferEncoding);
        }
        self.coding = Some(value);
        Ok(())
    }

    fn check_host(&self, is_http11: bool) -> Result<(), RequestError> {
        let is_host_byte = |b: &u8| b.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:[]".contains(b);
        let is_count_right = self.host_count == 1 || (self.host_count == 0 && !is_http11);
        if !is_count_right || !self.host.iter().all(is_host_byte) {
            return Err(RequestError::Host);
        }
        Ok(())
    }

    /// RFC 9112, section 6.3.
    fn body(&self, is_http11: bool) -> Result<Body, RequestError> {
        let Some(coding) = self.coding else {
            return Ok(Body::Bytes(self.content_length.unwrap_or(0)));
        };
        if self.content_length.is_some() || !is_http11 {
            return Err(RequestError::TransferEncoding);
        }
        let mut codings = coding.split(|&b| b == b',').map(trim);
        let last = codings.next_back().unwrap_or_default();
        match (last.eq_ignore_ascii_case(b"chunked"), codings.next()) {
            (false, _) => Err(RequestError::TransferEncoding),
            (true, Some(coding)) if coding.eq_ignore_ascii_case(b"chunked") => {
                Err(RequestError::TransferEncoding)
            }
            (true, Some(_)) => Err(RequestError::TransferCoding),
            (true, None) => Ok(Body::Chunked),
        }
    }
}

/// Takes optional white space off both ends: blanks and tabs, nothing else.
fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&b| is_token_byte(b))
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::format;
    use std::string::String;
    use std::vec;
    use std::vec::Vec;

    fn scan(bytes: &[u8], limits: &HeadLimits) -> Result<Option<usize>, RequestError> {
        HeadScan::default().advance(bytes, limits)
    }

    fn scan_in_steps(
        bytes: &[u8],
        limits: &HeadLimits,
        step: usize,
    ) -> Result<Option<usize>, RequestError> {
        let mut scan = HeadScan::default();
        for end in (0..bytes.len()).step_by(step).chain([bytes.len()]) {
            match scan.advance(&bytes[..end], limits) {
                Ok(None) => {}
                outcome => return outcome,
            }
        }
        Ok(None)
    }

    fn refusal(fields: &str) -> Option<RequestError> {
        let head = format!("GET / HTTP/1.1\r\nHost: x\r\n{fields}\r\n");
        parse(head.as_bytes()).err()
    }

    #[test]
    fn a_plain_request_is_read() {
        let head = b"GET /a?b HTTP/1.1\r\nhOsT:  example.org:80 \r\nIf-None-Match: \"x\"\r\nRange: bytes=0-1\r\n\r\n";
        let request = parse(head).unwrap();
        assert_eq!(request.method, Method::Get);
        assert_eq!(request.target, "/a?b");
        assert!(request.is_http11 && request.keep_alive && request.is_conditional);
        assert_eq!(request.body, Body::Bytes(0));
        assert_eq!(request.range, Some(&b"bytes=0-1"[..]));
        assert_eq!(request.single("host"), Some(&b"example.org:80"[..]));
        assert_eq!(request.single("IF-NONE-MATCH"), Some(&b"\"x\""[..]));
        assert_eq!(request.single("if-match"), None);
    }

    #[test]
    fn the_request_line_is_taken_literally() {
        for (line, expected) in [
            ("GET /", RequestError::RequestLine),
            ("GET  / HTTP/1.1", RequestError::RequestLine),
            ("GET / HTTP/1.1 ", RequestError::RequestLine),
            (" GET / HTTP/1.1", RequestError::RequestLine),
            ("GET /\t HTTP/1.1", RequestError::RequestLine),
            ("GET /\u{e9} HTTP/1.1", RequestError::RequestLine),
            ("GET /\0 HTTP/1.1", RequestError::RequestLine),
            ("G@T / HTTP/1.1", RequestError::RequestLine),
            ("GET / http/1.1", RequestError::RequestLine),
            ("GET / HTTP/1.10", RequestError::RequestLine),
            ("GET / HTTP/1", RequestError::RequestLine),
            ("GET /\r HTTP/1.1", RequestError::RequestLine),
            ("PRI * HTTP/2.0", RequestError::Version),
            ("GET / HTTP/0.9", RequestError::Version),
        ] {
            let head = format!("{line}\r\nHost: x\r\n\r\n");
            assert_eq!(parse(head.as_bytes()).err(), Some(expected), "{line:?}");
        }
    }

    #[test]
    fn malformed_fields_are_refused() {
        for fields in [
            "Name : x\r\n",
            ": x\r\n",
            "no colon\r\n",
            "A: b\r\n folded\r\n",
            "A: b\r\n\tfolded\r\n",
            "A: nul\0\r\n",
            "A: bare\rreturn\r\n",
            "A: \x7f\r\n",
            "A\u{e9}: x\r\n",
        ] {
            assert_eq!(refusal(fields), Some(RequestError::Field), "{fields:?}");
        }
        assert_eq!(refusal("A: \u{e9}\ttab\r\nB:\r\n"), None);
    }

    #[test]
    fn a_length_that_could_be_read_in_two_ways_is_refused() {
        for (fields, expected) in [
            ("Content-Length: 1\r\nContent-Length: 1\r\n", RequestError::ContentLength),
            ("Content-Length: 1\r\nContent-Length: 2\r\n", RequestError::ContentLength),
            ("Content-Length: 1, 1\r\n", RequestError::ContentLength),
            ("Content-Length: +1\r\n", RequestError::ContentLength),
            ("Content-Length: -1\r\n", RequestError::ContentLength),
            ("Content-Length: 0x1\r\n", RequestError::ContentLength),
            ("Content-Length:\r\n", RequestError::ContentLength),
            ("Content-Length: 18446744073709551616\r\n", RequestError::ContentLength),
            ("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", RequestError::TransferEncoding),
            ("Transfer-Encoding: chunked\r\nContent-Length: 1\r\n", RequestError::TransferEncoding),
            (
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
                RequestError::TransferEncoding,
            ),
            ("Transfer-Encoding: chunked, chunked\r\n", RequestError::TransferEncoding),
            ("Transfer-Encoding: chunked, identity\r\n", RequestError::TransferEncoding),
            ("Transfer-Encoding: xchunked\r\n", RequestError::TransferEncoding),
            ("Transfer-Encoding:\r\n", RequestError::TransferEncoding),
            ("Transfer-Encoding: gzip, chunked\r\n", RequestError::TransferCoding),
        ] {
            assert_eq!(refusal(fields), Some(expected), "{fields:?}");
        }
    }

    #[test]
    fn a_host_is_needed_once() {
        assert_eq!(refusal("Host: y\r\n"), Some(RequestError::Host));
        assert_eq!(parse(b"GET / HTTP/1.1\r\n\r\n").err(), Some(RequestError::Host));
        assert_eq!(parse(b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n").err(), Some(RequestError::Host));
        assert_eq!(parse(b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n").err(), Some(RequestError::Host));
        assert!(parse(b"GET / HTTP/1.1\r\nHost:\r\n\r\n").is_ok());
        assert!(parse(b"GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n").is_ok());
        assert!(parse(b"GET / HTTP/1.0\r\n\r\n").is_ok());
    }

    #[test]
    fn persistence_follows_version_and_connection() {
        for (version, connection, expected) in [
            ("1.1", "x: y", true),
            ("1.1", "Connection: close", false),
            ("1.1", "Connection: x, CLOSE ,y", false),
            ("1.1", "Connection: keep-alive, close", false),
            ("1.2", "x: y", true),
            ("1.0", "x: y", false),
            ("1.0", "Connection: Keep-Alive", true),
        ] {
            let head = format!("GET / HTTP/{version}\r\nHost: x\r\n{connection}\r\n\r\n");
            assert_eq!(parse(head.as_bytes()).unwrap().keep_alive, expected, "{head:?}");
        }
    }

    #[test]
    fn expectations_and_ranges() {
        let read = |fields: &str| {
            let head = format!("GET / HTTP/1.1\r\nHost: x\r\n{fields}\r\n\r\n");
            let request = parse(head.as_bytes()).unwrap();
            (request.expectation, request.range.is_some())
        };
        assert_eq!(read("Expect: 100-Continue"), (Expectation::Continue, false));
        assert_eq!(read("Expect: tea"), (Expectation::Other, false));
        assert_eq!(read("Range: bytes=0-1"), (Expectation::None, true));
        assert_eq!(read("Range: bytes=0-1\r\nRange: bytes=2-3"), (Expectation::None, false));
    }

    #[test]
    fn the_end_of_the_head_is_found_and_its_bounds_are_kept() {
        let limits =
            HeadLimits { request_line_bytes_max: 20, head_bytes_max: 40, field_count_max: 2 };
        for (bytes, expected) in [
            (&b"GET / HTTP/1.1\r\n\r\nrest"[..], Ok(Some(18))),
            (b"GET / HTTP/1.1\r\n\r", Ok(None)),
            (b"GET / HTTP/1.1\n\n", Err(RequestError::BareLineFeed)),
            (b"GET / HTTP/1.1\r\nA: b\n", Err(RequestError::BareLineFeed)),
            (b"GET / HTTP/1.1\r\n\n", Err(RequestError::BareLineFeed)),
            (b"GET /23456 HTTP/1.1\r\n", Err(RequestError::RequestLineTooLong)),
            (b"GET /2345 HTTP/1.1\r\n\r\n", Ok(Some(22))),
            (b"01234567890123456789x", Err(RequestError::RequestLineTooLong)),
            (b"G\r\na:1\r\nb:2\r\n\r\n", Ok(Some(15))),
            (b"G\r\na:1\r\nb:2\r\nc:3\r\n", Err(RequestError::TooManyFields)),
            (b"G\r\na: 345678901234567890123456789012345678", Err(RequestError::HeadTooLong)),
            (b"\x16\x03\x01", Err(RequestError::RequestLine)),
            (b"", Ok(None)),
        ] {
            assert_eq!(scan(bytes, &limits), expected, "{}", bytes.escape_ascii());
            assert_eq!(scan_in_steps(bytes, &limits, 1), expected, "{}", bytes.escape_ascii());
        }
    }

    fn head_like() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            Just(b"GET / HTTP/1.1".to_vec()),
            Just(b"\r\n".to_vec()),
            Just(b"\r\n\r\n".to_vec()),
            Just(b"\n".to_vec()),
            Just(b"\r".to_vec()),
            Just(b"Host: x".to_vec()),
            Just(b"Content-Length: 5".to_vec()),
            Just(b"Transfer-Encoding: chunked".to_vec()),
            Just(b"If-None-Match: \"a\", W/\"b\"".to_vec()),
            Just(b": ".to_vec()),
            proptest::collection::vec(any::<u8>(), 0..12),
        ];
        proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn fragmentation_changes_nothing(bytes in head_like(), step in 1usize..9) {
            let limits = HeadLimits { request_line_bytes_max: 30, head_bytes_max: 80, field_count_max: 3 };
            prop_assert_eq!(scan_in_steps(&bytes, &limits, step), scan(&bytes, &limits));
        }

        #[test]
        fn any_bytes_are_survived(bytes in head_like()) {
            let _ = parse(&bytes);
            let len = scan(&bytes, &HeadLimits::default()).ok().flatten().unwrap_or(0);
            if let Ok(request) = parse(&bytes[..len]) {
                prop_assert!(!request.target.is_empty());
                prop_assert!(request.values("host").count() <= 1);
            }
        }

        #[test]
        fn fields_keep_their_values(value in "[!-~][ -~]{0,20}[!-~]", blanks in "[ \t]{0,3}") {
            let head = format!("GET / HTTP/1.0\r\nX-Y:{blanks}{value}{blanks}\r\n\r\n");
            let request = parse(head.as_bytes()).unwrap();
            let found = request.single("x-y").map(|v| String::from_utf8_lossy(v).into_owned());
            prop_assert_eq!(found, Some(value));
        }
    }
}
