//! Names of hosts: both protocols are asked at the same time, and neither holds up the other for long.

use alloc::rc::Rc;
use alloc::vec::Vec;
use core::future::poll_fn;
use core::net::IpAddr;
use core::task::{Context, Poll};
use core::time::Duration;

use netstack::{Answer, QueryId, QueryKind, ResolveError};

use super::Error;
use super::device::Device;
use crate::time;

/// Once one protocol has an address, the other gets so much longer to be answered.
const SECOND_ANSWER: Duration = Duration::from_millis(300);

/// A question under way; dropping it ends it.
struct Query<'a> {
    device: &'a Device,
    id: QueryId,
}

impl<'a> Query<'a> {
    fn ask(device: &'a Device, name: &str, kind: QueryKind) -> Result<Self, ResolveError> {
        let now = time::recent().to_netstack();
        device.with(|stack| stack.query(now, name, kind)).map(|id| Self { device, id })
    }

    fn poll(&self, context: &Context<'_>) -> Poll<Result<Answer, ResolveError>> {
        self.device.with(|stack| match stack.query_result(self.id) {
            Some(result) => Poll::Ready(result),
            None => {
                stack.register_query_waker(self.id, context.waker());
                Poll::Pending
            }
        })
    }
}

impl Drop for Query<'_> {
    fn drop(&mut self) {
        self.device.with(|stack| stack.cancel_query(self.id));
    }
}

/// The question of one protocol and what came of it.
enum Half<'a> {
    /// The device has no address of this protocol.
    Unasked,
    Asking(Query<'a>),
    Done(Result<Answer, ResolveError>),
}

impl<'a> Half<'a> {
    fn ask(device: &'a Device, name: &str, kind: Option<QueryKind>) -> Self {
        match kind.map(|kind| Query::ask(device, name, kind)) {
            None => Self::Unasked,
            Some(Ok(query)) => Self::Asking(query),
            Some(Err(error)) => Self::Done(Err(error)),
        }
    }

    /// Whether it is over.
    fn poll(&mut self, context: &Context<'_>) -> bool {
        if let Self::Asking(query) = self
            && let Poll::Ready(result) = query.poll(context)
        {
            *self = Self::Done(result);
        }
        !matches!(self, Self::Asking(_))
    }

    fn addresses(&self) -> &[IpAddr] {
        match self {
            Self::Done(Ok(answer)) => &answer.addresses,
            _ => &[],
        }
    }

    fn error(&self) -> Option<ResolveError> {
        match self {
            Self::Done(Err(error)) => Some(*error),
            _ => None,
        }
    }
}

pub(super) async fn resolve(device: &Rc<Device>, name: &str) -> Result<Vec<IpAddr>, Error> {
    if let Ok(address) = name.parse() {
        return Ok(alloc::vec![address]);
    }
    let (has_ipv4, has_ipv6) = device.with(|stack| {
        let is_wide = |ip: IpAddr| matches!(ip, IpAddr::V6(ip) if !ip.is_unicast_link_local());
        (stack.ipv4().is_some(), stack.addresses().any(|(ip, _)| is_wide(ip)))
    });
    if !has_ipv4 && !has_ipv6 {
        return Err(Error::Unreachable);
    }
    let mut ipv4 = Half::ask(device, name, has_ipv4.then_some(QueryKind::A));
    let mut ipv6 = Half::ask(device, name, has_ipv6.then_some(QueryKind::Aaaa));
    // Whichever comes first, unless it is of no use.
    poll_fn(|context| {
        let is_over = ipv4.poll(context) & ipv6.poll(context);
        let has_some = !ipv4.addresses().is_empty() || !ipv6.addresses().is_empty();
        if is_over || has_some { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    let both = poll_fn(|context| {
        let is_over = ipv4.poll(context) & ipv6.poll(context);
        if is_over { Poll::Ready(()) } else { Poll::Pending }
    });
    let _ = time::timeout(SECOND_ANSWER, both).await;
    let (matching, others): (Vec<IpAddr>, Vec<IpAddr>) =
        ipv6.addresses().iter().partition(|ip| has_matching_source(device, **ip));
    let found = [&matching[..], ipv4.addresses(), &others[..]].concat();
    match found.is_empty() {
        false => Ok(found),
        true => Err(telling([ipv4.error(), ipv6.error()]).into()),
    }
}

/// Whether this IPv6 address goes before IPv4 ones (RFC 6724, 6): not if the own address is only
/// known locally, and that one is not.
fn has_matching_source(device: &Device, ip: IpAddr) -> bool {
    let is_local = |ip| matches!(ip, IpAddr::V6(ip) if ip.is_unique_local());
    let source = device.with(|stack| stack.source_for(ip));
    source.is_some_and(|source| is_local(source) == is_local(ip))
}

/// The error that says more: that there is no address of one protocol says little.
fn telling(errors: [Option<ResolveError>; 2]) -> ResolveError {
    let says_more = |error: &ResolveError| *error != ResolveError::NoAddress;
    errors.into_iter().flatten().find(says_more).unwrap_or(ResolveError::NoAddress)
}
