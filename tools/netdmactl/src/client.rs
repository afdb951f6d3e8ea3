//! Copies and channels through netdmatest.sys, the test client.

use std::time::Duration;

use netdma_ioctl::{
    CLOSE_CHANNEL, CONTROL, CONTROL_RESET, COPY, Channel, ChannelNumber, Control, Copy, INTERFACE,
    MAX_CHANNELS, OPEN_CHANNEL, OpenChannel, PROVIDERS, Piece, Provider, STATISTICS, Statistics,
    StatisticsOf, Wire,
};

use crate::engines::{self, EngineReport};
use crate::options::ChannelName;
use crate::transport::{Answer, Handle, Refusal, Transport, Trouble};

/// An open handle on the test client's device.
pub struct Client<'t> {
    transport: &'t mut dyn Transport,
    handle: Handle,
}

/// A channel that this program has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// As netdmatest.sys answered.
    pub channel: Channel,
    /// Which of the engines' channels it is; `None` when the provider is none of ioatdma.sys.
    pub name: Option<ChannelName>,
}

impl Claim {
    /// How it is called: as `list` does, or by its provider.
    #[must_use]
    pub fn title(&self) -> String {
        self.name.map_or_else(|| format!("provider {}", self.channel.provider), |name| name.to_string())
    }
}

impl<'t> Client<'t> {
    /// Opens the device.
    ///
    /// # Errors
    /// There is none, or it refuses.
    pub fn open(transport: &'t mut dyn Transport) -> Result<Self, Trouble> {
        match Self::open_if_there(transport)? {
            Some(client) => Ok(client),
            None => Err(Trouble::new(
                "the test client's device is missing: install netdmatest.inf, then run `netdmactl device add`",
            )),
        }
    }

    /// As [`open`](Self::open); `None` when there is no such device.
    ///
    /// # Errors
    /// It refuses.
    pub fn open_if_there(transport: &'t mut dyn Transport) -> Result<Option<Self>, Trouble> {
        let refused = |refusal| Trouble::refused("opening the test client", refusal);
        let names = transport.devices(INTERFACE).map_err(refused)?;
        let Some(name) = names.first() else { return Ok(None) };
        let handle = transport.open(name).map_err(refused)?;
        Ok(Some(Self { transport, handle }))
    }

    /// The providers that netdma.sys has.
    ///
    /// # Errors
    /// The driver refuses.
    pub fn providers(&mut self) -> Result<Vec<Provider>, Trouble> {
        let mut room = vec![0; MAX_CHANNELS as usize * Provider::SIZE];
        let answer = self.ask("listing providers", PROVIDERS, &[], &mut room)?;
        room.truncate(answer.bytes);
        Ok(room.chunks_exact(Provider::SIZE).filter_map(Provider::from_bytes).collect())
    }

    /// The counters of netdma.sys for a provider.
    ///
    /// # Errors
    /// The driver refuses.
    pub fn provider_statistics(&mut self, provider: u32) -> Result<Statistics, Trouble> {
        self.statistics(StatisticsOf { provider, channel: 0 })
    }

    /// The counters of a channel of this handle.
    ///
    /// # Errors
    /// The driver refuses.
    pub fn channel_statistics(&mut self, claim: &Claim) -> Result<Statistics, Trouble> {
        self.statistics(StatisticsOf { provider: 0, channel: claim.channel.number })
    }

    fn statistics(&mut self, of: StatisticsOf) -> Result<Statistics, Trouble> {
        let mut room = [0; Statistics::SIZE];
        self.ask("reading counters", STATISTICS, &of.to_bytes(), &mut room)?;
        Statistics::from_bytes(&room).ok_or_else(|| Trouble::refused("reading counters", Refusal::Malformed))
    }

    /// Takes one channel of each provider, of the engine `only` alone if that is given, in the order of `list`.
    ///
    /// # Errors
    /// There is none to be had.
    pub fn claim_one_each(&mut self, only: Option<usize>) -> Result<Vec<Claim>, Trouble> {
        let mut claims = Vec::new();
        for provider in self.providers()? {
            let Some(claim) = self.claim(provider.id)? else { continue };
            let wanted = only.is_none_or(|engine| claim.name.is_some_and(|name| name.engine == engine));
            if wanted { claims.push(claim) } else { self.release(&claim)? }
        }
        claims.sort_by_key(|claim| claim.name.map(|name| (name.engine, name.channel)));
        match (claims.is_empty(), only) {
            (false, _) => Ok(claims),
            (true, Some(engine)) => Err(Trouble::new(format!(
                "engine {engine} has no free channel: `netdmactl list` shows the engines and who uses their channels"
            ))),
            (true, None) => Err(Trouble::new(
                "no provider has a free channel: `netdmactl list` shows the engines and who uses their channels",
            )),
        }
    }

    /// Takes the channel `wanted`.
    ///
    /// # Errors
    /// It does not exist, or somebody else has it.
    pub fn claim_named(&mut self, wanted: ChannelName) -> Result<Claim, Trouble> {
        let engines = engines::read_all(self.transport)?;
        let channel = engines
            .get(wanted.engine)
            .and_then(|report| report.channels.iter().find(|channel| channel.number == wanted.channel));
        match channel {
            None => {
                return Err(Trouble::new(format!(
                    "there is no channel {wanted}: `netdmactl list` names those that there are"
                )));
            }
            Some(channel) if channel.allocated != 0 => {
                return Err(Trouble::new(format!(
                    "channel {wanted} belongs to another client, and only that one may reset it: end it, or restart the \
                     device in Device Manager"
                )));
            }
            Some(_) => {}
        }
        // The interface decides which free channel it gives, so all are asked for until the wanted one comes.
        let mut others = Vec::new();
        let mut found = None;
        for provider in self.providers()? {
            while found.is_none() && others.len() < MAX_CHANNELS as usize {
                match self.claim(provider.id)? {
                    Some(claim) if claim.name == Some(wanted) => found = Some(claim),
                    Some(claim) => others.push(claim),
                    None => break,
                }
            }
        }
        for claim in others {
            self.release(&claim)?;
        }
        found.ok_or_else(|| {
            Trouble::new(format!("channel {wanted} was not to be had: somebody took it meanwhile; try again"))
        })
    }

    /// Takes a channel of a provider, and finds out which it is by looking which one of the engines' is taken since. `None`
    /// when the provider has none free, or does not work now.
    fn claim(&mut self, provider: u32) -> Result<Option<Claim>, Trouble> {
        let before = engines::read_any(self.transport)?;
        let wish = OpenChannel {
            provider,
            flags: 0,
            group: 0,
            ring_size: 0,
            mask: 0,
            pending_limit: 0,
            reserved: 0,
        };
        let mut room = [0; Channel::SIZE];
        match self.transport.control(self.handle, OPEN_CHANNEL, &wish.to_bytes(), &mut room) {
            Ok(_) => {}
            Err(Refusal::NoResources | Refusal::NotFound | Refusal::NotReady) => return Ok(None),
            Err(refusal) => return Err(Trouble::refused("opening a channel", refusal)),
        }
        let channel = Channel::from_bytes(&room)
            .ok_or_else(|| Trouble::refused("opening a channel", Refusal::Malformed))?;
        let after = engines::read_any(self.transport)?;
        Ok(Some(Claim { channel, name: newly_taken(&before, &after) }))
    }

    /// Gives a channel back.
    ///
    /// # Errors
    /// The driver refuses.
    pub fn release(&mut self, claim: &Claim) -> Result<(), Trouble> {
        let number = ChannelNumber { number: claim.channel.number };
        self.ask("closing a channel", CLOSE_CHANNEL, &number.to_bytes(), &mut []).map(|_| ())
    }

    /// Resets a channel of this handle.
    ///
    /// # Errors
    /// The driver refuses.
    pub fn reset(&mut self, claim: &Claim) -> Result<(), Trouble> {
        let control = Control { channel: claim.channel.number, operation: CONTROL_RESET };
        self.ask(&format!("resetting channel {}", claim.title()), CONTROL, &control.to_bytes(), &mut [])
            .map(|_| ())
    }

    /// Copies pieces within `buffer`, with one request; gives the time that it took.
    ///
    /// # Errors
    /// The driver refuses, or the engine fails.
    pub fn copy(&mut self, claim: &Claim, pieces: &[Piece], buffer: &mut [u8]) -> Result<Duration, Trouble> {
        let header = Copy {
            channel: claim.channel.number,
            flags: 0,
            pieces: u32::try_from(pieces.len()).unwrap_or(u32::MAX),
            reserved: 0,
        };
        let mut input = header.to_bytes().to_vec();
        pieces.iter().for_each(|piece| input.extend(piece.to_bytes()));
        let answer = self.ask(&format!("copying with channel {}", claim.title()), COPY, &input, buffer)?;
        Ok(answer.took)
    }

    /// What a reader of measured times must know.
    #[must_use]
    pub fn caveat(&self) -> Option<&'static str> {
        self.transport.caveat()
    }

    fn ask(&mut self, what: &str, code: u32, input: &[u8], output: &mut [u8]) -> Result<Answer, Trouble> {
        self.transport
            .control(self.handle, code, input, output)
            .map_err(|refusal| Trouble::refused(what, refusal))
    }
}

impl Drop for Client<'_> {
    fn drop(&mut self) {
        self.transport.close(self.handle);
    }
}

/// The channel that is allocated in `after` and was not in `before`; `None` unless it is one.
fn newly_taken(before: &[EngineReport], after: &[EngineReport]) -> Option<ChannelName> {
    let was_taken = |location: u32, number: u32| {
        let engine = before.iter().find(|report| report.engine.location == location);
        engine.is_some_and(|report| {
            report.channels.iter().any(|channel| channel.number == number && channel.allocated != 0)
        })
    };
    let mut taken = after.iter().enumerate().flat_map(|(engine, report)| {
        report
            .channels
            .iter()
            .filter(|channel| channel.allocated != 0)
            .filter(|channel| !was_taken(report.engine.location, channel.number))
            .map(move |channel| ChannelName { engine, channel: channel.number })
    });
    let first = taken.next()?;
    taken.next().is_none().then_some(first)
}
