//! Resources: what a stack asks for after its filters have had their say, and what the machine gives it.

use super::{DevnodeId, Kernel};
use crate::pci::bus::Slot;
use crate::pci::config;
use crate::pci::interrupt::{irql_of, line_of, message_for};
use crate::pci::requirements::{
    Assigned, FLAG_MESSAGE, Given, MESSAGE_TOKEN, OPTION_ALTERNATIVE, POLICY_SPECIFIED, Requirement, Want,
};

/// What a device was given.
#[derive(Debug, Clone, Default)]
pub(crate) struct Assignment {
    /// As the bus sees it.
    pub(crate) raw: Vec<Assigned>,
    /// As processors see it.
    pub(crate) translated: Vec<Assigned>,
    /// Address and data of each message, in the order of the messages.
    pub(crate) messages: Vec<(u64, u32)>,
    /// Vectors to give back.
    vectors: Vec<u32>,
}

impl Kernel {
    /// Chooses from the alternatives: the first list that can be satisfied. `None` when none can.
    pub(super) fn arbitrate(&self, id: DevnodeId, lists: &[Vec<Requirement>]) -> Option<Assignment> {
        let node = self.node(id)?;
        if node.starved {
            return None;
        }
        let Some(slot) = node.slot else { return Some(Assignment::default()) };
        lists.iter().find_map(|list| self.satisfy(&slot, list))
    }

    fn satisfy(&self, slot: &Slot, list: &[Requirement]) -> Option<Assignment> {
        let mut given = Assignment::default();
        for requirement in list {
            if let Want::Memory { length, minimum, maximum, .. } = requirement.want {
                let bar = slot.bars.iter().find(|bar| (minimum..=maximum).contains(&bar.base))?;
                if bar.size != u64::from(length) {
                    return None;
                }
                let memory = Assigned {
                    share: requirement.share,
                    flags: requirement.flags,
                    given: Given::Memory { start: bar.base, length },
                };
                given.raw.push(memory);
                given.translated.push(memory);
            }
        }
        let interrupts: Vec<&Requirement> =
            list.iter().filter(|requirement| matches!(requirement.want, Want::Interrupt { .. })).collect();
        if interrupts.is_empty() {
            return Some(given);
        }
        let limit = usize::from(self.pnp.message_limit.with(|limit| limit.unwrap_or(u16::MAX)));
        let messages = interrupts.iter().filter(|requirement| {
            requirement.flags & FLAG_MESSAGE != 0 && requirement.option & OPTION_ALTERNATIVE == 0
        });
        for requirement in messages {
            self.give_messages(requirement, limit, &mut given);
        }
        if given.messages.is_empty() {
            let line = interrupts.iter().find(|requirement| requirement.flags & FLAG_MESSAGE == 0);
            let Some(line) = line else {
                self.release_assignment(&given);
                return None;
            };
            self.give_line(slot, line, &mut given)?;
        }
        Some(given)
    }

    /// One MSI-X message, or all messages of an MSI descriptor, as far as the limit allows.
    fn give_messages(&self, requirement: &Requirement, limit: usize, given: &mut Assignment) {
        let Want::Interrupt { minimum, .. } = requirement.want else { return };
        let wanted = usize::try_from(MESSAGE_TOKEN - minimum).unwrap_or(0) + 1;
        let free = limit.saturating_sub(given.messages.len());
        // MSI comes in powers of two; MSI-X descriptors want one.
        let count = if free >= wanted { wanted } else { (free + 1).next_power_of_two() / 2 };
        let cpus = self.targets(requirement);
        let vectors: Vec<u32> = (0..count).map_while(|_| self.allocate_message_vector(cpus)).collect();
        let (Some(first), true) = (vectors.first().copied(), vectors.len() == count) else {
            vectors.into_iter().for_each(|vector| self.free_vector(vector));
            return;
        };
        let cpu = cpus.trailing_zeros();
        given.messages.extend(vectors.iter().map(|vector| message_for(*vector, cpu)));
        given.vectors.extend(&vectors);
        let with = |raw| Assigned { share: requirement.share, flags: requirement.flags, given: raw };
        given.raw.push(with(Given::RawMessage {
            group: 0,
            count: u16::try_from(count).unwrap_or(1),
            vector: first,
            affinity: cpus,
        }));
        let level = u16::from(irql_of(first));
        given.translated.push(with(Given::Interrupt { level, group: 0, vector: first, affinity: cpus }));
    }

    fn give_line(&self, slot: &Slot, requirement: &Requirement, given: &mut Assignment) -> Option<()> {
        let line = line_of(slot.location, slot.pin);
        let cpus = self.targets(requirement);
        let vector = self.allocate_line_vector(line, cpus)?;
        given.vectors.push(vector);
        let with = |given| Assigned { share: requirement.share, flags: requirement.flags, given };
        let (line, level) = (u16::from(line), u16::from(irql_of(vector)));
        given.raw.push(with(Given::Interrupt {
            level: line,
            group: 0,
            vector: u32::from(line),
            affinity: cpus,
        }));
        given.translated.push(with(Given::Interrupt { level, group: 0, vector, affinity: cpus }));
        Some(())
    }

    /// The processors a descriptor's policy allows: those it names, else all.
    fn targets(&self, requirement: &Requirement) -> u64 {
        let all = u64::MAX >> (64 - self.cpu_count());
        match requirement.want {
            Want::Interrupt { policy, group: 0, targets, .. }
                if policy == POLICY_SPECIFIED && targets & all != 0 =>
            {
                targets & all
            }
            _ => all,
        }
    }

    /// Gives vectors back.
    pub(super) fn release_assignment(&self, given: &Assignment) {
        given.vectors.iter().for_each(|vector| self.free_vector(*vector));
    }

    /// The bus driver's half of START: registers decode, messages are programmed, the function may master the bus.
    pub(super) fn power_up_function(&self, slot: &Slot, given: &Assignment) {
        slot.set_power(0);
        // A function that lost power has lost its BARs.
        slot.with(|function| slot.bars.iter().for_each(|bar| config::place_bar(function, bar)));
        slot.command(config::COMMAND_MEMORY, 0);
        if given.messages.is_empty() {
            slot.command(config::COMMAND_MASTER, config::COMMAND_INTX_DISABLE);
        } else {
            slot.with(|function| {
                config::program_messages(function, slot.messages, &given.messages);
                let count = u16::try_from(given.messages.len()).unwrap_or(0);
                (0..count).for_each(|message| config::mask_message(function, slot.messages, message, false));
            });
            slot.command(config::COMMAND_MASTER | config::COMMAND_INTX_DISABLE, 0);
        }
    }

    /// The bus driver's half of STOP and REMOVE: nothing of the function reaches the machine any more.
    pub(super) fn power_down_function(&self, slot: &Slot) {
        slot.with(|function| config::disable_messages(function, slot.messages));
        slot.command(config::COMMAND_INTX_DISABLE, config::COMMAND_MASTER | config::COMMAND_MEMORY);
        slot.set_power(3);
    }
}
