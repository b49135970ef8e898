//! From a well-formed request to the head of its answer and the first bytes of its content.
//!
//! Everything that can still change the status happens here, before a byte is sent: a file's
//! first bytes are read, so that a device that fails is a 500 and not half an answer. What remains
//! of the file is left to the connection as a span.

use crate::conditional::{self, Verdict};
use crate::metrics;
use crate::outbox::{NoMemory, Outbox};
use crate::path::{self, PathError, SitePath};
use crate::range::{self, Range};
use crate::request::{Body, Expectation, Method, Request};
use crate::response::{Head, Page, Persistence, Status};
use crate::server::Server;
use crate::site::{File, ReadError, Resolution, Span};
use crate::world::{BlockRead, Clock};

/// An answer whose start is in the outbox.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answer {
    pub(crate) status: Status,
    pub(crate) persistence: Persistence,
    /// The length of the content that is sent, all of it.
    pub(crate) content_bytes: u64,
    /// What of the content is not in the outbox yet.
    pub(crate) rest: Span,
    /// The request came from a monitor and is not worth a line in the log.
    pub(crate) is_quiet: bool,
    /// The request's body, which has to be read before the next request.
    pub(crate) body_bytes: u64,
}

/// Appends the start of an answer to the outbox. On failure the outbox holds half of it.
pub(crate) fn answer<B: BlockRead, C: Clock>(
    server: &Server<B, C>,
    request: &Request<'_>,
    outbox: &mut Outbox,
) -> Result<Answer, NoMemory> {
    let (mut persistence, body_bytes) = persistence(request, server.config.body_bytes_max);
    if server.is_closing() {
        persistence = Persistence::Close;
    }
    let writer = Writer { server, request, outbox, persistence, body_bytes };
    writer.answer()
}

/// Whether the connection outlives the answer, and how much body comes before the next request.
fn persistence(request: &Request<'_>, body_bytes_max: u64) -> (Persistence, u64) {
    let body_bytes = match request.body {
        Body::Bytes(len) if len <= body_bytes_max => len,
        _ => return (Persistence::Close, 0),
    };
    // A client that waits for a 100 may or may not send the body after this answer.
    let is_unclear = body_bytes > 0 && request.expectation != Expectation::None;
    let persistence = match (request.keep_alive && !is_unclear, request.is_http11) {
        (false, _) => Persistence::Close,
        (true, true) => Persistence::Keep,
        (true, false) => Persistence::KeepAndSay,
    };
    (persistence, body_bytes)
}

struct Writer<'a, 'r, B, C> {
    server: &'a Server<B, C>,
    request: &'a Request<'r>,
    outbox: &'a mut Outbox,
    persistence: Persistence,
    body_bytes: u64,
}

impl<B: BlockRead, C: Clock> Writer<'_, '_, B, C> {
    fn answer(mut self) -> Result<Answer, NoMemory> {
        match self.request.method {
            Method::Get | Method::Head => {}
            Method::NotAllowed => return self.page(Status::MethodNotAllowed, ""),
            Method::Unknown => return self.page(Status::NotImplemented, ""),
        }
        if self.request.body == Body::Chunked {
            return self.page(Status::LengthRequired, "");
        }
        if self.request.expectation == Expectation::Other {
            return self.page(Status::ExpectationFailed, "");
        }
        let path = path::split(self.request.target.as_bytes())
            .and_then(|(encoded, query)| Ok((path::normalise(encoded)?, query)));
        match path {
            Ok((path, query)) => self.route(&path, query),
            Err(PathError::NoMemory) => Err(NoMemory),
            Err(error) => self.page(Status::BadRequest, error.reason()),
        }
    }

    fn route(&mut self, path: &SitePath, query: Option<&[u8]>) -> Result<Answer, NoMemory> {
        match (path.name.as_str(), path.is_directory) {
            ("healthz", false) => return self.health(),
            ("metrics", false) => return self.metrics(),
            _ => {}
        }
        match self.server.site.resolve(path)? {
            Resolution::Found { file, content_type } => self.file(&file, content_type),
            Resolution::Directory => self.redirect(&path.name, query),
            Resolution::Missing if path.name.is_empty() => {
                self.page(Status::NotFound, "The site has no index.html at its root.")
            }
            Resolution::Missing => self.page(Status::NotFound, ""),
        }
    }

    fn sends_content(&self) -> bool {
        self.request.method != Method::Head
    }

    fn head(&mut self, status: Status) -> Result<Head<'_>, NoMemory> {
        let (_, date) = self.server.date();
        Head::begin(self.outbox, status, &date, self.persistence)
    }

    fn done(&self, status: Status, content_bytes: u64, rest: Span) -> Answer {
        Answer {
            status,
            persistence: self.persistence,
            content_bytes: if self.sends_content() { content_bytes } else { 0 },
            rest,
            is_quiet: false,
            body_bytes: self.body_bytes,
        }
    }

    fn page(&mut self, status: Status, detail: &'static str) -> Result<Answer, NoMemory> {
        self.page_with(status, detail, |_| Ok(()))
    }

    fn page_with(
        &mut self,
        status: Status,
        detail: &'static str,
        fields: impl FnOnce(&mut Head<'_>) -> Result<(), NoMemory>,
    ) -> Result<Answer, NoMemory> {
        let page = Page { status, detail };
        let mut head = self.head(status)?;
        head.content(Page::CONTENT_TYPE, page.len())?;
        if status == Status::MethodNotAllowed {
            head.field("Allow", b"GET, HEAD")?;
        }
        fields(&mut head)?;
        head.end()?;
        if self.sends_content() {
            page.write(self.outbox)?;
        }
        Ok(self.done(status, page.len(), Span::EMPTY))
    }

    fn redirect(&mut self, name: &str, query: Option<&[u8]>) -> Result<Answer, NoMemory> {
        self.page_with(Status::MovedPermanently, "", |head| {
            head.field_with("Location", |outbox| {
                outbox.push(b"/")?;
                path::encode(name, outbox)?;
                outbox.push(b"/")?;
                match query {
                    Some(query) => {
                        outbox.push(b"?")?;
                        outbox.push(query)
                    }
                    None => Ok(()),
                }
            })
        })
    }

    fn health(&mut self) -> Result<Answer, NoMemory> {
        self.text("text/plain; charset=utf-8", b"ok\n")
    }

    fn metrics(&mut self) -> Result<Answer, NoMemory> {
        let mut text = Outbox::new();
        self.server.write_metrics(&mut text)?;
        self.text(metrics::CONTENT_TYPE, text.bytes())
    }

    /// Something that is true now and not to be kept.
    fn text(&mut self, content_type: &str, text: &[u8]) -> Result<Answer, NoMemory> {
        let mut head = self.head(Status::Ok)?;
        head.content(content_type, text.len() as u64)?;
        head.field("Cache-Control", b"no-store")?;
        head.end()?;
        if self.sends_content() {
            self.outbox.push(text)?;
        }
        let answer = self.done(Status::Ok, text.len() as u64, Span::EMPTY);
        Ok(Answer { is_quiet: true, ..answer })
    }

    fn file(&mut self, file: &File, content_type: &str) -> Result<Answer, NoMemory> {
        let (now, _) = self.server.date();
        let validators = file.validators();
        match conditional::evaluate(self.request, &validators, now) {
            Verdict::Proceed => {}
            Verdict::NotModified => return self.not_modified(file, now),
            Verdict::Failed => return self.page(Status::PreconditionFailed, ""),
        }
        let range = match self.request.range {
            Some(value)
                if self.request.method == Method::Get
                    && conditional::permits_range(self.request, &validators, now) =>
            {
                range::apply(value, file.size_bytes)
            }
            _ => Range::Whole,
        };
        match range {
            Range::Whole => self.content(file, content_type, now, None),
            Range::Part { first, last } => {
                self.content(file, content_type, now, Some((first, last)))
            }
            Range::Unsatisfiable => self.page_with(Status::RangeNotSatisfiable, "", |head| {
                head.content_range(None, file.size_bytes)
            }),
        }
    }

    fn not_modified(&mut self, file: &File, now: u64) -> Result<Answer, NoMemory> {
        let cache_control = self.server.config.cache_control;
        let mut head = self.head(Status::NotModified)?;
        write_validators(&mut head, file, now, cache_control)?;
        head.end()?;
        Ok(self.done(Status::NotModified, 0, Span::EMPTY))
    }

    fn content(
        &mut self,
        file: &File,
        content_type: &str,
        now: u64,
        part: Option<(u64, u64)>,
    ) -> Result<Answer, NoMemory> {
        let (status, first, len) = match part {
            Some((first, last)) => (Status::PartialContent, first, last - first + 1),
            None => (Status::Ok, 0, file.size_bytes),
        };
        let mark = self.outbox.len();
        let cache_control = self.server.config.cache_control;
        let mut head = self.head(status)?;
        head.content(content_type, len)?;
        if part.is_some() {
            head.content_range(part, file.size_bytes)?;
        }
        head.field("Accept-Ranges", b"bytes")?;
        write_validators(&mut head, file, now, cache_control)?;
        head.end()?;
        let mut rest = Span { device_offset: file.device_offset + first, len };
        if !self.sends_content() {
            return Ok(self.done(status, len, Span::EMPTY));
        }
        match self.server.read_file(file, &mut rest, self.outbox) {
            Ok(()) => Ok(self.done(status, len, rest)),
            Err(ReadError::NoMemory) => Err(NoMemory),
            Err(ReadError::Device(error)) => {
                log::error!("{error} at byte {}", rest.device_offset);
                self.outbox.truncate(mark);
                self.page(Status::InternalError, "")
            }
        }
    }
}

fn write_validators(
    head: &mut Head<'_>,
    file: &File,
    now: u64,
    cache_control: &str,
) -> Result<(), NoMemory> {
    let validators = file.validators();
    if let Some(modified) = validators.modified_unix_seconds {
        // A date that lies ahead would be refused by caches (RFC 9110, section 8.8.2.1).
        head.field("Last-Modified", &crate::date::format(modified.min(now)))?;
    }
    head.field("ETag", validators.etag.as_bytes())?;
    head.field("Cache-Control", cache_control.as_bytes())
}
