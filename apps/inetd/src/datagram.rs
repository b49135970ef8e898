//! The services over UDP: what is answered to a datagram, if anything is.
//!
//! A sender's address is easily forged. So nothing that comes from a port below 1024 is answered,
//! where services are that would answer in turn; and the generator's answers, which may be longer
//! than what they answer, have to be asked for when the program is started.

use core::net::SocketAddr;

use crate::pattern::Pattern;
use crate::stream::Service;

/// The generator's longest answer (RFC 864).
pub const CHARGEN_BYTES_MAX: usize = 512;
/// The first port that a program may have without a privilege.
const FIRST_PORT: u16 = 1024;

/// The answer to a datagram, or none. `random` chooses the length where one is to be chosen.
pub fn answer<'a>(
    service: Service,
    datagram: &'a [u8],
    sender: SocketAddr,
    pattern: &'a Pattern,
    random: impl FnOnce() -> u64,
) -> Option<&'a [u8]> {
    if sender.port() < FIRST_PORT {
        return None;
    }
    match service {
        Service::Echo => Some(datagram),
        Service::Discard => None,
        Service::Chargen => {
            let bytes = random() % (CHARGEN_BYTES_MAX as u64 + 1);
            Some(pattern.start(bytes as usize))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(service: Service, port: u16, random: u64) -> Option<std::vec::Vec<u8>> {
        let (pattern, sender) = (Pattern::new(), SocketAddr::from(([10, 0, 0, 1], port)));
        answer(service, b"hello", sender, &pattern, || random).map(Into::into)
    }

    #[test]
    fn each_service_answers_as_it_should() {
        assert_eq!(ask(Service::Echo, 1024, 0).unwrap(), b"hello");
        assert_eq!(ask(Service::Discard, 1024, 0), None);
        assert_eq!(ask(Service::Chargen, 1024, 513 * 5).unwrap(), b"");
        assert_eq!(ask(Service::Chargen, 1024, 512).unwrap().len(), 512);
        assert_eq!(ask(Service::Chargen, 1024, u64::MAX).unwrap().len() as u64, u64::MAX % 513);
    }

    #[test]
    fn services_are_not_answered() {
        for port in [0, 7, 19, 53, 1023] {
            for service in Service::ALL {
                assert_eq!(ask(service, port, 100), None);
            }
        }
    }
}
