//! The interrupt service routine: whose interrupt it is, and the channel's DPC (H29, H30).

use ioat_core::InterruptKind;
use ioat_core::service::claim_shared;
use netdma_events::{Event, Hex, Sink};
use nt::Result;
use nt::irql::Device;
use nt::pool::Arc;
use nt::processor::Number;
use nt::wdf;

use crate::TRACE;
use crate::engine::Engine;

/// One interrupt resource: a message of one channel, or the one that all channels share.
pub struct EngineInterrupt {
    engine: Arc<Engine>,
    /// The channel, when messages are per channel.
    channel: u8,
}
nt::wdf_context!(EngineInterrupt);

impl EngineInterrupt {
    /// The interrupt of channel `channel`, or the shared one for channel 0.
    pub const fn new(engine: Arc<Engine>, channel: u8) -> Self {
        Self { engine, channel }
    }
}

impl wdf::Interrupt for EngineInterrupt {
    fn service(&self, _message: u32, irql: &mut Device) -> bool {
        match self.engine.kind() {
            // No register is touched: the message says it all.
            InterruptKind::PerChannel => match self.engine.present().get(usize::from(self.channel)) {
                Some(lane) => lane.interrupted(irql),
                None => return false,
            },
            InterruptKind::Shared => {
                let Some(attention) = self.engine.window(irql).and_then(claim_shared) else { return false };
                let mut owned = false;
                for (number, lane) in self.engine.present().iter().enumerate() {
                    if attention.wrapping_shr(number as u32) & 1 != 0 {
                        lane.interrupted(irql);
                        owned = true;
                    }
                }
                if !owned {
                    TRACE.write(Event::SpuriousInterrupt {
                        location: self.engine.location,
                        attention: Hex(attention.into()),
                    });
                }
            }
            InterruptKind::None => return false,
        }
        true
    }

    fn enable(&self, interrupt: wdf::InterruptHandle<'_, Self>, _irql: &mut Device) -> Result {
        let info = interrupt.info();
        // A message that may arrive at several processors gives no preference (R89).
        let at_one = info.message_signaled && info.processors.is_power_of_two();
        let number = Number { group: info.group, number: info.processors.trailing_zeros() as u8 };
        let processor = if at_one { number.index() } else { None };
        if let Some(lane) = self.engine.present().get(usize::from(self.channel)) {
            lane.set_message(processor);
        }
        Ok(())
    }
}
