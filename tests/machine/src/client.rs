//! A program on the machine that talks to netdmatest.sys.

use netdma_ioctl::{
    CLOSE_CHANNEL, CONTROL, COPY, Channel, ChannelNumber, Control, Copy, INTERFACE, MAX_CHANNELS,
    OPEN_CHANNEL, OpenChannel, PROVIDERS, Piece, Provider, STATISTICS, Statistics, StatisticsOf, Wire,
};
use nthost::io::file::{File, IoResult, Output, Request};
use nthost::memory::user::UserBuffer;
use nthost::random::Random;

use crate::hosted::guid;
use crate::lab::{Failure, Lab};
use netdmactl::pieces::{BUFFER, Batch};

/// An open handle on the test client's device.
#[derive(Debug)]
pub struct Client {
    file: File,
}

/// A copy on its way.
#[derive(Debug)]
pub struct Copying {
    request: Request,
    bytes: u64,
}

/// A copy on its way, with what is needed to check it.
#[derive(Debug)]
pub struct Checked {
    batch: Batch,
    buffer: UserBuffer,
    copying: Copying,
}

/// A channel of default size on any processor, of any provider, with completion callbacks.
pub const ANY_CHANNEL: OpenChannel =
    OpenChannel { provider: 0, flags: 0, group: 0, ring_size: 0, mask: 0, pending_limit: 0, reserved: 0 };

impl Client {
    /// Opens the device by its interface.
    ///
    /// # Errors
    /// There is no such device, or it refuses.
    pub fn open(lab: &mut Lab) -> Result<Self, Failure> {
        let file = lab.run(|k| k.open_interface(guid(INTERFACE), 0))?;
        let file =
            file.map_err(|status| Failure::Request { what: "opening netdmatest", status: status.0 })?;
        Ok(Self { file })
    }

    /// The handle itself, for threads of the machine.
    #[must_use]
    pub const fn file(&self) -> File {
        self.file
    }

    /// Closes the handle, and with it its channels.
    ///
    /// # Errors
    /// The machine stopped.
    pub fn close(self, lab: &mut Lab) -> Result<(), Failure> {
        lab.run(|k| k.close(self.file))
    }

    /// Closes the handle while a copy is under way, then waits for that.
    ///
    /// # Errors
    /// The copy failed.
    pub fn close_while(self, lab: &mut Lab, copying: Copying) -> Result<(), Failure> {
        lab.run(|k| k.close(self.file))?;
        self.finish(lab, copying)
    }

    /// The providers that netdma.sys offers.
    ///
    /// # Errors
    /// The request failed.
    pub fn providers(&self, lab: &mut Lab) -> Result<Vec<Provider>, Failure> {
        let mut room = vec![0; MAX_CHANNELS as usize * Provider::SIZE];
        let bytes = self.request(lab, "listing providers", PROVIDERS, &[], &mut room)?;
        room.truncate(bytes as usize);
        Ok(room.chunks_exact(Provider::SIZE).filter_map(Provider::from_bytes).collect())
    }

    /// Opens a channel.
    ///
    /// # Errors
    /// The request failed.
    pub fn open_channel(&self, lab: &mut Lab, wanted: OpenChannel) -> Result<Channel, Failure> {
        let mut room = [0; Channel::SIZE];
        self.request(lab, "opening a channel", OPEN_CHANNEL, &wanted.to_bytes(), &mut room)?;
        Channel::from_bytes(&room).ok_or_else(|| Failure::Other("a channel's answer is too short".into()))
    }

    /// Closes a channel.
    ///
    /// # Errors
    /// The request failed.
    pub fn close_channel(&self, lab: &mut Lab, number: u32) -> Result<(), Failure> {
        self.request(lab, "closing a channel", CLOSE_CHANNEL, &ChannelNumber { number }.to_bytes(), &mut [])?;
        Ok(())
    }

    /// Does one of the `CONTROL_` operations to a channel.
    ///
    /// # Errors
    /// The request failed.
    pub fn control(&self, lab: &mut Lab, channel: u32, operation: u32) -> Result<(), Failure> {
        let control = Control { channel, operation };
        self.request(lab, "controlling a channel", CONTROL, &control.to_bytes(), &mut [])?;
        Ok(())
    }

    /// Counters of a channel of this handle.
    ///
    /// # Errors
    /// The request failed.
    pub fn statistics(&self, lab: &mut Lab, channel: u32) -> Result<Statistics, Failure> {
        self.statistics_of(lab, StatisticsOf { provider: 0, channel })
    }

    /// Counters of a channel or of a provider.
    ///
    /// # Errors
    /// The request failed.
    pub fn statistics_of(&self, lab: &mut Lab, of: StatisticsOf) -> Result<Statistics, Failure> {
        let mut room = [0; Statistics::SIZE];
        self.request(lab, "reading statistics", STATISTICS, &of.to_bytes(), &mut room)?;
        Statistics::from_bytes(&room).ok_or_else(|| Failure::Other("the statistics are too short".into()))
    }

    /// Begins to copy the pieces within `buffer`.
    ///
    /// # Errors
    /// The machine stopped; a refusal comes from [`finish`](Self::finish).
    pub fn copy(
        &self,
        lab: &mut Lab,
        channel: u32,
        buffer: UserBuffer,
        pieces: &[Piece],
    ) -> Result<Copying, Failure> {
        let header = Copy { channel, flags: 0, pieces: pieces.len() as u32, reserved: 0 };
        let mut input = header.to_bytes().to_vec();
        pieces.iter().for_each(|piece| input.extend(piece.to_bytes()));
        let bytes = pieces.iter().map(|piece| u64::from(piece.length)).sum();
        let length = buffer.length as usize;
        let request = lab.run(|k| k.ioctl_start(self.file, COPY, &input, length, Some(&buffer)))?;
        Ok(Copying { request, bytes })
    }

    /// Waits until a copy is done.
    ///
    /// # Errors
    /// It failed, or reports another number of bytes than was asked for.
    pub fn finish(&self, lab: &mut Lab, copying: Copying) -> Result<(), Failure> {
        let Copying { request, bytes } = copying;
        let result = lab.run(|k| k.wait_request(request, &mut []))?;
        let done = checked("copying", result)?;
        if done != bytes {
            return Err(Failure::Other(format!("a copy of {bytes} bytes reports {done} bytes done")));
        }
        Ok(())
    }

    /// Copies at most [`DATA`](netdmactl::pieces::DATA) bytes of chance in scattered pieces and checks every byte of the
    /// buffer; says how many bytes were copied.
    ///
    /// # Errors
    /// The request failed, or a byte is wrong.
    pub fn copy_verified(
        &self,
        lab: &mut Lab,
        channel: u32,
        bytes: usize,
        seed: u64,
    ) -> Result<u64, Failure> {
        let checked = self.begin_verified(lab, channel, bytes, seed)?;
        self.end_verified(lab, checked)
    }

    /// The first half of [`copy_verified`](Self::copy_verified): the copy is on its way.
    ///
    /// # Errors
    /// The machine stopped.
    pub fn begin_verified(
        &self,
        lab: &mut Lab,
        channel: u32,
        bytes: usize,
        seed: u64,
    ) -> Result<Checked, Failure> {
        let mut random = Random::new(seed);
        let data: Vec<u8> = (0..bytes).map(|_| random.next() as u8).collect();
        let batch = Batch::plan(&data, &mut || random.next());
        let buffer = lab.buffer(BUFFER)?;
        lab.fill(buffer, &batch.before)?;
        let copying = self.copy(lab, channel, buffer, &batch.request())?;
        Ok(Checked { batch, buffer, copying })
    }

    /// The second half: waits, and checks every byte of the buffer.
    ///
    /// # Errors
    /// The request failed, or a byte is wrong.
    pub fn end_verified(&self, lab: &mut Lab, checked: Checked) -> Result<u64, Failure> {
        let Checked { batch, buffer, copying } = checked;
        let outcome = self.finish(lab, copying);
        let after = lab.contents(buffer)?;
        lab.free(buffer)?;
        outcome?;
        batch.check(&after).map_err(|wrong| Failure::Other(wrong.to_string()))?;
        Ok(batch.bytes() as u64)
    }

    /// Sends a raw request: what a malicious program may do.
    ///
    /// # Errors
    /// The request failed.
    pub fn request(
        &self,
        lab: &mut Lab,
        what: &'static str,
        code: u32,
        input: &[u8],
        output: &mut [u8],
    ) -> Result<u64, Failure> {
        let result = lab.run(|k| k.ioctl(self.file, code, input, Output::Bytes(output)))?;
        checked(what, result)
    }
}

/// The information of a request that succeeded.
fn checked(what: &'static str, result: IoResult) -> Result<u64, Failure> {
    if result.status.is_success() {
        Ok(result.information)
    } else {
        Err(Failure::Request { what, status: result.status.0 })
    }
}
