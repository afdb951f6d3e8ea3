//! Where bytes lie in the machine's buffer before and after copying, and whether the copies are right.
//!
//! One buffer of scattered pages holds the source in its first half and the destination in its second. The data is
//! cut into pieces of odd lengths at odd offsets; between them lie guard bytes. Before copying, everything that is
//! not source data is a pattern; afterwards exactly the destination pieces may have changed.

use std::fmt;
use std::ops::Range;

use crate::chance::{Chance, below};

/// Bytes of the buffer.
pub const BUFFER: usize = 4 << 20;
/// Most bytes of data one batch carries: with its gaps it fits half the buffer.
pub const DATA: usize = 1 << 20;
/// Most pieces of one batch: what one request takes.
pub const PIECES: usize = netdma_ioctl::MAX_PIECES as usize;
/// Most bytes between two pieces, on either side.
const GAP: u64 = 67;
/// Most bytes of a piece.
const PIECE: u64 = 64 << 10;

/// One copy: offsets into the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// First byte of the source.
    pub source: usize,
    /// First byte of the destination.
    pub destination: usize,
    /// Bytes.
    pub length: usize,
}

/// The copies of one request, and the buffer as it is before them.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// In the order of the data.
    pub pieces: Vec<Piece>,
    /// What the buffer is filled with.
    pub before: Vec<u8>,
}

/// What is wrong with a buffer after copying.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wrong {
    /// A copy was reported done, and a part of its destination still holds the pattern.
    NotCopied {
        /// Number of the piece.
        piece: usize,
        /// Its bytes.
        length: usize,
        /// Bytes from the first to the last that was not copied: as a rule one descriptor's.
        missing: Range<usize>,
    },
    /// A copy arrived with other bytes than were sent.
    Differs {
        /// Number of the piece.
        piece: usize,
        /// Its bytes.
        length: usize,
        /// The first byte of it that differs.
        at: usize,
        /// What was sent.
        sent: u8,
        /// What arrived.
        arrived: u8,
        /// Bits of the piece that differ.
        bits: u64,
    },
    /// A byte that belongs to no destination has changed.
    Guard {
        /// Offset in the buffer.
        at: usize,
        /// It belongs to the source.
        source: bool,
    },
}

impl Batch {
    /// Lays out `data`, at most [`DATA`] bytes of it in at most [`PIECES`] pieces; the rest is for the next batch.
    pub fn plan(data: &[u8], random: &mut impl Chance) -> Self {
        let data = &data[..data.len().min(DATA)];
        let mut before = pattern(random);
        let mut pieces = Vec::new();
        let (mut source, mut destination) = (gap(random), BUFFER / 2 + gap(random));
        let mut rest = data;
        while !rest.is_empty() && pieces.len() < PIECES {
            let length = rest.len().min(length(random));
            let (now, later) = rest.split_at(length);
            before[source..source + length].copy_from_slice(now);
            pieces.push(Piece { source, destination, length });
            source += length + gap(random);
            destination += length + gap(random);
            rest = later;
        }
        Self { pieces, before }
    }

    /// The pieces as the test client is told them.
    pub fn request(&self) -> Vec<netdma_ioctl::Piece> {
        // The buffer has 4 MiB: offsets and lengths fit 32 bits.
        let piece = |&Piece { source, destination, length }: &Piece| netdma_ioctl::Piece {
            source: source as u32,
            destination: destination as u32,
            length: length as u32,
            flags: 0,
        };
        self.pieces.iter().map(piece).collect()
    }

    /// Bytes of data in the batch.
    pub fn bytes(&self) -> usize {
        self.pieces.iter().map(|piece| piece.length).sum()
    }

    /// The data as it arrived in `after`, in order.
    pub fn arrived<'a>(&'a self, after: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        self.pieces.iter().map(|piece| &after[piece.destination..piece.destination + piece.length])
    }

    /// Checks every byte of the buffer after the copies.
    ///
    /// # Errors
    /// The first thing that is wrong, copies before guards.
    pub fn check(&self, after: &[u8]) -> Result<(), Wrong> {
        for (number, piece) in self.pieces.iter().enumerate() {
            self.check_piece(number, *piece, after)?;
        }
        let mut from = 0;
        let ends = self.pieces.iter().map(|piece| piece.destination..piece.destination + piece.length);
        for Range { start, end } in ends.chain(std::iter::once(BUFFER..BUFFER)) {
            let guard = from..start;
            if self.before[guard.clone()] != after[guard.clone()] {
                let at = guard.clone().find(|&at| self.before[at] != after[at]).unwrap_or(guard.start);
                return Err(Wrong::Guard { at, source: at < BUFFER / 2 });
            }
            from = end;
        }
        Ok(())
    }

    fn check_piece(&self, number: usize, piece: Piece, after: &[u8]) -> Result<(), Wrong> {
        let Piece { source, destination, length } = piece;
        let sent = &self.before[source..source + length];
        let arrived = &after[destination..destination + length];
        if sent == arrived {
            return Ok(());
        }
        let pairs = || sent.iter().zip(arrived);
        let differs = |(sent, arrived): (&u8, &u8)| sent != arrived;
        let at = pairs().position(differs).unwrap_or(0);
        let end = length - pairs().rev().position(differs).unwrap_or(0);
        if arrived[at..end] == self.before[destination + at..destination + end] {
            return Err(Wrong::NotCopied { piece: number, length, missing: at..end });
        }
        let bits = pairs().map(|(sent, arrived)| u64::from((sent ^ arrived).count_ones())).sum();
        Err(Wrong::Differs { piece: number, length, at, sent: sent[at], arrived: arrived[at], bits })
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NotCopied { piece, length, ref missing } => write!(
                f,
                "copy {piece} ({length} bytes) was reported done, but bytes {} to {} of its destination still hold \
                 the pattern: they were not copied",
                missing.start,
                missing.end - 1
            ),
            Self::Differs { piece, length, at, sent, arrived, bits } => write!(
                f,
                "copy {piece} ({length} bytes) arrived with {bits} wrong bit{}: byte {at} was sent as {sent:#04x} \
                 and arrived as {arrived:#04x}",
                if bits == 1 { "" } else { "s" }
            ),
            Self::Guard { at, source: true } => write!(f, "the source changed, at byte {at} of the buffer"),
            Self::Guard { at, source: false } => {
                write!(f, "a guard byte outside every destination changed, at byte {at} of the buffer")
            }
        }
    }
}

/// A buffer full of chance: no two pages alike, so a copy from or to the wrong page shows.
fn pattern(random: &mut impl Chance) -> Vec<u8> {
    let mut buffer = vec![0; BUFFER];
    for word in buffer.chunks_exact_mut(8) {
        word.copy_from_slice(&random.next().to_le_bytes());
    }
    buffer
}

/// Bytes to leave free: at least one, so that a copy too long by a byte always shows.
fn gap(random: &mut impl Chance) -> usize {
    1 + below(random, GAP) as usize
}

/// A length: a third below 256 bytes, a third around a page, a third up to the most.
fn length(random: &mut impl Chance) -> usize {
    let length = match below(random, 3) {
        0 => 1 + below(random, 255),
        1 => 1 + below(random, 2 * 4096),
        _ => 1 + below(random, PIECE),
    };
    length as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::Generator;

    fn data(length: usize) -> Vec<u8> {
        (0..length).map(|at| (at * 31 + at / 256) as u8).collect()
    }

    /// What a faithful engine makes of the buffer.
    fn copied(batch: &Batch) -> Vec<u8> {
        let mut after = batch.before.clone();
        for Piece { source, destination, length } in &batch.pieces {
            after.copy_within(*source..source + length, *destination);
        }
        after
    }

    #[test]
    fn the_most_data_fits_with_its_gaps_whatever_the_seed() {
        let data = data(DATA + 1);
        for seed in 0..50 {
            let batch = Batch::plan(&data, &mut Generator::new(seed));
            assert!(batch.bytes() == DATA || batch.pieces.len() == PIECES);
            let last = batch.pieces.last().unwrap();
            assert!(last.source + last.length < BUFFER / 2 && last.destination + last.length < BUFFER);
        }
    }

    #[test]
    fn faithful_copies_pass_and_give_the_data_back() {
        let data = data(200_001);
        let batch = Batch::plan(&data, &mut Generator::new(3));
        let after = copied(&batch);
        assert_eq!(batch.check(&after), Ok(()));
        assert_eq!(batch.arrived(&after).collect::<Vec<_>>().concat(), data);
        assert!(batch.pieces.iter().any(|piece| piece.source % 2 == 1));
        assert!(batch.pieces.iter().any(|piece| piece.length % 2 == 1 && piece.length > 4096));
    }

    #[test]
    fn an_empty_file_is_a_batch_without_copies() {
        let batch = Batch::plan(&[], &mut Generator::new(1));
        assert!(batch.pieces.is_empty());
        assert_eq!(batch.check(&batch.before), Ok(()));
    }

    #[test]
    fn one_flipped_bit_is_found_and_described() {
        let batch = Batch::plan(&data(100_000), &mut Generator::new(4));
        let mut after = copied(&batch);
        let piece = batch.pieces[1];
        after[piece.destination + 2] ^= 0x10;
        let wrong = batch.check(&after).unwrap_err();
        assert!(matches!(wrong, Wrong::Differs { piece: 1, at: 2, bits: 1, .. }), "{wrong:?}");
        assert!(wrong.to_string().contains("1 wrong bit:"), "{wrong}");
    }

    #[test]
    fn a_copy_that_was_not_done_is_told_from_a_wrong_one() {
        let batch = Batch::plan(&data(100_000), &mut Generator::new(5));
        let Piece { destination, length, .. } = batch.pieces[2];
        for part in [0..length, length / 3..length / 2] {
            let mut after = copied(&batch);
            let untouched = destination + part.start..destination + part.end;
            after[untouched.clone()].copy_from_slice(&batch.before[untouched]);
            match batch.check(&after) {
                // A byte that happens to equal the pattern does not differ: the ends may lie a little inside.
                Err(Wrong::NotCopied { piece: 2, missing, .. }) => {
                    assert!(
                        part.start <= missing.start && missing.end <= part.end,
                        "{missing:?} of {part:?}"
                    );
                    assert!(missing.len() + 8 > part.len(), "{missing:?} of {part:?}");
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_byte_beside_a_destination_and_a_changed_source_are_found() {
        let batch = Batch::plan(&data(100_000), &mut Generator::new(6));
        let mut after = copied(&batch);
        let end = batch.pieces[0].destination + batch.pieces[0].length;
        after[end] ^= 1;
        assert_eq!(batch.check(&after), Err(Wrong::Guard { at: end, source: false }));
        let mut after = copied(&batch);
        after[batch.pieces[0].source] ^= 1;
        assert!(matches!(batch.check(&after), Err(Wrong::Guard { source: true, .. })));
        let mut after = copied(&batch);
        after[BUFFER - 1] ^= 1;
        assert_eq!(batch.check(&after), Err(Wrong::Guard { at: BUFFER - 1, source: false }));
    }
}
