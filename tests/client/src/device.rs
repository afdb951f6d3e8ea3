//! The KMDF device: requests in, answers out.

use netdma_abi::client::ProviderInformation;
use netdma_ioctl::{
    self as ioctl, ChannelNumber, Control, Copy, MAX_BUFFER, MAX_PIECES, OpenChannel, POLLED, Piece,
    Provider, StatisticsOf, Wire,
};
use nt::irql::Passive;
use nt::pool::{Arc, Array};
use nt::string::Wide;
use nt::wdf::{Device, DeviceControl, DeviceHandle, DeviceInit, File, Request, Resources, Served};
use nt::{Result, Status, sys};

use crate::TAG;
use crate::channel::OpenedChannel;
use crate::client::Client;
use crate::netdma;
use crate::operation::{Operation, Work};

/// Who may open the device.
const SDDL: [u16; ioctl::SDDL.len()] = nt::string::widen(ioctl::SDDL);

/// Interface class of the device.
const INTERFACE: sys::GUID = sys::GUID {
    Data1: ioctl::INTERFACE.data1,
    Data2: ioctl::INTERFACE.data2,
    Data3: ioctl::INTERFACE.data3,
    Data4: ioctl::INTERFACE.data4,
};

/// A test client's device. There is no hardware behind it.
pub struct TestDevice {
    client: Arc<Client>,
}

nt::wdf_context!(TestDevice);

impl TestDevice {
    /// Creates the device: only the system and administrators may open it, also by a name below it.
    ///
    /// # Errors
    /// What the framework reports.
    pub fn add(mut init: DeviceInit<'_>, irql: &mut Passive) -> Result {
        init.secure(ioctl::DEVICE_TYPE, Wide::new(&SDDL), irql)?;
        init.watch_files::<Self>();
        let device = init.create(irql, |_device, _irql| Ok(Self { client: Client::new()? }))?;
        device.serve_requests(Served::WhileWorking, irql)?;
        device.create_interface(&INTERFACE, irql)
    }
}

impl Device for TestDevice {
    fn prepare_hardware(
        &self,
        _device: DeviceHandle<'_, Self>,
        _raw: Resources<'_>,
        _translated: Resources<'_>,
        irql: &mut Passive,
    ) -> Result {
        Client::register(&self.client, irql)
    }

    fn release_hardware(&self, _device: DeviceHandle<'_, Self>, irql: &mut Passive) {
        self.client.deregister(irql);
    }
}

impl DeviceControl for TestDevice {
    fn device_control(&self, request: Request, code: u32, irql: &mut Passive) {
        let answer = match code {
            ioctl::COPY => return self.start_copy(request, irql),
            ioctl::CONTROL => return self.control(request, irql),
            ioctl::PROVIDERS => self.list_providers(&request, irql),
            ioctl::OPEN_CHANNEL => self.open_channel(&request, irql),
            ioctl::CLOSE_CHANNEL => self.close_channel(&request, irql),
            ioctl::STATISTICS => self.statistics(&request, irql),
            _ => Err(Status::INVALID_DEVICE_REQUEST),
        };
        request.complete(answer);
    }

    fn file_closed(&self, file: File, irql: &mut Passive) {
        self.client.close_all_of(file, irql);
    }

    fn file_done(&self, file: File, irql: &mut Passive) {
        // A channel that was still being opened when the file was closed.
        self.client.close_all_of(file, irql);
    }
}

/// The structure at the beginning of the request's input.
fn read<T: Wire, const SIZE: usize>(request: &Request) -> Result<T> {
    const { assert!(SIZE == T::SIZE) };
    let mut bytes = [0; SIZE];
    request.read_input(&mut bytes)?;
    T::from_bytes(&bytes).ok_or(Status::INVALID_BUFFER_SIZE)
}

impl TestDevice {
    /// Each answer is the number of bytes written to the output buffer.
    fn list_providers(&self, request: &Request, irql: &mut Passive) -> Result<usize> {
        let room = request.output_length()? / Provider::SIZE;
        let providers = self.client.providers(irql)?;
        let listed = || providers.iter().filter(|provider| provider.provider_id != 0).take(room);
        let length = listed().count().checked_mul(Provider::SIZE).ok_or(Status::INTEGER_OVERFLOW)?;
        let mut bytes = Array::new(TAG, length, |_| 0_u8)?;
        for (chunk, provider) in bytes.chunks_exact_mut(Provider::SIZE).zip(listed()) {
            describe(provider).write_to(chunk).ok_or(Status::BUFFER_TOO_SMALL)?;
        }
        request.write_output(&bytes)?;
        Ok(length)
    }

    fn open_channel(&self, request: &Request, irql: &mut Passive) -> Result<usize> {
        let wish: OpenChannel = read::<_, { OpenChannel::SIZE }>(request)?;
        if wish.flags & !POLLED != 0 || wish.reserved != 0 || wish.group > u16::MAX.into() {
            return Err(Status::INVALID_PARAMETER);
        }
        // The answer must fit before there is something to answer.
        if request.output_length()? < ioctl::Channel::SIZE {
            return Err(Status::BUFFER_TOO_SMALL);
        }
        let channel = self.client.open(request.file(), &wish, irql)?;
        request.write_output(&channel.to_bytes())?;
        Ok(ioctl::Channel::SIZE)
    }

    fn close_channel(&self, request: &Request, irql: &mut Passive) -> Result<usize> {
        let ChannelNumber { number } = read::<_, { ChannelNumber::SIZE }>(request)?;
        self.client.close(request.file(), number, irql)?;
        Ok(0)
    }

    fn statistics(&self, request: &Request, irql: &mut Passive) -> Result<usize> {
        let of: StatisticsOf = read::<_, { StatisticsOf::SIZE }>(request)?;
        let statistics = self.client.statistics(request.file(), of, irql)?;
        request.write_output(&statistics.to_bytes())?;
        Ok(ioctl::Statistics::SIZE)
    }

    fn control(&self, request: Request, irql: &mut Passive) {
        let answer = read::<Control, { Control::SIZE }>(&request).and_then(|control| {
            let opened = self.client.channel(request.file(), control.channel, irql)?;
            let operation = match control.operation {
                ioctl::CONTROL_NULL => return Ok(Some(opened)),
                ioctl::CONTROL_FLUSH => netdma::Operation::Flush,
                ioctl::CONTROL_SUSPEND => netdma::Operation::Suspend,
                ioctl::CONTROL_RESUME => netdma::Operation::Resume,
                ioctl::CONTROL_ABORT => netdma::Operation::Abort,
                ioctl::CONTROL_RESET => netdma::Operation::Reset,
                _ => return Err(Status::INVALID_PARAMETER),
            };
            opened.channel().handle().control(operation, irql).map(|()| None)
        });
        match answer {
            Ok(Some(opened)) => start(&opened, Operation::new(request, Work::Null), irql),
            Ok(None) => request.complete(Ok(0)),
            Err(status) => request.complete(Err(status)),
        }
    }

    fn start_copy(&self, request: Request, irql: &mut Passive) {
        let prepared = read_copy(&request)
            .and_then(|(channel, pieces)| Ok((self.client.channel(request.file(), channel, irql)?, pieces)));
        match prepared {
            Ok((opened, pieces)) => start(&opened, Operation::new(request, Work::Copy(pieces)), irql),
            Err(status) => request.complete(Err(status)),
        }
    }
}

/// Puts an operation on its way. From here on its owners see to its completion.
fn start(opened: &OpenedChannel, operation: Operation, irql: &mut Passive) {
    // If there is no memory the operation is dropped, which completes its request with what stands here.
    operation.fail(Status::INSUFFICIENT_RESOURCES);
    if let Ok(operation) = Arc::new(TAG, operation) {
        operation.recover();
        opened.start(operation, irql);
    }
}

/// The channel and the checked pieces of a copy.
fn read_copy(request: &Request) -> Result<(u32, Array<Piece>)> {
    let header: Copy = read::<_, { Copy::SIZE }>(request)?;
    if header.flags != 0 || header.reserved != 0 || header.pieces == 0 || header.pieces > MAX_PIECES {
        return Err(Status::INVALID_PARAMETER);
    }
    let buffer = request.output_pages()?.length()?;
    if buffer > MAX_BUFFER {
        return Err(Status::INVALID_BUFFER_SIZE);
    }
    // At most 256 times 16 bytes: no overflow.
    let count = header.pieces as usize;
    let length = count.saturating_mul(Piece::SIZE).saturating_add(Copy::SIZE);
    let mut bytes = Array::new(TAG, length, |_| 0_u8)?;
    request.read_input(&mut bytes)?;
    let (_header, bytes) = bytes.split_at_checked(Copy::SIZE).ok_or(Status::INVALID_BUFFER_SIZE)?;
    let mut chunks = bytes.chunks_exact(Piece::SIZE);
    let pieces = Array::try_new(TAG, count, |_| {
        chunks.next().and_then(Piece::from_bytes).ok_or(Status::INVALID_BUFFER_SIZE)
    })?;
    match Piece::check(&pieces, buffer) {
        Ok(()) => Ok((header.channel, pieces)),
        Err(ioctl::BadPiece::Overlap(_)) => Err(Status::CONFLICTING_ADDRESSES),
        Err(_) => Err(Status::INVALID_PARAMETER),
    }
}

/// A provider for user mode.
fn describe(provider: &ProviderInformation) -> Provider {
    Provider {
        id: provider.provider_id,
        version: provider.version,
        state: provider.state,
        hardware_version: provider.hardware_version,
        channels: provider.channel_count,
        free_channels: provider.free_channel_count,
        maximum_transfer: provider.maximum_transfer_size,
        vendor: provider.vendor_id,
        maximum_address: provider.maximum_address.0,
        name_length: provider.friendly_name_length / 2,
        reserved: 0,
        name: provider.friendly_name,
    }
}
