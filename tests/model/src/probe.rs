//! Register accesses as text, so that what two drivers do to one engine can be laid side by side.

/// One register access.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegisterAccess {
    /// Offset in BAR0.
    pub offset: u32,
    /// Bytes.
    pub width: u8,
    /// What was written; a read has none.
    pub written: Option<u64>,
}

/// Offset of the first channel's registers, and how many bytes they take (ioat.md, 2.2).
const CHANNEL: std::ops::Range<u32> = 0x80..0x100;
/// Offsets of the chain address and the completion address in a channel from 2.0 on: what is written there is a place in
/// memory, which says nothing.
const ADDRESSES: std::ops::Range<u32> = 0x10..0x20;
/// Offset of a channel's control register.
const CONTROL: u32 = 0x00;
/// Offset of a channel's command, and the command that resets.
const COMMAND: (u32, u64) = (0x04, 0x20);

impl RegisterAccess {
    fn offset_in_channel(self) -> Option<u32> {
        CHANNEL.contains(&self.offset).then(|| self.offset - CHANNEL.start)
    }

    fn is_reset(self) -> bool {
        (self.offset_in_channel(), self.written) == (Some(COMMAND.0), Some(COMMAND.1))
    }

    /// Such as `R32 0x10` or, in the first channel, `W8 ch+0x04 = 0x20`.
    fn text(self) -> String {
        let bits = 8 * u32::from(self.width);
        let place = match self.offset_in_channel() {
            Some(offset) => format!("ch+{offset:#04x}"),
            None => format!("{:#04x}", self.offset),
        };
        let names_memory = self.offset_in_channel().is_some_and(|offset| ADDRESSES.contains(&offset));
        match self.written {
            None => format!("R{bits} {place}"),
            Some(_) if names_memory => format!("W{bits} {place} = an address"),
            Some(value) => format!("W{bits} {place} = {value:#x}"),
        }
    }
}

/// What a driver does from finding an engine of one channel to having proven it: through the second reset, which ends its
/// self-test, up to the next write. What is repeated without anything else in between, as a poll, is one line.
/// Channel control that is written as it stands re-arms an interrupt, whenever that comes, and is left out.
#[must_use]
pub fn lines(accesses: &[RegisterAccess]) -> Vec<String> {
    let (mut resets, mut control) = (0, None);
    let mut lines: Vec<String> = Vec::new();
    for access in accesses {
        if resets == 2 && access.written.is_some() {
            break;
        }
        resets += u32::from(access.is_reset());
        if access.written.is_some() && access.offset_in_channel() == Some(CONTROL) {
            if access.written == control {
                continue;
            }
            control = access.written;
        }
        let line = access.text();
        if lines.last() != Some(&line) {
            lines.push(line);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(offset: u32, width: u8, written: Option<u64>) -> RegisterAccess {
        RegisterAccess { offset, width, written }
    }

    #[test]
    fn a_probe_ends_with_what_follows_its_second_reset() {
        let reset = access(0x84, 1, Some(0x20));
        let poll = access(0x84, 1, None);
        let chain = access(0x90, 4, Some(0x1234_0000));
        let arm = access(0x80, 2, Some(0x1D));
        let accesses =
            [access(0x08, 1, None), reset, poll, poll, arm, chain, chain, arm, reset, poll, chain, poll];
        assert_eq!(
            lines(&accesses),
            [
                "R8 0x08",
                "W8 ch+0x04 = 0x20",
                "R8 ch+0x04",
                "W16 ch+0x00 = 0x1d",
                "W32 ch+0x10 = an address",
                "W8 ch+0x04 = 0x20",
                "R8 ch+0x04"
            ]
        );
    }
}
