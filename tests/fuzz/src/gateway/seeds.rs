//! Valid inputs of the gateway's target: what ordinary guests do, and some that are not.

use super::{frames, setting};

const SYN: u8 = 0x02;
const ACK: u8 = 0x10;
const PUSH: u8 = 0x08;
const FIN: u8 = 0x01;
const RST: u8 = 0x04;
/// Two hosts, the resolver, and something forbidden, as destinations.
const HOST: u8 = 0;
const OTHER_HOST: u8 = 3;
const RESOLVER: u8 = 1;
const LOOPBACK: u8 = 5;

/// An input under construction.
#[derive(Clone)]
struct Input(Vec<u8>);

impl Input {
    fn with(settings: u8) -> Self {
        Self(vec![settings])
    }

    fn raw(self, frame: &[u8]) -> Self {
        self.bytes(&[0, 1]).sized(frame)
    }

    fn built(self, kind: u8, changes: &[u8]) -> Self {
        self.bytes(&[1, kind, 1]).sized(changes)
    }

    fn segment(self, flow: u8, to: u8, flags: u8, payload_bytes: u16, repeats: u8) -> Self {
        let [low, high] = payload_bytes.to_le_bytes();
        self.bytes(&[2, flow, to, flags, 0, 0, 0, 0, 0xff, 0xff, low, high, repeats])
    }

    fn datagrams(self, repeats: u8, to: u8, payload: &[u8]) -> Self {
        self.bytes(&[3, 0, repeats, to]).sized(payload)
    }

    fn time(self, units: u16) -> Self {
        let [low, high] = units.to_le_bytes();
        self.bytes(&[4, low, high])
    }

    fn deaf(self) -> Self {
        self.bytes(&[5])
    }

    fn stream(self, which: u8, action: u8) -> Self {
        self.bytes(&[6, which, action])
    }

    fn answer(self, is_dns: u8, payload: &[u8]) -> Self {
        self.bytes(&[7, 0, is_dns]).sized(payload)
    }

    fn client(self, action: u8) -> Self {
        self.bytes(&[8, action])
    }

    fn sized(self, bytes: &[u8]) -> Self {
        let [low, high] = (bytes.len() as u16).to_le_bytes();
        self.bytes(&[low, high]).bytes(bytes)
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    /// The guest has its address.
    fn leased(settings: u8) -> Self {
        Self::with(settings).built(2, &[]).built(3, &[])
    }

    fn connected(self) -> Self {
        self.segment(0, HOST, SYN, 0, 0).segment(0, HOST, ACK, 0, 0)
    }
}

/// Inputs that the gateway answers.
pub(super) fn seeds() -> Vec<Vec<u8>> {
    let known = setting::GUEST_MAC;
    let inputs = [
        (0..9).fold(Input::with(known), |input, kind| input.built(kind, &[])),
        (0..9).fold(Input::with(setting::SMALL_MTU), |input, kind| input.raw(&frames::built(kind))),
        Input::leased(0).datagrams(0, HOST, b"hello").answer(0, b"hi").answer(0, &[1; 1600]),
        Input::leased(setting::HOSTS_REFUSE).datagrams(3, HOST, b"hello").datagrams(3, HOST, b"x"),
        Input::leased(known).datagrams(255, HOST, b"x").datagrams(255, LOOPBACK, b"x").time(7000),
        Input::leased(known).datagrams(255, HOST, b"x").datagrams(255, OTHER_HOST, b"x").time(300),
        Input::leased(setting::DEAD_RESOLVER_FIRST)
            .datagrams(80, RESOLVER, &frames::question(1))
            .answer(1, b"answer")
            .time(300)
            .answer(1, &[0; 1500])
            .time(300)
            .time(300),
        Input::leased(known)
            .connected()
            .segment(0, HOST, ACK | PUSH, 1000, 0)
            .stream(0, 3)
            .stream(0, 0)
            .segment(0, HOST, ACK, 0, 0)
            .segment(0, HOST, ACK | FIN, 0, 0)
            .stream(0, 2)
            .segment(0, HOST, ACK, 0, 0),
        Input::leased(known | setting::SMALL_WIRE)
            .connected()
            .deaf()
            .stream(0, 1)
            .time(100)
            .deaf()
            .segment(0, HOST, ACK, 0, 0)
            .segment(0, HOST, RST | ACK, 0, 0),
        Input::leased(known | setting::HOSTS_REFUSE | setting::HOST_LOOPBACK)
            .segment(0, 2, SYN, 0, 0)
            .segment(1, LOOPBACK, SYN, 0, 9),
        Input::leased(known | setting::FEW_CONNECTIONS).segment(0, HOST, SYN, 0, 200).time(2000),
        Input::leased(known)
            .segment(0, RESOLVER, SYN, 0, 50)
            .segment(0, 0, ACK, 700, 50)
            .time(9000),
        Input::leased(known)
            .client(0)
            .segment(0, HOST, SYN | ACK, 0, 0)
            .client(0x80)
            .segment(0, HOST, ACK | PUSH, 100, 0)
            .client(0x82)
            .segment(0, HOST, ACK | FIN, 0, 0),
        Input::leased(setting::IMPATIENT).client(0).segment(0, HOST, RST | ACK, 0, 0).client(0),
        (0..40).fold(Input::leased(known), |input, _| input.client(0)).time(1).time(2100),
        Input::leased(known | setting::SMALL_WIRE)
            .deaf()
            .datagrams(200, LOOPBACK, b"x")
            .datagrams(100, HOST, b"x")
            .answer(0, b"x")
            .deaf(),
    ];
    inputs.into_iter().map(|input| input.0).collect()
}

pub(super) fn words() -> Vec<Vec<u8>> {
    let settings = Input(Vec::new());
    [
        settings.clone().segment(0, HOST, SYN, 0, 0),
        settings.clone().segment(0, HOST, ACK, 100, 0),
        settings.clone().segment(0, HOST, ACK | FIN, 0, 0),
        settings.clone().segment(0, HOST, RST, 0, 0),
        settings.clone().datagrams(1, HOST, b"x"),
        settings.clone().datagrams(1, RESOLVER, &frames::question(2)),
        settings.clone().built(2, &[]),
        settings.clone().built(7, &[20, 0, 1]),
        settings.clone().time(100),
        settings.clone().time(6500),
        settings.clone().deaf(),
        settings.clone().stream(0, 1),
        settings.clone().stream(0, 5),
        settings.clone().answer(0, b"x"),
        settings.clone().client(0),
        settings.client(0x85),
    ]
    .map(|input| input.0)
    .to_vec()
}
