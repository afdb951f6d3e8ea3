//! CPUID in driver code. The instruction works in a process, but tells of the host's processor; so it is replaced, when an
//! image is placed, by one that faults and is as long: UD2. `fault::emulate` answers for the machine's processor.
//!
//! Only functions in the exception directory are looked through, from their first instruction to their last: no other place is
//! known to be an instruction. A compiler's CPUID saves RBX, so its function is in there.

use iced_x86::{Code, Decoder, DecoderOptions};

use super::pe::Reader;

/// UD2 (Intel SDM 2B): raises an invalid-opcode exception, always.
const UD2: [u8; 2] = [0x0F, 0x0B];

/// Replaces every CPUID of the laid out image; answers the offsets.
pub(super) fn replace(image: &mut [u8], table: Option<(usize, usize)>) -> Vec<u32> {
    let Some((start, size)) = table else { return Vec::new() };
    let functions: Vec<(u32, u32)> = (0..size / 12)
        .filter_map(|index| {
            let r = Reader(image);
            let at = start + index * 12;
            Some((r.u32(at, "").ok()?, r.u32(at + 4, "").ok()?))
        })
        .collect();
    let mut found = Vec::new();
    for (begin, end) in functions {
        let Some(code) = image.get(begin as usize..end as usize) else { continue };
        let instructions = Decoder::with_ip(64, code, begin.into(), DecoderOptions::NONE);
        found.extend(
            instructions
                .into_iter()
                .filter(|instruction| instruction.code() == Code::Cpuid && instruction.len() == UD2.len())
                .map(|instruction| instruction.ip() as u32),
        );
    }
    for &offset in &found {
        image[offset as usize..offset as usize + UD2.len()].copy_from_slice(&UD2);
    }
    found
}
