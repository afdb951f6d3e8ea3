//! What a descriptor asks for, and the doing of it (§3).

use ioat_regs::{Capability, ChanErr, Control, Opcode, Version, descriptor};

use crate::{defects::Defect, host::Host, options::Options, raid::Raid};

/// Bytes moved between two looks at the scheduler, and the size of the engine's buffer.
pub(crate) const PIECE: usize = 4096;

/// Memory as the engine may use it.
pub(crate) struct Dma<'a, H: ?Sized> {
    pub(crate) host: &'a mut H,
    /// First address out of reach: beyond the engine's width, or zero while bus mastering is off.
    pub(crate) limit: u64,
}

/// An access that could not be made. Which error bit that is depends on what the access was for.
pub(crate) struct Denied;

impl<H: Host + ?Sized> Dma<'_, H> {
    fn admit(&self, address: u64, length: usize) -> Result<(), Denied> {
        let end = address.checked_add(length as u64).ok_or(Denied)?;
        if end <= self.limit { Ok(()) } else { Err(Denied) }
    }

    pub(crate) fn read(&mut self, address: u64, bytes: &mut [u8]) -> Result<(), Denied> {
        self.admit(address, bytes.len())?;
        self.host.read(address, bytes).map_err(|_| Denied)
    }

    pub(crate) fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), Denied> {
        self.admit(address, bytes.len())?;
        self.host.write(address, bytes).map_err(|_| Denied)
    }

    pub(crate) fn store(&mut self, address: u64, value: u64) -> Result<(), Denied> {
        self.admit(address, descriptor::COMPLETION_SIZE)?;
        self.host.store(address, value).map_err(|_| Denied)
    }
}

/// One descriptor in flight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Job {
    /// Its address.
    pub(crate) base: u64,
    /// The last slot it occupies: itself, or its extension.
    pub(crate) last_slot: u64,
    /// How many slots it occupies.
    pub(crate) slots: u16,
    pub(crate) control: Control,
    pub(crate) operation: Operation,
    pub(crate) length: u32,
    /// Bytes done.
    pub(crate) moved: u32,
    /// The descriptor.
    pub(crate) bytes: [u8; descriptor::SIZE],
    /// XOR and PQ: what base and extension say together.
    pub(crate) raid: Option<Box<Raid>>,
    /// A fault inverts this bit of the data.
    pub(crate) flip: Option<u64>,
}

/// The kinds of descriptors that the model executes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Copy,
    Fill,
    Null,
    DcaContext,
    Raid,
}

/// What an engine offers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Offer {
    pub(crate) version: Version,
    pub(crate) capability: Capability,
    pub(crate) max_transfer: u64,
    /// First address that the engine cannot form.
    pub(crate) limit: u64,
    /// Page breaks are ignored, by mistake.
    pub(crate) no_page_break: bool,
    /// Fills are aligned to the address, by mistake.
    pub(crate) fill_by_address: bool,
    /// Copies lack their last byte, by mistake.
    pub(crate) short_copy: bool,
}

impl Offer {
    pub(crate) fn of(options: &Options) -> Self {
        Self {
            version: options.version,
            capability: options.capability,
            max_transfer: 1 << options.xfercap,
            limit: 1 << options.device.platform.address_bits,
            no_page_break: options.faults.has(Defect::NoPageBreak),
            fill_by_address: options.faults.has(Defect::FillByAddress),
            short_copy: options.faults.has(Defect::ShortCopy),
        }
    }
}

impl Default for Job {
    fn default() -> Self {
        Self {
            base: 0,
            last_slot: 0,
            slots: 1,
            control: Control::new(),
            operation: Operation::Null,
            length: 0,
            moved: 0,
            bytes: [0; descriptor::SIZE],
            raid: None,
            flip: None,
        }
    }
}

impl Job {
    /// Takes the descriptor in `bytes` apart.
    ///
    /// # Errors
    /// The one CHANERR bit that says what is wrong with it.
    #[inline]
    pub(crate) fn decode(&mut self, base: u64, offer: &Offer) -> Result<(), ChanErr> {
        let head = self.word(0);
        let length = head as u32;
        let control = Control::from_bits((head >> 32) as u32);
        let operation = match Opcode(control.opcode()) {
            Opcode::COPY if control.null() => Operation::Null,
            Opcode::COPY => Operation::Copy,
            Opcode::FILL if offer.capability.fill() => Operation::Fill,
            Opcode::XOR | Opcode::XOR_VALIDATE if offer.capability.xor() => Operation::Raid,
            Opcode::PQ | Opcode::PQ_VALIDATE if offer.capability.pq() => Operation::Raid,
            Opcode::DCA_CONTEXT if offer.version.major() == 2 => Operation::DcaContext,
            _ => return Err(ChanErr::CONTROL),
        };
        // 1.2 has no page breaks (§3.4).
        let is_raid = operation == Operation::Raid;
        let breaks = !is_raid && (control.source_page_break() || control.destination_page_break());
        if offer.version.major() < 2 && breaks {
            return Err(ChanErr::CONTROL);
        }
        let bad_length = match operation {
            Operation::Copy | Operation::Fill | Operation::Raid => {
                length == 0 || u64::from(length) > offer.max_transfer
            }
            // Seen on 3.0; taken as the rule for 3.x, since every driver gives a size (M34).
            Operation::Null => length == 0 && offer.version.major() >= 3,
            Operation::DcaContext => false,
        };
        if bad_length {
            return Err(ChanErr::LENGTH);
        }
        (self.base, self.last_slot, self.slots) = (base, base, 1);
        (self.control, self.operation) = (control, operation);
        // What moves nothing is done from the start.
        let moves_data = !matches!(operation, Operation::Null | Operation::DcaContext);
        (self.length, self.moved) = (length, if moves_data { 0 } else { length });
        (self.raid, self.flip) = (None, None);
        Ok(())
    }

    /// Word `number` of the descriptor, 0 to 7.
    #[inline]
    pub(crate) fn word(&self, number: usize) -> u64 {
        let bytes = self.bytes.as_chunks().0.get(number).copied().unwrap_or_default();
        u64::from_le_bytes(bytes)
    }

    /// Whether data moves.
    pub(crate) fn moves_data(&self) -> bool {
        matches!(self.operation, Operation::Copy | Operation::Fill | Operation::Raid)
    }

    pub(crate) fn is_done(&self) -> bool {
        self.moved >= self.length
    }

    /// Asks for an interrupt. The low control bit of a DCA context change means something else (§4.14).
    pub(crate) fn wants_interrupt(&self) -> bool {
        self.control.interrupt() && self.operation != Operation::DcaContext
    }

    /// Does the next piece, at most [`PIECE`] bytes.
    ///
    /// # Errors
    /// The CHANERR bit of the access that failed.
    #[inline(always)]
    pub(crate) fn advance<H: Host + ?Sized>(
        &mut self,
        dma: &mut Dma<'_, H>,
        buffer: &mut [u8; PIECE],
        offer: &Offer,
    ) -> Result<(), ChanErr> {
        let breaks = self.control.source_page_break() || self.control.destination_page_break();
        if self.operation == Operation::Copy && !breaks && self.flip.is_none() && !offer.short_copy {
            // The plain copy, which nearly all of them are.
            let length = (self.length - self.moved).min(PIECE as u32);
            let piece = &mut buffer[..length as usize];
            let moved = u64::from(self.moved);
            dma.read(self.word(1).wrapping_add(moved), piece).map_err(|Denied| ChanErr::SOURCE_ADDRESS)?;
            dma.write(self.word(2).wrapping_add(moved), piece)
                .map_err(|Denied| ChanErr::DESTINATION_ADDRESS)?;
            self.moved += length;
            return Ok(());
        }
        self.advance_other(dma, buffer, offer)
    }

    /// Copies with page breaks or faults, fills, XOR and PQ.
    #[inline(never)]
    fn advance_other<H: Host + ?Sized>(
        &mut self,
        dma: &mut Dma<'_, H>,
        buffer: &mut [u8; PIECE],
        offer: &Offer,
    ) -> Result<(), ChanErr> {
        let to = Side {
            first: self.word(2),
            second: self.word(5),
            broken: self.control.destination_page_break() && !offer.no_page_break,
        };
        let (destination, room) = to.at(self.moved, self.length);
        match self.operation {
            Operation::Copy => {
                let from = Side {
                    first: self.word(1),
                    second: self.word(4),
                    broken: self.control.source_page_break() && !offer.no_page_break,
                };
                let (source, available) = from.at(self.moved, self.length);
                let length = room.min(available).min(PIECE as u32);
                let piece = &mut buffer[..length as usize];
                dma.read(source, piece).map_err(|Denied| ChanErr::SOURCE_ADDRESS)?;
                if let Some(bit) = self.flip {
                    flip(piece, self.moved, bit % (u64::from(self.length) * 8));
                }
                let missing = usize::from(offer.short_copy && self.moved + length == self.length);
                let piece = &piece[..piece.len() - missing];
                dma.write(destination, piece).map_err(|Denied| ChanErr::DESTINATION_ADDRESS)?;
                self.moved += length;
            }
            Operation::Fill => {
                let length = room.min(PIECE as u32);
                let piece = &mut buffer[..length as usize];
                let pattern = self.word(1).to_le_bytes();
                let phase = if offer.fill_by_address { destination as usize } else { self.moved as usize };
                for (position, byte) in (phase..).zip(piece.iter_mut()) {
                    *byte = pattern[position % 8];
                }
                dma.write(destination, piece).map_err(|Denied| ChanErr::DESTINATION_ADDRESS)?;
                self.moved += length;
            }
            Operation::Raid => {
                let length = (self.length - self.moved).min(PIECE as u32);
                let Some(raid) = &mut self.raid else { return Err(ChanErr::CONTROL) };
                raid.advance(self.moved.into(), length as usize, dma, buffer)?;
                self.moved += length;
                if self.moved >= self.length {
                    raid.verdict()?;
                }
            }
            Operation::Null | Operation::DcaContext => {}
        }
        Ok(())
    }
}

/// Source or destination of a copy: one run of bytes, or two when it breaks at the end of the first page.
struct Side {
    first: u64,
    second: u64,
    broken: bool,
}

impl Side {
    /// The address of byte `moved`, and how many bytes follow there without a break.
    fn at(&self, moved: u32, length: u32) -> (u64, u32) {
        if !self.broken {
            return (self.first.wrapping_add(moved.into()), length - moved);
        }
        let in_page = (descriptor::PAGE_SIZE - self.first % descriptor::PAGE_SIZE) as u32;
        let head = in_page.min(length);
        if moved < head {
            (self.first.wrapping_add(moved.into()), head - moved)
        } else {
            (self.second.wrapping_add((moved - head).into()), length - moved)
        }
    }
}

/// Inverts bit `bit` of the whole transfer if it lies in this piece, which starts at byte `start`.
fn flip(piece: &mut [u8], start: u32, bit: u64) {
    let position = (bit / 8).checked_sub(start.into());
    if let Some(byte) = position.and_then(|position| piece.get_mut(position as usize)) {
        *byte ^= 1 << (bit % 8);
    }
}

/// The eight words of a slot.
pub(crate) fn words(bytes: &[u8; descriptor::SIZE]) -> [u64; 8] {
    let mut words = [0; 8];
    for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(8)) {
        *word = u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
    }
    words
}
