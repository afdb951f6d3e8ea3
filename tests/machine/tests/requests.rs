//! Requests as nobody should send them: every code, length and content that chance finds, to both devices.

#![forbid(unsafe_code)]

use machine::client::{ANY_CHANNEL, Client};
use machine::hosted::guid;
use machine::lab::{Failure, Setup};
use netdma_ioctl::engine::{self, Engine, REPORT};
use netdma_ioctl::{
    CLOSE_CHANNEL, CONTROL, CONTROL_ABORT, CONTROL_FLUSH, CONTROL_NULL, CONTROL_RESET, CONTROL_RESUME,
    CONTROL_SUSPEND, COPY, Channel, ChannelNumber, Control, Copy, INTERFACE, MAX_PIECES, OPEN_CHANNEL,
    OpenChannel, POLLED, PROVIDERS, Piece, STATISTICS, Statistics, StatisticsOf, Wire,
};
use nthost::io::file::{IoResult, Output};
use nthost::random::Random;

/// Requests in one boot.
const CASES: u32 = 10_000;
/// Largest buffer; page sized ones lie around its middle.
const LONGEST: u64 = 3 * 4096;

const CODES: [u32; 7] = [PROVIDERS, OPEN_CHANNEL, CLOSE_CHANNEL, COPY, CONTROL, STATISTICS, REPORT];

/// One request.
#[derive(Debug)]
struct Case {
    to_engine: bool,
    code: u32,
    input: Vec<u8>,
    output: usize,
}

impl Case {
    fn draw(random: &mut Random) -> Self {
        let known = CODES[random.below(CODES.len() as u64) as usize];
        let code = match random.below(8) {
            0 => random.next() as u32,
            // Another method, access or function of the same device.
            1 => known ^ 1 << random.below(32),
            _ => known,
        };
        Self { to_engine: random.below(4) == 0, code, input: input(code, random), output: length(random) }
    }

    /// Whether netdma-ioctl's documentation lets the driver do as asked; everything else it must refuse.
    fn is_well_formed(&self) -> bool {
        if self.to_engine {
            return self.code == REPORT && self.output >= Engine::SIZE;
        }
        match self.code {
            PROVIDERS => self.output > 0,
            OPEN_CHANNEL => OpenChannel::from_bytes(&self.input).is_some_and(|wish| {
                self.output >= Channel::SIZE
                    && wish.flags & !POLLED == 0
                    && wish.reserved == 0
                    && wish.group <= u16::MAX.into()
            }),
            CLOSE_CHANNEL => ChannelNumber::from_bytes(&self.input).is_some(),
            STATISTICS => StatisticsOf::from_bytes(&self.input).is_some() && self.output >= Statistics::SIZE,
            CONTROL => Control::from_bytes(&self.input)
                .is_some_and(|control| (CONTROL_NULL..=CONTROL_RESET).contains(&control.operation)),
            COPY => self.copy().is_some_and(|pieces| Piece::check(&pieces, self.output as u64).is_ok()),
            _ => false,
        }
    }

    /// The pieces of a copy whose header is in order.
    fn copy(&self) -> Option<Vec<Piece>> {
        let header = Copy::from_bytes(&self.input)?;
        if header.flags != 0 || header.reserved != 0 || !(1..=MAX_PIECES).contains(&header.pieces) {
            return None;
        }
        let bytes = self.input.get(Copy::SIZE..)?.get(..header.pieces as usize * Piece::SIZE)?;
        Some(bytes.chunks_exact(Piece::SIZE).filter_map(Piece::from_bytes).collect())
    }
}

/// A length: often none, often that of a structure or one byte off, else anything.
fn length(random: &mut Random) -> usize {
    let sizes = [
        Engine::SIZE,
        engine::Channel::SIZE,
        netdma_ioctl::Provider::SIZE,
        OpenChannel::SIZE,
        Channel::SIZE,
        Copy::SIZE,
        Piece::SIZE,
        Statistics::SIZE,
        4096,
    ];
    match random.below(4) {
        0 => 0,
        1 => sizes[random.below(sizes.len() as u64) as usize] + random.below(3) as usize - 1,
        _ => random.below(LONGEST) as usize,
    }
}

/// Input: half of it chance, half what the code wants with members of chance, cut or extended now and then.
fn input(code: u32, random: &mut Random) -> Vec<u8> {
    let small = |random: &mut Random| match random.below(4) {
        0 => random.next() as u32,
        _ => random.below(4) as u32,
    };
    let mut bytes = match (random.below(2), code) {
        (0, _) => {
            let length = length(random);
            (0..length).map(|_| random.next() as u8).collect()
        }
        (_, OPEN_CHANNEL) => OpenChannel {
            provider: small(random),
            flags: small(random),
            group: small(random),
            ring_size: small(random) << 6,
            mask: random.below(8),
            pending_limit: small(random),
            reserved: u32::from(random.below(8) == 0),
        }
        .to_bytes()
        .to_vec(),
        (_, CLOSE_CHANNEL) => ChannelNumber { number: small(random) }.to_bytes().to_vec(),
        (_, STATISTICS) => {
            StatisticsOf { provider: small(random), channel: small(random) }.to_bytes().to_vec()
        }
        (_, CONTROL) => {
            let operations = [
                CONTROL_NULL,
                CONTROL_FLUSH,
                CONTROL_SUSPEND,
                CONTROL_RESUME,
                CONTROL_ABORT,
                CONTROL_RESET,
                0,
                random.next() as u32,
            ];
            let operation = operations[random.below(8) as usize];
            Control { channel: small(random), operation }.to_bytes().to_vec()
        }
        (_, COPY) => {
            let count = 1 + random.below(6) as u32;
            let header = Copy { channel: small(random), flags: 0, pieces: count, reserved: 0 };
            let mut bytes = header.to_bytes().to_vec();
            for _ in 0..count {
                let place = |random: &mut Random| random.below(LONGEST) as u32;
                let piece = Piece {
                    source: place(random),
                    destination: place(random),
                    length: small(random).wrapping_mul(97),
                    flags: 0,
                };
                bytes.extend(piece.to_bytes());
            }
            bytes
        }
        _ => Vec::new(),
    };
    if random.below(8) == 0 {
        bytes.truncate(random.below(bytes.len() as u64 + 1) as usize);
    }
    bytes
}

/// The transfer method of a code; METHOD_NEITHER hands over bare pointers, which the hosted machine has none of to give.
const fn is_direct(code: u32) -> bool {
    matches!(code & 3, 1 | 2)
}

#[test]
fn every_malformed_request_gets_an_error_and_no_request_does_harm() -> Result<(), Failure> {
    let mut lab = Setup::new(1)?.boot()?;
    let mut random = Random::new(7);
    let mut well_formed = 0;
    let client = lab.run(|k| k.open_interface(guid(INTERFACE), 0))?.expect("the test client");
    let engine = lab.run(|k| k.open_interface(guid(engine::INTERFACE), 0))?.expect("an engine");
    for number in 0..CASES {
        let case = Case::draw(&mut random);
        let file = if case.to_engine { engine } else { client };
        let mut room = vec![0; case.output];
        let result: IoResult = if is_direct(case.code) && case.output > 0 {
            let buffer = lab.buffer(case.output)?;
            let result = lab.run(|k| k.ioctl(file, case.code, &case.input, Output::User(&buffer)))?;
            // Looks at the bytes around the buffer, too.
            lab.contents(buffer)?;
            lab.free(buffer)?;
            result
        } else {
            lab.run(|k| k.ioctl(file, case.code, &case.input, Output::Bytes(&mut room)))?
        };
        let success = result.status.is_success();
        assert!(success || result.information == 0, "case {number}: {case:?}: {result:?}");
        assert!(result.information <= case.output as u64, "case {number}: {case:?}: {result:?}");
        if case.is_well_formed() {
            well_formed += u32::from(success);
        } else {
            assert!(!success, "case {number} was taken: {case:?}");
        }
    }
    // Neither everything was refused, nor was nothing.
    assert!((CASES / 50..CASES / 2).contains(&well_formed), "{well_formed} well-formed requests succeeded");

    // The machine works as before.
    lab.run(|k| k.close(engine))?;
    lab.run(|k| k.close(client))?;
    let client = Client::open(&mut lab)?;
    let channel = client.open_channel(&mut lab, ANY_CHANNEL)?;
    client.copy_verified(&mut lab, channel.number, 50_000, 1)?;
    client.close(&mut lab)?;
    let left = lab.shut_down()?;
    assert!(left.is_empty(), "{left:?}");
    Ok(())
}
