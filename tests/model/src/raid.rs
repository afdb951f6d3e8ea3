//! XOR, P and Q (§3.7, §3.8). Only where DMACAPABILITY has them, which it has nowhere unless asked for.

use ioat_regs::{ChanErr, Control, Opcode};

use crate::{
    host::Host,
    operation::{Denied, Dma, PIECE},
};

/// What an XOR or PQ descriptor and its extension say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Raid {
    sources: Vec<u64>,
    coefficients: [u8; 8],
    /// Where the plain XOR goes, or is compared with.
    p: Option<u64>,
    /// Where the weighted XOR goes, or is compared with.
    q: Option<u64>,
    validate: bool,
    mismatch: ChanErr,
}

impl Raid {
    /// How many of the sources stand in the base descriptor; the rest are in the extension.
    fn listed_in_base(opcode: Opcode) -> usize {
        if matches!(opcode, Opcode::XOR | Opcode::XOR_VALIDATE) { 5 } else { 3 }
    }

    /// Whether `control` says that the next slot holds more sources.
    pub(crate) fn needs_extension(control: Control) -> bool {
        usize::from(control.source_count()) > Self::listed_in_base(Opcode(control.opcode()))
    }

    /// Takes base and extension apart. The extension counts only if the base says that there is one.
    pub(crate) fn decode(control: Control, base: &[u64; 8], extension: &[u64; 8]) -> Self {
        let opcode = Opcode(control.opcode());
        let more = [0, 1, 2, 4, 5].map(|word| extension[word]);
        let count = usize::from(control.source_count());
        let is_xor = matches!(opcode, Opcode::XOR | Opcode::XOR_VALIDATE);
        let sources: Vec<u64> = if is_xor {
            [base[1], base[4], base[5], base[6], base[7]].into_iter().chain(more).take(count).collect()
        } else {
            [base[1], base[4], base[5]].into_iter().chain(more).take(count).collect()
        };
        Self {
            sources,
            coefficients: if is_xor { [0; 8] } else { base[6].to_le_bytes() },
            p: (is_xor || !control.no_p()).then_some(base[2]),
            q: (!is_xor && !control.no_q()).then_some(base[7]),
            validate: matches!(opcode, Opcode::XOR_VALIDATE | Opcode::PQ_VALIDATE),
            mismatch: ChanErr(0),
        }
    }

    /// Does `length` bytes at `offset`: all sources are read before anything is written, because a destination
    /// may be a source too.
    pub(crate) fn advance<H: Host + ?Sized>(
        &mut self,
        offset: u64,
        length: usize,
        dma: &mut Dma<'_, H>,
        buffer: &mut [u8; PIECE],
    ) -> Result<(), ChanErr> {
        let mut p = vec![0; length];
        let mut q = vec![0; length];
        for (number, source) in self.sources.iter().enumerate() {
            let piece = &mut buffer[..length];
            dma.read(source.wrapping_add(offset), piece).map_err(|Denied| ChanErr::SOURCE_ADDRESS)?;
            let coefficient = self.coefficients[number];
            for ((p, q), byte) in p.iter_mut().zip(&mut q).zip(piece) {
                *p ^= *byte;
                *q ^= multiply(*byte, coefficient);
            }
        }
        let results = [(self.p, p, ChanErr::CRC_XOR_P), (self.q, q, ChanErr::Q)];
        for (address, computed, bit) in results {
            let Some(address) = address else { continue };
            let address = address.wrapping_add(offset);
            if self.validate {
                let piece = &mut buffer[..length];
                dma.read(address, piece).map_err(|Denied| ChanErr::SOURCE_ADDRESS)?;
                if piece != computed {
                    self.mismatch = self.mismatch.union(bit);
                }
            } else {
                dma.write(address, &computed).map_err(|Denied| ChanErr::DESTINATION_ADDRESS)?;
            }
        }
        Ok(())
    }

    /// What validation found, once all bytes are done.
    pub(crate) fn verdict(&self) -> Result<(), ChanErr> {
        if self.mismatch.is_empty() { Ok(()) } else { Err(self.mismatch) }
    }
}

/// Product in GF(2^8) with the RAID 6 polynomial 0x11D.
fn multiply(mut a: u8, mut b: u8) -> u8 {
    let mut product = 0;
    while b != 0 {
        if b & 1 != 0 {
            product ^= a;
        }
        a = (a << 1) ^ if a & 0x80 != 0 { 0x1D } else { 0 };
        b >>= 1;
    }
    product
}
